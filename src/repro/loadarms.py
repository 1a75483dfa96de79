"""The two paths where loading is what is measured: a start of the executable, and a fresh interpreter that loads."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from repro.arms import WORKER, Arm, CliArm, Facts, Limits, environment
from repro.children import Launcher, LineChild, tail_of
from repro.errors import TrialError
from repro.installed import Installed
from repro.model import Condition, Loading, Path_, Trial
from repro.platforms import SYSTEM, can_empty_file_cache, can_fork_loaded, filecache
from repro.prepare import Prepared

_RECIPE_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""As recipe.py sets it for its workers."""


def makers(
    installed: Installed, prepared: Prepared, launcher: Launcher, log: Path, limits: Limits, interpreter: str
) -> Mapping[Path_, Callable[[], Arm]]:
    """How to make the two arms of a condition that measures loading."""
    return {
        "cli": lambda: StartArm(installed, prepared, launcher, limits),
        "api": lambda: LoadArm(installed, prepared, log, limits, interpreter),
    }


def impossible(condition: Condition, system: str = SYSTEM) -> str:
    """Why this system cannot measure the condition; empty: it can."""
    loading = condition.loading
    if loading and loading.cache == "cold" and not can_empty_file_cache(system):
        return "only Linux can empty the file cache of a folder without an administrator"
    if loading and loading.by == "fork" and not can_fork_loaded(system):
        return "the recipe forks on Linux only"
    if condition.strategy == "forked" and not can_fork_loaded(system):
        return "a process that has loaded itk is forked on Linux only: Windows cannot, macOS's libraries do not bear it"
    return ""


class StartArm:
    """The executable, asked for nothing but its version."""

    def __init__(self, installed: Installed, prepared: Prepared, launcher: Launcher, limits: Limits) -> None:
        self._cli = CliArm(installed, prepared, launcher, limits)
        self._folder = installed.folder / "elastix"
        self._loading = prepared.condition.loading or Loading()

    def run(self, trial: Trial, folder: Path) -> Facts:
        """One start."""
        if self._loading.cache == "cold":
            filecache.forget([self._folder])
        return self._cli.run(dataclasses.replace(trial, phase="start"), folder)

    def close(self) -> None:
        """Nothing outlives a trial."""


class LoadArm:
    """A fresh interpreter for each trial, which loads as the condition says and ends."""

    def __init__(
        self, installed: Installed, prepared: Prepared, log: Path, limits: Limits, interpreter: str = sys.executable
    ) -> None:
        self._installed = installed
        self._prepared = prepared
        self._loading = prepared.condition.loading or Loading()
        self._log = log
        self._limits = limits
        self._interpreter = interpreter

    def run(self, trial: Trial, folder: Path) -> Facts:  # noqa: ARG002 - the same call for every arm
        """Load once. The seconds are those from the start of the process to the registration object."""
        if self._loading.cache == "cold":
            filecache.forget([self._installed.site_packages])
        with tempfile.TemporaryDirectory(dir=folder) as nowhere, self._child(nowhere) as child:
            child.read(self._limits.timeout_s)
            start_s = time.perf_counter() - child.started
            images = self._prepared.images
            request = {
                "op": "load_by",
                "by": self._loading.by,
                "fixed": str(images.fixed),
                "moving": str(images.moving),
            }
            answer = child.ask(request, self._limits.timeout_s)
        if "error" in answer:
            raise TrialError(f"loading failed in the worker: {answer['error']}\n{tail_of(self._log)}")
        # A fork begins in a process that is there already: it reports its own start.
        parts = {"interpreter": start_s, **answer["parts"]}
        load_s = sum(parts.values())
        said = {key: answer[key] for key in ("peak_bytes", "disk_bytes", "python", "itk", "itk_elastix")}
        return {**said, **answer["used"], "wall_s": load_s, "load_s": load_s, "load_parts_s": parts}

    def close(self) -> None:
        """Nothing outlives a trial."""

    def _child(self, nowhere: str) -> LineChild:
        bytecode = () if self._loading.bytecode else ("-B", "-X", f"pycache_prefix={nowhere}")
        extra = _RECIPE_ENVIRONMENT if self._loading.by in ("recipe", "fork") else {}
        return LineChild(
            argv=(self._interpreter, "-I", "-S", *bytecode, str(WORKER), str(self._installed.site_packages)),
            env=environment(self._installed, self._prepared, self._prepared.condition.api, executable=False) | extra,
            cwd=self._log.parent,
            stderr_file=self._log,
            memory_limit_bytes=self._limits.memory_bytes,
        )
