#!/usr/bin/env python3
"""The recipe against the executable: one job, many jobs, agreement, start and memory.

    PYTHONPATH=src python tasks/bench_recipe.py [--rounds 10] [--jobs 8] [--workers 2] [--json FILE]

In each round every way runs once, in random order, warm and with output folders of its own; the
executables run as many at a time as there are workers. Ratios are of the same round: their median,
with its 95% interval from 10 rounds on and the range below. Before speed, the coefficients of both
are compared at equal threads. Run it with a Python that the pair's wheels are for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil

from repro import config, images, installed, interpreter, layout, recipe, transforms
from repro.errors import ReproError
from repro.interval import MIN_ROUNDS, interval

Runs = dict[str, list[float]]

IN_ONE_PROCESS = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
sys.path[:] = json.loads(sys.argv[1])
from repro import recipe
recipe._load()
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    for line in sys.stdin:
        jobs = json.loads(line)
        begin = time.perf_counter()
        list(pool.map(lambda job: recipe._register(*job, 1), jobs))
        print(time.perf_counter() - begin, flush=True)
"""


class Bench:
    """The job, and the ways to do it; each returns seconds."""

    def __init__(self, pair: installed.Installed, parameters: Path, fixed: Path, moving: Path, scratch: Path) -> None:
        self.pair, self.parameters, self.fixed, self.moving, self.scratch = pair, parameters, fixed, moving, scratch
        self.made = 0

    def folder(self) -> Path:
        """A new output folder."""
        self.made += 1
        folder = self.scratch / str(self.made)
        folder.mkdir()
        return folder

    def executable(self, threads: int, folder: Path) -> None:
        """One run of the executable."""
        files = ["-f", self.fixed, "-m", self.moving, "-p", self.parameters, "-out", folder, "-threads", threads]
        command = [*self.pair.elastix_command, *map(str, files)]
        environment = {**os.environ, **self.pair.elastix_env}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def executables(self, jobs: int, at_once: int, threads: int) -> float:
        """As many runs of the executable, so many at a time."""
        folders = [self.folder() for _ in range(jobs)]
        with ThreadPoolExecutor(at_once) as pool:
            begin = time.perf_counter()
            list(pool.map(lambda folder: self.executable(threads, folder), folders))
            return time.perf_counter() - begin

    def pooled(self, pool: recipe.ElastixPool, jobs: int) -> float:
        """As many jobs through the pool."""
        folders = [self.folder() for _ in range(jobs)]
        begin = time.perf_counter()
        futures = [pool.submit(self.fixed, self.moving, [self.parameters], output_directory=each) for each in folders]
        for future in futures:
            future.result()
        return time.perf_counter() - begin

    def threaded(self, process: subprocess.Popen[str], jobs: int) -> float:
        """As many jobs in threads of one Python process."""
        assert process.stdin is not None
        assert process.stdout is not None
        one = [[str(self.fixed), str(self.moving)], [str(self.parameters)]]
        process.stdin.write(json.dumps([[*one, str(self.folder())] for _ in range(jobs)]) + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    def process(self, threads: int) -> subprocess.Popen[str]:
        """A warm Python process for ``threaded``, set up as the recipe's workers are."""
        variables = {"ITK_GLOBAL_DEFAULT_THREADER": "Pool", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-P", "-c", IN_ONE_PROCESS, json.dumps(sys.path), str(threads)],
            env={**os.environ, **variables, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def agreement(self, pool: recipe.ElastixPool, threads: int) -> str:
        """How far the two paths' transforms are apart, over the fixed image and in the coefficients."""
        ours, theirs = self.folder(), self.folder()
        maps = pool.submit(self.fixed, self.moving, [self.parameters], output_directory=ours).result()
        self.executable(threads, theirs)
        chains = [transforms.read_chain(sorted(each.glob("TransformParameters.*.txt"))) for each in (theirs, ours)]
        text = (theirs / f"TransformParameters.{len(maps) - 1}.txt").read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("(TransformParameters "))
        pairs = zip(maps[-1]["TransformParameters"], line.strip("()").split()[1:], strict=True)
        apart = max(abs(float(a) - float(b)) for a, b in pairs)
        return f"{transforms.difference_px(*chains)[1]:.1e} px, coefficients {apart:.1e}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pair", default="0.25.4-5.3.1")
    parser.add_argument("--rounds", type=int, default=MIN_ROUNDS)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--workers", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--params", type=Path, default=layout.PARAMETER_FILES / "posted-bspline.txt")
    parser.add_argument("--images", default="posted", help="an image set of data/images.toml")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every round's seconds to this file")
    options = parser.parse_args()
    try:
        pair = installed.load(config.load_pairs()[options.pair])
        sys.executable = interpreter.pair_interpreter(pair)
        used = images.image_set(options.images, offline=True, say=print)
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    sys.path.insert(0, str(pair.site_packages))  # the pools' workers search where this process does
    print(f"pair {options.pair}, {options.params.name}, {used.fixed.name} and {used.moving.name}, {used.note}")
    print(f"Python {sys.version.split()[0]}, {options.workers} workers, load {psutil.getloadavg()}")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(pair, options.params, used.fixed, used.moving, Path(scratch))
        starts(options.workers)
        runs = measure(bench, options)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    return 0


def measure(bench: Bench, options: argparse.Namespace) -> Runs:
    """The rounds of every way, and their report."""
    jobs, workers = options.jobs, options.workers
    with ExitStack() as stack:
        one, single, many = (
            stack.enter_context(recipe.ElastixPool(*size)) for size in ((1, workers), (1, 1), (workers, 1))
        )
        process = stack.enter_context(bench.process(workers))
        for name, pool, threads in ((f"{workers} threads", one, workers), ("1 thread", single, 1)):
            print(f"agreement with the executable, {name}: {bench.agreement(pool, threads)}")
        cli, cli_1, batch = (
            f"executable, {workers} threads",
            "executable, 1 thread",
            f"{jobs} executables, {workers} at a time",
        )
        ways: dict[str, Callable[[], float]] = {
            cli: lambda: bench.executables(1, 1, workers),
            f"recipe, 1 worker x {workers} threads": lambda: bench.pooled(one, 1),
            cli_1: lambda: bench.executables(1, 1, 1),
            "recipe, 1 worker x 1 thread": lambda: bench.pooled(single, 1),
            batch: lambda: bench.executables(jobs, workers, 1),
            f"{jobs} jobs, recipe, {workers} workers x 1 thread": lambda: bench.pooled(many, jobs),
            f"{jobs} jobs, {workers} threads in one process": lambda: bench.threaded(process, jobs),
        }
        for way in ways.values():  # warm-up
            way()
        runs: Runs = {name: [] for name in ways}
        order = random.Random(options.seed)
        for number in range(options.rounds):
            for name in order.sample(list(ways), len(ways)):
                runs[name].append(ways[name]())
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    names = list(ways)
    against = {name: names[0] if n < 2 else names[2] if n < 4 else names[4] for n, name in enumerate(names)}
    report(runs, against)
    return runs


def report(runs: Mapping[str, Sequence[float]], against: Mapping[str, str]) -> None:
    """The table: median and range of the seconds; ratio to the executable, with its interval."""
    width = max(map(len, runs))
    print(f"{'way':<{width}}  seconds (range)         ratio to the executable")
    for name, seconds in runs.items():
        line = f"{name:<{width}}  {statistics.median(seconds):6.2f} ({min(seconds):.2f} - {max(seconds):.2f})"
        if name != against[name]:
            logs = [math.log(a / b) for a, b in zip(seconds, runs[against[name]], strict=True)]
            low, high = (math.exp(end) for end in interval(logs))
            kind = "95% interval" if len(logs) >= MIN_ROUNDS else "range"
            line = f"{line:<{width + 26}}{math.exp(statistics.median(logs)):.3f} ({kind} {low:.3f} - {high:.3f})"
        print(line)


def starts(workers: int) -> None:
    """How long a pool takes to start and to replace a worker, and the memory of its processes, both ways."""
    for count in (workers, 4 * workers):
        for fork in (True, False) if sys.platform == "linux" else (False,):
            begin = time.perf_counter()
            with recipe.ElastixPool(count, fork=fork) as pool:
                for worker in pool._workers:
                    worker._ask({})
                ready = time.perf_counter() - begin
                tree = psutil.Process().children(recursive=True)
                memory = sum(getattr(one.memory_full_info(), "pss", one.memory_info().rss) for one in tree) / 2**20
                pool._workers[0].kill()
                begin = time.perf_counter()
                pool._workers[0]._send, pool._workers[0]._answers, pool._workers[0]._cut = pool._launch()
                pool._workers[0]._ask({})
                replaced = time.perf_counter() - begin
            way = "forked" if fork else "spawned"
            print(
                f"{count} workers {way}: ready in {ready:.2f} s, one more in {replaced:.3f} s, {memory:.0f} MiB in all"
            )


if __name__ == "__main__":
    sys.exit(main())
