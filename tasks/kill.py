#!/usr/bin/env python3
"""Kill a whole run at random moments, run the same command again, and look for what was lost.

    PYTHONPATH=src python tasks/kill.py [--kills 200] [--seed 1]       with a made-up pair, 4 s a kill
    PYTHONPATH=src python tasks/kill.py --real --kills 2               with real registrations, a minute a kill

Each kill starts `bench` and `merge` (with --real `report` too) on an empty results folder and ends them by
SIGKILL at a moment between start and end: every other time the process alone, else with all its
children at once. Every fourth time the last line is cut too, as a power cut can do. Then no process
may be left, and the same command must complete, with every measurement that was there before still there
once, each trial once, whole CSV files, no file more or less than after a run that nobody disturbed, and
the same comparison apart from times, memory and the number of sessions. Status 1 where anything is amiss.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import madeuprun
from repro import layout
from repro import system as platforms
from repro.cli import cli

REAL_PAIR = "0.25.4-5.3.1"
GONE_S = 15.0
"""Processes have to be gone within this after a kill."""
_CHANGING = ("_s", "_per_min", "_bytes", "sessions", "half_width", "verdict", "position_effect", "interval")
_CHANGING_INSIDE = ("ratio", "drift", "floor_", "rounds_", "_rounds", "note")


@dataclass(frozen=True)
class State:
    """A results folder: what must outlive a kill, and what must be as after an undisturbed run."""

    lines: tuple[bytes, ...]
    """The whole lines of its raw files."""
    measured: Counter[str]
    """How often each trial was measured, by key."""
    files: frozenset[str]
    comparison: tuple[tuple[str, ...], ...]
    """Head and rows without what changes from run to run."""


def main() -> int:
    """Kill, run again, compare; print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help=f"real registrations of {REAL_PAIR}")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)  # what is killed
    options = parser.parse_args()
    if options.run:
        return real_run(options.run) if options.real else madeuprun.main([str(options.run)])
    platforms.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        return campaign(Path(folder), options.kills, random.Random(options.seed), real=options.real)


def campaign(folder: Path, kills: int, chance: random.Random, *, real: bool) -> int:
    """All kills; the exit status."""
    start = time.perf_counter()
    run(folder / "undisturbed", real=real)
    duration_s = time.perf_counter() - start
    expected = state(folder / "undisturbed")
    found: Counter[str] = Counter()
    troubles: list[str] = []
    for number in itertools.count(1):
        if found["kills"] == kills:
            break
        out = folder / f"kill-{number}"
        after_s = chance.uniform(0, duration_s)
        if not killed(out, after_s, real=real, whole_tree=number % 2 == 0):
            continue  # it was quicker than the moment
        found["kills"] += 1
        left = left_running()
        if number % 4 == 0:
            found["torn"] += tear(out, chance)
        before = state(out)
        found["before the first measurement" if not before.measured else "after one"] += 1
        found["after the last"] += len(before.measured) == len(expected.measured)
        found["measurements kept"] += before.measured.total()
        amiss = [f"{len(left)} processes left: {left}"] if left else []
        amiss += broken_tables(out)
        run(out, real=real)
        again = state(out)
        lost, doubled = before.measured - again.measured, again.measured - expected.measured
        found["lost"] += lost.total() + len(expected.measured - again.measured)
        found["doubled"] += doubled.total()
        found["left"] += len(left) + len(again.files - expected.files)
        amiss += differences(before, again, expected) + broken_tables(out)
        found["recovered"] += not amiss
        troubles += [f"kill {number} after {after_s:.3f} s: {what}" for what in amiss]
        moment = f"{found['kills']}/{kills} killed after {after_s:.2f} of {duration_s:.2f} s"
        say(f"{moment}: {'; '.join(amiss) or 'recovered'}")
    for trouble in troubles:
        say(trouble)
    print(
        f"{found['recovered']} of {found['kills']} kills recovered, {found['lost']} measurements lost, "
        f"{found['doubled']} duplicated, {found['left']} leftovers ({found['before the first measurement']} kills "
        f"before the first measurement, {found['after one']} after it, {found['after the last']} of them after the "
        f"last; {found['measurements kept']} measurements outlived them; {found['torn']} last lines torn)"
    )
    return 1 if troubles else 0


def command(out: Path, *, real: bool) -> list[str]:
    """The command that is killed and run again."""
    return [sys.executable, __file__, *(["--real"] if real else []), "--run", str(out)]


def real_run(out: Path) -> int:
    """Bench, merge and report as a person calls them, in one process."""
    images = [f"--{name}={layout.DATA / 'synthetic' / name}.tif" for name in ("fixed", "moving")]
    bench = ["bench", REAL_PAIR, "--experiment", "smoke", "--rounds", "2", "--precision", "0", "--offline", *images]
    for arguments in (bench, ["merge"]):
        status = cli.status_of(lambda words=arguments: cli.app([*words, "--out", str(out)], standalone_mode=False))  # type: ignore[misc]
        if status:
            return status
    return cli.status_of(lambda: cli.app(["report", str(out)], standalone_mode=False))


def run(out: Path, *, real: bool) -> None:
    """Run the command to its end."""
    done = subprocess.run(command(out, real=real), cwd=layout.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run ended with status {done.returncode}:\n{done.stderr}")


def killed(out: Path, after_s: float, *, real: bool, whole_tree: bool) -> bool:
    """Start the command and kill it; False where it had ended before."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(out, real=real), cwd=layout.ROOT, stdout=quiet, stderr=quiet)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
        return False
    tree = psutil.Process(process.pid).children(recursive=True) if whole_tree else []
    process.kill()
    for child in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    return True


def left_running() -> list[str]:
    """What still runs below this process after a fair time; ended orphans are reaped."""
    deadline = time.monotonic() + GONE_S
    while True:
        platforms.reap()
        left = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(child.cmdline()))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def tear(out: Path, chance: random.Random) -> bool:
    """Cut a part of the last line of a raw file, as a power cut can do."""
    for file in out.glob("raw/*/*/*.jsonl"):
        content = file.read_bytes()
        if content:
            last = content.rstrip(b"\n").rfind(b"\n") + 1
            file.write_bytes(content[: chance.randrange(last, len(content))])
            return True
    return False


def state(out: Path) -> State:
    """Read the results folder."""
    raw = [file.read_bytes() for file in sorted(out.glob("raw/*/*/*.jsonl"))]
    lines = tuple(line for content in raw for line in content.split(b"\n")[:-1])
    table: list[list[str]] = []
    if (out / "comparison.csv").exists():
        with (out / "comparison.csv").open(newline="", encoding="utf-8") as stream:
            table = list(csv.reader(stream))
    kept = [index for index, name in enumerate(table[0]) if not changing(name)] if table else []
    return State(
        lines,
        Counter(line["key"] for line in map(parsed, lines) if line["kind"] == "measurement" and line["status"] == "ok"),
        frozenset(file.relative_to(out).as_posix() for file in out.rglob("*")),
        tuple(tuple(row[index] for index in kept) for row in table),
    )


def parsed(line: bytes) -> dict[str, Any]:
    """A raw line; every one that ends must be whole."""
    value: dict[str, Any] = json.loads(line)
    return value


def changing(column: str) -> bool:
    """Whether a column of the comparison differs between two undisturbed runs."""
    return column.endswith(_CHANGING) or any(part in column for part in _CHANGING_INSIDE)


def broken_tables(out: Path) -> list[str]:
    """CSV files that are not whole."""
    found = []
    for name in ("trials.csv", "comparison.csv"):
        file = out / name
        if file.exists():
            content = file.read_text(encoding="utf-8")
            rows = list(csv.reader(content.splitlines()))
            if not content.endswith("\n") or len({len(row) for row in rows}) != 1:
                found.append(f"{name} is torn")
    return found


def differences(before: State, again: State, expected: State) -> list[str]:
    """What the rerun left otherwise than it should be."""
    found = []
    if again.lines[: len(before.lines)] != before.lines:
        found.append("lines that were there are no longer there as they were")
    for key, count in (again.measured - expected.measured).items():
        found.append(f"{count} measurements too many of {key}")
    for key in expected.measured - again.measured:
        found.append(f"no measurement of {key}")
    found += [f"left: {name}" for name in sorted(again.files - expected.files)]
    found += [f"missing: {name}" for name in sorted(expected.files - again.files)]
    if again.comparison != expected.comparison:
        found.append(f"another comparison: {again.comparison} and not {expected.comparison}")
    return found


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
