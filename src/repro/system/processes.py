"""Starting processes, giving them pipes, killing what is left of them; locks, alarms and the streams of this one."""

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

from repro.system.system import SYSTEM


def speak_utf8(*streams: TextIO) -> None:
    """Let streams take any character, also a Windows console or pipe with a code page of its own."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def thin_python() -> str:
    """The interpreter for a small helper process.

    On Windows the python.exe of a virtual environment only starts the base one as its child, so
    the base one is named.
    """
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return base


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
    """What Popen's child has to call (``preexec_fn``) to be ended when its parent ends; only Linux has that."""
    if sys.platform == "win32" or system != "linux":
        return None
    prctl, number = _prctl(), signal.SIGTERM if politely else signal.SIGKILL
    return lambda: prctl(_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans(system: str = SYSTEM) -> None:
    """On Linux, become the parent of descendants whose own parent has ended, so that none is overlooked."""
    if system == "linux":
        _prctl()(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def _prctl() -> Callable[..., int]:
    import ctypes  # the command line starts without it

    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function


def reap() -> None:
    """Take note of children that have ended, as a parent has to; Windows has no such duty."""
    if sys.platform != "win32":
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


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


def alarm(seconds: float, strike: Callable[[], object]) -> None:
    """Interrupt the main thread with this call in so many seconds, 0 for not any more; Windows cannot."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, lambda *_: strike())
        signal.setitimer(signal.ITIMER_REAL, seconds)
