"""The two paths where a trial is several registrations, from nothing to the last of their results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from repro.builds.installed import Installed
from repro.elastix import resultfolder, transforms
from repro.errors import TrialError
from repro.measure.arms import ApiArm, Arm, CliArm, Facts, InInterpreter, Limits
from repro.measure.batch import USED_BY_ONE, largest, side_by_side
from repro.model import Path_, Trial
from repro.plan.prepare import Prepared
from repro.system.children import Launcher, tail_of

POOL_CHILD = Path(__file__).with_name("poolchild.py")


def makers(
    installed: Installed, prepared: Prepared, launcher: Launcher, log: Path, limits: Limits, interpreter: str
) -> Mapping[Path_, Callable[[], Arm]]:
    """How to make the two arms of a condition that waits for several results."""

    def api() -> Arm:
        return ApiArm(installed, prepared, log, limits, interpreter)

    apis: dict[str, Callable[[], Arm]] = {
        "interpreters": lambda: ApiBatch(prepared, api, keep=False),
        "worker": lambda: ApiBatch(prepared, api, keep=True),
        "recipe": lambda: PoolBatch(installed, prepared, log, limits, interpreter),
    }
    return {
        "cli": lambda: CliBatch(installed, prepared, launcher, limits),
        "api": apis[prepared.condition.strategy],
    }


class CliBatch:
    """Fresh processes of the executable, ``jobs`` at a time."""

    def __init__(self, installed: Installed, prepared: Prepared, launcher: Launcher, limits: Limits) -> None:
        self._prepared = prepared
        self._more = ExitStack()
        others = (self._more.enter_context(Launcher()) for _ in range(prepared.jobs - 1))
        self._idle = [CliArm(installed, prepared, each, limits) for each in (launcher, *others)]

    def run(self, trial: Trial, folder: Path) -> Facts:
        """The registrations of one trial, or a start that only says its version."""
        if trial.phase == "start":
            return self._idle[0].run(trial, folder)
        folders = list(_folders(self._prepared, trial, folder))
        told, results_s = side_by_side(self._idle, folders, lambda arm, place: arm.run(trial, place))
        return _batch(told, results_s, folders, folder)

    def close(self) -> None:
        """End the launchers."""
        self._more.close()


class ApiBatch:
    """Registrations in fresh interpreters, one after the other, or in one that stays (``keep``)."""

    def __init__(self, prepared: Prepared, make: Callable[[], Arm], *, keep: bool) -> None:
        self._prepared = prepared
        self._make = make
        self._keep = keep

    def run(self, trial: Trial, folder: Path) -> Facts:
        """The registrations of one trial."""
        folders = list(_folders(self._prepared, trial, folder))
        begin, results_s, told = time.perf_counter(), [], []
        arm = self._make()
        try:
            for place in folders:
                told.append(arm.run(trial, place))
                results_s.append(time.perf_counter() - begin)
                if not self._keep:
                    arm.close()
                    arm = self._make()
        finally:
            arm.close()
        return _batch(told, results_s, folders, folder)

    def close(self) -> None:
        """Nothing outlives a trial."""


class PoolBatch(InInterpreter):
    """Registrations by the recipe's pool of ``jobs`` workers, in a fresh interpreter."""

    def run(self, trial: Trial, folder: Path) -> Facts:
        """The registrations of one trial."""
        folders = list(_folders(self._prepared, trial, folder))
        threads, images = self._prepared.threads("api") or 1, self._prepared.images
        child, start_s = self._spawn(POOL_CHILD)
        with child:
            answer = child.ask(
                {
                    "fixed": str(images.fixed),
                    "moving": str(images.moving),
                    "parameter_files": [str(file) for file in self._prepared.write_parameters(folder / "parameters")],
                    "outputs": [str(place) for place in folders],
                    "workers": self._prepared.jobs,
                    "threads": threads,
                    "threader": self._prepared.condition.api.threader,
                },
                self._limits.timeout_s * len(folders),
            )
        if "error" in answer:
            raise TrialError(f"the pool failed: {answer['error']}\n{tail_of(self._log)}")
        facts = {"threads": threads, "python": answer["python"], "itk_elastix": answer["itk_elastix"]}
        told = [facts | dict(resultfolder.facts(place)) for place in folders]
        return _batch(told, [start_s + each for each in answer["results_s"]], folders, folder)

    def close(self) -> None:
        """Nothing outlives a trial."""


def _folders(prepared: Prepared, trial: Trial, folder: Path) -> Iterator[Path]:
    """An empty folder for each registration; a warm-up does one."""
    for number in range(1 if trial.phase == "warmup" else prepared.registrations):
        place = folder / str(number)
        place.mkdir()
        yield place


def _batch(told: Sequence[Facts], results_s: list[float], folders: Sequence[Path], folder: Path) -> dict[str, Any]:
    """The facts of the first registration, with the seconds of all; what was used is not known whole."""
    results_s.sort()
    for file in (*resultfolder.files(folders[0]), folders[0] / "elastix.log"):
        shutil.copyfile(file, folder / file.name)
    different = {transforms.result_digest(resultfolder.files(place)) for place in folders}
    return {name: value for name, value in told[0].items() if name not in USED_BY_ONE} | {
        "wall_s": results_s[-1],
        "first_s": results_s[0],
        "results_s": tuple(results_s),
        "peak_bytes": largest(facts.get("peak_bytes") for facts in told),
        "note": f"{len(different)} different results" if len(different) > 1 else "",
    }
