#!/usr/bin/env python3
"""Whether a long run stays as it began: memory, file handles and pace over very many trials.

PYTHONPATH=src python tasks/bench_long.py [--trials 1000]        the parent, with a made-up pair
PYTHONPATH=src python tasks/bench_long.py --real 60              a real worker: small registrations for so many minutes
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import madeuprun
from repro import layout
from repro.builds import config, installed
from repro.builds.interpreter import pair_interpreter
from repro.errors import ReproError
from repro.measure import session
from repro.measure.arms import ApiArm, Limits
from repro.measure.bench import Stop
from repro.measure.measurement import Measurement
from repro.model import Trial
from repro.plan.experiments import load_experiments
from repro.plan.prepare import custom_images, prepare
from repro.system import machine

PAIR = "0.25.4-5.3.1"
PART = 100
"""Trials at the start and at the end that are compared."""
MIB = 2**20
TENTHS = 10


@dataclass
class Watch:
    """Bench's listener: looks at its own process after every trial."""

    ended_s: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)

    def expect(self, trials: int) -> None:
        """Nothing to show."""

    def say(self, text: str) -> None:
        """Pass it on."""
        print(text, file=sys.stderr)

    def finished(self, measurement: Measurement, busy_s: float) -> None:
        """Look."""
        del busy_s
        process = psutil.Process()
        self.statuses.add(measurement.status)
        self.resident_bytes.append(process.memory_info().rss)
        self.handles.append((process.num_handles if hasattr(process, "num_handles") else process.num_fds)())
        self.threads.append(process.num_threads())
        self.ended_s.append(time.perf_counter())

    def pace_s(self) -> list[float]:
        """Seconds from the end of each trial to that of the next."""
        return [after - before for before, after in zip(self.ended_s, self.ended_s[1:], strict=False)]


def main(arguments: Sequence[str]) -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--real", type=float, metavar="MINUTES", help="registrations by a real worker instead")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="long-") as folder:
        try:
            lines = real(Path(folder), options.real) if options.real else report(made_up(Path(folder), options.trials))
        except ReproError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_status
    print("\n".join(lines))
    return 0


def made_up(out: Path, trials: int) -> Watch:
    """Run so many measured trials in this process, as `bench` does."""
    watch = Watch()
    chosen = madeuprun.experiment(1, trials // 2)
    options = session.Options(pairs=[madeuprun.PAIR], experiments=[chosen], out=out, precision=0)
    session.run(options, madeuprun.ready(chosen, "0"), watch, Stop())
    return watch


def report(watch: Watch) -> list[str]:
    """The figures in words."""
    pace_s = watch.pace_s()
    first, last = (statistics.median(part) * 1000 for part in (pace_s[:PART], pace_s[-PART:]))
    begin = min(PART, len(watch.handles)) - 1
    after, grown = watch.resident_bytes[begin], watch.resident_bytes[-1] - watch.resident_bytes[begin]
    return [
        f"{len(watch.handles)} trials, all {' or '.join(sorted(watch.statuses))}",
        f"resident memory of the parent: {after / MIB:.1f} MiB after {PART}, {grown / MIB:+.2f} MiB at the end",
        f"open handles: {watch.handles[begin]} after {PART}, {watch.handles[-1]} at the end",
        f"threads: {watch.threads[begin]} after {PART}, {watch.threads[-1]} at the end",
        f"a trial, in all: median {first:.1f} ms over the first {PART}, {last:.1f} ms over the last {PART}",
    ]


def real(folder: Path, minutes: float) -> list[str]:
    """The worker's resident memory over small registrations. Raises ReproError where it cannot run."""
    parts = installed.load(config.load_pairs()[PAIR])
    images = custom_images(layout.DATA / "synthetic" / "fixed.tif", layout.DATA / "synthetic" / "moving.tif")
    small = load_experiments()["smoke"].conditions[0]
    ready = prepare(small, images, machine.physical_cores())
    arm = ApiArm(parts, ready, folder / "worker.log", Limits(), pair_interpreter(parts))
    resident: list[int] = []
    tenths: list[int] = []
    """Registrations done when each tenth of the time was over."""
    start = time.perf_counter()
    try:
        while len(tenths) < TENTHS:
            output = folder / "out"
            output.mkdir()
            facts = arm.run(Trial(PAIR, "smoke", small.name, 1, "api", "measure", len(resident) + 1, 0), output)
            shutil.rmtree(output)
            resident.append(arm.resident_bytes() or 0)
            if "note" in facts:
                print(f"registration {len(resident)}: {facts['note']}", file=sys.stderr)
            if time.perf_counter() - start >= (len(tenths) + 1) * minutes * 60 / TENTHS:
                tenths.append(len(resident))
    finally:
        arm.close()
    return [
        f"{len(resident)} registrations by one worker of {PAIR} in {time.perf_counter() - start:.0f} s",
        *(
            f"after {step}: {resident[step - 1] / MIB:.1f} MiB resident"
            for step in sorted({1, 10, *tenths})
            if step <= len(resident)
        ),
        f"most: {max(resident) / MIB:.1f} MiB",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
