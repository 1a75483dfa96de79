"""The two paths where loading is what is measured: a start of the executable, and a fresh interpreter that loads."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from repro.builds.installed import Installed
from repro.errors import TrialError
from repro.measure.arms import WORKER, Arm, CliArm, Facts, InInterpreter, Limits
from repro.model import Condition, Loading, Path_, Trial
from repro.plan.prepare import Prepared
from repro.system import SYSTEM, can_empty_file_cache, can_fork_loaded, filecache
from repro.system.children import Launcher, tail_of

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


class LoadArm(InInterpreter):
    """A fresh interpreter for each trial, which loads as the condition says and ends."""

    def run(self, trial: Trial, folder: Path) -> Facts:  # noqa: ARG002 - the same call for every arm
        """Load once. The seconds are those from the start of the process to the registration object."""
        loading, images = self._prepared.condition.loading or Loading(), self._prepared.images
        request = {"op": "load_by", "by": loading.by, "fixed": str(images.fixed), "moving": str(images.moving)}
        extra = _RECIPE_ENVIRONMENT if loading.by in ("recipe", "fork") else {}
        if loading.cache == "cold":
            filecache.forget([self._installed.site_packages])
        with tempfile.TemporaryDirectory(dir=folder) as nowhere:
            bytecode = () if loading.bytecode else ("-B", "-X", f"pycache_prefix={nowhere}")
            child, start_s = self._spawn(WORKER, options=bytecode, extra=extra)
            with child:
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
