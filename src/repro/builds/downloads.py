"""Download files into the cache, verified, with every wait bounded.

A file that is not what was asked for (another checksum, a web page, nothing, half of it) never
gets its final name. Proxies and CA bundles are taken from the usual variables (``HTTPS_PROXY``,
``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``, ``CURL_CA_BUNDLE``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from repro import layout
from repro.builds import transfer
from repro.builds.transfer import TRUSTED
from repro.builds.transfer import Limits as Limits
from repro.builds.transfer import UnreachableError as UnreachableError
from repro.builds.transfer import sha256_of as sha256_of
from repro.errors import FetchError


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
    problem = f"is not in {layout.shown(folder)}"
    if file.is_file():
        found = sha256_of(file)
        if found == expected:
            return file
        problem = f"sha256 expected {expected or 'one that was trusted'}, found {found} in {layout.shown(folder)}"
        if expected:
            say(f"{layout.shown(file)} is not the file expected (sha256 {found}): downloading it anew")
    if offline:
        raise UnreachableError(f"{name}: {problem}, and --offline forbids to download it; run fetch once with network")
    found = transfer.retrieve(url, file, expected, limits, say)
    if not sha256:
        if not expected:
            _trust(name, found, folder)
        say(f"{name}: no sha256 is pinned, trusted on first use and kept: sha256 {found}")
    return file


def trusted(name: str, folder: Path = layout.CACHE) -> str:
    """The sha256 that was trusted when the file was first downloaded; empty if it never was.

    Raises FetchError where the list of them cannot be read: then nothing can be compared.
    """
    return _read_trusted(folder / TRUSTED).get(name, "")


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
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise FetchError(f"{layout.shown(file)}: cannot be read ({problem}); delete it to trust the next downloads anew")


def _trust(name: str, sha256: str, folder: Path) -> None:
    known = _read_trusted(folder / TRUSTED) | {name: sha256}
    write_atomically(folder / TRUSTED, json.dumps(known, indent=1, sort_keys=True) + "\n")
