"""The arms of a condition as things that run a trial: the executable, and a worker with the wheels of a build.

All get the same images, the same parameter files, the same environment but for what the condition sets, and an output
folder on the same disk. Batch conditions have arms of their own, further below.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from repro.builds.installed import InstalledBuild
from repro.elastix import output, parameters
from repro.errors import TrialError
from repro.model import BatchCondition, Side, Trial
from repro.plan.images import EXTRAS
from repro.plan.prepare import Prepared
from repro.system import load
from repro.system.children import Command, Launcher, LineChild, Outcome, tail_of
from repro.system.environment import child_environment, itk_environment

WORKER = Path(__file__).with_name("worker.py")
HOST = Path(__file__).with_name("batch_host.py")
PADDING = "REPRO_PADDING"
"""Variable that holds nothing but length."""
_EFFECTIVE = ("threader", "default_threads", "maximum_threads", "work_units")
"""What a worker says of the threads that ITK really uses."""
_USED = ("user_s", "system_s", "voluntary_switches", "involuntary_switches")
"""What a process has used: its own, and so added up over a batch or left out."""

Facts = Mapping[str, Any]
"""Fields of a Measurement that a trial has found out."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may take before it is stopped."""

    timeout_s: float = 600.0
    memory_bytes: int | None = None
    """Writable memory of each process of a trial, where the platform can bound it."""
    growth_bytes: int = 512 << 20
    """A worker whose resident memory has grown by more since its first registration is ended.
    docs/reliability.md has what real workers grow by: far less."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the children of a block work."""

    work: Path
    """Their working folder. They are told all other folders relative to it: see worker.py."""
    log: Path
    """Gets what a worker writes to stderr."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of this block alone."""

    def near(self, file: Path) -> str:
        """The file as a child of the working folder can name it: without the user's folders, where that is possible."""
        if file.is_relative_to(self.work):
            return file.relative_to(self.work).as_posix()
        if not str(file).isascii():
            with contextlib.suppress(ValueError):  # Windows: on another drive
                return os.path.relpath(file, self.work)
        return str(file)


def make_arm(installed: InstalledBuild, prepared: Prepared, side: Side, place: Place, limits: Limits) -> Arm:
    """The arm of this side: a build's path and the condition's kind decide which."""
    batch = isinstance(prepared.condition, BatchCondition)
    kinds: tuple[type[Arm], type[Arm]] = (BatchCliArm, BatchHostArm) if batch else (CliArm, WorkerArm)
    kind = kinds[0] if installed.build.path == "cli" else kinds[1]
    return kind(installed, prepared, side, place, limits)


class Arm:
    """One arm of a condition, ready to run trials."""

    def __init__(self, installed: InstalledBuild, prepared: Prepared, side: Side, place: Place, limits: Limits) -> None:
        self._installed = installed
        self._prepared = prepared
        self._settings = prepared.condition.arm(side).settings
        self._place = place
        self._limits = limits
        self._threads = prepared.threads(side)
        self.usable = True
        """False once a trial has left it in a state in which it measures nothing."""
        self._environment = child_environment(
            {
                **itk_environment(prepared.condition.machine_threads, self._settings.threader),
                **installed.environment,
                **place.environment,
            }
        )

    def run(self, trial: Trial, folder: Path) -> Facts:
        """Run one trial in an empty folder of its own. Raises TrialError where it fails."""
        raise NotImplementedError

    def close(self) -> None:
        """End whatever the arm keeps running."""

    def _parameter_files(self, folder: Path) -> list[str]:
        return [self._place.near(file) for file in self._prepared.write_parameters(folder / "parameters")]


class CliArm(Arm):
    """A fresh process of the executable for each trial, timed from start to exit as in the post."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self._launchers = [Launcher() for _ in range(self._prepared.jobs)]

    def run(self, trial: Trial, folder: Path) -> Facts:  # noqa: ARG002 - a batch asks for the phase
        """One run of the executable."""
        return {**self._facts(self._launchers[0].run(self._command(folder)), folder), **output.facts(folder)}

    def _command(self, folder: Path) -> Command:
        """What registers into the folder."""
        images = self._prepared.images
        files = {"-f": images.fixed, "-m": images.moving, "-out": folder}
        files |= {EXTRAS[name]: file for name, file in images.extras.items()}
        arguments = [word for option, file in files.items() for word in (option, self._place.near(file))]
        for name in self._parameter_files(folder):
            arguments += ["-p", name]
        if self._threads is not None:
            arguments += ["-threads", str(self._threads)]
        return Command(
            argv=(*self._installed.command, *arguments),
            env=self._environment,
            cwd=self._place.work,
            stdout=folder / "stdout.txt",
            stderr=folder / "stderr.txt",
            timeout_s=self._limits.timeout_s,
            memory_limit_bytes=self._limits.memory_bytes,
        )

    def _facts(self, outcome: Outcome, folder: Path) -> dict[str, Any]:
        """What the process used. Raises TrialError where it failed."""
        facts = {
            "wall_s": outcome.wall_s,
            "exit_status": outcome.exit_status,
            "peak_bytes": outcome.peak_bytes,
            **{name: getattr(outcome, name) for name in _USED},
            "threads": self._threads,
        }
        if outcome.exit_status != 0 or outcome.timed_out:
            tails = (tail_of(folder / name) for name in ("elastix.log", "stdout.txt", "stderr.txt"))
            said = "\n".join(filter(None, tails))
            words = ": ".join(filter(None, (f"the executable {outcome.how}", output.errors(folder))))
            words += f"; it last said:\n{said}"
            raise TrialError(words, timed_out=outcome.timed_out, facts=facts)
        return facts

    def close(self) -> None:
        """End the small processes that start the executables."""
        for launcher in self._launchers:
            launcher.close()


class WorkerArm(Arm):
    """A worker with the wheels of a build. Its first trial starts it, and carries the seconds of loading.

    After a trial that failed, or once its memory has grown too much, it is of no use any more.
    """

    program = WORKER

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self._child: LineChild | None = None
        self._said: dict[str, str] = {}
        self._first_bytes: int | None = None
        """Resident memory of the worker after its first registration."""

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One registration in the worker."""
        loading: Facts = {}
        try:
            if self._child is None:
                self._child = start_worker(self._installed, self._environment, self._place, self._limits, self.program)
                loading = self._load(self._child)
            facts = dict(self._register(self._child, trial, folder))
            self._watch_memory(self._child)
        except TrialError as error:
            self.usable = False
            self.close()
            # ITK's message only sends one to the log. The log comes first: of a long message the start is shown.
            said = output.errors(folder)
            words = f"elastix.log: {said}\n{error}" if said else str(error)
            raise TrialError(words, timed_out=error.timed_out, facts=error.facts) from error
        return {**loading, **facts, "said": {**self._said, **facts.get("said", {})}, "threads": self._threads}

    def _load(self, child: LineChild) -> Facts:
        parts = {"interpreter": time.perf_counter() - child.started}
        answer = child.ask({"op": "load", **self._loading()}, self._limits.timeout_s)
        parts |= answer["parts"]
        self._said = answer["said"]
        return {"load_s": sum(parts.values()), "load_parts_s": parts}

    def _loading(self) -> dict[str, Any]:
        """What the worker is told when it is started."""
        return loading(self._installed, self._prepared, self._place)

    def _job(self, folder: Path) -> dict[str, Any]:
        """What the worker is told of a registration into the folder."""
        given = {name: file for name, file in self._prepared.images.extras.items() if not name.endswith("mask")}
        return {
            "parameter_files": self._parameter_files(folder),
            "output": self._place.near(folder),
            "threads": self._threads,
            "threads_by": self._settings.by,
            "given": {name: self._place.near(file) for name, file in given.items()},
        }

    def _register(self, child: LineChild, trial: Trial, folder: Path) -> Facts:  # noqa: ARG002 - a batch asks for the phase
        answer = child.ask({"op": "register", **self._job(folder)}, self._limits.timeout_s)
        return {name: answer[name] for name in ("wall_s", "peak_bytes", *_USED, *_EFFECTIVE)} | output.facts(folder)

    def _watch_memory(self, child: LineChild) -> None:
        now = child.resident_bytes()
        self._first_bytes = self._first_bytes or now
        bound = self._limits.growth_bytes
        if now and self._first_bytes and now - self._first_bytes > bound:
            raise TrialError(
                f"the worker's memory has grown by more than {bound / 2**20:.0f} MiB since its first trial"
            )

    def close(self) -> None:
        """End the worker."""
        if self._child is not None:
            self._child.close()
            self._child = None


def start_worker(
    installed: InstalledBuild, environment: Mapping[str, str], place: Place, limits: Limits, program: Path = WORKER
) -> LineChild:
    """A child in the build's interpreter that has greeted, and sees the standard library and the build's wheels alone.

    It writes no bytecode into the build.
    """
    child = LineChild(
        argv=(str(installed.interpreter()), "-I", "-S", "-B", str(program), str(installed.site_packages)),
        env=environment,
        cwd=place.work,
        stderr_file=place.log,
        memory_limit_bytes=limits.memory_bytes,
    )
    child.read(limits.timeout_s)
    return child


def loading(installed: InstalledBuild, prepared: Prepared, place: Place) -> dict[str, Any]:
    """What a worker is told to load; images are read as the parameter file's internal pixel type."""
    images = prepared.images
    files = {"fixed": images.fixed, "moving": images.moving}
    files |= {name: file for name, file in images.extras.items() if name.endswith("mask")}
    first = parameters.parse(prepared.parameter_texts[0].encode())
    return {
        "path": installed.build.path,
        "by": "modules",
        "images": {name: place.near(file) for name, file in files.items()},
        "pixel": next(iter(first.values.get("FixedInternalImagePixelType", ())), "float"),
    }


# ---- batches: several registrations side by side as one trial -------------------------------------------------


class BatchCliArm(CliArm):
    """A fresh process of the executable for each registration, so many at a time as the condition has jobs."""

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One batch, timed from before its first start to the end of its last process."""
        folders = _folders(folder, self._prepared.registrations)
        commands = [self._command(each) for each in folders]
        with _memory(trial, lambda: [one.pid for one in self._launchers if one.pid is not None]) as memory:
            outcomes, ended_s = _side_by_side(self._launchers, commands)
        used = [self._facts(outcome, each) for outcome, each in zip(outcomes, folders, strict=True)]
        return {
            **used[0],
            **{name: _sum(facts[name] for facts in used) for name in _USED},
            "wall_s": max(ended_s),
            "jobs_s": tuple(facts["wall_s"] for facts in used),
            "first_s": min(ended_s),
            "peak_bytes": _largest(facts["peak_bytes"] for facts in used),
            **memory,
            **_results(folders),
        }


class BatchHostArm(WorkerArm):
    """One Python program with a build's wheels that runs a batch by the condition's strategy; warm from the second on.

    The first trial carries the seconds until all its processes have loaded.
    """

    program = HOST

    def _register(self, child: LineChild, trial: Trial, folder: Path) -> Facts:
        """One batch, timed in the program from its first submission to its last result."""
        folders = _folders(folder, self._prepared.registrations)
        jobs = [self._job(each) for each in folders]
        before = load.tree_cpu_s(child.pid)
        with _memory(trial, lambda: [child.pid]) as memory:
            answer = child.ask({"op": "batch", "jobs": jobs}, self._limits.timeout_s)
        user_s, system_s = load.used_s(before, load.tree_cpu_s(child.pid))
        answers = answer["answers"]
        return {
            "wall_s": answer["wall_s"],
            "jobs_s": tuple(one["end_s"] - one["begin_s"] for one in answers),
            "first_s": min(one["end_s"] for one in answers),
            "user_s": user_s,
            "system_s": system_s,
            "peak_bytes": _largest(one.get("peak_bytes") for one in answers),
            **{name: answers[0].get(name) for name in _EFFECTIVE},
            **memory,
            **_results(folders),
        }

    def _load(self, child: LineChild) -> Facts:
        # The parts of loading overlap in the processes: only their whole is a time.
        return {"load_s": super()._load(child)["load_s"]}

    def _loading(self) -> dict[str, Any]:
        condition = self._prepared.condition
        assert isinstance(condition, BatchCondition)
        return {
            **super()._loading(),
            "strategy": condition.strategy,
            "jobs": self._prepared.jobs,
            "threads": self._threads,
            "threader": self._settings.threader,
        }


def _side_by_side(launchers: Sequence[Launcher], commands: Sequence[Command]) -> tuple[list[Outcome], list[float]]:
    """Run the commands in their order, each by a launcher that is free; seconds from the first start to each end."""
    free: SimpleQueue[Launcher] = SimpleQueue()
    for launcher in launchers:
        free.put(launcher)

    def one(command: Command) -> tuple[Outcome, float]:
        launcher = free.get()
        try:
            return launcher.run(command), time.perf_counter() - begin
        finally:
            free.put(launcher)

    with ThreadPoolExecutor(len(launchers)) as pool:
        begin = time.perf_counter()
        done = list(pool.map(one, commands))
    return [outcome for outcome, _ in done], [end_s for _, end_s in done]


def _folders(folder: Path, registrations: int) -> list[Path]:
    """An output folder for each registration; the first is the trial's own, whose result is kept."""
    folders = [folder, *(folder / f"registration-{number}" for number in range(2, registrations + 1))]
    for each in folders:
        each.mkdir(exist_ok=True)
    return folders


@contextlib.contextmanager
def _memory(trial: Trial, roots: Callable[[], list[int]]) -> Iterator[dict[str, Any]]:
    """The memory of the trees, sampled in the warm-up alone: sampling takes time."""
    found: dict[str, Any] = {}
    if trial.phase != "warmup":
        yield found
        return
    with load.TreeMemory(roots) as sampled:
        yield found
    found["tree_peak_bytes"] = sampled.peak_bytes


def _results(folders: Sequence[Path]) -> dict[str, Any]:
    """What the first registration left, and how many different results there are."""
    found = [output.facts(folder) for folder in folders]
    for folder in folders[1:]:
        shutil.rmtree(folder, ignore_errors=True)
    return {**found[0], "results": len({facts["result_digest"] for facts in found})}


def _sum(values: Iterable[Any]) -> Any:
    known = list(values)
    return None if None in known else sum(known)


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
