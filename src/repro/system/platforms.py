"""Which system this is, what it can do, and how it names programs, paths and libraries.

Functions take the system as an argument, so that tests exercise every branch on any system. Standard library only:
tasks/run.py uses it before anything is installed.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path, PureWindowsPath

SYSTEM: str = sys.platform
"""As `sys.platform`: "linux", "darwin", "win32". A plain text, so that type checkers read every branch."""

_FAMILIES = {"linux": "linux", "darwin": "osx", "win32": "win"}
_MACHINES = {"x86_64": "64", "amd64": "64", "aarch64": "arm64", "arm64": "arm64"}


def current_platform(system: str = SYSTEM, machine: str | None = None) -> str:
    """The conda name of this platform, as "linux-64"; of an unknown one, a name no build has."""
    machine = platform.machine() if machine is None else machine
    family = _FAMILIES.get(system, system)
    bits = _MACHINES.get(machine.lower(), machine.lower())
    if family == "linux" and bits == "arm64":
        bits = "aarch64"
    return f"{family}-{bits}"


def can_fork_loaded(system: str = SYSTEM) -> bool:
    """Whether a process that has loaded itk may be forked: Windows cannot, macOS's libraries do not bear it."""
    return system == "linux"


def executable_name(name: str, system: str = SYSTEM) -> str:
    """The file name of a program: "elastix.exe" on Windows, "elastix" elsewhere."""
    return f"{name}.exe" if system == "win32" else name


def library_path_variable(system: str = SYSTEM) -> str:
    """The variable in which the loader looks for an executable's own libraries."""
    return {"darwin": "DYLD_LIBRARY_PATH", "win32": "PATH"}.get(system, "LD_LIBRARY_PATH")


def path_separator(system: str = SYSTEM) -> str:
    """What stands between the folders of a variable such as PATH."""
    return ";" if system == "win32" else ":"


def libraries_beside(program: Path, system: str = SYSTEM) -> Path | None:
    """The folder of libraries that a release has beside bin/; on Windows they lie with the program."""
    lib = program.parent.parent / "lib"
    return lib if system != "win32" and program.parent.name == "bin" and lib.is_dir() else None


def python_of(prefix: Path, system: str = SYSTEM) -> Path:
    """The interpreter of a conda environment, which pixi's are."""
    return prefix / "python.exe" if system == "win32" else prefix / "bin" / "python"


def venv_programs(venv: Path, system: str = SYSTEM) -> Path:
    """The folder of a virtual environment's programs."""
    return venv / ("Scripts" if system == "win32" else "bin")


def base_interpreter(python: str | Path, system: str = SYSTEM) -> Path:
    """The interpreter itself, where the given one only starts it as its child.

    On Windows the python.exe of a virtual environment does so: what is measured of it is not the worker's, and each
    start takes 100 ms more. The base interpreter does not find the environment's packages.
    """
    python = Path(python)
    if system == "win32":
        try:
            lines = (python.parent.parent / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        except OSError:
            return python
        settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
        base = Path(settings.get("home", "")) / python.name
        if base.is_file():
            return base
    return python


def long_path(path: Path, system: str = SYSTEM) -> str:
    r"""The path as text that works beyond 260 characters, which Windows allows only after ``\\\\?\\``."""
    text = str(path)
    if system != "win32" or text.startswith("\\\\?\\") or not PureWindowsPath(text).is_absolute():
        return text
    if text.startswith("\\\\"):
        return "\\\\?\\UNC\\" + text[2:]
    return "\\\\?\\" + str(PureWindowsPath(text))
