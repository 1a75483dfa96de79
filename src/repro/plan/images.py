"""The image sets of ``data/images.toml``: found, downloaded or replaced by the committed pair.

Images are looked for in the folder that ``REPRO_IMAGES`` names, then in ``.cache/images``, then
downloaded; each is used only if it has its sha256. Where the network is not there the set's
``fallback`` is used instead and says so: digests keep its measurements apart from the others. A set
with a ``seed`` is drawn by ``repro.plan.synthetic`` into ``.cache/images`` instead: it needs no network.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro import layout
from repro.builds import downloads
from repro.builds.config import Table, read_toml
from repro.errors import ConfigError, FetchError

FOLDER_VARIABLE = "REPRO_IMAGES"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", re.ASCII)
LIMITS = downloads.Limits(total_s=60, max_bytes=1 << 28)
"""Images are small, and a slow network must not hold up the rest."""


@dataclass(frozen=True)
class ImageSet:
    """A fixed and a moving image, verified."""

    name: str
    """Name of the set that the files are of: that of the fallback, where it is used."""
    fixed: Path
    moving: Path
    fixed_sha256: str
    moving_sha256: str
    note: str = ""
    """Why these are not the images that were asked for; empty: they are."""


def image_set(
    name: str,
    *,
    offline: bool = False,
    file: Path = layout.IMAGES_TOML,
    cache: Path = layout.CACHE,
    say: Callable[[str], None] = lambda _: None,
) -> ImageSet:
    """The set of this name, or its fallback where it cannot be downloaded.

    Raises ConfigError for an unknown set, or an image in REPRO_IMAGES that is not the one;
    FetchError where what was downloaded must not be used, or there is no fallback.
    """
    root = read_toml(file)
    if name not in root.values:
        raise ConfigError(f"unknown image set {name!r}; {layout.shown(file)} has: {', '.join(root.values)}")
    table = root.table(name)
    table.only("about", "source", "fallback", "size_px", "seed", "fixed", "moving")
    fallback = table.get("fallback", str, "")
    entries = [_entry(table.table(which), drawn="seed" in table.values) for which in ("fixed", "moving")]
    if "seed" in table.values:
        _draw(entries, size_px(table), table.get("seed", int), cache / "images", say)
    try:
        fixed, moving = (_find(one, file.parent, cache / "images", offline, say) for one in entries)
    except downloads.UnreachableError as error:
        if not fallback or fallback == name:
            raise
        note = f"images {fallback!r} in place of {name!r}: {error}"
        say(
            f"NOTE: {note}. Times will not be those of {name!r}. To use {name!r} without network, put "
            f"{' and '.join(one.name for one in entries)} into {layout.shown(cache / 'images')} or into a folder "
            f"that {FOLDER_VARIABLE} names"
        )
        used = image_set(fallback, offline=offline, file=file, cache=cache, say=say)
        return ImageSet(fallback, used.fixed, used.moving, used.fixed_sha256, used.moving_sha256, note)
    return ImageSet(name, fixed, moving, entries[0].sha256, entries[1].sha256)


def size_px(table: Table) -> tuple[int, ...]:
    """Width and height (and depth) of a set's images. Raises ConfigError."""
    size = table.get("size_px", list)
    if len(size) not in (2, 3) or not all(type(one) is int and one > 0 for one in size):
        raise table.fail("size_px", f"{size} must be [width, height] or [width, height, depth]")
    return tuple(size)


def here(cache: Path = layout.CACHE, file: Path = layout.IMAGES_TOML) -> list[tuple[Path, str]]:
    """The images that are on this machine, whether or not they are the right ones, each with its sha256 as it must be.

    Raises ConfigError.
    """
    root = read_toml(file)
    found = []
    for name in root.values:
        for which in ("fixed", "moving"):
            entry = _entry(root.table(name).table(which), drawn="seed" in root.table(name).values)
            folders = (cache / "images", Path(os.environ.get(FOLDER_VARIABLE) or cache / "images").expanduser())
            places = {file.parent / entry.path} if entry.path else {folder / entry.name for folder in folders}
            found += [(place, entry.sha256) for place in sorted(places) if entry.path or place.is_file()]
    return found


@dataclass(frozen=True)
class _Entry:
    """One image as data/images.toml has it: a URL, the path of a committed file, or neither where it is drawn."""

    name: str
    sha256: str
    url: str
    path: str


def _entry(table: Table, *, drawn: bool) -> _Entry:
    table.only("name", "url", "path", "sha256")
    sha256, name = table.get("sha256", str), table.get("name", str)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise table.fail("sha256", "must be 64 lowercase hexadecimal digits")
    if not _NAME.fullmatch(name):
        raise table.fail("name", f"{name!r} must be a file name without folders")
    url, path = table.get("url", str, ""), table.get("path", str, "")
    if drawn and (url or path):
        raise table.fail(None, "a set with a seed is drawn: 'url' and 'path' do not belong here")
    if not drawn and bool(url) == bool(path):
        raise table.fail(None, "one of 'url' and 'path' must say where the image is")
    if path and not all(_NAME.fullmatch(part) for part in path.split("/")):
        raise table.fail("path", f"{path!r} must be the path of a file beside this one")
    if url and not url.startswith("https://"):
        raise table.fail("url", f"{url!r} must start with https://")
    return _Entry(name, sha256, url, path)


def _draw(entries: Sequence[_Entry], size: Sequence[int], seed: int, cache: Path, say: Callable[[str], None]) -> None:
    """Draw the images of a set that are not there yet; each file takes its place as a whole."""
    if all((cache / entry.name).is_file() for entry in entries):
        return
    from repro.plan import synthetic  # numpy only where it is needed

    say(f"drawing {' and '.join(entry.name for entry in entries)} into {layout.shown(cache)}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        for file, entry in zip(synthetic.write_pair(Path(folder), size, seed), entries, strict=True):
            file.replace(cache / entry.name)


def _find(entry: _Entry, data: Path, cache: Path, offline: bool, say: Callable[[str], None]) -> Path:
    if not entry.path and not entry.url:
        return _verified(
            cache / entry.name,
            entry,
            "delete it, so that it is drawn anew; if that gives the same, "
            "numpy draws differently here: say so in an issue",
        )
    if entry.path:
        return _verified(data / entry.path, entry, "restore it with: git checkout data")
    if folder := os.environ.get(FOLDER_VARIABLE):
        given = Path(folder).expanduser() / entry.name
        if given.is_file():
            return _verified(given.resolve(), entry, f"unset {FOLDER_VARIABLE} or put the right file there")
    return downloads.download(
        entry.url, entry.name, sha256=entry.sha256, folder=cache, offline=offline, limits=LIMITS, say=say
    )


def _verified(file: Path, entry: _Entry, cure: str) -> Path:
    try:
        found = downloads.sha256_of(file)
    except OSError as error:
        raise FetchError(f"image {layout.shown(file)}: cannot be read: {error.strerror}; {cure}") from error
    if found != entry.sha256:
        raise ConfigError(f"image {layout.shown(file)}: sha256 expected {entry.sha256}, found {found}; {cure}")
    return file
