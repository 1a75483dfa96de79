"""What the user's variables say about the way to the network: proxies and certificates.

Every tool reads other variables: requests those of both cases, uv ``SSL_CERT_FILE`` alone, apt the proxies in lower
case alone. Here each gets what any of them was told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from repro.errors import FetchError

BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")


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
    """Variables that show uv the certificates; the proxies it finds itself."""
    bundle = ca_bundle(environment)
    return {"SSL_CERT_DIR" if bundle and Path(bundle).is_dir() else "SSL_CERT_FILE": bundle} if bundle else {}


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
