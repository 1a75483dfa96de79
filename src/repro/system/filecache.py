"""Empty the file cache of a folder, without root."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path


def forget(folders: Iterable[Path]) -> None:
    """Have the folders' files read from the disk when they are next used.

    posix_fadvise(2), POSIX_FADV_DONTNEED: clean pages that no process maps leave the cache, so that
    files that another process uses stay. A disk may have a cache of its own: a virtual one its host's.
    Only where ``can_empty_file_cache``: raises OSError elsewhere.
    """
    if sys.platform != "linux":
        raise OSError("only Linux empties the file cache of a folder without an administrator")
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)  # what is not written yet stays
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)
