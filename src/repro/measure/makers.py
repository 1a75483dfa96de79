"""Which arms a condition is run with: what it measures decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from repro.builds.installed import Installed
from repro.measure import batcharms, loadarms
from repro.measure.arms import ApiArm, Arm, CliArm, Limits
from repro.measure.batch import BatchApiArm, BatchCliArm
from repro.model import Path_
from repro.plan.prepare import Prepared
from repro.system.children import Launcher


def makers(
    installed: Installed, prepared: Prepared, launcher: Launcher, folder: Path, limits: Limits, interpreter: str
) -> Mapping[Path_, Callable[..., Arm]]:
    """What makes each path's arm. Of a condition that measures registrations it may be called with a profiler's
    command, and makes an arm that runs under it.
    """
    log = folder / "logs" / f"worker-{prepared.condition.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if prepared.condition.measures == "loading":
        return loadarms.makers(installed, prepared, launcher, log, limits, interpreter)
    if prepared.condition.measures == "first-result":
        return batcharms.makers(installed, prepared, launcher, log, limits, interpreter)
    cli, api = (BatchCliArm, BatchApiArm) if prepared.condition.strategy else (CliArm, ApiArm)
    return {
        "cli": lambda prefix=(): cli(installed, prepared, launcher, limits, prefix),
        "api": lambda prefix=(): api(installed, prepared, log, limits, interpreter, prefix),
    }
