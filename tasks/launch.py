"""Run the tasks of pixi.toml: through pixi where it is installed, else in a private venv.

Standard library only, and repro.system, which is so too. Both ways run the same commands; without pixi, every
environment's command runs in the one venv, with the variables that the environment's activation sets.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import privatevenv
from cleaning import clean
from privatevenv import VenvError
from repro import system as platforms
from taskfile import DEFAULT, Environment, Step, TaskError, read_environments, steps

ROOT = Path(__file__).resolve().parents[1]
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def launch(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; the exit status of the first step that failed, or 0."""
    environments = read_environments(tomllib.loads((ROOT / "pixi.toml").read_text(encoding="utf-8")))
    parser = _parser(environments)
    options = parser.parse_args(arguments)
    if options.task is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    pixi = None if options.no_pixi else shutil.which("pixi")
    try:
        if options.task == "clean":
            clean(ROOT, say)
            return 0
        todo = steps(environments, options.task, options.arguments)
        if pixi:
            return call(_pixi_command(pixi, options.task, options.arguments), os.environ)
        return run_steps(todo, environments, privatevenv.ensure(ROOT, say))
    except (TaskError, VenvError) as error:
        say(f"error: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def run_steps(todo: Sequence[Step], environments: Mapping[str, Environment], venv: Path) -> int:
    """Run the commands one after the other, as pixi does; stop at the first that fails."""
    for step in todo:
        # --defer-exit is between the steps of a task, and stands in for options not given.
        shown = " ".join(word for word in step.command if word != "--defer-exit")
        say(f"{step.task} (for {step.environment}): {shown}")
        variables = venv_variables(os.environ, environments[step.environment].variables, venv)
        program = shutil.which(step.command[0], path=variables["PATH"])
        if program is None:
            raise TaskError(f"task {step.task!r}: there is no program {step.command[0]!r} in {venv}")
        status = call([program, *step.command[1:]], variables)
        if status != 0:
            return status
    return 0


def venv_variables(outer: Mapping[str, str], activation: Mapping[str, str], venv: Path) -> dict[str, str]:
    """The environment variables of a command in the venv."""
    inner = {
        name: value for name, value in outer.items() if name not in ("PYTHONHOME", "REPRO_PAIR", "PIXI_PROJECT_ROOT")
    }
    programs = str(platforms.venv_programs(venv))
    path = os.pathsep.join(part for part in (programs, inner.get("PATH", "")) if part)
    # uv may use the venv's Python alone, never download one.
    own = {"PATH": path, "VIRTUAL_ENV": str(venv), "UV_PYTHON_DOWNLOADS": "never"}
    return {**inner, **own, **privatevenv.certificates(inner), **activation}


def call(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command in the checkout's root; its exit status, 130 where it was interrupted.

    A Ctrl-C reaches the command too: it ends in its own way, and is waited for.
    """
    interrupted = False
    end_with_us = platforms.ending_with_us(politely=True)
    with subprocess.Popen(command, cwd=ROOT, env=variables, preexec_fn=end_with_us) as process:  # noqa: PLW1509
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


def _pixi_command(pixi: str, task: str, arguments: Sequence[str]) -> list[str]:
    # Re-locking is for when the lock no longer fits; everywhere else the lock is law.
    locked = [] if task == "lock" else ["--locked"]
    return [pixi, "run", *locked, task, *arguments]


def _parser(environments: Mapping[str, Environment]) -> argparse.ArgumentParser:
    tasks = environments[DEFAULT].tasks.values()
    lines = [f"  {task.name:<10} {task.description}" for task in tasks if not task.name.startswith("_")]
    lines.append(f"  {'clean':<10} Remove what the tasks made: .pairs, .cache, .venv, results, tool caches.")
    parser = argparse.ArgumentParser(
        prog="python3 tasks/run.py",
        description="Run a task, through pixi where it is installed, else in a private venv (.venv).",
        epilog="tasks:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--no-pixi", action="store_true", help="use the private venv even where pixi is installed")
    parser.add_argument("task", metavar="TASK", nargs="?")
    rest: dict[str, Any] = {"nargs": argparse.REMAINDER}
    parser.add_argument("arguments", metavar="ARGUMENTS", help="handed to the task", **rest)
    return parser
