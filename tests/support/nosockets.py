"""Run a command of ours in a process that ends at once, as do its children, when it opens an internet socket.

    python nosockets.py FOLDER COMMAND...

Builds, cache and results are looked for below the folder; "-" is the checkout. The rule is the system's (seccomp):
no library and no child gets around it.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from pathlib import Path

KILLED = 31
"""SIGSYS: what ends a process that opens one."""
# Number of the call socket(2), and the processor's name in linux/audit.h.
_KNOWN = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}
possible = sys.platform == "linux" and platform.machine() in _KNOWN


def forbid() -> None:
    """Forbid sockets of IPv4 and IPv6 to this process and all that it starts."""
    call, processor = _KNOWN[platform.machine()]
    load, equal, end = 0x20, 0x15, 0x06
    rules = (
        (load, 0, 0, 4),  # the processor
        (equal, 0, 5, processor),
        (load, 0, 0, 0),  # the number of the call
        (equal, 0, 3, call),
        (load, 0, 0, 16),  # its first argument: the family
        (equal, 2, 0, 2),
        (equal, 1, 0, 10),
        (end, 0, 0, 0x7FFF0000),  # allow
        (end, 0, 0, 0x80000000),  # end the process
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(program)))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, filter_mode = 38, 22, 2
    for arguments in ((no_new_privileges, 1, 0, 0, 0), (seccomp, filter_mode, ctypes.byref(header), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


def run_below(folder: str) -> None:
    """Run the command in the arguments, with builds, cache and results below the folder."""
    from repro import paths

    if folder != "-":
        paths.BUILDS, paths.CACHE, paths.RESULTS = (Path(folder) / name for name in ("builds", "cache", "results"))
    from repro.cli.main import main as run

    run()


def main() -> None:
    """Forbid, then run the command."""
    folder = sys.argv.pop(1)
    forbid()
    run_below(folder)


if __name__ == "__main__":
    main()
