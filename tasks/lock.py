#!/usr/bin/env python3
"""Solve the locks anew, or check them: ``python3 tasks/run.py lock [--check] [--wheels [PAIR ...]]``.

pixi.lock comes from ``pixi lock`` where pixi is installed, else from an offline solver script:
``--tool``, or shared/conda-forge/tools/lock_workspace.py beside the checkout. It is called with the
path of pixi.toml, and with ``--check`` before it when nothing may be written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# tools.txt is resolved as of the newest package of pixi.lock, so that both hold nearly the same
# versions. py-rattler is newer because the offline solver needs 0.28.
TOOLS_AS_OF = "2026-08-22"
TOOLS_NEWER = {"py-rattler": "2026-11-22"}
OLDEST_PYTHON = "3.11"


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 all holds, 1 not, 2 it could not be found out."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tasks")]
    try:
        import rattler  # noqa: F401
    except ImportError:
        print("lock.py needs py-rattler; run it as: python3 tasks/run.py lock", file=sys.stderr)
        return 2
    options = _parser().parse_args(arguments)
    tool = options.tool or offline_solver()
    if not options.check:
        status = _lock_workspace(tool) or _lock_tools() or _lock_wheels(options.wheels)
        if status:
            return status
    problems = all_problems()
    if tool and not shutil.which("pixi") and _run([sys.executable, str(tool), "--check", str(ROOT / "pixi.toml")]):
        problems.append(f"{tool.name} does not accept pixi.lock, see above")
    print("\n".join(problems) or "locks: all fit")
    return 1 if problems else 0


def offline_solver() -> Path | None:
    """The solver script beside the checkout, if there is one."""
    beside = ROOT.parent / "shared" / "conda-forge" / "tools" / "lock_workspace.py"
    return beside if beside.is_file() else None


def all_problems() -> list[str]:
    """What does not hold of pixi.toml, pixi.lock, params/tools.* and params/wheels/."""
    import lockrules
    from repro.builds.config import load_pairs, load_releases

    manifest, pairs = lockrules.read_manifest(ROOT / "pixi.toml"), list(load_pairs().values())
    problems = lockrules.workspace_problems(manifest, pairs)
    problems += lockrules.lock_problems(manifest, ROOT / "pixi.lock")
    problems += lockrules.tools_problems(manifest, _read("params/tools.in"), _read("params/tools.txt"))
    problems += [f"params/tools.txt: {one}" for one in lockrules.requirements_problems(_read("params/tools.txt"))]
    return problems + lockrules.wheels_problems(ROOT / "params" / "wheels", [*pairs, *load_releases().values()])


def _lock_workspace(tool: Path | None) -> int:
    if pixi := shutil.which("pixi"):
        return _run([pixi, "lock"])
    if tool:
        return _run([sys.executable, str(tool), str(ROOT / "pixi.toml")])
    print("pixi.lock can be solved by pixi alone: install it, or give an offline solver with --tool", file=sys.stderr)
    return 2


def _lock_tools() -> int:
    newer = [f"--exclude-newer-package={name}={day}" for name, day in TOOLS_NEWER.items()]
    options = ["--universal", "--generate-hashes", "--no-annotate", "--quiet", f"--python-version={OLDEST_PYTHON}"]
    options += [f"--exclude-newer={TOOLS_AS_OF}", *newer, "--custom-compile-command=python3 tasks/run.py lock"]
    return _run(["uv", "pip", "compile", *options, "--output-file=params/tools.txt", "params/tools.in"])


def _lock_wheels(names: Sequence[str] | None) -> int:
    if names is None:
        return 0
    from repro.builds import wheels
    from repro.builds.config import load_pairs, load_releases

    pairs = load_pairs() | {name: one for name, one in load_releases().items() if not one.wheels_of}
    if unknown := set(names) - set(pairs):
        print(f"unknown pair {min(unknown)}; params/pairs.toml has: {', '.join(pairs)}", file=sys.stderr)
        return 2
    for name in names or pairs:
        wheels.lock_file(pairs[name]).write_text(wheels.lock_wheels(pairs[name]), encoding="utf-8", newline="\n")
        print(f"written: params/wheels/{name}.txt")
    return 0


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, cwd=ROOT, env=os.environ, check=False).returncode


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say what does not fit")
    parser.add_argument("--wheels", nargs="*", metavar="PAIR", help="the wheel locks too: of these pairs, or of all")
    parser.add_argument("--tool", type=Path, metavar="FILE", help="the offline solver for pixi.lock")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
