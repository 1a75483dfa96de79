"""One session: conditions are measured block by block, and every measurement is kept the moment it exists."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from packaging.version import InvalidVersion, Version

from repro import __version__, stats
from repro.builds import installed as builds
from repro.builds.installed import InstalledBuild
from repro.elastix import parameters
from repro.elastix.output import transform_files
from repro.errors import ConfigError, TrialError
from repro.measure import store
from repro.measure.agreement import Apart, Comparer
from repro.measure.arms import PADDING, Arm, Place, make_arm
from repro.measure.arms import Limits as Limits
from repro.model import (
    SIDES,
    AgreementLine,
    BatchCondition,
    BlockLine,
    Comparison,
    Condition,
    ConditionLine,
    Estimate,
    Measurement,
    SessionLine,
    Side,
    Trial,
)
from repro.paths import RESULTS
from repro.plan import schedule
from repro.plan.prepare import Prepared
from repro.plan.schedule import Block
from repro.system import load, machine
from repro.system.interrupts import Stop
from repro.system.platforms import SYSTEM, can_fork_loaded
from repro.text import utc_now

ATTEMPTS = 2
"""How often a block is tried. What fails twice would fail in every block, and each may take a timeout."""
_FILE = re.compile(r"[/\\]|\.(?=\w*[A-Za-z])\w{1,8}$")
"""What makes a word of a command the name of a file."""
_BUILD = re.compile(r"(cli|api|sitk):[\w.+-]+")


@dataclass(frozen=True, slots=True)
class Work:
    """One condition of one comparison, ready to be measured."""

    comparison: Comparison
    builds: Mapping[Side, InstalledBuild]
    experiment_name: str
    question: str
    prepared: Prepared
    blocks: int
    """At most."""
    rounds: int
    """In a block."""


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for a whole session."""

    out: Path = RESULTS
    seed: int = 1
    precision: float = 0.03
    """Half width of the interval of the log ratio at which a condition needs no more blocks."""
    limits: Limits = field(default_factory=Limits)
    sides: frozenset[Side] = frozenset(SIDES)
    """The arms that run; with one of them there is no ratio."""
    fresh: bool = False
    """Begin the raw files anew; the old ones are kept beside them."""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """What is known of a condition, earlier sessions included."""

    work: Work
    estimate: Estimate | None
    medians_s: Mapping[Side, float]
    """Over the trials of whole blocks."""
    blocks: int
    """Whole ones."""


@dataclass(slots=True)
class Summary:
    """How a session ended."""

    results: list[ConditionResult] = field(default_factory=list)
    """In the order in which they were finished."""
    failed: int = 0
    """Trials that gave no measurement."""
    measured: int = 0
    """Trials of this session."""
    skipped: int = 0
    """Blocks that an earlier session had measured."""
    wall_s: float = 0.0


class Listener(Protocol):
    """Hears what happens; the terminal is one."""

    def block_started(self, work: Work, blocks: int) -> None:
        """A block begins; so many of its condition are whole, those of earlier sessions included."""

    def trial_finished(self, work: Work, measurement: Measurement) -> None:
        """A trial is over."""

    def block_finished(self, work: Work, blocks: int, estimate: Estimate | None) -> None:
        """A block is whole, as so many are now; the ratio so far."""

    def condition_finished(self, result: ConditionResult) -> None:
        """A condition needs no more blocks, or was given up."""

    def pass_finished(self, left: int) -> None:
        """Every condition had its turn; so many need another block."""

    def say(self, text: str) -> None:
        """Something worth reading happened."""


def run(work: Sequence[Work], options: Options, listener: Listener, stop: Stop) -> Summary:
    """Measure what is missing of the work: pass by pass, in each a block of every condition that needs one.

    The blocks of a condition so lie minutes apart, and its interval knows how the machine changes over the session.
    A trial that fails is recorded and the rest goes on. Raises ConfigError where a build is not what was fetched, or
    says another version than its own; StoreError where results cannot be written. Whatever the exception, also
    KeyboardInterrupt, no child is left and all that was measured is kept.
    """
    for build in {build.folder: build for one in work for build in one.builds.values()}.values():
        builds.check(build)
    start, summary = time.perf_counter(), Summary()
    session = Session(work, options, listener, stop, summary)
    with store.locked(session.folder), store.clean_logs(session.folder, session.private):
        if options.fresh:
            for file in {session.raw_file(one) for one in work}:
                store.set_aside(file)
        left = [_blocks(session, one) for one in work]
        while left:
            for blocks in tuple(left):
                if not next(blocks, False):
                    left.remove(blocks)
            listener.pass_finished(len(left))
    summary.wall_s = time.perf_counter() - start
    return summary


def _blocks(session: Session, work: Work) -> Iterator[bool]:
    """Measure a condition block by block; True after each but the last, where the others have their turn."""
    if session.stop.requested:
        return
    if reason := impossible(work.prepared.condition):
        session.listener.say(f"{work.prepared.condition.name} is left out: {reason}")
        return
    raw_file, key = session.raw_file(work), work.prepared.key
    with contextlib.closing(store.ConditionLog(raw_file, key, session.options.sides)) as log:
        condition = ConditionRun(session, work, log)
        for turn, block in enumerate(condition.missing()):
            if turn:
                yield True
            if not session.stop.requested:
                session.listener.block_started(work, len(log.whole))
                condition.measure(block)
        result = ConditionResult(work, log.estimate(), log.medians_s(), len(log.whole))
    session.summary.results.append(result)
    session.listener.condition_finished(result)


def impossible(condition: Condition, system: str = SYSTEM) -> str:
    """Why this system cannot measure the condition; empty: it can."""
    if isinstance(condition, BatchCondition) and condition.strategy == "forked" and not can_fork_loaded(system):
        return "a process that has loaded itk is forked on Linux only: Windows cannot, macOS's libraries do not bear it"
    return ""


@dataclass(frozen=True)
class Session:
    """What the conditions of one session have in common."""

    work: Sequence[Work]
    options: Options
    listener: Listener
    stop: Stop
    summary: Summary
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    started_utc: str = field(default_factory=utc_now)
    machine: str = field(default_factory=machine.machine_name)

    @property
    def folder(self) -> Path:
        """Results of this machine."""
        return self.options.out.absolute() / "raw" / self.machine

    @cached_property
    def private(self) -> Mapping[str, str]:
        """Every way in which notes and logs may name the user's files and folders -> what stands for it."""
        found = {str(self.folder): "<results>"}
        for images in (one.prepared.images for one in self.work):
            found |= store.private_names({"fixed": images.fixed, "moving": images.moving, **images.extras})
        return found

    def raw_file(self, work: Work) -> Path:
        """The raw file of a condition."""
        return store.raw_file(self.folder, work.experiment_name, work.comparison.name)

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Facts of the machine."""
        return machine.fingerprint()

    def line(self, work: Work) -> SessionLine:
        """The line that stands before the first line of this session in a raw file."""
        return SessionLine(
            session=self.name,
            machine=self.machine,
            identity=machine.identity(),
            started_utc=self.started_utc,
            command=command_words(self.options.command),
            comparison=work.comparison.name,
            builds={build.name: dict(build.facts) for build in work.builds.values()},
            fingerprint=self.fingerprint,
            seed=self.options.seed,
            harness=f"{__version__}, Python {sys.version.split()[0]}",
        )


class ConditionRun:
    """One condition, taken up where an earlier session left it."""

    def __init__(self, session: Session, work: Work, log: store.ConditionLog) -> None:
        self._session = session
        self._work = work
        self._key = work.prepared.key
        self._log = log
        said = session.folder / store.LOGS / f"{work.experiment_name}-{work.prepared.condition.name}.log"
        said.parent.mkdir(parents=True, exist_ok=True)
        self._place = Place(session.folder / store.WORK, said)

    def missing(self) -> Iterator[Block]:
        """The blocks that are to be measured next, until there are enough; one that is not whole then comes again."""
        session, work, log = self._session, self._work, self._log
        for number in range(1, work.blocks + 1):
            if number in log.whole:
                session.summary.skipped += 1
                continue
            if stats.enough(log.block_logs(), session.options.precision):
                return
            for _ in range(ATTEMPTS):
                yield schedule.block(self._key, number, work.rounds, session.options.seed)
                if number in log.whole:
                    break
                if session.stop.requested:
                    return
            else:
                name = work.prepared.condition.name
                session.listener.say(f"{name}: given up, as block {number} failed {ATTEMPTS} times")
                return
            session.listener.block_finished(work, len(log.whole), log.estimate())

    def measure(self, block: Block) -> None:
        """One life of the workers: the warm-up, the rounds, and the line that says that the block is whole.

        Without that line the block was cut: a stop is wanted, a warm-up failed, or an arm is of no use any more.
        """
        session, work = self._session, self._work
        life = uuid.uuid4().hex[:12]
        environment = {PADDING: "x" * block.environment_bytes}
        place = dataclasses.replace(self._place, environment=environment)
        folder = place.work / ("x" * block.folder_length)
        folder.mkdir(parents=True, exist_ok=True)
        arms: dict[Side, Arm] = {}
        try:
            for side in SIDES:
                if side in session.options.sides:
                    arms[side] = make_arm(work.builds[side], work.prepared, side, place, session.options.limits)
            for trials in block.rounds:
                done: dict[Side, Measurement] = {}
                for trial in trials:
                    if trial.side not in arms:
                        continue
                    if session.stop.requested:
                        return
                    done[trial.side] = self._trial(trial, life, arms[trial.side], folder)
                    failed = done[trial.side].status != "ok"
                    if failed and (trial.phase == "warmup" or not arms[trial.side].usable):
                        return
                if trials[0].phase == "measure":
                    self._compare(done)
            self._log.add(
                BlockLine(
                    session=session.name,
                    key=self._key,
                    life=life,
                    block=block.number,
                    environment_bytes=block.environment_bytes,
                    folder_length=block.folder_length,
                    ended_utc=utc_now(),
                    state=machine.state(),
                )
            )
        finally:
            for arm in arms.values():
                arm.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _trial(self, trial: Trial, life: str, arm: Arm, parent: Path) -> Measurement:
        """Run one trial in a folder of its own and keep what it gave, whatever that is."""
        session, work = self._session, self._work
        started, before = utc_now(), load.snapshot()
        fields: dict[str, Any] = {"status": "ok"}
        with store.trial_folder(parent) as folder:
            try:
                fields |= arm.run(trial, folder)
                fields |= load.by_others(before, load.snapshot(), fields)
                store.keep_transform(session.folder, fields["result_digest"], folder)
                self._open_log(folder)
            except TrialError as error:
                status = "timeout" if error.timed_out else "failed"
                fields |= {**error.facts, "status": status, "note": store.hide(str(error), session.private)}
        self._check_version(work.builds[trial.side], fields.get("said", {}))
        measurement = Measurement(
            session=session.name,
            key=self._key,
            life=life,
            block=trial.block,
            round=trial.round,
            side=trial.side,
            position=trial.position,
            phase=trial.phase,
            started_utc=started,
            jobs=work.prepared.jobs,
            registrations=work.prepared.registrations,
            **fields,
        )
        self._open_log(None)
        self._log.add(measurement)
        session.summary.failed += measurement.status != "ok"
        session.summary.measured += 1
        session.listener.trial_finished(work, measurement)
        return measurement

    def _check_version(self, build: InstalledBuild, said: Mapping[str, str]) -> None:
        """What runs must be of the release that the build is called by. Raises ConfigError.

        A build may say less of itself than its wheel's version does (0.25.5 for 0.25.5.dev3+local), so only the release
        number is compared; which build it is exactly, its digest says.
        """
        own = {"cli": "elastix", "api": "itk_elastix", "sitk": "simpleitk"}[build.build.path]
        for name, stated in ((own, build.build.version), ("itk", build.facts.get("itk"))):
            found = said.get(name)
            if found and stated and _release(found) != _release(str(stated)):
                raise ConfigError(
                    f"{build.name} says that its {name.replace('_', '-')} is {found}, not {stated}: it is not "
                    "the build that its name says, and its trial is not kept; delete it and fetch it again"
                )

    def _open_log(self, folder: Path | None) -> None:
        """Write the session's and the condition's line before the first measurement.

        Where nobody knows the fixed image's size before a build has read it, the first transform tells.
        """
        if self._log.opened:
            return
        work, inputs = self._work, self._work.prepared.inputs
        if folder is not None and not inputs.size_px:
            size = parameters.read(transform_files(folder)[-1]).values.get("Size", ())
            inputs = dataclasses.replace(inputs, size_px=tuple(int(length) for length in size))
            work.prepared.check_size(inputs.size_px)
        self._log.open(
            self._session.line(work),
            ConditionLine(
                session=self._session.name,
                key=self._key,
                experiment=work.experiment_name,
                question=work.question,
                comparison=work.comparison.name,
                condition=work.prepared.condition,
                inputs=inputs,
                blocks=work.blocks,
                rounds=work.rounds,
            ),
        )

    def _compare(self, done: Mapping[Side, Measurement]) -> None:
        """Compare the two results of a round; a trial that failed has none."""
        base, other = done.get("base"), done.get("other")
        if base is None or other is None or base.result_digest is None or other.result_digest is None:
            return
        digests = (base.result_digest, other.result_digest)
        apart = self._log.agreement(digests, base.session) or self._compared(digests)
        self._log.add(
            AgreementLine(
                session=base.session,
                key=base.key,
                life=base.life,
                block=base.block,
                round=base.round,
                digests=digests,
                mean_px=apart.mean_px,
                max_px=apart.max_px,
                problem=apart.problem,
            )
        )

    def _compared(self, digests: tuple[str, str]) -> Apart:
        if digests[0] == digests[1]:
            return Apart(0.0, 0.0)
        kept = self._session.folder / store.TRANSFORMS
        builds_here = [self._work.builds[side] for side in SIDES]
        comparer = Comparer(self._work.prepared, builds_here, self._place, self._session.options.limits)
        apart = comparer.compare(kept / digests[0], kept / digests[1])
        if not apart.problem:
            return apart
        problem = store.hide(apart.problem, self._session.private)[:1000]
        self._session.listener.say(f"{self._work.prepared.condition.name}: results not compared: {problem}")
        return Apart(problem=problem)


def _release(version: str) -> tuple[int, ...] | str:
    """The release number without trailing zeros: 3.0.0a1.post183 is (3,); what is no version number as it is."""
    try:
        numbers = Version(version).release
    except InvalidVersion:
        return version
    significant = max((index for index, number in enumerate(numbers, start=1) if number), default=0)
    return numbers[:significant]


def command_words(words: Iterable[str]) -> tuple[str, ...]:
    """The words of a command without folders and file names: those are often people's names."""

    def clean(word: str) -> str:
        option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
        if _BUILD.fullmatch(value) or not (_FILE.search(value) or Path(value).exists()):
            return word
        return f"{option}{equals}FILE"

    return tuple(clean(word) for word in words)
