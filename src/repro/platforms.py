"""Everything that differs between Linux, macOS and Windows, in one place.

Functions take the system as an argument where a test has to exercise another platform's branch.
"""

from __future__ import annotations

import platform
import sys

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
