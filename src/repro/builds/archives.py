"""Unpack zip archives: what zipfile's own checks leave open is the size, links, and the executable bit."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from repro.errors import FetchError

MAX_BYTES = 2 << 30
"""Unpacked; an elastix release is below a tenth of it."""
MAX_ENTRIES = 20_000
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)

_IMPOSSIBLE = {errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
"""An offset before its start; a file that is a folder, too; a name that no disk takes."""


def unpack(archive: Path, into: Path) -> None:
    """Unpack the zip archive below ``into``, which must not exist yet; nothing is left of it where that fails.

    zipfile keeps every path inside, and stops an entry at the size that the table of contents tells. The executable bit
    is kept, and a link to a file beside it. Raises FetchError for a damaged archive and one that is too large.
    """
    into.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ENTRIES or total > MAX_BYTES:
                raise FetchError(
                    f"{archive.name}: has {len(entries):,} entries and unpacks to {total:,} bytes, at most "
                    f"{MAX_ENTRIES:,} and {MAX_BYTES:,} are taken: nothing was unpacked"
                )
            for entry in entries:
                _extract(opened, entry, into)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, _DAMAGE) or (isinstance(error, OSError) and error.errno in _IMPOSSIBLE):
            raise FetchError(
                f"{archive.name}: is a damaged zip archive, or none ({error}): nothing was unpacked; download it again"
            ) from error
        raise


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path) -> None:
    mode = entry.external_attr >> 16
    if not stat.S_ISLNK(mode):
        file = Path(opened.extract(entry, into))
        if file.is_file() and mode & stat.S_IXUSR:
            file.chmod(0o755)
        return
    target = opened.read(entry)[:256].decode(errors="replace")
    if PurePosixPath(target).name != target or "\\" in target or target in ("", ".", ".."):
        raise ValueError(f"{entry.filename!r} is a link to {target!r}, not to a file beside it")
    entry.external_attr = 0
    file = Path(opened.extract(entry, into))  # where zipfile finds it safe; it writes the target as text
    file.unlink()
    file.symlink_to(target)
