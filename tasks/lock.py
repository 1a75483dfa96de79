#!/usr/bin/env python3
"""Solve the locks anew, or check them: ``python3 tasks/run.py lock [--check]``, or ``pixi run lock``.

pixi.lock comes from ``pixi lock`` where pixi is installed, else from an offline solver script: ``--tool``, or
shared/conda-forge/tools/lock_workspace.py beside the checkout. It is called with the path of pixi.toml, and with
``--check`` before it when nothing may be written. params/tools.txt has the same libraries as wheels, locked by uv.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "params" / "tools.txt"
OLDEST_PYTHON = "3.11"
# The wheels are of the day of pixi.lock's newest package. The offline solver needs py-rattler 0.28, which is newer.
NEWER = {"py-rattler": "2026-11-22"}
_WHEELS = {"matplotlib-base": "matplotlib"}
"""The same project under another name: conda's, and the one of the wheel."""
_NO_WHEELS = ("python", "actionlint")
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_PLACE = re.compile(r"://|--(extra-)?index|--find-links|^-[ief]\b| @ ")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 all holds, 1 not, 2 it could not be found out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say what does not fit")
    beside = ROOT.parent / "shared" / "conda-forge" / "tools" / "lock_workspace.py"
    solver = beside if beside.is_file() else None
    parser.add_argument("--tool", type=Path, metavar="FILE", help="the offline solver for pixi.lock", default=solver)
    options = parser.parse_args(arguments)
    manifest = tomllib.loads((ROOT / "pixi.toml").read_text(encoding="utf-8"))
    pixi = os.environ.get("PIXI_EXE") or shutil.which("pixi")
    if not options.check and (status := _solve(pixi, options.tool, manifest)):
        return status
    problems = tools_problems(requirements(manifest), TOOLS.read_text(encoding="utf-8"))
    for file in [TOOLS, *sorted((ROOT / "params" / "wheels").glob("*.txt"))]:
        found = requirements_problems(file.read_text(encoding="utf-8"))
        problems += [f"{file.relative_to(ROOT).as_posix()}: {one}" for one in found]
    # With pixi, pixi itself holds the lock against the manifest whenever it runs.
    if options.tool and not pixi and _run([sys.executable, str(options.tool), "--check", str(ROOT / "pixi.toml")]):
        problems.append(f"{options.tool.name} does not accept pixi.lock, see above")
    print("\n".join(problems) or "locks: all fit")
    return 1 if problems else 0


def requirements(manifest: Mapping[str, Any]) -> list[str]:
    """What the default environment of pixi asks for, as wheels."""
    asked = manifest["dependencies"].items()
    return [f"{_WHEELS.get(name, name)}{bounds.strip('*')}" for name, bounds in asked if name not in _NO_WHEELS]


def requirements_problems(text: str) -> list[str]:
    """Why a requirement file is not hash-locked, or names a place to download from."""
    problems = [f"{name} has no sha256" for name, entry in entries(text).items() if not _HASH.search(entry)]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#") and _PLACE.search(line):
            problems.append(f"line {number} names a place to download from")
        elif line and not line.startswith(("#", " ")) and not _PINNED.match(line):
            problems.append(f"line {number} is not pinned: {line}")
    return problems


def entries(text: str) -> dict[str, str]:
    """Every pinned entry of a requirement file with its hashes, by "name==version"."""
    result: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if pinned := _PINNED.match(line):
            current = f"{pinned[1].lower()}=={pinned[2]}"
        result[current] = result.get(current, "") + line + "\n"
    return result


def tools_problems(asked: Sequence[str], locked: str) -> list[str]:
    """Where params/tools.txt does not have what pixi.toml asks for."""
    pins = [key.split("==") for key in entries(locked) if key]
    problems = []
    for wanted in map(Requirement, asked):
        versions = [version for name, version in pins if name == wanted.name]
        if not versions or not all(wanted.specifier.contains(version) for version in versions):
            problems.append(f"pixi.toml asks for {wanted}, params/tools.txt has {' and '.join(versions) or 'none'}")
    return problems


def _solve(pixi: str | None, tool: Path | None, manifest: Mapping[str, Any]) -> int:
    if pixi:
        status = _run([pixi, "lock"])
    elif tool:
        status = _run([sys.executable, str(tool), str(ROOT / "pixi.toml")])
    else:
        print("pixi.lock is solved by pixi alone: install it, or give an offline solver with --tool", file=sys.stderr)
        status = 2
    options = ["--universal", "--generate-hashes", "--no-annotate", "--quiet", f"--python-version={OLDEST_PYTHON}"]
    options += [f"--exclude-newer={manifest['workspace']['exclude-newer']}"]
    options += [f"--exclude-newer-package={name}={day}" for name, day in NEWER.items()]
    options += ["--custom-compile-command=python3 tasks/run.py lock", f"--output-file={TOOLS.relative_to(ROOT)}", "-"]
    return status or _run(["uv", "pip", "compile", *options], "\n".join(requirements(manifest)))


def _run(command: Sequence[str], given: str = "") -> int:
    return subprocess.run(command, cwd=ROOT, input=given, encoding="utf-8", check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
