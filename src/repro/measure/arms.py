"""The two paths as things that run a trial: the executable, and a worker with the wheels.

Both get the same images, the same parameter files, the same environment but for what the
condition sets, and an output folder on the same disk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from repro.builds.installed import Installed
from repro.elastix import resultfolder
from repro.errors import TrialError
from repro.model import Settings, Trial
from repro.plan.prepare import Prepared
from repro.system.children import Command, Launcher, LineChild, Outcome, tail_of
from repro.system.environment import child_environment, itk_environment

WORKER = Path(__file__).with_name("worker.py")
CLOSE_S, PROFILER_S = 5.0, 120.0
"""Seconds in which a worker, and a profiler with what it has sampled, may end by themselves."""
EFFECTIVE = ("threader", "default_threads", "maximum_threads", "work_units")
"""What a worker says of the threads that ITK really uses."""

Facts = Mapping[str, Any]
"""Fields of a Measurement that a trial has found out."""


class Arm(Protocol):
    """One path, ready to run trials of one condition."""

    def run(self, trial: Trial, folder: Path) -> Facts:
        """Run one trial in an empty folder of its own. Raises TrialError where it fails."""

    def close(self) -> None:
        """End whatever the arm keeps running."""


def environment(installed: Installed, prepared: Prepared, settings: Settings, *, executable: bool) -> dict[str, str]:
    """The environment of a child: the allow-list, what ITK must find, and its libraries."""
    return child_environment(
        {
            **itk_environment(prepared.condition.machine_threads, settings.threader),
            **(installed.elastix_env if executable else {}),
        }
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may take before it is stopped."""

    timeout_s: float = 600.0
    memory_bytes: int | None = None
    """Writable memory of each process of a trial, where the platform can bound it."""
    growth_bytes: int = 512 << 20
    """A worker whose resident memory has grown by more since its first registration is replaced.
    docs/reliability.md has what real workers grow by: far less."""


class CliArm:
    """A fresh process of the executable for each trial, timed from start to exit as in the post."""

    def __init__(
        self,
        installed: Installed,
        prepared: Prepared,
        launcher: Launcher,
        limits: Limits,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """``prefix`` stands before the command: a profiler that runs it."""
        self._installed = installed
        self._prepared = prepared
        self._launcher = launcher
        self._limits = limits
        self._prefix = prefix
        self._environment = environment(installed, prepared, prepared.condition.cli, executable=True)

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One run of the executable; for the phase ``start`` one that only says its version."""
        if trial.phase == "start":
            return self.facts(self._launcher.run(self._command(("--version",), folder)), folder)
        facts = self.facts(self._launcher.run(self.command(folder)), folder)
        return {**facts, **resultfolder.facts(folder)}

    def command(self, folder: Path) -> Command:
        """What registers into the folder."""
        images, threads = self._prepared.images, self._prepared.threads("cli")
        arguments = ["-f", str(images.fixed), "-m", str(images.moving), "-out", str(folder)]
        for file in self._prepared.write_parameters(folder / "parameters"):
            arguments += ["-p", str(file)]
        if threads is not None:
            arguments += ["-threads", str(threads)]
        return self._command(arguments, folder)

    def _command(self, arguments: Sequence[str], folder: Path) -> Command:
        return Command(
            argv=(*self._prefix, *self._installed.elastix_command, *arguments),
            env=self._environment,
            cwd=folder,
            stdout=folder / "stdout.txt",
            stderr=folder / "stderr.txt",
            timeout_s=self._limits.timeout_s,
            memory_limit_bytes=self._limits.memory_bytes,
        )

    def facts(self, outcome: Outcome, folder: Path) -> dict[str, Any]:
        """What the process used. Raises TrialError where it failed."""
        facts = {
            "wall_s": outcome.wall_s,
            "exit_status": outcome.exit_status,
            "user_s": outcome.user_s,
            "system_s": outcome.system_s,
            "peak_bytes": outcome.peak_bytes,
            "voluntary_switches": outcome.voluntary_switches,
            "involuntary_switches": outcome.involuntary_switches,
            "threads": self._prepared.threads("cli"),
        }
        _raise_on_failure(outcome, folder, facts)
        return facts

    def close(self) -> None:
        """Nothing outlives a trial."""


class InInterpreter:
    """What starts children in the pair's interpreter with the pair's wheels."""

    def __init__(
        self, installed: Installed, prepared: Prepared, log: Path, limits: Limits, interpreter: str = sys.executable
    ) -> None:
        """The log gets what the children write to stderr."""
        self._installed = installed
        self._prepared = prepared
        self._log = log
        self._limits = limits
        self._interpreter = interpreter

    def _spawn(
        self,
        program: Path,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
        extra: dict[str, str] | None = None,
    ) -> tuple[LineChild, float]:
        """A child that has greeted, and the seconds from its start until then.

        ``prefix`` stands before the interpreter, ``options`` are the interpreter's, ``extra`` variables of its own.
        """
        command = (self._interpreter, "-I", "-S", *options, str(program), str(self._installed.site_packages))
        child = LineChild(
            argv=(*prefix, *command),
            env=environment(self._installed, self._prepared, self._prepared.condition.api, executable=False)
            | (extra or {}),
            cwd=self._log.parent,
            stderr_file=self._log,
            memory_limit_bytes=self._limits.memory_bytes,
        )
        child.read(self._limits.timeout_s)
        return child, time.perf_counter() - child.started


class ApiArm(InInterpreter):
    """A persistent worker in the pair's interpreter with the pair's wheels.

    It is started by the first trial, which carries the seconds of loading, and replaced after a
    trial that failed, as a worker in an unknown state measures nothing, and where its memory grows.
    """

    program = WORKER

    def __init__(
        self,
        installed: Installed,
        prepared: Prepared,
        log: Path,
        limits: Limits,
        interpreter: str = sys.executable,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """``prefix`` stands before the interpreter: a profiler that runs the worker."""
        super().__init__(installed, prepared, log, limits, interpreter)
        self._prefix = prefix
        self._child: LineChild | None = None
        self._versions: dict[str, Any] = {}
        self._first_bytes: int | None = None
        """Resident memory of the worker after its first registration."""
        self._replaced = ""
        """Why the last worker was replaced, if it was."""

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One registration in the worker."""
        try:
            loading = {} if self._child else self._start()
            if loading and self._replaced and trial.phase == "measure":
                # The warm-up round is over, and a cold worker must not be measured.
                warm_up = folder / "warm-up"
                warm_up.mkdir()
                self._register(trial, warm_up)
            facts = self._register(trial, folder)
            notes = [note for note in (self._replaced if loading else "", facts.get("note")) if note]
            self._watch_memory()
        except TrialError:
            self.close()
            self._replaced = "in a new worker, as the trial before failed in the last one"
            raise
        return {
            **self._versions,
            **loading,
            **facts,
            **({"note": "; ".join(notes)} if notes else {}),
            "threads": self._prepared.threads("api"),
        }

    def _register(self, trial: Trial, folder: Path) -> Facts:  # noqa: ARG002 - a batch asks for the phase
        answer = self._ask({"op": "register", **self._job(folder)})
        return {
            "wall_s": answer["wall_s"],
            "peak_bytes": answer["peak_bytes"],
            **answer["used"],
            **{name: answer[name] for name in EFFECTIVE},
            **resultfolder.facts(folder),
        }

    def _job(self, folder: Path) -> dict[str, Any]:
        """What the worker is told of a registration into the folder."""
        files = self._prepared.write_parameters(folder / "parameters")
        return {
            "parameter_files": [str(file) for file in files],
            "output": str(folder),
            "threads": self._prepared.threads("api"),
            "threads_by": self._prepared.condition.api.threads_by,
        }

    def resident_bytes(self) -> int | None:
        """The worker's resident memory now; None where there is none, or the system does not tell."""
        return self._child.resident_bytes() if self._child else None

    def _watch_memory(self) -> None:
        """End the worker where it has grown too much since its first registration: the next trial gets a new one."""
        now = self.resident_bytes()
        self._first_bytes = self._first_bytes or now
        if now and self._first_bytes and now - self._first_bytes > self._limits.growth_bytes:
            self.close()
            bound = f"{self._limits.growth_bytes / 2**20:.0f} MiB"
            self._replaced = f"in a new worker, as the last one's memory had grown by more than {bound}"

    def close(self) -> None:
        """End the worker."""
        if self._child is not None:
            self._child.close(PROFILER_S if self._prefix else CLOSE_S)
            self._child = None
            self._first_bytes = None

    def _start(self) -> dict[str, Any]:
        self._child, start_s = self._spawn(self.program, self._prefix)
        parts = {"interpreter": start_s}
        answer = self._ask({"op": "load", **self._loading()})
        parts |= answer["parts"]
        self._versions = {k: answer[k] for k in ("python", "itk", "itk_elastix")}
        return {"load_s": sum(parts.values()), "load_parts_s": parts}

    def _loading(self) -> dict[str, Any]:
        """What the worker is told when it is started."""
        images = self._prepared.images
        return {"fixed": str(images.fixed), "moving": str(images.moving)}

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._child is not None
        answer = self._child.ask(request, self._limits.timeout_s)
        if "error" in answer:
            raise TrialError(f"{request['op']} failed in the worker: {answer['error']}\n{tail_of(self._log)}")
        return answer


def _raise_on_failure(outcome: Outcome, folder: Path, facts: Facts) -> None:
    if outcome.exit_status == 0 and not outcome.timed_out:
        return
    said = "\n".join(filter(None, (tail_of(folder / name) for name in ("elastix.log", "stdout.txt", "stderr.txt"))))
    raise TrialError(f"the executable {outcome.how}; it last said:\n{said}", timed_out=outcome.timed_out, facts=facts)
