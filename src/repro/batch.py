"""Batches: several registrations side by side as one trial, by executables or by a strategy of one Python program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from repro import tree
from repro.arms import EFFECTIVE, ApiArm, CliArm, Facts, result_facts
from repro.children import Launcher
from repro.installed import Installed
from repro.model import Trial
from repro.prepare import Prepared

HOST = Path(__file__).with_name("batchworker.py")


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
        free: SimpleQueue[Launcher] = SimpleQueue()
        for launcher in self._launchers:
            free.put(launcher)

        def one(number: int) -> tuple[Any, float]:
            launcher = free.get()
            try:
                return launcher.run(commands[number]), time.perf_counter() - begin
            finally:
                free.put(launcher)

        def roots() -> list[int]:
            return [launcher.pid for launcher in self._launchers if launcher.pid is not None]

        with ThreadPoolExecutor(len(self._launchers)) as pool, _memory(trial, roots) as memory:
            begin = time.perf_counter()
            ended = list(pool.map(one, range(len(folders))))
            wall_s = time.perf_counter() - begin
        used = [self.facts(outcome, each) for (outcome, _), each in zip(ended, folders, strict=True)]
        sums = {name: _sum(facts[name] for facts in used) for name in _SUMMED}
        return {
            **used[0],
            **sums,
            "wall_s": wall_s,
            "jobs_s": tuple(facts["wall_s"] for facts in used),
            "first_s": min(end for _, end in ended),
            "peak_bytes": _largest(facts["peak_bytes"] for facts in used),
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
            "peak_bytes": _largest(one.get("peak_bytes") for one in answers),
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


_SUMMED = ("user_s", "system_s", "voluntary_switches", "involuntary_switches")


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
    found = [result_facts(folder) for folder in folders]
    different = len({facts["result_digest"] for facts in found})
    return {**found[0], **({"note": f"{different} different results in a batch"} if different > 1 else {})}


def _sum(values: Any) -> Any:
    known = list(values)
    return None if None in known else sum(known)


def _largest(values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)
