"""Run a command of ours that, with all that it starts, can write to a few folders alone.

    python nowrites.py FOLDER COMMAND...

Builds, cache and results are below the folder. It, uv's cache and /dev can be written to; everywhere else the system
(Landlock) refuses, whoever asks.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from support import nosockets

Result = TypeVar("Result")
# Calls and rights of linux/landlock.h.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
_WRITING = 1 << 1 | sum(1 << right for right in range(4, 15))
"""Write to a file, remove, make anything, link or move across folders, truncate."""
_KNOWS_TRUNCATE = 3


def _call(number: int, *arguments: int | bytes | None) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def possible() -> bool:
    """Whether this kernel can refuse all of them."""
    return sys.platform == "linux" and _call(_CREATE, None, 0, _VERSION) >= _KNOWS_TRUNCATE


needs_landlock = pytest.mark.skipif(not possible(), reason="Landlock is Linux's, all that is asked of it since 6.2")


def allow(folders: Sequence[Path]) -> None:
    """Let this thread and all that it starts write below these folders alone."""
    rules = _checked(_call(_CREATE, struct.pack("Q", _WRITING), 8, 0))
    for folder in folders:
        opened = os.open(folder, os.O_PATH)
        _checked(_call(_ADD, rules, _BENEATH, struct.pack("<Qi", _WRITING, opened), 0))
        os.close(opened)
    _checked(ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_call(_RESTRICT, rules, 0))


def within(folders: Sequence[Path], work: Callable[[], Result]) -> Result:
    """What the work gives that may write below these folders alone; this process may write as before."""

    def restricted() -> Result:
        allow(folders)  # holds for the thread, and for what it starts
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(restricted).result()


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main() -> None:
    """Restrict, then run the command."""
    from repro.builds import wheels

    folder = sys.argv.pop(1)
    uv_cache = subprocess.run([wheels.find_uv(), "cache", "dir"], capture_output=True, text=True, check=True)
    allow([Path(folder), Path(uv_cache.stdout.strip()), Path("/dev")])
    nosockets.run_below(folder)


if __name__ == "__main__":
    main()
