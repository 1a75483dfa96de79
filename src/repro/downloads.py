"""Download files into the cache, verified, with every wait bounded.

A file that is not what was asked for (another checksum, a web page, nothing, half of it) never
gets its final name. Proxies and CA bundles are taken from the usual variables (``HTTPS_PROXY``,
``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, ``CURL_CA_BUNDLE``).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from repro import layout
from repro.errors import FetchError

CONNECT_S, READ_S, TOTAL_S = 5.0, 20.0, 900.0
ATTEMPTS = 3
MAX_BYTES = 1 << 30
_TRUSTED = "trusted.json"


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


def download(
    url: str,
    name: str,
    *,
    sha256: str = "",
    folder: Path = layout.CACHE,
    offline: bool = False,
    require_pinned: bool = False,
    limits: Limits = Limits(),
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """The file of this URL as ``folder/name``, downloaded unless it is there already.

    Without a sha256 the file is trusted on first use: its digest is announced and kept beside it
    (``trusted.json``), and a file that differs later is refused. Nothing is sent when ``offline``.

    Raises UnreachableError where the server did not deliver it or may not be asked for it, FetchError
    where what it delivered must not be used.
    """
    if not sha256 and require_pinned:
        raise UnreachableError(
            f"{name}: no sha256 is pinned for it and --require-pinned was given; "
            "add its sha256 to params/pairs.toml or leave the option out"
        )
    expected = sha256 or trusted(name, folder)
    file = folder / name
    if file.is_file():
        found = sha256_of(file)
        if found == expected:
            return file
        if expected:
            say(f"{layout.shown(file)} is not the file expected (sha256 {found}): downloading it anew")
    if offline:
        raise UnreachableError(f"{name}: is not in {layout.shown(folder)} and --offline forbids to download it; "
                               "run fetch once with network")  # fmt: skip
    found = _retrieve(url, file, expected, limits, say)
    if not sha256:
        if not expected:
            _trust(name, found, folder)
        say(f"{name}: no sha256 is pinned, trusted on first use and kept: sha256 {found}")
    return file


def trusted(name: str, folder: Path = layout.CACHE) -> str:
    """The sha256 that was trusted when the file was first downloaded; empty if it never was.

    Raises FetchError where the list of them cannot be read: then nothing can be compared.
    """
    return _read_trusted(folder / _TRUSTED).get(name, "")


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def ca_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """The certificates that the user set for any tool, or None for each tool's own."""
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        if environment.get(variable):
            return environment[variable]
    return None


def write_atomically(file: Path, text: str) -> None:
    """Write the text so that a reader finds the old file or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".tmp-{file.name}-{os.getpid()}")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(file)


def _read_trusted(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(known, dict) and all(isinstance(digest, str) for digest in known.values()):
            return known
        problem = "it must map file names to sha256"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        problem = str(error)
    raise FetchError(f"{layout.shown(file)}: cannot be read ({problem}); delete it to trust the next downloads anew")


def _trust(name: str, sha256: str, folder: Path) -> None:
    known = _read_trusted(folder / _TRUSTED) | {name: sha256}
    write_atomically(folder / _TRUSTED, json.dumps(known, indent=1, sort_keys=True) + "\n")


def _retrieve(url: str, file: Path, expected: str, limits: Limits, say: Callable[[str], None]) -> str:
    deadline = time.monotonic() + limits.total_s
    for attempt in range(1, limits.attempts + 1):
        try:
            return _attempt(url, file, expected, limits, deadline)
        except _PassingError as error:
            if attempt == limits.attempts or time.monotonic() + limits.pause_s * attempt > deadline:
                raise UnreachableError(f"{file.name}: {url}: {error} ({attempt} attempts)") from error
            say(f"{file.name}: {error}; trying again ({attempt} of {limits.attempts})")
            time.sleep(limits.pause_s * attempt)
    raise AssertionError("the last attempt returns or raises")


class _PassingError(Exception):
    """A fault that another attempt may not meet."""


def _attempt(url: str, file: Path, expected: str, limits: Limits, deadline: float) -> str:
    """One download under a temporary name; the digest of what then has the final name."""
    import pooch
    import requests

    # pooch tells every file it moves at level INFO; say() is where messages go here.
    pooch.get_logger().setLevel(logging.WARNING)
    watch = _Watch(limits, deadline)
    get = pooch.HTTPDownloader(
        progressbar=watch,
        timeout=(limits.connect_s, limits.read_s),
        verify=ca_bundle() or True,
        hooks={"response": lambda response, **_: _check_headers(response, url, file.name)},
    )
    found = ""

    def verified(address: str, output: str, _: Any) -> None:
        nonlocal found
        get(address, output, _)
        found = _check_content(Path(output), url, file, expected)

    partial = file.parent / f".tmp-download-{os.getpid()}"
    try:
        pooch.retrieve(url, None, fname=file.name, path=partial, downloader=verified)
        (partial / file.name).replace(file)
    except requests.exceptions.TooManyRedirects as error:
        raise UnreachableError(f"{file.name}: {url}: the server redirects in a circle") from error
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if 400 <= status < 500 and status != 429:
            raise UnreachableError(f"{file.name}: {url}: the server answers {status}, there is no such file") from error
        raise _PassingError(f"the server answers {status}") from error
    except requests.exceptions.RequestException as error:
        # No network does not come back within seconds: tell at once.
        if _is_name_failure(error):
            raise UnreachableError(f"{urlsplit(url).hostname} cannot be reached: its name is not resolved") from error
        if isinstance(error, requests.exceptions.ConnectTimeout):
            raise UnreachableError(
                f"{urlsplit(url).hostname} cannot be reached: no connection within {limits.connect_s:g} s"
            ) from error
        raise _PassingError(_short(error)) from error
    except OSError as error:
        raise FetchError(f"{layout.shown(file)}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found


class _Watch:
    """What pooch takes for a progress bar; it stops a download that is too long or too large."""

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.limits, self.deadline, self.total, self.seen = limits, deadline, 0, 0

    def update(self, size: int) -> None:
        self.seen += size
        if self.seen > self.limits.max_bytes + size:
            raise FetchError(f"the download is larger than {self.limits.max_bytes:,} bytes: stopped")
        if time.monotonic() > self.deadline:
            raise UnreachableError(f"the download takes longer than {self.limits.total_s:g} s in all: stopped")

    def reset(self) -> None:
        self.seen = 0

    def close(self) -> None:
        pass


def _check_headers(response: Any, url: str, name: str) -> None:
    target = response.headers.get("location", "")
    if url.startswith("https:") and target.startswith("http:"):
        raise FetchError(f"{name}: {url} redirects to the unprotected {target}: refused")
    if response.ok and not response.is_redirect and response.headers.get("content-type", "").startswith("text/html"):
        raise UnreachableError(
            f"{name}: {url}: expected a file, found a web page (a login page of the network, or a moved file?); "
            "open the address in a browser to see it"
        )


def _check_content(part: Path, url: str, file: Path, expected: str) -> str:
    with part.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise _PassingError("the server sent an empty file")
    if start.startswith((b"<!doctype html", b"<html")):
        raise UnreachableError(f"{file.name}: {url}: expected a file, found a web page; open the address in a browser")
    found = sha256_of(part)
    if expected and found != expected:
        raise FetchError(
            f"{file.name}: the file at {url} is not the expected one: sha256 expected {expected}, found {found}. "
            "Not used. Try again later; if the release was replaced on purpose, change its sha256 in params or "
            f"delete its line in {layout.shown(file.with_name(_TRUSTED))}"
        )
    return found


def _is_name_failure(error: BaseException) -> bool:
    """Whether the server's name was not resolved, which no other attempt will change."""
    from urllib3.exceptions import NameResolutionError

    seen: list[BaseException] = [error]
    for one in seen:
        if isinstance(one, NameResolutionError):
            return True
        inner = [*one.args, getattr(one, "reason", None)]
        seen += [other for other in inner if isinstance(other, BaseException) and other not in seen]
    return False


def _short(error: Exception) -> str:
    """The last, concrete part of a nested network error."""
    text = str(error)
    return (text.rsplit("Caused by ", 1)[-1] or type(error).__name__)[:200]
