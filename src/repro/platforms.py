"""Everything that differs between Linux, macOS and Windows, in one place.

Functions take the system as an argument where a test has to exercise another platform's branch.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, TextIO

_SYSTEMS = {"linux": "linux", "darwin": "osx", "win32": "win"}
_MACHINES = {"x86_64": "64", "amd64": "64", "aarch64": "arm64", "arm64": "arm64"}


def current_platform(system: str = sys.platform, machine: str | None = None) -> str:
    """The conda name of this platform, as "linux-64"; of an unknown one, a name no pair has."""
    machine = platform.machine() if machine is None else machine
    family = _SYSTEMS.get(system, system)
    bits = _MACHINES.get(machine.lower(), machine.lower())
    if family == "linux" and bits == "arm64":
        bits = "aarch64"
    return f"{family}-{bits}"


def executable_name(name: str, system: str = sys.platform) -> str:
    """The file name of a program: "elastix.exe" on Windows, "elastix" elsewhere."""
    return f"{name}.exe" if system == "win32" else name


def library_path_variable(system: str = sys.platform) -> str:
    """The variable in which the loader looks for an executable's own libraries."""
    return {"darwin": "DYLD_LIBRARY_PATH", "win32": "PATH"}.get(system, "LD_LIBRARY_PATH")


def libraries_beside(program: Path, system: str = sys.platform) -> Path | None:
    """The folder of libraries that a release has beside bin/; on Windows they lie with the program."""
    lib = program.parent.parent / "lib"
    return lib if system != "win32" and program.parent.name == "bin" and lib.is_dir() else None


def long_path(path: Path, system: str = sys.platform) -> str:
    r"""The path as text that works beyond 260 characters, which Windows allows only after ``\\\\?\\``."""
    text = str(path)
    if system != "win32" or text.startswith("\\\\?\\") or not PureWindowsPath(text).is_absolute():
        return text
    if text.startswith("\\\\"):
        return "\\\\?\\UNC\\" + text[2:]
    return "\\\\?\\" + str(PureWindowsPath(text))


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


def pass_pipes(descriptors: Sequence[int], system: str = sys.platform) -> tuple[list[str], dict[str, Any]]:
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


def kill_session(leader: int, system: str = sys.platform) -> None:
    """Kill what is left of a session whose leader was started by us; nothing left is no error.

    On Windows there is nothing to do: the session's job object ends with the launcher.
    """
    if system != "win32" and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
