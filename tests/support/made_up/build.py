"""Made-up builds and the work to be done with them: real processes, no registration.

They are called ``cli:0`` and ``api:0`` and stand in no catalogue, so no command of the project can measure with them.
Everything but the executable and the itk package is what a real run uses.

    from support.made_up import build as made_up
    summary = made_up.run(out, made_up.works(folder, conditions=2, blocks=3))
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.builds import installed, pythons
from repro.builds.installed import InstalledBuild
from repro.measure import session
from repro.measure.session import ConditionResult, Limits, Options, Summary, Work
from repro.model import (
    Arm,
    BatchCondition,
    Build,
    Comparison,
    Estimate,
    Inputs,
    Measurement,
    Path_,
    Registration,
    RegistrationCondition,
    Settings,
    Strategy,
)
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared
from repro.system.interrupts import Stop
from repro.system.platforms import executable_name

HERE = Path(__file__).parent
MODULES = ("itkElastixRegistrationMethod", "itkImageFileReader", "elxParameterObject", "ITKCommonBase")
IMAGES = ImageSet("made-up", HERE / "fixed.tif", HERE / "moving.tif", "f" * 64, "e" * 64, size_px=(4, 4))


def cli(folder: Path) -> InstalledBuild:
    """An executable, in this folder."""
    place = folder / "cli-0"
    if not place.exists():
        (place / "elastix").mkdir(parents=True)
        shutil.copyfile(HERE / "elastix.py", place / "elastix" / "elastix.py")
        shutil.copyfile(HERE / "transformix.py", place / "elastix" / executable_name("transformix"))
        command = (sys.executable, "-I", "-S", "-B", str(place / "elastix" / "elastix.py"))
        installed.write(place, path="cli", version="0", source="made-up", command=command)
    return installed.read(place, "")


def api(folder: Path) -> InstalledBuild:
    """Wheels, in this folder."""
    place = folder / "api-0"
    if not place.exists():
        package, about = (place / "site-packages" / name for name in ("itk", "itk_elastix-0.dist-info"))
        package.mkdir(parents=True)
        about.mkdir()
        (package / "__init__.py").touch()
        for name in ("itk", "elastix"):
            shutil.copyfile(HERE / f"{name}.py", package / f"{name}.py")
        for name in MODULES:
            (package / f"{name}Python.py").write_text("from itk.itk import *\n", encoding="utf-8")
        text = "Metadata-Version: 2.1\nName: itk-elastix\nVersion: 0\n"
        (about / "METADATA").write_text(text, encoding="utf-8")
        tag = pythons.tag(pythons.running())
        installed.write(place, path="api", version="0", source="made-up", python_tag=tag)
    return installed.read(place, "")


def works(
    folder: Path,
    conditions: int = 1,
    blocks: int = 2,
    rounds: int = 1,
    *,
    text: str = "(Seconds 0.001)",
    paths: tuple[Path_, Path_] = ("cli", "api"),
    strategy: Strategy | None = None,
    images: ImageSet = IMAGES,
) -> list[Work]:
    """The conditions of an experiment, with builds that are made in the folder; ``text`` is the parameter file: see
    elastix.py. A strategy makes them batches of three registrations, two at a time.
    """
    makers = {"cli": cli, "api": api}
    base, other = (makers[path](folder) for path in paths)
    return [
        Work(
            comparison=Comparison("made up", base.build, other.build),
            builds={"base": base, "other": other},
            experiment_name="made-up",
            question="Is the bookkeeping right?",
            prepared=prepared(f"condition-{number}", base.build, other.build, text, strategy, images),
            blocks=blocks,
            rounds=rounds,
        )
        for number in range(1, conditions + 1)
    ]


def prepared(
    name: str, base: Build, other: Build, text: str, strategy: Strategy | None = None, images: ImageSet = IMAGES
) -> Prepared:
    """A condition with its inputs."""
    arms = {
        side: Arm(build, Settings(1, "option" if build.path == "cli" else "method"))
        for side, build in (("base", base), ("other", other))
    }
    registration = Registration(("made-up.txt",), "made-up")
    condition: Any = RegistrationCondition(name, arms["base"], arms["other"], registration)
    if strategy:
        condition = BatchCondition(name, arms["base"], arms["other"], registration, strategy, jobs=2, registrations=3)
    params = hashlib.sha256(text.encode()).hexdigest()
    inputs = Inputs("f" * 64, "e" * 64, params, size_px=images.size_px, transform="TranslationTransform")
    return Prepared(condition, images, (text + "\n",), inputs, physical_cores=2)


class Quiet:
    """A listener that only notes what it hears."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.said: list[str] = []
        self.turns: list[tuple[str, int]] = []
        """Conditions in the order in which their blocks began, with the number of blocks that were whole then."""

    def block_started(self, work: Work, blocks: int) -> None:
        """Noted."""
        self.turns.append((work.prepared.condition.name, blocks))

    def trial_finished(self, work: Work, measurement: Measurement) -> None:
        """Noted."""
        self.measurements.append(measurement)

    def block_finished(self, work: Work, blocks: int, estimate: Estimate | None) -> None:
        """Nothing."""

    def condition_finished(self, result: ConditionResult) -> None:
        """Nothing."""

    def pass_finished(self, left: int) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Noted."""
        self.said.append(text)


def run(out: Path, work: Sequence[Work], listener: Any = None, stop: Stop | None = None, **options: Any) -> Summary:
    """Measure what is missing of the work; the options are those of session.Options."""
    settings = dataclasses.replace(Options(out, precision=0, limits=Limits(60), command=("made-up",)), **options)
    return session.run(work, settings, listener or Quiet(), stop or Stop())


def main() -> None:
    """OUT FOLDER [CONDITIONS BLOCKS ROUNDS [TEXT]]: what a test runs in a process of its own."""
    out, folder, *more = sys.argv[1:]
    numbers, text = [int(word) for word in more[:3]], more[3] if len(more) > 3 else "(Seconds 0.001)"
    summary = run(Path(out), works(Path(folder), *numbers, text=text))
    sys.exit(1 if summary.failed else 0)


if __name__ == "__main__":
    main()
