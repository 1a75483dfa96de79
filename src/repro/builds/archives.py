"""Unpack release archives, trusting nothing in them.

Everything is checked on the archive's table of contents before the first byte is written, and
sizes once more while writing: a table may lie.
"""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro import layout
from repro.errors import FetchError

_FETCH_AGAIN = "Delete {archive} and fetch again, or give the path of an elastix of your own with --source"
_END, _ZIP64_END = b"PK\5\6", b"PK\6\7"
_END_BYTES, _LONGEST_COMMENT = 22, 1 << 16
_NAME_CHARACTERS, _PART_BYTES = 500, 255
_LINKS_IN_A_ROW = 8
_WINDOWS_NAMES = {"con", "prn", "aux", "nul"} | {f"{name}{n}" for name in ("com", "lpt") for n in range(10)}


@dataclass(frozen=True)
class Bounds:
    """What an archive may hold at most; an elastix release is far below all of them."""

    entries: int = 2_000
    entry_bytes: int = 1 << 29
    total_bytes: int = 1 << 30


_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


class _UnsafeError(Exception):
    """What is wrong with the archive."""


def unpack(archive: Path, into: Path, bounds: Bounds = Bounds(), advice: str = "") -> list[Path]:
    """Unpack the zip archive below ``into``, which must not exist yet; return the files written.

    ``advice`` is what to do about an archive that is refused. The executable bit is kept. Raises FetchError,
    leaving nothing behind, for anything that is not a plain zip archive of files, folders and links to a
    neighbour, or that exceeds the bounds.
    """
    into.mkdir(parents=True)
    try:
        return _unpack(archive, into, bounds)
    except _UnsafeError as error:
        shutil.rmtree(into)
        raise FetchError(
            f"{archive.name}: {error}: refused, nothing was unpacked. "
            + (advice or _FETCH_AGAIN.format(archive=layout.shown(archive)))
        ) from error
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _unpack(archive: Path, into: Path, bounds: Bounds) -> list[Path]:
    try:
        _check_directory_size(archive, bounds)
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(opened, entries, bounds)
            return [_write(opened, entry, into) for entry in entries if _kind(entry) != stat.S_IFDIR]
    except _DAMAGE as error:
        raise _UnsafeError(f"it is damaged ({error})") from error
    except OSError as error:
        # What zipfile gets from an offset before the file's start; a full disk is no damage.
        if error.errno != errno.EINVAL:
            raise
        raise _UnsafeError("it is damaged (an offset lies outside)") from error


def _check_directory_size(archive: Path, bounds: Bounds) -> None:
    """Refuse a table of contents that would take minutes and gigabytes only to read."""
    size = archive.stat().st_size
    with archive.open("rb") as stream:
        stream.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES))
        tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise _UnsafeError(f"expected a zip archive, found {size:,} bytes that are none, or a truncated one")
    if tail[max(0, at - 20) : at].startswith(_ZIP64_END):
        raise _UnsafeError("it is in zip64 format, for more than 4 GB or 65,535 entries")
    (directory_bytes,) = struct.unpack_from("<L", tail, at + 12)
    if directory_bytes > bounds.entries * (46 + _NAME_CHARACTERS):
        raise _UnsafeError(f"its table of contents is too large for {bounds.entries:,} entries")


def _check(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], bounds: Bounds) -> None:
    if len(entries) > bounds.entries:
        raise _UnsafeError(f"it has {len(entries):,} entries, at most {bounds.entries:,} are expected")
    total = sum(entry.file_size for entry in entries)
    if total > bounds.total_bytes or any(entry.file_size > bounds.entry_bytes for entry in entries):
        raise _UnsafeError(f"it unpacks to {total:,} bytes, at most {bounds.total_bytes:,} are expected")
    for entry in entries:
        _check_entry(opened, entry)
    _check_collisions(entries)
    _check_links(opened, entries)


def _check_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if len(name) > _NAME_CHARACTERS:
        raise _UnsafeError(f"a name has {len(name):,} characters")
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise _UnsafeError(f"the path {name!r} leads out of it")
    for part in parts:
        if (
            any(character in '\\:*?"<>|' or ord(character) < 32 for character in part)
            or part.endswith((".", " "))
            or part.split(".")[0].lower() in _WINDOWS_NAMES
            or len(part.encode()) > _PART_BYTES
        ):
            raise _UnsafeError(f"the path {name!r} is not possible on every system")
    if entry.flag_bits & 1:
        raise _UnsafeError(f"{name!r} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _UnsafeError(f"{name!r} is compressed in an unusual way (method {entry.compress_type})")
    if _kind(entry) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise _UnsafeError(f"{name!r} is neither file nor folder nor link but a device or the like")
    if _kind(entry) == stat.S_IFLNK:
        target = _target(opened, entry)
        if "/" in target or "\\" in target or target in ("", ".", ".."):
            raise _UnsafeError(f"{name!r} is a link to {target!r}, not to a file beside it")


def _check_collisions(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what would be one file on a system that ignores case, and files used as folders."""
    spelling: dict[str, str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        for one in (path, *path.parents):
            if spelling.setdefault(_folded(one), str(one)) != str(one):
                raise _UnsafeError(f"{spelling[_folded(one)]!r} and {str(one)!r} are one name on some systems")
        folders.update(_folded(parent) for parent in path.parents)
        if _kind(entry) == stat.S_IFDIR:
            folders.add(_folded(path))
        elif _folded(path) in files:
            raise _UnsafeError(f"{entry.filename!r} is in it twice")
        else:
            files.add(_folded(path))
    if both := files & folders:
        raise _UnsafeError(f"{min(both)!r} is a file and a folder at once")


def _check_links(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse links that end nowhere, or in a circle."""
    links = {
        entry.filename: str(PurePosixPath(entry.filename).with_name(_target(opened, entry)))
        for entry in entries
        if _kind(entry) == stat.S_IFLNK
    }
    files = {entry.filename for entry in entries if _kind(entry) == stat.S_IFREG}
    for name in links:
        end = name
        for _ in range(_LINKS_IN_A_ROW):
            end = links.get(end, end)
        if end not in files:
            raise _UnsafeError(f"{name!r} is a link that leads to no file in it")


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _kind(entry: zipfile.ZipInfo) -> int:
    """The file type, as in stat; archives made on Windows only tell files from folders."""
    if entry.is_dir():
        return stat.S_IFDIR
    return stat.S_IFMT(entry.external_attr >> 16) or stat.S_IFREG


def _target(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > _NAME_CHARACTERS:
        raise _UnsafeError(f"{entry.filename!r} is a link with a target of {entry.file_size:,} bytes")
    return opened.read(entry).decode("utf-8", "strict")


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path) -> Path:
    file = into / entry.filename
    file.parent.mkdir(parents=True, exist_ok=True)
    if _kind(entry) == stat.S_IFLNK:
        file.symlink_to(_target(opened, entry))
        return file
    # zipfile stops at the size that the table told and compares the checksum there.
    with opened.open(entry) as source, file.open("xb") as sink:
        shutil.copyfileobj(source, sink)
    if (entry.external_attr >> 16) & stat.S_IXUSR:
        file.chmod(0o755)
    return file
