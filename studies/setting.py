"""What the studies share: a build, its worker and its executable on the committed images, and tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from repro.builds.given import resolve
from repro.builds.installed import InstalledBuild
from repro.elastix import parameters
from repro.errors import ReproError, TrialError
from repro.paths import DATA, PARAMETER_FILES
from repro.system.children import Command, Launcher, LineChild, tail_of
from repro.system.environment import child_environment, itk_environment

FIXED, MOVING = (DATA / "synthetic" / f"{name}.tif" for name in ("fixed", "moving"))
WORKER = Path(__file__).resolve().parents[1] / "src" / "repro" / "measure" / "worker.py"
TIMEOUT_S = 3600.0


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that has the build."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("build", help="a name as api:0.25.4, a wheel file, a folder of wheels, an executable")
    return parser


def build_of(name: str, *paths: str) -> InstalledBuild:
    """The build of this name, fetched where it is missing. Raises ReproError; of another path than these SystemExit."""
    build = resolve(name, say=lambda text: print(text, file=sys.stderr))
    if build.build.path not in paths:
        raise SystemExit(f"{name}: this study is for builds of path {' or '.join(paths)}")
    return build


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for one run of a study; what goes wrong inside ends it with one sentence."""
    with tempfile.TemporaryDirectory(prefix="study-") as name:
        try:
            yield Path(name)
        except ReproError as error:
            raise SystemExit(str(error)) from None


def parameter_file(name: str, folder: Path, **overrides: object) -> Path:
    """The parameter file of params/elastix with these values replaced."""
    changed = parameters.override(
        parameters.read(PARAMETER_FILES / f"{name}.txt"), [(key, str(value)) for key, value in overrides.items()]
    )
    file = folder / f"{name}-{'-'.join(map(str, overrides.values()))}.txt"
    file.write_text(changed.text(), encoding="utf-8")
    return file


class Worker:
    """The worker that `bench` measures: a process that has loaded the build and registers the committed images."""

    def __init__(
        self,
        build: InstalledBuild,
        folder: Path,
        *,
        by: str = "modules",
        machine_threads: int | None = None,
        extra: Mapping[str, str] = {},
        before: Sequence[str] = (),
    ) -> None:
        """``by``: as the worker loads; ``extra``: its variables; ``before``: words before its command, as of perf."""
        self._child = LineChild(
            [*before, str(build.interpreter()), "-I", "-S", "-B", str(WORKER), str(build.site_packages)],
            env=child_environment({**itk_environment(machine_threads, None), **extra}),
            stderr_file=folder / "worker.log",
            cwd=folder,
        )
        self._child.read(TIMEOUT_S)
        images = {"fixed": str(FIXED), "moving": str(MOVING)}
        about = {"path": build.build.path, "by": by, "images": images, "pixel": "float"}
        self._child.ask({"op": "load", **about}, TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._child.kill() if error else self._child.close()

    def register(self, file: Path, output: Path, threads: int | None = None) -> dict[str, Any]:
        """One registration; the worker's answer, of which ``wall_s`` is the seconds."""
        output.mkdir(exist_ok=True)
        request = {"op": "register", "parameter_files": [str(file)], "output": str(output), "given": {}}
        return self._child.ask({**request, "threads": threads, "threads_by": "method"}, TIMEOUT_S)


def run_executable(launcher: Launcher, build: InstalledBuild, file: Path | None, output: Path, threads: int) -> float:
    """Seconds from start to exit of one registration, or without a file of a start that only says the version."""
    output.mkdir(exist_ok=True)
    asked = ["-f", FIXED, "-m", MOVING, "-p", file, "-out", output, "-threads", threads] if file else ["--version"]
    command = [*build.command, *map(str, asked)]
    outcome = launcher.run(
        Command(argv=command, env=child_environment(build.environment), stderr=output / "log", timeout_s=TIMEOUT_S)
    )
    if outcome.exit_status != 0:
        raise TrialError(f"{build.name} failed: {outcome.how}\n{tail_of(output / 'log')}")
    return outcome.wall_s


def answer_of(argv: Sequence[str], folder: Path, env: Mapping[str, str] = {}) -> Any:
    """What a program prints, as JSON. Raises TrialError with the last lines of its log."""
    answer, log = folder / "answer", folder / "log"
    command = Command(argv=argv, env=child_environment(env), stdout=answer, stderr=log, timeout_s=TIMEOUT_S)
    with Launcher() as launcher:
        outcome = launcher.run(command)
    if outcome.exit_status != 0:
        raise TrialError(f"{' '.join(argv)} failed: {outcome.how}\n{tail_of(log)}")
    return json.loads(answer.read_text(encoding="utf-8"))


def spread(values: Sequence[float], unit: str = "") -> str:
    """The median with the least and the greatest value."""
    middle = f"{statistics.median(values):.3g}{unit}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.3g}, {max(values):.3g}]"


def print_row(*cells: object) -> None:
    """A row of a Markdown table, as soon as it is known; the header is one followed by ``print_rule``."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_header(*cells: str) -> None:
    """The first two lines of a Markdown table."""
    print_row(*cells)
    print("|" + "---|" * len(cells), flush=True)
