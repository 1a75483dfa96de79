#!/usr/bin/env python3
"""Kill a whole run at random moments, run the same command again, and look for what was lost.

    PYTHONPATH=src python tasks/kill.py [--kills 200] [--seed 1]

Each kill starts a benchmark of made-up builds (tests/support/made_up: real processes, no registration) and the merge on
an empty results folder, and ends them by SIGKILL at a moment between start and end: every other time the process alone,
else with all its children at once. Every fourth time the last line is cut too, as a power cut can do. Then no process
may be left, and the same command must complete: with every line that was there before, each block whole once, whole
tables, no file more or less than after an undisturbed run, and the same comparison but for what a clock decides.
Status 1 where anything is amiss.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
from repro.model import BlockLine, Line, Measurement, read_line  # noqa: E402

GONE_S = 15.0
"""Processes have to be gone within this after a kill."""
COMPARED = (
    *("comparison", "experiment", "condition", "base", "other"),
    *("blocks", "rounds", "status", "agreement_px", "key"),
)
"""Columns of comparison.csv that no clock decides."""


@dataclass(frozen=True)
class State:
    """A results folder: what must outlive a kill, and what must be as after an undisturbed run."""

    lines: tuple[bytes, ...]
    """The whole lines of its raw files."""
    blocks: Counter[tuple[str, int]]
    """How often each block is whole, by key and number."""
    trials: Counter[tuple[str, int, int, str]]
    """Measurements in whole blocks, by key, block, round and side."""
    files: frozenset[str]
    table: tuple[tuple[str, ...], ...]
    torn_tables: tuple[str, ...]


def main() -> int:
    """Kill, run again, compare; print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=6, help="of each of the two conditions of a run")
    parser.add_argument("--run", nargs=2, type=Path, help=argparse.SUPPRESS)  # what is killed
    options = parser.parse_args()
    if options.run:
        out, builds = options.run
        return measure(out, builds, options.blocks)
    if sys.platform == "linux":  # descendants whose own parent has ended come to this process, so none is overlooked
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        return campaign(Path(folder), options.kills, random.Random(options.seed), options.blocks)


def measure(out: Path, builds: Path, blocks: int) -> int:
    """The run: two conditions of so many blocks of two rounds, and the tables."""
    from repro.results.merge import merge
    from support.made_up import build

    summary = build.run(out, build.works(builds, 2, blocks, 2, text="(Seconds 0.02)"))
    merge([out], out)
    return 1 if summary.failed else 0


def campaign(folder: Path, kills: int, chance: random.Random, blocks: int) -> int:
    """All kills; the exit status."""

    def command(out: Path) -> list[str]:
        return [sys.executable, __file__, "--blocks", str(blocks), "--run", str(out), str(folder / "builds")]

    run(command(folder / "first"))  # makes the builds
    start = time.perf_counter()
    run(command(folder / "undisturbed"))
    duration_s = time.perf_counter() - start
    expected = state(folder / "undisturbed")
    found: Counter[str] = Counter()
    number = 0
    while found["kills"] < kills:
        number += 1
        out, after_s = folder / f"kill-{number}", chance.uniform(0, duration_s)
        if not killed(command(out), after_s, whole_tree=number % 2 == 0):
            continue  # it was quicker than the moment
        left = left_running()
        torn = number % 4 == 0 and tear(out, chance)
        before = state(out)
        run(command(out))
        amiss = [f"running: {one}" for one in left] + differences(before, state(out), expected)
        found += Counter(
            kills=1, recovered=not amiss, torn=torn, left=len(left), started=bool(before.lines),
            blocks=before.blocks.total(),
        )  # fmt: skip
        moment = f"{found['kills']}/{kills} killed after {after_s:.2f} of {duration_s:.2f} s"
        print(f"{moment}: {'; '.join(amiss) or 'recovered'}", file=sys.stderr, flush=True)
    print(
        f"{found['recovered']} of {kills} kills recovered, {found['left']} processes left ({found['started']} kills "
        f"after the first line, with {found['blocks']} whole blocks; {found['torn']} last lines torn)"
    )
    return 0 if found["recovered"] == kills else 1


def run(command: list[str]) -> None:
    """Run the command to its end."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"the run ended with status {done.returncode}:\n{done.stderr}")


def killed(command: list[str], after_s: float, *, whole_tree: bool) -> bool:
    """Start the command and kill it; False where it had ended before."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
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
        left = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.status() == psutil.STATUS_ZOMBIE:
                    child.wait(0)
                else:
                    left.append(" ".join(child.cmdline()))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def tear(out: Path, chance: random.Random) -> bool:
    """Cut a part of the last line of a raw file, as a power cut can do."""
    for file in out.glob("raw/*/*/*.jsonl"):
        if content := file.read_bytes():
            last = content.rstrip(b"\n").rfind(b"\n") + 1
            file.write_bytes(content[: chance.randrange(last, len(content))])
            return True
    return False


def state(out: Path) -> State:
    """Read the results folder; every raw line that ends must be whole."""
    raw = [file.read_bytes() for file in sorted(out.glob("raw/*/*/*.jsonl"))]
    lines = tuple(line for content in raw for line in content.split(b"\n")[:-1])
    read: list[Line] = [read_line(line) for line in lines]
    ended = [one for one in read if isinstance(one, BlockLine)]
    lives = {(one.life, one.key, one.block) for one in ended}
    trials = [one for one in read if isinstance(one, Measurement) and (one.life, one.key, one.block) in lives]
    table: list[dict[str, str]] = []
    torn = []
    for name in ("trials.csv", "comparison.csv"):
        text = (out / name).read_text(encoding="utf-8") if (out / name).exists() else ""
        table = list(csv.DictReader(text.splitlines()))
        if text and (not text.endswith("\n") or any(None in row or None in row.values() for row in table)):
            torn.append(name)
    return State(
        lines,
        Counter((one.key, one.block) for one in ended),
        Counter((one.key, one.block, one.round, one.side) for one in trials),
        frozenset(file.relative_to(out).as_posix() for file in out.rglob("*")),
        tuple(tuple(row.get(name, "") for name in COMPARED) for row in table),
        tuple(torn),
    )


def differences(before: State, again: State, expected: State) -> list[str]:
    """What the rerun left otherwise than it should be."""
    found = [f"{name} was torn by the kill" for name in before.torn_tables]
    if again.lines[: len(before.lines)] != before.lines:
        found.append("lines that were there are no longer there as they were")
    for what in ("blocks", "trials"):
        mine, wanted = getattr(again, what), getattr(expected, what)
        found += [f"{count} too many of {what} {key}" for key, count in (mine - wanted).items()]
        found += [f"no {what} {key}" for key in wanted - mine]
    found += [f"left: {name}" for name in sorted(again.files - expected.files)]
    found += [f"missing: {name}" for name in sorted(expected.files - again.files)]
    if again.table != expected.table:
        found.append(f"another comparison: {again.table} and not {expected.table}")
    return found


if __name__ == "__main__":
    sys.exit(main())
