"""Image sets: the project's own (data/images.toml), found, downloaded or drawn, and the user's.

The project's images are looked for in the folder that REPRO_IMAGES names, then in .cache/images, then downloaded; each
is used only if it has its sha256. Where there is no network the set's ``fallback`` is used and said: the digests keep
its measurements apart. A set with a ``seed`` is drawn into .cache/images (synthetic.py) and needs no network.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

from pydantic import Field

from repro import files
from repro.builds import downloads
from repro.errors import ConfigError, FetchError
from repro.model import digest
from repro.paths import CACHE, IMAGES_TOML, called_from, shown

FOLDER_VARIABLE = "REPRO_IMAGES"
CUSTOM = "custom"
"""Name of the set that the user gave."""
_HEADER_BYTES = 1 << 16
_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(.+?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_PATTERN = re.compile(r"([^%]*%0?\d?d[^% ]*) (\d{1,5}) (\d{1,5})(?: ([1-9]\d{0,4}))?(?: \d)?", re.ASCII)
"""A name with a number in it, and the first, the last and the step of the numbers."""
IMAGES_S = 60.0
"""Images are small, and a slow network must not hold up the rest."""
EXTRAS: Mapping[str, str] = {
    "fixed_mask": "-fMask",
    "moving_mask": "-mMask",
    "initial_transform": "-t0",
    "fixed_points": "-fp",
    "moving_points": "-mp",
}
"""What may go with two images -> the executable's option."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A fixed and a moving image, and what goes with them."""

    name: str
    """Name of the set that the files are of: that of the fallback, where it is used; ``custom``: the user's."""
    fixed: Path
    moving: Path
    fixed_sha256: str
    moving_sha256: str
    """Of a two-file image over header and data."""
    extras: Mapping[str, Path] = field(default_factory=dict)
    """Those of EXTRAS that are there, in that order."""
    extra_sha256: str = ""
    """Of the extras; empty: there are none."""
    size_px: tuple[int, ...] = ()
    """Of the fixed image; empty: not known before a build has read it."""


def provide(
    name: str,
    *,
    offline: bool = False,
    say: Callable[[str], None] = lambda _: None,
    file: Path = IMAGES_TOML,
    cache: Path = CACHE,
) -> ImageSet:
    """The set of this name, or its fallback where it cannot be downloaded.

    Raises ConfigError for an unknown set, or an image in REPRO_IMAGES that is not the one; FetchError where what was
    downloaded must not be used, or there is no fallback.
    """
    known = files.read_toml(file, dict[str, _Set])
    if name not in known:
        raise ConfigError(f"unknown image set {name!r}; {shown(file)} has: {', '.join(known)}")
    table, folder = known[name], cache / "images"
    if table.seed is not None:
        _draw(table, folder, say)
    try:
        found = {key: _find(one, file.parent, folder, offline, say) for key, one in table.files().items()}
    except downloads.UnreachableError as error:
        if not table.fallback or table.fallback == name:
            raise
        say(
            f"NOTE: {error}. The images {table.fallback!r} are used instead, with other times. To use {name!r}, put "
            f"{' and '.join(one.name for one in table.files().values())} into {shown(folder)} or a folder that "
            f"{FOLDER_VARIABLE} names"
        )
        return provide(table.fallback, offline=offline, say=say, file=file, cache=cache)
    extras = {key: found[key] for key in EXTRAS if key in found}
    return ImageSet(
        name,
        found["fixed"],
        found["moving"],
        table.fixed.sha256,
        table.moving.sha256,
        extras,
        digest({key: table.files()[key].sha256 for key in extras}) if extras else "",
        table.size_px,
    )


def custom(
    fixed: Path | str, moving: Path | str, extras: Mapping[str, Path | str] | None = None, cwd: Path | None = None
) -> ImageSet:
    """The user's own files, by names as seen from ``cwd`` (default: where the command was typed).

    ``extras`` are masks, initial transform and point sets by their names in EXTRAS. Raises ConfigError where a file is
    missing, and says where it was looked for.
    """
    given = extras or {}
    found = {name: find(given[name], f"--{name.replace('_', '-')}", cwd) for name in EXTRAS if name in given}
    images = find(fixed, "--fixed", cwd), find(moving, "--moving", cwd)
    extra = digest({name: sha256(file) for name, file in found.items()}) if found else ""
    return ImageSet(CUSTOM, *images, sha256(images[0]), sha256(images[1]), found, extra)


def find(name: Path | str, what: str, cwd: Path | None = None) -> Path:
    """The user's file of this name, as an absolute path. Raises ConfigError that says where it is not.

    A link stays a link: in a store (git-annex, DVC) its target has no ending, by which elastix knows the format.
    """
    folder = cwd or called_from()
    file = Path(os.path.abspath(folder / Path(name).expanduser()))  # noqa: PTH100 (resolve() follows links)
    if not file.is_file():
        kind = "is a folder, not a file" if file.is_dir() else "does not exist"
        where = "" if Path(name).is_absolute() else f" in {folder}, where the command was started"
        raise ConfigError(f"{what} {name}: {kind}{where}; check the name")
    return file


def sha256(file: Path) -> str:
    """SHA-256 of an image; of one whose pixels lie in files of their own over all its files. Raises ConfigError."""
    try:
        parts = data_files(file)
        found = [files.sha256(one) for one in (file, *parts)]
    except OSError as error:
        raise ConfigError(
            f"{error.filename or file}: cannot be read: {error.strerror or error}; give another file"
        ) from error
    return digest(found) if parts else found[0]


def data_files(file: Path) -> list[Path]:
    """The files in which the pixels of this image lie, where it is a header alone.

    MetaImage and NRRD name them ("ElementDataFile", "data file": a name, ``LIST`` and names, or a pattern as
    ``slice%03d.raw 1 20 1``); the two files of Analyze and NIfTI pairs have one name. Raises OSError.
    """
    ending = file.suffix.lower()
    if ending in (".hdr", ".img"):
        other = file.with_suffix(".img" if ending == ".hdr" else ".hdr")
        return [other] if other.is_file() else []
    if ending not in (".mhd", ".mha", ".nhdr", ".nrrd"):
        return []
    with file.open("rb") as stream:
        head = stream.read(_HEADER_BYTES).decode("latin-1")
    named = _DATA_FILE.search(head)
    if named is None or named[1].upper() == "LOCAL":
        return []
    names = [named[1]]
    if pattern := _PATTERN.fullmatch(named[1]):
        first, last, step = (int(number or 1) for number in pattern.groups()[1:])
        names = [pattern[1] % number for number in range(first, last + 1, step)]
    elif named[1].upper().startswith("LIST"):
        names = [line.strip() for line in head[named.end() :].splitlines() if line.strip()]
    return [file.parent / name for name in names]


# ---- data/images.toml -----------------------------------------------------------------------------------------------

_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]


@dataclass(frozen=True, kw_only=True)
class _Entry(files.Strict):
    """One file: with a URL, with the path of a committed file, or neither where it is drawn."""

    name: _FileName
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    url: Annotated[str, Field(pattern=r"^https://")] = ""
    path: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$")] = ""


@dataclass(frozen=True, kw_only=True)
class _Set(files.Strict):
    about: str
    source: str
    size_px: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(min_length=2, max_length=3)]
    spacing: Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], Field(min_length=2, max_length=3)] | None = (
        None
    )
    seed: int | None = None
    fallback: str = ""
    fixed: _Entry
    moving: _Entry
    fixed_mask: _Entry | None = None
    moving_mask: _Entry | None = None

    def files(self) -> dict[str, _Entry]:
        """The files by what they are."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: entry for name, entry in named.items() if isinstance(entry, _Entry)}


def _draw(table: _Set, folder: Path, say: Callable[[str], None]) -> None:
    """Draw the images of a set that are not there yet; each file takes its place as a whole."""
    entries = table.files()
    if all((folder / one.name).is_file() for one in entries.values()):
        return
    from repro.plan import synthetic  # numpy only where it is needed

    say(f"drawing {' and '.join(one.name for one in entries.values())} into {shown(folder)}")
    with files.named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=files.TEMPORARY) as work:
            drawn = synthetic.write(Path(work), table.size_px, table.spacing, table.seed, masks="fixed_mask" in entries)
            for key, one in entries.items():
                drawn[key].replace(folder / one.name)


def _find(entry: _Entry, data: Path, folder: Path, offline: bool, say: Callable[[str], None]) -> Path:
    if entry.path:
        return _verified(data / entry.path, entry, "restore it with: git checkout data")
    if not entry.url:
        return _verified(
            folder / entry.name,
            entry,
            "delete it, and it is drawn anew; if that gives the same, numpy draws differently here: say so in an issue",
        )
    if given := os.environ.get(FOLDER_VARIABLE):
        file = Path(given).expanduser() / entry.name
        if file.is_file():
            return _verified(file.absolute(), entry, f"unset {FOLDER_VARIABLE} or put the right file there")
    return downloads.download(
        entry.url, entry.name, sha256=entry.sha256, folder=folder, offline=offline, total_s=IMAGES_S, say=say
    )


def _verified(file: Path, entry: _Entry, cure: str) -> Path:
    try:
        found = files.sha256(file)
    except OSError as error:
        raise FetchError(f"image {shown(file)}: cannot be read: {error.strerror}; {cure}") from error
    if found != entry.sha256:
        raise ConfigError(f"image {shown(file)}: sha256 expected {entry.sha256}, found {found}; {cure}")
    return file
