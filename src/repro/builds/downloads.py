"""Download files into the cache: pooch gets and verifies them, here every wait is bounded and every refusal worded.

A file that is not what was asked for never gets its final name. Proxies and certificates are taken from the usual
variables (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, ``CURL_CA_BUNDLE``).
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro.builds import network
from repro.builds.network import CONNECT_S, LOOK_AT_NETWORK, READ_S
from repro.builds.staging import disk_errors
from repro.errors import FetchError
from repro.files import TEMPORARY, read_json, sha256, write_json
from repro.paths import CACHE, shown

RETRIES = 2
"""Of what may pass: a stall, a busy server, half a file."""
TOTAL_S = 900.0
MAX_BYTES = 1 << 30
TRUSTED = "trusted.json"
"""File name -> sha256 of what was trusted on first use, beside the files."""
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
        found = _sha256(file)
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


_sha256 = sha256  # the argument of `download` has this name too


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
        verify=network.ca_bundle() or True,
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
        found = _sha256(done)
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
    way = f" through the proxy {proxy}" if (proxy := network.proxy_of(url)) else ""
    host = f"{urlsplit(url).hostname} cannot be reached{way}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{host}: {_short(error)}; where a proxy has certificates of its own, let SSL_CERT_FILE name them"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{host}: no connection within {CONNECT_S:g} s; {LOOK_AT_NETWORK}"
    if "NameResolutionError" in str(error):
        return f"{host}: its name is not resolved; {LOOK_AT_NETWORK}"
    return ""


def _short(error: Exception) -> str:
    """The last, concrete part of a nested network error."""
    return (str(error).rsplit("Caused by ", 1)[-1] or type(error).__name__)[:200]
