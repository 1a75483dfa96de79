"""What a build does, whatever its release notes say: asked in processes of its own, in about a minute a build.

Each fact is measured; what cannot be asked of a path or on a platform stays empty.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.builds.installed import InstalledBuild, check
from repro.elastix import output, parameters
from repro.errors import ReproError, TrialError
from repro.measure import store
from repro.measure.arms import Limits, Place, start_worker
from repro.model import InspectionLine
from repro.paths import DATA, PARAMETER_FILES
from repro.system import machine
from repro.system.children import Command, Launcher, LineChild, Outcome, tail_of
from repro.system.environment import child_environment, itk_environment
from repro.text import scrub, utc_now

IMAGES = {"fixed": str(DATA / "synthetic" / "fixed.tif"), "moving": str(DATA / "synthetic" / "moving.tif")}
"""Committed: nothing has to be downloaded."""
STARTS = 3
"""Starts of an executable, of which the shortest counts."""
LONG_ITERATIONS = 200
"""In a resolution, of the registration during which the ticks are counted: some seconds."""
_COMMIT = re.compile(r"Git revision SHA: *([0-9a-f]{7,40})")
_LIMITS = Limits()


def inspect_all(
    builds: Sequence[InstalledBuild],
    transformix: tuple[str, ...] | None,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
) -> list[InspectionLine]:
    """Inspect the builds and add what they do to results/raw/<machine>/inspect.jsonl."""
    folder = out.absolute() / "raw" / machine.machine_name()
    lines = []
    with store.locked(folder), contextlib.closing(store.RawFile(folder / "inspect.jsonl")) as raw:
        for build in builds:
            lines.append(inspect(build, transformix, say))
            raw.append(lines[-1])
    return lines


def inspect(
    installed: InstalledBuild, transformix: tuple[str, ...] | None = None, say: Callable[[str], None] = lambda _: None
) -> InspectionLine:
    """What the build does. ``transformix`` starts the one that is to read the transforms of an API's registration.

    What fails is in ``problem``. Raises ConfigError where the build is not what was fetched.
    """
    check(installed)
    say(f"inspecting {installed.name}")
    with tempfile.TemporaryDirectory(prefix="inspect-") as folder:
        inspection = _Inspection(installed, Path(folder), transformix)
        inspection.run()
    return InspectionLine(
        machine=machine.machine_name(),
        identity=machine.identity(),
        started_utc=inspection.started_utc,
        build=installed.build,
        source=installed.source,
        problem=scrub("; ".join(inspection.problems))[:1000],
        **inspection.found,
    )


@dataclass
class _Inspection:
    """One build under inspection."""

    installed: InstalledBuild
    folder: Path
    transformix: tuple[str, ...] | None
    started_utc: str = field(default_factory=utc_now)
    found: dict[str, Any] = field(default_factory=dict)
    """Fields of the line."""
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Ask everything; what fails leaves its facts empty."""
        small = parameters.read(PARAMETER_FILES / "small-bspline.txt")
        long = parameters.override(small, [("MaximumNumberOfIterations", str(LONG_ITERATIONS))])
        for name, file in (("small", small), ("long", long)):
            (self.folder / f"{name}.txt").write_text(file.text(), encoding="utf-8", newline="\n")
        questions = (
            (self._ask_start, self._ask_executable)
            if self.installed.build.path == "cli"
            else (self._ask_few_threads, self._ask_many_threads, self._ask_loading)
        )
        for question in questions:
            try:
                question()
            except (ReproError, OSError) as error:
                self.problems.append(str(error))

    # ---- an executable

    def _ask_start(self) -> None:
        outcomes = [self._execute(self.installed.command, ["--version"], "start") for _ in range(STARTS)]
        self.found["first_object_s"] = min(outcome.wall_s for outcome in outcomes)
        self.found["resident_bytes"] = outcomes[0].peak_bytes

    def _ask_executable(self) -> None:
        images = ["-f", IMAGES["fixed"], "-m", IMAGES["moving"]]
        arguments = [*images, "-p", "small.txt", "-out", "told", "-threads", "1"]
        self._execute(self.installed.command, arguments, "told")
        self.found["option_honoured"] = self._said("told")["log_threads"] == "1"

    def _execute(self, program: Sequence[str], arguments: Sequence[str], name: str) -> Outcome:
        """Run it in the folder, to which an output folder is added. Raises TrialError where it fails."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        command = Command(
            argv=(*program, *arguments),
            env=child_environment(dict(self.installed.environment)),
            cwd=self.folder,
            stdout=place / "stdout.txt",
            stderr=place / "stderr.txt",
            timeout_s=_LIMITS.timeout_s,
        )
        with Launcher() as launcher:
            outcome = launcher.run(command)
        if outcome.exit_status != 0:
            raise TrialError(f"{Path(program[-1]).name} {outcome.how}: {tail_of(place / 'stderr.txt')[-300:]}")
        return outcome

    # ---- wheels

    def _ask_few_threads(self) -> None:
        with self._worker(2) as (worker, loaded):
            self.found |= {
                "default_threader": loaded["threader"],
                "threads_2": loaded["default_threads"],
                "work_units_2": loaded["work_units"],
                "python": loaded["said"]["python"],
                "itk": loaded["said"]["itk"],
            }
            digests = []
            for number in range(3):
                _register(worker, self.folder / f"call-{number}", "method")
                digests.append(self._said(f"call-{number}")["result_digest"])
            self.found["method_honoured"] = self._said("call-0")["log_threads"] == "1"
            self.found["later_calls_same"] = len(set(digests)) == 1
            answer = _register(worker, self.folder / "long", "method", "long.txt", ticks=True)
            self.found |= {"lock_ticks": answer["ticks"], "lock_ticks_expected": answer["ticks_expected"]}
        if self.transformix and self.installed.build.path == "api":
            self._ask_transformix()

    def _ask_many_threads(self) -> None:
        with self._worker(28) as (worker, loaded):
            self.found |= {"threads_28": loaded["default_threads"], "work_units_28": loaded["work_units"]}
            self.found["environment_honoured"] = (self.found.get("threads_2"), loaded["default_threads"]) == (2, 28)
            _register(worker, self.folder / "by-parameter", "parameter")
            self.found["parameter_honoured"] = self._said("by-parameter")["log_threads"] == "1"

    def _ask_loading(self) -> None:
        with self._worker(None, "posted") as (worker, loaded):
            parts, modules = loaded["parts"], loaded["modules"]
            self.found |= {
                "import_s": parts["import_itk"],
                "import_modules": modules["import_itk"],
                "first_object_s": sum(parts.values()),
                "first_object_modules": modules["registration_class"],
                "resident_bytes": worker.resident_bytes(),
            }

    def _ask_transformix(self) -> None:
        """Whether it resamples the moving image with the transform file of the first call as it is."""
        file = output.transform_files(self.folder / "call-0")[-1]
        arguments = ["-in", IMAGES["moving"], "-tp", str(file), "-out", "resampled"]
        try:
            self._execute(self.transformix or (), arguments, "resampled")
            self.found["transformix_reads"] = any((self.folder / "resampled").glob("result.*"))
        except TrialError:
            self.found["transformix_reads"] = False

    @contextlib.contextmanager
    def _worker(self, machine_threads: int | None, by: str = "modules") -> Iterator[tuple[LineChild, dict[str, Any]]]:
        """A worker that has loaded, and what it said."""
        place = Place(self.folder, self.folder / "worker.log")
        environment = child_environment(itk_environment(machine_threads, None))
        with start_worker(self.installed, environment, place, _LIMITS) as worker:
            request = {"op": "load", "path": self.installed.build.path, "by": by, "images": IMAGES, "pixel": "float"}
            yield worker, worker.ask(request, _LIMITS.timeout_s)

    def _said(self, name: str) -> dict[str, Any]:
        """What the log and the transforms in a folder say; the versions and the commit are kept."""
        facts = output.facts(self.folder / name)
        log = (self.folder / name / "elastix.log").read_text(encoding="utf-8", errors="replace")
        commit = _COMMIT.search(log)
        for fact, value in (*facts["said"].items(), ("commit", commit and commit[1])):
            if value and fact in ("elastix", "itk", "commit"):
                self.found.setdefault(fact, value)
        return facts


def _register(
    worker: LineChild, folder: Path, by: str, file: str = "small.txt", *, ticks: bool = False
) -> dict[str, Any]:
    """One registration with one thread asked for."""
    folder.mkdir()
    about = {"parameter_files": [file], "output": folder.name, "threads": 1, "threads_by": by, "given": {}}
    return worker.ask({"op": "register", **about, "ticks": ticks}, _LIMITS.timeout_s)
