"""Batches: several registrations side by side as one trial, by executables or by a strategy of one Python program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from repro.builds.installed import Installed
from repro.elastix import resultfolder
from repro.measure.arms import EFFECTIVE, ApiArm, CliArm, Facts
from repro.model import Trial
from repro.plan.prepare import Prepared
from repro.system import tree
from repro.system.children import Launcher

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

HOST = Path(__file__).with_name("batchworker.py")


def side_by_side(workers: Sequence[T], jobs: Sequence[U], run: Callable[[T, U], V]) -> tuple[list[V], list[float]]:
    """Have the jobs run in their order, each by a worker that is free.

    What came of them, and the seconds from the first start to each one's end. Raises what ``run`` raises.
    """
    free: SimpleQueue[T] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def one(job: U) -> tuple[V, float]:
        worker = free.get()
        try:
            return run(worker, job), time.perf_counter() - begin
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        begin = time.perf_counter()
        done = list(pool.map(one, jobs))
    return [result for result, _ in done], [end_s for _, end_s in done]


class BatchCliArm(CliArm):
    """A fresh process of the executable for each registration, so many at a time as the condition has jobs."""

    def __init__(self, installed: Installed, prepared: Prepared, launcher: Launcher, *more: Any) -> None:
        super().__init__(installed, prepared, launcher, *more)
        self._launchers = [Launcher() for _ in range(prepared.jobs)]

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One batch, timed from before its first start to the end of its last process."""
        if trial.phase == "start":
            return super().run(trial, folder)
        folders = _folders(folder, self._prepared.registrations)
        commands = [self.command(each) for each in folders]

        def roots() -> list[int]:
            return [launcher.pid for launcher in self._launchers if launcher.pid is not None]

        with _memory(trial, roots) as memory:
            outcomes, ended_s = side_by_side(self._launchers, commands, Launcher.run)
        used = [self.facts(outcome, each) for outcome, each in zip(outcomes, folders, strict=True)]
        sums = {name: _sum(facts[name] for facts in used) for name in USED_BY_ONE}
        return {
            **used[0],
            **sums,
            "wall_s": max(ended_s),
            "jobs_s": tuple(facts["wall_s"] for facts in used),
            "first_s": min(ended_s),
            "peak_bytes": largest(facts["peak_bytes"] for facts in used),
            **memory,
            **_results(folders),
        }

    def close(self) -> None:
        """End the small processes that start the executables."""
        for launcher in self._launchers:
            launcher.close()


class BatchApiArm(ApiArm):
    """A Python program with the pair's wheels that runs a batch by the condition's strategy, warm from the second on.

    The first trial carries the seconds until all its processes have loaded.
    """

    program = HOST

    def _register(self, trial: Trial, folder: Path) -> Facts:
        """One batch, timed in the program from its first submission to its last result."""
        assert self._child is not None
        root, folders = self._child.pid, _folders(folder, self._prepared.registrations)
        jobs = [self._job(each) for each in folders]
        before = tree.cpu_s(root)
        with _memory(trial, lambda: [root]) as memory:
            answer = self._ask({"op": "batch", "jobs": jobs})
        user_s, system_s = tree.used_s(before, tree.cpu_s(root))
        answers = answer["answers"]
        return {
            "wall_s": answer["wall_s"],
            "jobs_s": tuple(one["end_s"] - one["begin_s"] for one in answers),
            "first_s": min(one["end_s"] for one in answers),
            "user_s": user_s,
            "system_s": system_s,
            "peak_bytes": largest(one.get("peak_bytes") for one in answers),
            **{name: answers[0].get(name) for name in EFFECTIVE},
            **memory,
            **_results(folders),
        }

    def _start(self) -> dict[str, Any]:
        # The parts of loading overlap in the processes: only their whole is a time.
        return {"load_s": super()._start()["load_s"]}

    def _loading(self) -> dict[str, Any]:
        condition = self._prepared.condition
        return {
            **super()._loading(),
            "strategy": condition.strategy,
            "jobs": self._prepared.jobs,
            "threads": self._prepared.threads("api"),
            "threader": condition.api.threader,
        }


USED_BY_ONE = ("user_s", "system_s", "voluntary_switches", "involuntary_switches")
"""What a process has used: its own, and so added up over a batch or left out."""


def _folders(folder: Path, registrations: int) -> list[Path]:
    """An output folder for each registration; the first is the trial's own, whose result is kept."""
    folders = [folder, *(folder / f"registration-{number}" for number in range(2, registrations + 1))]
    for each in folders:
        each.mkdir(exist_ok=True)
    return folders


@contextmanager
def _memory(trial: Trial, roots: Any) -> Iterator[dict[str, Any]]:
    """The memory of the trees, sampled in the warm-up alone."""
    found: dict[str, Any] = {}
    if trial.phase != "warmup":
        yield found
        return
    with tree.Sampled(roots) as sampled:
        yield found
    found["tree_peak_bytes"] = sampled.peak_bytes


def _results(folders: Sequence[Path]) -> dict[str, Any]:
    """What the first registration left, and a note where another found something else."""
    found = [resultfolder.facts(folder) for folder in folders]
    different = len({facts["result_digest"] for facts in found})
    return {**found[0], **({"note": f"{different} different results in a batch"} if different > 1 else {})}


def _sum(values: Any) -> Any:
    known = list(values)
    return None if None in known else sum(known)


def largest(values: Iterable[int | None]) -> int | None:
    """The largest of those that are known."""
    return max((value for value in values if value is not None), default=None)
