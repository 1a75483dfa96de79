#!/usr/bin/env python3
"""When is the first result there, and the n-th? Asked of any builds: executables, interpreters, a worker, the pool.

    PYTHONPATH=src python studies/first_result.py api:0.25.4 cli:5.3.1 [--results 20] [--rounds 3] [--jobs 2]

From nothing to the n-th result of the small B-spline file. Strategies: executables, one after another or as many at a
time as jobs; an interpreter for each result, loaded as posted (two are run, the rest is extrapolated); one worker that
stays, loaded as posted; recipe/elastix_pool.py with one worker, and with one a job. The strategies of all builds take
turns in each round. docs/loading.md quotes it.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

HERE = Path(__file__).resolve()
INTERPRETERS = 2


def main() -> None:
    """Print a row a strategy."""
    import setting

    parser = setting.arguments(__doc__)
    parser.add_argument("more", nargs="*", metavar="build", help="more builds")
    parser.add_argument("--results", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="side by side, in the strategies that have several")
    parser.add_argument(
        "--threads", type=int, default=2, help="of strategies that run one at a time; the others have 1"
    )
    parser.add_argument("--params", default="small-bspline")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    builds = [setting.build_of(name, "api", "cli", "sitk") for name in (options.build, *options.more)]
    draw = random.Random(options.seed)
    with setting.working_folder() as folder:
        file = setting.parameter_file(options.params, folder)
        strategies = {key: run for build in builds for key, run in strategies_of(build, file, folder, options).items()}
        found: dict[tuple[str, str], list[list[float]]] = {key: [] for key in strategies}
        for _ in range(options.rounds):
            for key in draw.sample(list(strategies), len(strategies)):
                found[key].append(sorted(strategies[key]()))
    last = options.results
    setting.print_header("build", "strategy", "first (s)", f"{last}th (s)", "each further one (s)")
    for (build_name, strategy), runs in found.items():
        measured = min(map(len, runs))
        further = [(run[-1] - run[0]) / max(1, measured - 1) for run in runs]
        ends = [run[-1] + (last - measured) * more for run, more in zip(runs, further, strict=True)]
        said = setting.spread(ends) + (f", extrapolated from {measured}" if measured < last else "")
        further_s = f"{statistics.median(further):.3g}" if measured > 1 else ""
        setting.print_row(build_name, strategy, setting.spread([run[0] for run in runs]), said, further_s)


def strategies_of(
    build: Any, file: Path, folder: Path, options: Any
) -> dict[tuple[str, str], Callable[[], list[float]]]:
    """What can be done with the build: the seconds from the start to each result."""
    name, n = build.name, options.results
    if build.build.path == "cli":
        return {
            (name, "executables, one after another"): lambda: executables(build, file, folder, n, 1, options.threads),
            (name, f"executables, {options.jobs} at a time"): lambda: executables(
                build, file, folder, n, options.jobs, 1
            ),
        }
    found: dict[tuple[str, str], Callable[[], list[float]]] = {
        (name, "an interpreter for each"): lambda: interpreters(
            build, file, folder, min(INTERPRETERS, n), options.threads
        ),
        (name, "one worker"): lambda: worker(build, file, folder, n, options.threads),
    }
    if build.build.path == "api":
        found |= {
            (name, "the pool, one worker"): lambda: pool(build, file, folder, n, 1, options.threads),
            (name, f"the pool, {options.jobs} workers"): lambda: pool(build, file, folder, n, options.jobs, 1),
        }
    return found


def executables(build: Any, file: Path, folder: Path, results: int, jobs: int, threads: int) -> list[float]:
    """So many processes of the executable, so many at a time."""
    import setting
    from repro.system.children import Launcher

    with ExitStack() as stack, ThreadPoolExecutor(jobs) as waiting:
        idle: SimpleQueue[Launcher] = SimpleQueue()
        for _ in range(jobs):
            idle.put(stack.enter_context(Launcher()))
        begin = time.perf_counter()

        def one(number: int) -> float:
            launcher = idle.get()
            setting.run_executable(launcher, build, file, folder / f"out-{number % jobs}-{number}", threads)
            idle.put(launcher)
            return time.perf_counter() - begin

        return list(waiting.map(one, range(results)))


def worker(build: Any, file: Path, folder: Path, results: int, threads: int) -> list[float]:
    """One worker, loaded as posted."""
    import setting

    begin, seconds = time.perf_counter(), []
    with setting.Worker(build, folder, by="posted") as one:
        for _ in range(results):
            one.register(file, folder / "out", threads)
            seconds.append(time.perf_counter() - begin)
    return seconds


def interpreters(build: Any, file: Path, folder: Path, results: int, threads: int) -> list[float]:
    """A worker for each result."""
    begin, seconds = time.perf_counter(), []
    for _ in range(results):
        worker(build, file, folder, 1, threads)
        seconds.append(time.perf_counter() - begin)
    return seconds


def pool(build: Any, file: Path, folder: Path, results: int, workers: int, threads: int) -> list[float]:
    """The pool, in a fresh interpreter."""
    import setting

    begin = repr(time.time())
    program = [str(build.interpreter()), "-I", "-S", "-B", str(HERE), "--child", str(build.site_packages)]
    given = (setting.FIXED, setting.MOVING, file, folder, results, workers, threads, begin)
    seconds: list[float] = setting.answer_of([*program, *map(str, given)], folder)
    return seconds


def child(
    site_packages: str,
    fixed: str,
    moving: str,
    file: str,
    folder: str,
    results: str,
    workers: str,
    threads: str,
    begin: str,
) -> None:
    """A program that has the pool: standard library and itk alone."""
    sys.path[:0] = [site_packages, str(HERE.parents[1] / "recipe")]
    from elastix_pool import ElastixPool

    with ElastixPool(int(workers), int(threads)) as pool:
        jobs = [pool.submit(fixed, moving, file, output_directory=f"{folder}/pool-{n}") for n in range(int(results))]
        print(json.dumps([time.time() - float(begin) for job in as_completed(jobs) if job.result()]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
