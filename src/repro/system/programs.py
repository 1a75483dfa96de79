"""Executables, the libraries beside them, and paths."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from repro.system.system import SYSTEM


def executable_name(name: str, system: str = SYSTEM) -> str:
    """The file name of a program: "elastix.exe" on Windows, "elastix" elsewhere."""
    return f"{name}.exe" if system == "win32" else name


def library_path_variable(system: str = SYSTEM) -> str:
    """The variable in which the loader looks for an executable's own libraries."""
    return {"darwin": "DYLD_LIBRARY_PATH", "win32": "PATH"}.get(system, "LD_LIBRARY_PATH")


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


def long_path(path: Path, system: str = SYSTEM) -> str:
    r"""The path as text that works beyond 260 characters, which Windows allows only after ``\\\\?\\``."""
    text = str(path)
    if system != "win32" or text.startswith("\\\\?\\") or not PureWindowsPath(text).is_absolute():
        return text
    if text.startswith("\\\\"):
        return "\\\\?\\UNC\\" + text[2:]
    return "\\\\?\\" + str(PureWindowsPath(text))
