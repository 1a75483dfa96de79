"""Which system this is, and what it can do."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import PurePath

SYSTEM: str = sys.platform
"""As `sys.platform`: "linux", "darwin", "win32". A plain text, so that type checkers read every branch."""

_FAMILIES = {"linux": "linux", "darwin": "osx", "win32": "win"}
_MACHINES = {"x86_64": "64", "amd64": "64", "aarch64": "arm64", "arm64": "arm64"}


def current_platform(system: str = SYSTEM, machine: str | None = None) -> str:
    """The conda name of this platform, as "linux-64"; of an unknown one, a name no pair has."""
    machine = platform.machine() if machine is None else machine
    family = _FAMILIES.get(system, system)
    bits = _MACHINES.get(machine.lower(), machine.lower())
    if family == "linux" and bits == "arm64":
        bits = "aarch64"
    return f"{family}-{bits}"


def can_fork_loaded(system: str = SYSTEM) -> bool:
    """Whether a process that has loaded itk may be forked: Windows cannot, macOS's libraries do not bear it."""
    return system == "linux"


def can_empty_file_cache(system: str = SYSTEM) -> bool:
    """Whether `filecache` works: elsewhere it takes an administrator."""
    return system == "linux"


def can_pass_descriptors(system: str = SYSTEM) -> bool:
    """Whether a program started by a child can take over one of our pipes by its number."""
    return system != "win32"


def can_run_scripts(system: str = SYSTEM) -> bool:
    """Whether the system runs a shell script by its path."""
    return system != "win32"


def keeps_certificates(system: str = SYSTEM) -> bool:
    """Whether the certificates that the machine trusts are kept by the system, not in files."""
    return system == "win32"


def ignores_case(system: str = SYSTEM) -> bool:
    """Whether paths that differ in case name the same file, whatever the disk."""
    return system == "win32"


def users_shell(variables: Mapping[str, str] = os.environ, system: str = SYSTEM) -> str:
    """The name of the person's shell, as far as the environment says it."""
    return "powershell" if system == "win32" else PurePath(variables.get("SHELL") or "bash").name
