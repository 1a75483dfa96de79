"""Folders that appear whole or not at all, one writer at a time."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.errors import FetchError, StoreError
from repro.files import TEMPORARY
from repro.paths import shown
from repro.system.platforms import long_path

LONGEST_WAIT_S = 3600


@contextmanager
def alone(*folders: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock in the first folder. What stopped writers left in any of them is deleted: no other can be at work.

    The lock is the system's and ends with its process. Raises FetchError where the folder cannot be written, or
    another fetch takes too long; and for what the disk refuses inside.
    """
    from filelock import FileLock, Timeout

    with disk_errors(folders[0]):
        folders[0].mkdir(parents=True, exist_ok=True)
        if not os.access(folders[0], os.W_OK):
            raise FetchError(f"{shown(folders[0])}: no write permission; fetch as the user who owns the checkout")
        lock = FileLock(folders[0] / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another fetch is under way ({shown(folders[0] / '.lock')}): waiting for it")
            try:
                lock.acquire(timeout=LONGEST_WAIT_S)
            except Timeout:
                raise FetchError(
                    f"another fetch has been under way for {LONGEST_WAIT_S} s; end it and try again"
                ) from None
        try:
            for leftover in (one for folder in folders for one in folder.glob(f"{TEMPORARY}*")):
                remove(leftover)
            yield
        finally:
            lock.release()


@contextmanager
def new_folder(root: Path, needed_bytes: int) -> Iterator[Path]:
    """A folder in ``root``, gone afterwards unless it was moved. Raises FetchError where the disk is too full."""
    free = shutil.disk_usage(root).free
    if free < needed_bytes:
        raise FetchError(
            f"{shown(root)}: {free / 1e9:.1f} GB of disk are free, {needed_bytes / 1e9:.1f} GB are needed; make room, "
            "or delete builds that are no longer needed"
        )
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=root))
    folder.chmod(0o755)  # mkdtemp gives it to its owner alone
    try:
        yield folder
    finally:
        remove(folder)


def swap_in(folder: Path, place: Path) -> None:
    """Move the folder to its place. What is there goes; it comes back where the move fails."""
    old = folder.with_name(f"{folder.name}-old")
    if place.exists():
        place.rename(old)
    try:
        folder.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Delete a file or a folder, also where uv has written deeper than Windows lets others reach."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(long_path(path), ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """What the disk refuses, as a FetchError that names the cure."""
    try:
        yield
    except (OSError, StoreError) as caught:
        error = caught.__cause__ if isinstance(caught, StoreError) else caught
        if not isinstance(error, OSError):
            raise
        where = shown(Path(error.filename)) if isinstance(error.filename, str) else shown(root)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "make room" if full else "make it writable, or close it in other programs"
        raise FetchError(f"{where}: cannot be written: {error.strerror or error}; {cure}, then fetch again") from error


def raise_if_full(said: str, folder: Path) -> None:
    """Raise the system's own OSError where a program says that the disk is full; ``disk_errors`` has the cure."""
    if re.search(r"No space left on device|Disk quota exceeded|os error (28|112|122)\b", said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
