#!/usr/bin/env python3
"""Check the project: ``lint`` (style, types, workflows), ``unit`` (tests without builds), ``test`` (all of it).

    pixi run test            python3 tasks/run.py test            python tasks/test.py unit tests/plan -k order

Words after the first go to pytest. Status 0: all holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
SHIPPED = ("src", "tasks", "recipe", "studies")
"""What runs on every system; a test may be of one system alone."""
PAIR = "0.25.4-5.3.1"
"""The pair of the tests that run real builds."""
_ACTIONLINT = ROOT / "params" / "actionlint"
_BUILD_S = 300
"""Seconds that building actionlint may take: 20 on two cores, and the downloads."""
_PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
_ENVIRONMENT = {**os.environ, "PATH": _PATH, "PYTHONPATH": str(ROOT / "src")}


def main(words: Sequence[str]) -> int:
    """The exit status: of the first kind of check that failed, or 0."""
    what, *more = words or ("test",)
    if what == "lint":
        return lint()
    if what == "unit":
        return tests("not real", *more)
    if what != "test":
        print(f"test.py: there is no check {what!r}; there are lint, unit and test", file=sys.stderr)
        return 2
    style = lint()  # a fault there does not hide those that the tests find
    if status := run(sys.executable, "tasks/lock.py", "--check"):
        return status
    # Where this fails, the tests of real builds say what is missing.
    run(sys.executable, "-m", "repro", "fetch", PAIR)
    unit = tests("not real", *more)
    return tests("real", "-n0", *more) or unit or style


def lint() -> int:
    """Style, types for every system, and workflows, side by side; the status of the first that failed."""
    mypy = [["mypy"]]
    for system in sorted({"linux", "win32", "darwin"} - {sys.platform}):
        mypy.append(["mypy", f"--platform={system}", f"--cache-dir=.mypy_cache/{system}", *SHIPPED])
    checks = [*mypy, ["ruff", "check"], ["ruff", "format", "--check"], *filter(None, [actionlint()])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        statuses = []
        for check, done in zip(checks, pool.map(_captured, checks), strict=True):
            print(f"lint: {' '.join(check)}\n{done.stdout}", end="", flush=True)
            statuses.append(done.returncode)
    return next(filter(None, statuses), 0)


def tests(marked: str, *more: str) -> int:
    """The tests with this mark, on all cores; none is no failure."""
    status = run(sys.executable, "-m", "pytest", "-q", "-n", "auto", "-m", marked, *more)
    return 0 if status == 5 else status


def run(*command: str) -> int:
    """The status of a command, whose words are printed first."""
    print(f"test.py: {' '.join(Path(word).name for word in command)}", file=sys.stderr, flush=True)
    return subprocess.run(command, cwd=ROOT, env=_ENVIRONMENT, check=False).returncode


def actionlint() -> list[str] | None:
    """What checks the workflows: the program on the PATH, else one that Go builds into .cache; None: neither is here.

    pixi's environment has it. There is no wheel of it. params/actionlint/go.mod names the module, go.sum locks it.
    """
    if found := shutil.which("actionlint", path=_PATH):
        return [found]
    from repro.system.platforms import executable_name

    lock = hashlib.sha256((_ACTIONLINT / "go.sum").read_bytes()).hexdigest()[:12]
    program = ROOT / ".cache" / "actionlint" / executable_name(f"actionlint-{lock}")
    if not program.exists() and (go := shutil.which("go")):
        # The Go that is here, never one that it would download; nothing that go.sum does not lock.
        settings = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        command = [go, "build", "-o", str(program), "github.com/rhysd/actionlint/cmd/actionlint"]
        try:
            subprocess.run(command, cwd=_ACTIONLINT, env=settings, timeout=_BUILD_S, stderr=subprocess.PIPE, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace")
            print(f"lint: Go could not build actionlint: {said.strip()[-500:]}", file=sys.stderr)
    if program.exists():
        return [str(program)]
    print("lint: workflows are NOT CHECKED: no actionlint is here, and no Go that builds it", file=sys.stderr)
    return None


def _captured(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0], path=_PATH) or command[0]
    return subprocess.run(
        [program, *command[1:]],
        cwd=ROOT,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
