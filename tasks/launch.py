"""Run the commands of the project in the private venv. Standard library only, and repro.system, which is so too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import private_venv
from private_venv import VenvError
from repro.system.platforms import executable_name, long_path, venv_programs
from repro.system.processes import ending_with_us, speak_utf8

ROOT = Path(__file__).resolve().parents[1]
EXIT_USAGE, EXIT_INTERRUPTED = 2, 130
HELP = """usage: python3 tasks/run.py COMMAND ...

Makes the private venv .venv once, from params/tools.txt, and runs the command in it.

  bench-all [--quick]   the main job; `--help` lists the other commands of the project
  test, lint, unit      everything that must hold; style and types; the tests that need no build
  lock [--check]        solve pixi.lock and params/tools.txt anew
  clean                 remove what the commands made: builds, results, caches, the venv
"""
CHECKS = ("test", "lint", "unit")
MADE = (".builds", ".cache", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
MADE_RESULTS = (
    "raw", "comparison.csv", "trials.csv", "builds.csv", "sessions.jsonl", "report.html", "report.md", ".tmp-*"
)  # fmt: skip
"""In results/: what bench, merge and report write. Anything else there is the user's own, packs of others too."""


def launch(words: Sequence[str]) -> int:
    """Run the command that these words name; its exit status."""
    speak_utf8(sys.stdout, sys.stderr)
    if not words or (words[0] == "clean" and words[1:]):
        print(HELP, end="", file=sys.stderr)
        return EXIT_USAGE
    try:
        if words[0] == "clean":
            clean(ROOT)
            return 0
        venv = private_venv.ensure(ROOT, say)
        command = [str(venv_programs(venv) / executable_name("python")), *arguments(words)]
        return call(command, variables(os.environ, venv))
    except VenvError as error:
        say(f"error: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def arguments(words: Sequence[str]) -> list[str]:
    """What Python is given for these words."""
    if words[0] in CHECKS:
        return [str(ROOT / "tasks" / "test.py"), *words]
    if words[0] == "lock":
        return [str(ROOT / "tasks" / "lock.py"), *words[1:]]
    return ["-m", "repro", *words]


def variables(outer: Mapping[str, str], venv: Path) -> dict[str, str]:
    """The environment variables of a command in the venv, as pixi's activation sets them."""
    inner = {name: value for name, value in outer.items() if name not in ("PYTHONHOME", "PIXI_PROJECT_ROOT")}
    path = os.pathsep.join(part for part in (str(venv_programs(venv)), inner.get("PATH", "")) if part)
    own = {
        "PATH": path,
        "VIRTUAL_ENV": str(venv),
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONNOUSERSITE": "1",
        # matplotlib keeps its font list in the home folder otherwise.
        "MPLCONFIGDIR": str(ROOT / ".cache" / "matplotlib"),
        # uv may use the Python that is here alone, never download one.
        "UV_PYTHON_DOWNLOADS": "never",
    }
    return {**inner, **own, **private_venv.certificates(inner)}


def call(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command; its exit status, 130 where it was interrupted.

    A Ctrl-C reaches the command too: it ends in its own way, and is waited for.
    """
    interrupted = False
    with subprocess.Popen(command, env=environment, preexec_fn=ending_with_us(politely=True)) as process:  # noqa: PLW1509
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            while True:
                try:
                    status = process.wait()
                    break
                except KeyboardInterrupt:
                    interrupted = True
        finally:
            signal.signal(signal.SIGTERM, before)
    if interrupted:
        return EXIT_INTERRUPTED
    return 128 - status if status < 0 else status


def clean(root: Path) -> None:
    """Remove what the commands made in the checkout, and nothing else; of a link the link, never what it leads to."""
    for path in made(root):
        say(f"removes {path.relative_to(root).as_posix()}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(long_path(path))
        else:
            path.unlink()
    if (root / ".pixi").exists():
        say("keeps .pixi: `pixi clean` removes it")


def made(root: Path) -> Iterator[Path]:
    """What there is to remove. `.machine-id` stays: without it this machine would get another name."""
    yield from (root / name for name in MADE if (root / name).exists() or (root / name).is_symlink())
    if private_venv.is_ours(root / private_venv.FOLDER):
        yield root / private_venv.FOLDER
    results = root / "results"
    if results.is_dir() and not results.is_symlink():
        yield from sorted({path for pattern in MADE_RESULTS for path in results.glob(pattern)})
    for source in ("src", "tasks", "tests", "recipe", "studies"):
        yield from sorted((root / source).rglob("__pycache__"))
