"""Where a registration spends its time: one extra, untimed trial a path under a sampling profiler.

Asked for with ``bench --profile``. The API's worker runs under py-spy, which sees Python's and native frames of
its main thread with their names, or, where there is no py-spy, under perf; the executable under perf, which
sees the native frames of all threads. They are used where they are on the PATH and never required. What is
kept are folded stacks, one a line with its number of samples: ``a;b;c 12`` says that in 12 samples c ran,
called by b, called by a. Flame graph viewers read them (speedscope, inferno). perf's profile of the API holds
the loading of itk, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from repro import system as platforms
from repro.errors import TrialError
from repro.layout import shown
from repro.measure import store
from repro.measure.arms import Arm
from repro.measure.bench import Session
from repro.model import Condition, Experiment, Path_, Trial
from repro.system.environment import child_environment

HERTZ = {"perf": 199, "py-spy": 49}
"""Samples a second; no round figure, so that nothing periodic hides between them. py-spy, which unwinds native
frames from outside, falls behind at 99 (measured with itk-elastix 0.25.4)."""
_SCRIPT_S = 300.0
_REGISTERING = re.compile(r"register \((?:[^()]*[/\\])?worker\.py")
"""The worker's frame below which a registration runs; what is not below it is loading."""

# py-spy talks on the stdout on which the worker answers.
_ASIDE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("aside.py")))

Prefix = tuple[str, ...]
Makers = Mapping[Path_, Callable[..., Arm]]
"""Makes each path's arm; called with a prefix, one that runs under it."""


@dataclass(frozen=True, slots=True)
class Profiler:
    """A tool that starts a command and samples it."""

    name: str
    program: str

    def prefix(self, file: Path) -> Prefix:
        """What stands before the command; the tool writes the file."""
        if self.name == "py-spy":
            options = ("--native", "--rate", str(HERTZ[self.name]), "--format", "raw", "--output", str(file))
            return (*_ASIDE, self.program, "record", *options, "--")
        return (self.program, "record", "-q", "-F", str(HERTZ[self.name]), "-g", "-o", str(file), "--")

    def folded(self, file: Path) -> list[str]:
        """The folded stacks in what the tool wrote, the most frequent first. Raises TrialError."""
        if not file.is_file():
            raise TrialError(f"{self.name} wrote nothing")
        if self.name == "py-spy":
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            return _sorted(_named(line) for line in lines if _REGISTERING.search(line))
        command = (self.program, "script", "-i", str(file), "-F", "comm,ip,sym,dso")
        try:
            ended = subprocess.run(
                command,
                env=child_environment({}),
                capture_output=True,
                check=True,
                timeout=_SCRIPT_S,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TrialError(f"perf script failed: {error}") from error
        return fold(ended.stdout.decode("utf-8", errors="replace"))


def profiler(path: Path_) -> Profiler | None:
    """The tool that can profile the path here; None: there is none. Windows hands no descriptors on (`aside.py`)."""
    if not platforms.can_pass_descriptors():
        return None
    for name in ("py-spy", "perf") if path == "api" else ("perf",):
        beside = str(Path(sys.executable).parent)
        if program := shutil.which(name) or shutil.which(name, path=beside):
            return Profiler(name, program)
    return None


def missing(paths: Container[str]) -> list[str]:
    """What cannot be profiled here, in words."""
    wanted: dict[Path_, str] = {
        "cli": "the executable is not profiled: perf is not on the PATH",
        "api": "the API is not profiled: neither py-spy nor perf is on the PATH",
    }
    if not platforms.can_pass_descriptors():
        return ["--profile is for Linux and macOS: nothing is profiled"]
    return [words for path, words in wanted.items() if path in paths and profiler(path) is None]


def take(
    session: Session, experiment: Experiment, condition: Condition, makers: Makers, say: Callable[[str], None]
) -> None:
    """Profile each path of a condition once, into ``<pair>/profiles/<experiment>.<condition>.<path>.folded``.

    A profile that fails is said and leaves nothing: it is no measurement.
    """
    folder = session.machine_folder / session.pair.name / "profiles"
    for path, make in makers.items():
        tool = profiler(path)
        if tool is None or path not in session.paths or path not in condition.arms:
            continue
        file = folder / f"{experiment.name}.{condition.name}.{path}.folded"
        arm_number = condition.arms.index(path)
        trial = Trial(session.pair.name, experiment.name, condition.name, arm_number, path, "warmup", 0, 0)
        work = store.work_folder(session.machine_folder)
        try:
            raw = work / "profile"
            arm = make(tool.prefix(raw))
            try:
                output = work / "output"
                output.mkdir()
                arm.run(trial, output)
            finally:
                arm.close()  # the tool writes its file when what it watches has ended
            lines = tool.folded(raw)
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            say(f"profile of {condition.name}, {path}, by {tool.name}: {shown(file)}; {busiest(lines)}")
        except TrialError as error:
            say(f"no profile of {condition.name}, {path}: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)


def busiest(lines: Iterable[str], number: int = 3) -> str:
    """The innermost functions with the most samples, in per cent."""
    ran: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        ran[stack.rpartition(";")[2]] += int(count)
    total = ran.total() or 1
    return ", ".join(f"{name} {count / total:.0%}" for name, count in ran.most_common(number)) or "no samples"


def fold(script: str) -> list[str]:
    """The folded stacks of ``perf script -F comm,ip,sym,dso``: samples apart by empty lines, innermost frame first."""
    stacks = []
    for sample in re.split(r"\n\s*\n", script):
        command, *frames = [line for line in sample.splitlines() if line.strip()] or [""]
        names = [_frame(frame) for frame in reversed(frames)]
        if names:
            stacks.append(f"{';'.join([command.strip().replace(';', ':'), *names])} 1")
    return _sorted(stacks)


def _frame(line: str) -> str:
    """``  7f00 itk::Name(int) (/lib/libITK.so)`` as ``itk::Name(int)``; without a symbol the library's name."""
    _, _, rest = line.strip().partition(" ")
    symbol, _, library = rest.rpartition(" (")
    name = f"[{PurePath(library.rstrip(')')).name.strip('[]')}]" if symbol in ("", "[unknown]") else symbol
    return name.replace(";", ":")


def _named(line: str) -> str:
    """A line of py-spy whose frames name files without their folders, which name users and homes.

    A frame without a symbol is its library's name, as from perf: addresses of one function differ from call to call.
    """
    line = re.sub(r"\((?:[^();]*[/\\])([^();/\\]+)\)", r"(\1)", line)
    return re.sub(r"(^|;)0x[0-9a-f]+ \(([^();]+)\)", r"\1[\2]", line)


def _sorted(lines: Iterable[str]) -> list[str]:
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        counted[stack] += int(count) if count.isdecimal() else 0
    return [f"{stack} {count}" for stack, count in sorted(counted.items(), key=lambda one: (-one[1], one[0]))]
