"""Run the rounds of a condition and keep every measurement the moment it exists."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from repro.elastix import resultfolder, transforms
from repro.errors import ConfigError, TrialError
from repro.measure import store
from repro.measure.arms import Arm
from repro.measure.kept import Kept
from repro.measure.measurement import Agreement, Measurement
from repro.measure.outcome import ConditionResult, RoundResult, Tally
from repro.measure.stopping import enough
from repro.model import Condition, Experiment, Pair, Path_, Status, Trial
from repro.plan import plan
from repro.plan.order import runner
from repro.plan.plan import Round
from repro.plan.prepare import Prepared
from repro.scrub import scrub
from repro.system import load


class Listener(Protocol):
    """Hears what happens; the terminal is one."""

    def expect(self, trials: int) -> None:
        """So many more trials are to come (negative: fewer than were announced)."""

    def finished(self, measurement: Measurement, busy_s: float) -> None:
        """A trial is over; ``busy_s`` is what it took in all, loading included."""

    def say(self, text: str) -> None:
        """Something worth reading happened."""


@dataclass
class Stop:
    """Set by the first interrupt: the trial under way is finished, none is started."""

    requested: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One start of bench for one pair: what its lines have in common."""

    name: str
    machine: str
    machine_folder: Path
    pair: Pair
    lock: str
    cli_source: str
    seed: int
    rounds: int | None
    """Replaces the experiment's number of rounds; None: the experiment's own."""
    precision: float
    """Half width of the interval, relative, at which a condition needs no more rounds."""
    paths: frozenset[str]


ArmMakers = Mapping[Path_, Callable[[], Arm]]


class ConditionRun:
    """One condition of one pair, taken up where an earlier run left it."""

    def __init__(
        self,
        session: Session,
        experiment: Experiment,
        prepared: Prepared,
        kept: Kept,
        makers: ArmMakers,
        listener: Listener,
        stop: Stop,
        tally: Tally,
    ) -> None:
        self._session = session
        self._experiment = experiment
        self._condition: Condition = prepared.condition
        self._prepared = prepared
        self._makers = makers
        self._listener = listener
        self._stop = stop
        self._tally = tally
        self._arms: dict[int, Arm] = {}
        self._keys: dict[Trial, str] = {}
        self._kept = kept

    def run(self) -> ConditionResult:
        """Run what is missing, compare the results; the arms are ended whatever happens."""
        try:
            starts, rounds = self._planned()
            measured = rounds[1:]
            missing = [step for step in measured if not self._has(step.trials)]
            self._tally.skipped += sum(self._has([trial]) for step in rounds for trial in step.trials)
            if missing and not enough(self._logs(measured[: measured.index(missing[0])]), self._session.precision):
                self._run_rounds([*starts, *rounds[0].trials], measured, missing)
            self._compare(rounds)
            results = tuple(RoundResult(step.number, self._lines(step), self._apart_px(step)) for step in rounds)
            return ConditionResult(self._session.pair.name, self._experiment.name, self._condition, results)
        finally:
            for arm in self._arms.values():
                arm.close()
            self._kept.close()

    def _planned(self) -> tuple[list[Trial], list[Round]]:
        session = self._session
        count = session.rounds or self._experiment.rounds_of(self._condition.name)
        rounds = plan.rounds(session.pair, self._experiment, self._condition, count, session.seed, session.paths)
        starts = plan.start_trials(session.pair, self._experiment, self._condition, session.paths)
        return [trial for trial in starts if not self._has([trial])], rounds

    def _run_rounds(self, opening: Sequence[Trial], measured: Sequence[Round], missing: Sequence[Round]) -> None:
        """The start and warm-up trials, then round by round until there are enough.

        The warm-up is run again where an earlier run has kept it: a new worker is cold.
        """
        left = len(opening) + sum(len(step.trials) for step in missing)
        self._listener.expect(left)
        for trial in opening:
            if self._stop.requested:
                return
            left -= 1
            if self._trial(trial) != "ok" and trial.phase == "warmup":
                # What fails warming up fails in every round, and each may take a timeout.
                self._listener.say(f"{self._condition.name}: its rounds are left out, for the warm-up failed")
                self._listener.expect(-left)
                return
        logs: list[float] = []
        seen = 0
        for step in missing:
            logs += self._logs(measured[seen : (seen := step.number - 1)])
            if enough(logs, self._session.precision):
                break
            for trial in step.trials:
                if self._stop.requested:
                    return
                if not self._has([trial]):
                    self._trial(trial)
                left -= 1
            self._compare([step])
        self._listener.expect(-left)

    def _key(self, trial: Trial) -> str:
        if trial not in self._keys:
            self._keys[trial] = trial.key(self._condition, self._prepared.inputs, self._session.lock)
        return self._keys[trial]

    def _has(self, trials: Iterable[Trial]) -> bool:
        return all(self._kept.line(self._key(trial)) is not None for trial in trials)

    def _lines(self, step: Round) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """The round's good measurements by arm, None where one is missing."""
        first, second = (
            [self._kept.line(self._key(trial)) for trial in step.trials if trial.arm == arm] for arm in (0, 1)
        )
        return _as_one(first), _as_one(second)

    def _apart_px(self, step: Round) -> float | None:
        first, second = self._lines(step)
        return self._kept.apart_px((first["key"], second["key"])) if first and second else None

    def _logs(self, steps: Iterable[Round]) -> list[float]:
        """Log ratios of those of the rounds that are complete."""
        lines = [self._lines(step) for step in steps]
        return [math.log(second["wall_s"] / first["wall_s"]) for first, second in lines if first and second]

    def _trial(self, trial: Trial) -> Status:
        """Run one trial in a folder of its own and keep what it gave, whatever that is."""
        folder = store.work_folder(self._session.machine_folder)
        started, before = store.utc_now(), load.snapshot()
        fields: dict[str, Any] = {"status": "ok"}
        try:
            fields |= self._arm(trial).run(trial, folder)
            fields |= load.by_others(before, load.snapshot(), fields)
            if "result_digest" in fields:
                store.keep_transform(self._session.machine_folder, fields["result_digest"], resultfolder.files(folder))
        except TrialError as error:
            fields |= {**error.facts, "status": "timeout" if error.timed_out else "failed", "note": scrub(str(error))}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        busy_s = load.snapshot().at_s - before.at_s
        measurement = self._measurement(trial, started, fields)
        self._kept.add(measurement)
        self._tally.measurements.append(measurement)
        self._tally.busy_s += busy_s
        self._listener.finished(measurement, busy_s)
        if measurement.status == "ok" and measurement.note:
            self._listener.say(f"{self._condition.name} round {trial.round}: {measurement.note}")
        return measurement.status

    def _arm(self, trial: Trial) -> Arm:
        """What runs the trial, made where it is the first one's."""
        same_path = len(set(self._condition.arms)) == 1
        which = runner(trial.arm, trial.round) if same_path else trial.arm
        if which not in self._arms:
            self._arms[which] = self._makers[trial.path]()
        return self._arms[which]

    def _measurement(self, trial: Trial, started: str, fields: Mapping[str, Any]) -> Measurement:
        inputs = self._prepared.inputs
        return Measurement(
            key=self._key(trial),
            session=self._session.name,
            machine=self._session.machine,
            pair=trial.pair,
            experiment=trial.experiment,
            condition=trial.condition,
            arm=trial.arm,
            path=trial.path,
            phase=trial.phase,
            round=trial.round,
            position=trial.position,
            repeat=trial.repeat,
            started_utc=started,
            machine_threads=self._condition.machine_threads,
            cli_source=self._session.cli_source if trial.path == "cli" else None,
            fixed_sha256=inputs.fixed_sha256,
            moving_sha256=inputs.moving_sha256,
            params_sha256=inputs.params_sha256,
            transform=self._prepared.transform,
            jobs=self._prepared.jobs,
            registrations=self._prepared.registrations,
            strategy=self._condition.strategy,
            measures=self._condition.measures,
            **fields,
        )

    def _compare(self, steps: Iterable[Round]) -> None:
        """Compare the two results of each complete round that has not been compared yet."""
        for step in steps:
            first, second = self._lines(step)
            if first is None or second is None or not first.get("result_digest"):
                continue  # a round is not complete, or has no results
            keys = (first["key"], second["key"])
            if self._kept.apart_px(keys) is not None:
                continue
            digests = (first["result_digest"], second["result_digest"])
            try:
                mean_px, max_px = self._difference_px(digests)
            except ConfigError as error:  # of a kind that is not known here, or its files are gone
                self._listener.say(f"{self._condition.name} round {step.number} could not be compared: {error}")
                continue
            self._kept.add_agreement(
                Agreement(
                    session=self._session.name,
                    machine=self._session.machine,
                    pair=self._session.pair.name,
                    experiment=self._experiment.name,
                    condition=self._condition.name,
                    round=step.number,
                    mean_px=mean_px,
                    max_px=max_px,
                    digests=digests,
                    keys=keys,
                )
            )

    def _difference_px(self, digests: tuple[str, str]) -> tuple[float, float]:
        if digests[0] == digests[1]:
            return 0.0, 0.0
        files = (store.transform_files(self._session.machine_folder, digest) for digest in digests)
        return transforms.difference_px(*map(transforms.read_chain, files))


def _as_one(lines: Sequence[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    known = [line for line in lines if line is not None]
    if not known or len(known) < len(lines):
        return None
    return {**known[0], "wall_s": statistics.geometric_mean(line["wall_s"] for line in known)}
