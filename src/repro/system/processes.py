"""Starting processes, giving them pipes, killing what is left of them; locks and the streams of this one.

Standard library only: tasks/run.py uses it before anything is installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from repro.system.platforms import SYSTEM

_SET_PDEATHSIG = 1  # linux/prctl.h


def speak_utf8(*streams: TextIO | None) -> None:
    """Let streams take any character, also a Windows console or pipe with a code page of its own."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def pass_pipes(descriptors: Sequence[int], system: str = SYSTEM) -> tuple[list[str], dict[str, Any]]:
    """How a new process is given pipes: its arguments that name them, and options for Popen.

    The process is detached from the terminal: Ctrl-C is its parent's business.
    """
    if system != "win32":
        return [str(fd) for fd in descriptors], {"pass_fds": tuple(descriptors), "start_new_session": True}
    windows_only = {name: vars(subprocess)[name] for name in ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")}
    handles = [vars(importlib.import_module("msvcrt"))["get_osfhandle"](fd) for fd in descriptors]
    for handle in handles:
        vars(os)["set_handle_inheritable"](handle, True)
    options = {
        "creationflags": windows_only["CREATE_NEW_PROCESS_GROUP"] | windows_only["CREATE_NO_WINDOW"],
        "startupinfo": vars(subprocess)["STARTUPINFO"](lpAttributeList={"handle_list": handles}),
    }
    return [str(handle) for handle in handles], options


def kill_session(leader: int, system: str = SYSTEM) -> None:
    """Kill what is left of a session whose leader was started by us; nothing left is no error.

    On Windows there is nothing to do: the session's job object ends with the launcher.
    """
    if system != "win32" and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def ending_with_us(*, politely: bool = False, system: str = SYSTEM) -> Callable[[], object] | None:
    """A preexec_fn that ends the child when its parent ends; None where the system has none (Linux alone has one).

    It holds for the child alone, not for what the child starts.
    """
    if sys.platform == "win32" or system != "linux":
        return None
    import ctypes  # the command line starts without it

    prctl, number = ctypes.CDLL(None).prctl, signal.SIGTERM if politely else signal.SIGKILL
    return lambda: prctl(_SET_PDEATHSIG, number, 0, 0, 0)


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone; False where another has it. It goes when the process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
