"""Download files into the cache: pooch gets and verifies them, here every wait is bounded and every refusal worded.

A file that is not what was asked for never gets its final name. Proxies and certificates are taken from the usual
variables (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, ``CURL_CA_BUNDLE``).
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro import files
from repro.builds.staging import disk_errors
from repro.errors import FetchError
from repro.files import TEMPORARY, read_json, write_json
from repro.paths import CACHE, shown

RETRIES = 2
"""Of what may pass: a stall, a busy server, half a file."""
CONNECT_S, READ_S = 5.0, 20.0
TOTAL_S = 900.0
MAX_BYTES = 1 << 30
TRUSTED = "trusted.json"
"""File name -> sha256 of what was trusted on first use, beside the files."""
BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_LOOK_AT_NETWORK = "look at the network and at HTTPS_PROXY and NO_PROXY"
_LOOK = "open the address in a browser to see what is there"
_PAGE = f"{{}}: expected a file, found a web page (a login page of the network, or a moved file?); {_LOOK}"
_LATER = f"try again later, or {_LOOK}"


class UnreachableError(FetchError):
    """The server did not deliver the file; another source may."""


def download(
    url: str,
    name: str,
    *,
    sha256: str = "",
    folder: Path = CACHE,
    offline: bool = False,
    require_pinned: bool = False,
    total_s: float = TOTAL_S,
    max_bytes: int = MAX_BYTES,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """The file of this URL as ``folder/name``, downloaded unless it is there already.

    Without a sha256 the file is trusted on first use: its digest is announced and kept beside it, and a file that
    differs later is refused. Nothing is sent when ``offline``. Raises UnreachableError where the server did not deliver
    it or may not be asked for it, FetchError where what it delivered must not be used.
    """
    if not sha256 and require_pinned:
        raise UnreachableError(
            f"{name}: no sha256 is pinned for it and --require-pinned was given; add its sha256 to params/builds.toml "
            "or leave the option out"
        )
    expected, file = sha256 or _trusted(folder).get(name, ""), folder / name
    problem = f"is not in {shown(folder)}"
    if file.is_file():
        found = files.sha256(file)
        if found == expected:
            return file
        problem = f"sha256 expected {expected or 'one that was trusted'}, found {found} in {shown(folder)}"
        if expected:
            say(f"{shown(file)} is not the file expected (sha256 {found}): downloading it anew")
    if offline:
        raise UnreachableError(f"{name}: {problem}, and --offline forbids to download it; run fetch once with network")
    found = _retrieve(url, file, expected, total_s, max_bytes)
    if not sha256:
        if not expected:
            write_json(folder / TRUSTED, _trusted(folder) | {name: found})
        say(f"{name}: no sha256 is pinned, trusted on first use and kept: sha256 {found}")
    return file


def _trusted(folder: Path) -> dict[str, str]:
    try:
        return read_json(folder / TRUSTED, dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FetchError(
            f"{shown(folder / TRUSTED)}: cannot be read; delete it to trust the next downloads anew"
        ) from error


def _retrieve(url: str, file: Path, expected: str, total_s: float, max_bytes: int) -> str:
    """Let pooch download the file beside its place, and move it there once it is verified; its sha256."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)  # it tells every file that it moves
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    watch = _Watch(f"{file.name}: {url}", total_s, max_bytes)
    get = pooch.HTTPDownloader(
        progressbar=watch,
        timeout=(CONNECT_S, READ_S),
        verify=ca_bundle() or True,
        hooks={"response": lambda response, **_: _check_headers(response, url, file.name)},
    )

    def downloader(address: str, output: str, asking: Any) -> None:
        try:
            get(address, output, asking)
        except requests.exceptions.RequestException as error:
            if reason := _lasting(error, url):
                raise UnreachableError(f"{file.name}: {reason}") from error
            raise  # pooch tries again
        with Path(output).open("rb") as stream:
            if stream.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html")):
                raise UnreachableError(_PAGE.format(f"{file.name}: {url}"))
        if not expected and file.suffix == ".zip" and not zipfile.is_zipfile(output):
            raise ValueError("expected a zip archive, found none, or a part of one")

    with (
        disk_errors(file.parent),
        tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=file.parent, ignore_cleanup_errors=True) as folder,
    ):
        asked = pooch.create(
            folder,
            "",
            registry={file.name: f"sha256:{expected}" if expected else None},
            urls={file.name: url},
            retry_if_failed=RETRIES,
        )
        try:
            done = Path(asked.fetch(file.name, downloader=downloader))
        except ValueError as error:  # pooch's, with both digests; ours above; and what is no HTTP
            digests = re.findall(r"\b[0-9a-f]{64}\b", str(error))
            if len(digests) != 2:
                raise UnreachableError(f"{file.name}: {url}: {error}; {_LATER}") from error
            raise FetchError(
                f"{file.name}: the file at {url} is not the expected one: sha256 expected {digests[0]}, "
                f"found {digests[1]}. Not used. Try again later; if it was replaced on purpose, change its sha256 in "
                f"params or delete its line in {shown(file.with_name(TRUSTED))}"
            ) from error
        except requests.exceptions.RequestException as error:
            raise UnreachableError(f"{file.name}: {url}: {_short(error)} ({RETRIES + 1} attempts); {_LATER}") from error
        found = files.sha256(done)
        done.replace(file)
    return found


class _Watch:
    """What pooch takes for a progress bar; it stops a download that is too long or too large."""

    def __init__(self, what: str, total_s: float, max_bytes: int) -> None:
        self.what, self.total_s, self.max_bytes = what, total_s, max_bytes
        self.end, self.total, self.seen = time.monotonic() + total_s, 0, 0

    def update(self, size: int) -> None:
        self.seen += size
        if self.seen > self.max_bytes + size:
            raise FetchError(f"{self.what}: expected a file, found one larger than {self.max_bytes:,} bytes: stopped, "
                             f"not used; {_LOOK}")  # fmt: skip
        if time.monotonic() > self.end:
            raise UnreachableError(
                f"{self.what}: the download takes longer than {self.total_s:g} s: stopped, not used; {_LATER}"
            )

    def reset(self) -> None:
        self.seen = 0

    def close(self) -> None:
        pass


def _check_headers(response: Any, url: str, name: str) -> None:
    target = response.headers.get("location", "")
    if url.startswith("https:") and target.startswith("http:"):
        raise FetchError(f"{name}: {url} redirects to the unprotected {target}: refused; {_LATER}")
    if response.ok and not response.is_redirect and response.headers.get("content-type", "").startswith("text/html"):
        raise UnreachableError(_PAGE.format(f"{name}: {url}"))


def _lasting(error: Exception, url: str) -> str:
    """Why no other attempt will get the file, and what to do; empty: one may."""
    import requests

    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        status = error.response.status_code
        return f"{url}: the server answers {status}; {_LOOK}" if 400 <= status < 500 and status != 429 else ""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return f"{url}: redirects in a circle; {_LATER}"
    if not isinstance(error, requests.exceptions.ConnectionError):
        return ""
    way = f" through the proxy {proxy}" if (proxy := _proxy_of(url)) else ""
    host = f"{urlsplit(url).hostname} cannot be reached{way}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{host}: {_short(error)}; where a proxy has certificates of its own, let SSL_CERT_FILE name them"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{host}: no connection within {CONNECT_S:g} s; {_LOOK_AT_NETWORK}"
    if "NameResolutionError" in str(error):
        return f"{host}: its name is not resolved; {_LOOK_AT_NETWORK}"
    return ""


def _short(error: Exception) -> str:
    """The last, concrete part of a nested network error."""
    return (str(error).rsplit("Caused by ", 1)[-1] or type(error).__name__)[:200]


# ---- proxies and certificates: uv, apt and requests each read other variables; here each gets what any was told


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


def _proxy_of(url: str) -> str:
    """The host of the proxy on the way to the address, without the password that may stand before it; empty: none."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    return (urlsplit(proxy).hostname or proxy) if proxy else ""
