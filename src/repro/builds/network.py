"""Proxies and certificates: uv, apt and requests each read other variables; here each gets what any was told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from repro.errors import FetchError

BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
CONNECT_S, READ_S = 5.0, 20.0
LOOK_AT_NETWORK = "look at the network and at HTTPS_PROXY and NO_PROXY"


def ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """The certificates that the user set for any tool, or None for each tool's own.

    Raises FetchError where they are not there: no tool says so in words that help.
    """
    for variable in BUNDLES:
        if bundle := environment.get(variable):
            if not Path(bundle).exists():
                raise FetchError(f"{variable} names certificates that are not there: {bundle}; correct it or unset it")
            return bundle
    return None


def for_uv(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment of uv: the user's own, so that its proxies and indexes hold, with the certificates."""
    bundle = ca_bundle(environment)
    shown = {"SSL_CERT_DIR" if Path(bundle).is_dir() else "SSL_CERT_FILE": bundle} if bundle else {}
    bounds = {"UV_HTTP_CONNECT_TIMEOUT": f"{CONNECT_S:g}", "UV_HTTP_TIMEOUT": f"{READ_S:g}"}
    return {**bounds, **environment, **shown, "UV_NO_PROGRESS": "1"}


def for_apt(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that show apt the proxies; its own settings come before them."""
    proxies = {}
    for scheme in ("http", "https"):
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        proxies[f"{scheme}_proxy"] = next((environment[name] for name in names if environment.get(name)), "")
    around = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    # apt knows no sign for "every host".
    return dict.fromkeys(proxies, "") if around.strip() == "*" else proxies | {"no_proxy": around}


def proxy_of(url: str) -> str:
    """The host of the proxy on the way to the address, without the password that may stand before it; empty: none."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    return (urlsplit(proxy).hostname or proxy) if proxy else ""
