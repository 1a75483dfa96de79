#!/usr/bin/env python3
"""Check .github/workflows with actionlint: the one on the PATH, else one that Go builds.

pixi's environment has it. There is no wheel of it (its package downloads the program from GitHub while it is
installed), so the private venv has none. Where there is Go, it is built once into .cache, from the module that
params/actionlint/go.mod names and go.sum locks. Where there is neither, the check is left out, and said to be.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from repro import system as platforms

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "params" / "actionlint"
BUILD_S = 300
"""Seconds that a build may take: 20 on two cores, and the downloads."""


def main() -> int:
    """The exit status of actionlint; 0 where there is none."""
    program = shutil.which("actionlint") or _built()
    if program is None:
        say("not checked: there is no actionlint here, and no Go that builds it (pixi's environment has it)")
        return 0
    return subprocess.run([program], cwd=ROOT, check=False).returncode


def _built() -> str | None:
    """The program in .cache, built where it is missing or go.sum has changed; None where it cannot be."""
    lock = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    program = ROOT / ".cache" / "actionlint" / platforms.executable_name(f"actionlint-{lock}")
    go = shutil.which("go")
    if not program.exists() and go:
        say(f"builds actionlint once, into {program.parent.relative_to(ROOT).as_posix()}")
        # The Go that is here, never one that it would download; nothing that go.sum does not lock.
        settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        command = [go, "build", "-o", str(program), "github.com/rhysd/actionlint/cmd/actionlint"]
        try:
            subprocess.run(command, cwd=MODULE, env={**os.environ, **settings}, timeout=BUILD_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            say(f"Go could not build it: {error}")
    return str(program) if program.exists() else None


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(f"workflows: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
