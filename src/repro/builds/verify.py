"""Compare everything that ``fetch`` has put on disk with what it should be: pairs, downloads, images."""

from __future__ import annotations

import base64
import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro import layout
from repro import system as platforms
from repro.builds import downloads, installed
from repro.builds.installed import Installed
from repro.errors import ReproError, UnavailableError
from repro.model import Pair
from repro.plan import images

_OURS = ("__pycache__", ".lock")
"""What is made in site-packages when wheels are installed and used: bytecode, and uv's lock."""


def everything(pairs: Sequence[Pair], root: Path = layout.PAIRS, cache: Path = layout.CACHE) -> list[str]:
    """What differs, a line each with file, expected and found; empty: all is as it was fetched.

    A pair that is not fetched is left out, one that is there and cannot be read is not.
    """
    problems = []
    for pair in pairs:
        try:
            problems += pair_files(installed.load(pair, root))
        except UnavailableError as error:
            if (root / pair.name).exists():
                problems.append(f"{pair.name}: {error}")
    return [*problems, *_archives(pairs, cache), *_debs(pairs, root, cache), *_images(cache)]


def pair_files(there: Installed) -> list[str]:
    """Compare every file of the pair with the checksums recorded when it was fetched (seconds).

    Bytecode is left out: it is made here, and no wheel vouches for it. A file that nothing vouches for is told.
    """
    try:
        state = installed.read(there.folder / "installed.json")
        return [*_executable(there, state), *_wheels(there, state)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, csv.Error) as error:
        return [f"{layout.shown(there.folder)}: its list of files is damaged ({error!r}); delete it and fetch again"]


def _executable(there: Installed, state: Mapping[str, Any]) -> Iterator[str]:
    folder = there.folder / "elastix"
    if there.cli_source == "given":
        for expected in state["files"].values():
            yield from _differs(Path(state["command"][0]), expected)
        return
    for name, expected in state["files"].items():
        yield from _differs(folder / name, expected)
    known = {folder / name for name in state["files"]} | {folder / "copyright"}
    yield from _strangers(folder, known)


def _wheels(there: Installed, state: Mapping[str, Any]) -> Iterator[str]:
    known: set[Path] = set()
    whole = True
    for name, expected in state["records"].items():
        record = there.site_packages / name
        if problems := _differs(record, expected):
            whole = False
            yield from problems
        else:
            yield from _record(there.site_packages, record, known)
    if whole:
        yield from _strangers(there.site_packages, known)


def _record(site_packages: Path, record: Path, known: set[Path]) -> Iterator[str]:
    """Check the files that a wheel's RECORD lists with a checksum."""
    with record.open(encoding="utf-8", newline="") as stream:
        for name, checksum, *_ in csv.reader(stream):
            file = Path(os.path.normpath(site_packages / name))
            known.add(file)
            if checksum.startswith("sha256=") and not name.endswith(".pyc"):
                raw = base64.urlsafe_b64decode(checksum.removeprefix("sha256=") + "=")
                yield from _differs(file, raw.hex())


def _strangers(folder: Path, known: set[Path]) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _OURS)
        for name in sorted(names):
            if Path(top, name) not in known and name not in _OURS:
                yield f"{layout.shown(Path(top, name))}: was not there when the pair was fetched; delete it"


def _archives(pairs: Sequence[Pair], cache: Path) -> Iterator[str]:
    """Release archives: as pinned, else as trusted on first use."""
    folder = cache / "releases"
    pinned = {
        archive.name: archive.sha256
        for pair in pairs
        if pair.executable
        for archive in pair.executable.archives.values()
    }
    for file in sorted(folder.glob("*.zip")):
        try:
            expected = pinned.get(file.name) or downloads.trusted(file.name, folder)
        except ReproError as error:
            yield str(error)
            return
        yield from _differs(file, expected or "that nobody knows")


def _debs(pairs: Sequence[Pair], root: Path, cache: Path) -> Iterator[str]:
    """Debian packages in the cache: as apt's signed index said when the pair was put together."""
    known: dict[str, str] = {}
    for pair in pairs:
        try:
            known |= installed.load(pair, root).provenance["parts"]["elastix"].get("debs", {})
        except (ReproError, KeyError, TypeError, AttributeError, ValueError):
            continue
    for file in sorted((cache / "debian").glob("*/packages/*.deb")):
        if file.name in known:
            yield from _differs(file, known[file.name])


def _images(cache: Path) -> Iterator[str]:
    """Images that are here: committed, in the cache, or in the folder that REPRO_IMAGES names."""
    for file, expected in images.here(cache):
        yield from _differs(file, expected)


def _differs(file: Path, expected: str) -> list[str]:
    reached = Path(platforms.long_path(file))  # uv writes deeper than Windows lets others reach
    if not reached.is_file():
        return [f"{layout.shown(file)}: is missing; fetch again"]
    found = downloads.sha256_of(reached)
    return (
        []
        if found == expected
        else [f"{layout.shown(file)}: sha256 expected {expected}, found {found}; delete it and fetch again"]
    )
