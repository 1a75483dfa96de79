"""Commands that measure, with builds and seconds that are made up: no process is started.

A test says how long each build takes, and drives the commands as a person does.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from repro import paths
from repro.builds import given, installed
from repro.builds.installed import InstalledBuild
from repro.cli import main, work
from repro.errors import FetchError, TrialError
from repro.measure import session
from repro.model import Side, Trial
from repro.plan.prepare import Prepared
from support.made_up import build as made_up
from support.made_up.elastix import TRANSFORM

EXPERIMENTS = """
[experiment.made-up]
question = "Does the command do what it says?"
parameter_files = ["{parameters}"]
images = "synthetic"
blocks = 6
[[experiment.made-up.condition]]
name = "first"
[[experiment.made-up.condition]]
name = "second"
"""
PARAMETERS = '(Transform "TranslationTransform")\n(FixedImageDimension 2)\n(MovingImageDimension 2)\n'


@dataclass
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


@dataclass
class House:
    """The builds that there are, and what they do."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    seconds: dict[str, float] = field(default_factory=dict)
    """Build name -> seconds of a registration; 1 where it is not here."""
    noise: Callable[[Trial], float] = lambda trial: 1.0
    shift: dict[str, float] = field(default_factory=dict)
    """Build name -> how far its result is moved."""
    fails: Callable[[str, Trial], bool] = lambda name, trial: False
    missing: dict[str, FetchError] = field(default_factory=dict)
    """Build name -> why it cannot be had."""
    stop_after: int | None = None
    """Trials after which somebody presses Ctrl-C."""
    ran: list[tuple[str, Trial]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """The results folder."""
        return self.folder / "results"

    def __call__(self, *arguments: str) -> Done:
        """Run a command line that writes results."""
        status = main.run([*arguments, "--out", str(self.out)])
        return Done(status, *self.capsys.readouterr())

    def build(self, name: str) -> InstalledBuild:
        """The made-up build behind a name of the catalogue, or one of the user's own behind `mine`."""
        if name in self.missing:
            raise self.missing[name]
        if name == "mine":
            return self.own()
        return made_up.cli(self.folder) if name.startswith("cli") else made_up.api(self.folder)

    def own(self) -> InstalledBuild:
        """An executable of the user's own, called `cli:0+<digest>`."""
        place = self.folder / "own"
        if not place.exists():
            (place / "elastix").mkdir(parents=True)
            shutil.copyfile(made_up.HERE / "elastix.py", place / "elastix" / "mine.py")
            command = (sys.executable, "-I", "-S", "-B", str(place / "elastix" / "mine.py"))
            installed.write(place, path="cli", version="0", source="given", own=True, command=command)
        return installed.read(place, "")


class FakeArm:
    """An arm that takes the seconds that the house says."""

    usable = True

    def __init__(self, house: House, stop: Any, build: InstalledBuild) -> None:
        self.house, self.stop, self.name = house, stop, build.name

    def run(self, trial: Trial, folder: Path) -> dict[str, Any]:
        """Write a transform, at once."""
        house = self.house
        house.ran.append((self.name, trial))
        if house.stop_after is not None and len(house.ran) >= house.stop_after:
            self.stop.requested = True
        if house.fails(self.name, trial):
            raise TrialError("made up to fail")
        x = house.shift.get(self.name, 0.0)
        (folder / "TransformParameters.0.txt").write_text(TRANSFORM.format(x), encoding="utf-8")
        wall_s = house.seconds.get(self.name, 1.0) * house.noise(trial)
        return {"wall_s": wall_s, "result_digest": f"moved-{x:g}", "log_threads": "2", "said": {}}

    def close(self) -> None:
        """Nothing to close."""


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    """A house whose experiments are made up, and whose builds are there."""
    house = House(folder, capsys)
    parameters, experiments = folder / "parameters.txt", folder / "experiments.toml"
    parameters.write_text(PARAMETERS, encoding="utf-8")
    experiments.write_text(EXPERIMENTS.format(parameters=parameters.as_posix()), encoding="utf-8")
    stops: list[Any] = []

    def arm(build: InstalledBuild, prepared: Prepared, side: Side, *_: Any) -> FakeArm:
        return FakeArm(house, stops[-1], build)

    monkeypatch.setattr(paths, "EXPERIMENTS_TOML", experiments)
    monkeypatch.setattr(work, "DEFAULT", ("made-up",))
    monkeypatch.setattr(work, "QUICK", ("made-up",))
    monkeypatch.setattr("repro.cli.measure_commands.COMPARE", "made-up")
    monkeypatch.setattr(work, "get_build", lambda name, *_: house.build(name))
    monkeypatch.setattr(given, "resolve", lambda name, **_: given._use(house.build(name)))
    monkeypatch.setattr("repro.system.interrupts.listen", lambda stop, say: stops.append(stop))
    monkeypatch.setattr(session, "make_arm", arm)
    monkeypatch.setattr("repro.results.raw.RESULTS", folder / "own")  # results of this checkout are no part of a test
    return house
