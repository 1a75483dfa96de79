"""One file over HTTP: every wait bounded, every fault tried again or told, no part of a file ever kept."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import ssl
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro import layout
from repro.builds import network
from repro.errors import FetchError

CONNECT_S, READ_S, TOTAL_S = 5.0, 20.0, 900.0
ATTEMPTS = 3
MAX_BYTES = 1 << 30
TRUSTED = "trusted.json"
"""Name of the list of files that were trusted on first use, beside them."""
_LOOK = "open the address in a browser to see what is there"
_LATER = f"try again later, or {_LOOK}"
_NETWORK = "look at the network and at HTTPS_PROXY and NO_PROXY"
_TOO_LONG = f"the download takes longer than {{:g}} s in all: stopped, nothing of it is used; {_LATER}"


class UnreachableError(FetchError):
    """The server did not deliver the file; another source may."""


@dataclass(frozen=True)
class Limits:
    """Seconds to connect, between two reads and in all; attempts; the largest file in bytes."""

    connect_s: float = CONNECT_S
    read_s: float = READ_S
    total_s: float = TOTAL_S
    attempts: int = ATTEMPTS
    pause_s: float = 1.0
    max_bytes: int = MAX_BYTES


def retrieve(url: str, file: Path, expected: str, limits: Limits, say: Callable[[str], None]) -> str:
    """Download the address to the file, under another name until it is verified; its sha256.

    Without an ``expected`` sha256 a file that ends in .zip must be a whole zip archive. Raises UnreachableError where
    the server did not deliver it, FetchError where what it delivered must not be used.
    """
    deadline = time.monotonic() + limits.total_s
    for attempt in range(1, limits.attempts + 1):
        partial = file.parent / f".tmp-download-{attempt}-{os.getpid()}"
        try:
            work = functools.partial(_attempt, url, partial / file.name, expected, limits, deadline)
            found = _within(deadline, work, f"{file.name}: {url}: {_TOO_LONG.format(limits.total_s)}")
            (partial / file.name).replace(file)
            return found
        except _PassingError as error:
            if attempt == limits.attempts or time.monotonic() + limits.pause_s * attempt > deadline:
                raise UnreachableError(f"{file.name}: {url}: {error} ({attempt} attempts); {_LATER}") from error
            say(f"{file.name}: {error}; trying again ({attempt} of {limits.attempts})")
            time.sleep(limits.pause_s * attempt)
        except _NotTheFileError as error:
            raise FetchError(
                f"{error} Not used. Try again later; if it was replaced on purpose, change its sha256 in params or "
                f"delete its line in {layout.shown(file.with_name(TRUSTED))}"
            ) from error
        except OSError as error:
            raise FetchError(
                f"{layout.shown(file)}: cannot be written: {error.strerror or error}; make room or make it writable"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    raise AssertionError("the last attempt returns or raises")


def _within(deadline: float, work: Callable[[], str], late: str) -> str:
    """What the work gives until then. A name that is looked up, or a header that trickles, cannot be stopped: it is
    left behind in a thread that ends with the process, and what it writes is never used."""
    done: Future[str] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        if done.done():
            raise
        raise UnreachableError(late) from None


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _PassingError(Exception):
    """A fault that another attempt may not meet."""


class _NotTheFileError(Exception):
    """The server sent another file."""


def _attempt(url: str, part: Path, expected: str, limits: Limits, deadline: float) -> str:
    """One download into the file ``part``; its digest."""
    import pooch
    import requests

    # pooch tells every file it moves at level INFO; say() is where messages go here.
    pooch.get_logger().setLevel(logging.WARNING)
    get = pooch.HTTPDownloader(
        progressbar=_Watch(f"{part.name}: {url}", limits, deadline),
        timeout=(limits.connect_s, limits.read_s),
        verify=network.ca_bundle() or True,
        hooks={"response": lambda response, **_: _check_headers(response, url, part.name)},
    )
    found = ""

    def verified(address: str, output: str, _: Any) -> None:
        nonlocal found
        get(address, output, _)
        found = _check_content(Path(output), url, part.name, expected)

    try:
        pooch.retrieve(url, None, fname=part.name, path=part.parent, downloader=verified)
    except requests.exceptions.TooManyRedirects as error:
        raise UnreachableError(f"{part.name}: {url}: expected a file, found redirects in a circle; {_LATER}") from error
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if 400 <= status < 500 and status != 429:
            raise UnreachableError(
                f"{part.name}: {url}: expected a file, found none: the server answers {status}; {_LOOK}"
            ) from error
        raise _PassingError(f"expected a file, the server answers {status}") from error
    except requests.exceptions.RequestException as error:
        # No network, no proxy and no trust do not come back within seconds: tell at once.
        if reason := _lasting(error, limits):
            way = f" through the proxy {proxy}" if (proxy := network.proxy_of(url)) else ""
            raise UnreachableError(f"{part.name}: {urlsplit(url).hostname} cannot be reached{way}: {reason}") from error
        raise _PassingError(f"expected a file, found {_short(error)}") from error
    except ValueError as error:
        raise _PassingError(f"expected a file, found an answer that is no HTTP: {_short(error)}") from error
    return found


class _Watch:
    """What pooch takes for a progress bar; it stops a download that is too long or too large."""

    def __init__(self, what: str, limits: Limits, deadline: float) -> None:
        self.what, self.limits, self.deadline, self.total, self.seen = what, limits, deadline, 0, 0

    def update(self, size: int) -> None:
        self.seen += size
        if self.seen > self.limits.max_bytes + size:
            raise FetchError(f"{self.what}: expected a file, found one larger than {self.limits.max_bytes:,} bytes: "
                             f"stopped, not used; {_LOOK}")  # fmt: skip
        if time.monotonic() > self.deadline:
            raise UnreachableError(f"{self.what}: {_TOO_LONG.format(self.limits.total_s)}")

    def reset(self) -> None:
        self.seen = 0

    def close(self) -> None:
        pass


def _check_headers(response: Any, url: str, name: str) -> None:
    target = response.headers.get("location", "")
    if url.startswith("https:") and target.startswith("http:"):
        raise FetchError(f"{name}: {url} redirects to the unprotected {target}: refused; {_LATER}")
    if response.ok and not response.is_redirect and response.headers.get("content-type", "").startswith("text/html"):
        raise UnreachableError(
            f"{name}: {url}: expected a file, found a web page (a login page of the network, or a moved file?); {_LOOK}"
        )


def _check_content(part: Path, url: str, name: str, expected: str) -> str:
    with part.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise _PassingError("expected a file, the server sent an empty file")
    if start.startswith((b"<!doctype html", b"<html")):
        raise UnreachableError(f"{name}: {url}: expected a file, found a web page; {_LOOK}")
    found = sha256_of(part)
    if expected and found != expected:
        raise _NotTheFileError(
            f"{name}: the file at {url} is not the expected one: sha256 expected {expected}, found {found}."
        )
    # Without a checksum a half is not to be trusted for ever.
    if not expected and name.endswith(".zip") and not zipfile.is_zipfile(part):
        raise _PassingError(
            f"expected a zip archive, found {part.stat().st_size:,} bytes that are none, or a part of one"
        )
    return found


def _lasting(error: BaseException, limits: Limits) -> str:
    """Why no other attempt will reach the server, and what to do; empty: one may."""
    import requests
    from urllib3.exceptions import NameResolutionError

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {limits.connect_s:g} s; {_NETWORK}"
    seen: list[BaseException] = [error]
    for one in seen:
        if isinstance(one, NameResolutionError):
            return f"its name is not resolved; {_NETWORK}"
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"{_short(error)}; where a proxy has certificates of its own, let SSL_CERT_FILE name them"
        inner = [*one.args, getattr(one, "reason", None)]
        seen += [other for other in inner if isinstance(other, BaseException) and other not in seen]
    return ""


def _short(error: BaseException) -> str:
    """The last, concrete part of a nested network error."""
    text = str(error)
    return (text.rsplit("Caused by ", 1)[-1] or type(error).__name__)[:200]
