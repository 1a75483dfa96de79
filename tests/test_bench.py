"""The rounds of a condition, run with arms that cost nothing."""

from __future__ import annotations

import dataclasses
import datetime
import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import parts
from repro.errors import TrialError
from repro.measure.arms import Arm, Facts
from repro.measure.bench import ConditionRun, Session, Stop
from repro.measure.kept import Kept
from repro.measure.measurement import Measurement
from repro.measure.outcome import ConditionResult, Tally
from repro.measure.store import read_lines
from repro.model import Condition, Executable, Experiment, Pair, Path_, Settings, Trial
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared

PAIR = Pair("1-2", "1", Executable("2", "2"), "3.11", datetime.date(2026, 1, 1))
CONDITION = Condition("one", ("a.txt",), "posted", Settings(0, "option"), Settings(0, "method"))
EXPERIMENT = Experiment("posted", "Slower?", (CONDITION,), rounds=4)
IMAGES = ImageSet("posted", Path("fixed.tif"), Path("moving.tif"), "f" * 64, "e" * 64, "")


class FakeArm:
    """An arm of fixed seconds and a fixed result, which notes what it was asked."""

    def __init__(self, world: World, path: Path_) -> None:
        self.world = world
        self.path = path
        self.closed = False
        world.made.append(self)

    def run(self, trial: Trial, folder: Path) -> Facts:
        assert not list(folder.iterdir())
        self.world.ran.append(trial)
        self.world.running = self
        if self.world.fails(trial):
            raise TrialError("it broke", facts={"exit_status": 3})
        if trial.phase == "start":
            return {"wall_s": 0.1}
        x = self.world.shift[self.path]
        (folder / "TransformParameters.0.txt").write_text(parts.TRANSFORM.format(x))
        return {"wall_s": self.world.seconds(trial), "result_digest": f"{self.path}-{x}"}

    def close(self) -> None:
        self.closed = True


@dataclasses.dataclass
class World:
    """Everything around one condition."""

    folder: Path
    seconds: Callable[[Trial], float] = lambda trial: {"cli": 2.0, "api": 3.0}[trial.path]
    fails: Callable[[Trial], bool] = lambda trial: False
    shift: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"cli": 1.0, "api": 1.0})
    rounds: int | None = None
    precision: float = 0.03
    paths: frozenset[str] = frozenset({"cli", "api"})
    condition: Condition = CONDITION
    trials: int = 1
    lock: str = "lock"
    stop: Stop = dataclasses.field(default_factory=Stop)
    ran: list[Trial] = dataclasses.field(default_factory=list)
    made: list[FakeArm] = dataclasses.field(default_factory=list)
    running: FakeArm = dataclasses.field(init=False)
    said: list[str] = dataclasses.field(default_factory=list)
    expected: int = 0
    tally: Tally = dataclasses.field(default_factory=Tally)

    def run(self) -> ConditionResult:
        self.ran, self.made, self.tally = [], [], Tally()
        session = Session(
            name="s",
            machine="m",
            machine_folder=self.folder,
            pair=PAIR,
            lock=self.lock,
            cli_source="debian",
            seed=1,
            rounds=self.rounds,
            precision=self.precision,
            paths=self.paths,
        )
        prepared = Prepared(self.condition, IMAGES, ("(Transform ...)\n",), "TranslationTransform", 2)
        makers: dict[Path_, Callable[[], Arm]] = {
            "cli": lambda: FakeArm(self, "cli"),
            "api": lambda: FakeArm(self, "api"),
        }
        kept = Kept(self.file, {"kind": "session", "session": "s"}, lambda: {"kind": "end", "session": "s"})
        experiment = dataclasses.replace(EXPERIMENT, trials=self.trials)
        return ConditionRun(session, experiment, prepared, kept, makers, self, self.stop, self.tally).run()

    @property
    def file(self) -> Path:
        return self.folder / "1-2" / "posted.jsonl"

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.file) if line["kind"] == kind]

    def expect(self, trials: int) -> None:
        self.expected += trials

    def finished(self, measurement: Measurement, busy_s: float) -> None:
        self.expected -= 1

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_starts_then_a_warm_up_then_the_rounds_each_with_both_paths(world: World) -> None:
    result = world.run()
    phases = [(trial.phase, trial.round) for trial in world.ran]
    rounds = [("measure", number) for number in (1, 2, 3, 4) for _ in (0, 1)]
    assert phases == [("start", 1), ("start", 2), ("start", 3), ("warmup", 0), ("warmup", 0), *rounds]
    for number in range(5):
        assert {trial.path for trial in world.ran if trial.round == number and trial.phase != "start"} == {"cli", "api"}
    assert [step.number for step in result.rounds] == [0, 1, 2, 3, 4]
    assert all(arm.closed for arm in world.made)
    assert world.expected == 0


def test_both_paths_go_first_equally_often(world: World) -> None:
    world.rounds = 20
    world.precision = 0
    world.run()
    firsts = [trial.path for trial in world.ran if trial.phase == "measure" and trial.position == 0]
    assert sorted(firsts) == ["api"] * 10 + ["cli"] * 10
    assert firsts not in (["api", "cli"] * 10, ["cli", "api"] * 10)


def test_trials_of_a_round_mirror_one_another_and_count_by_their_geometric_mean(world: World) -> None:
    world.trials = 2
    world.seconds = lambda trial: (2.0 if trial.path == "cli" else 6.0) * (4 if trial.repeat else 1)
    result = world.run()
    for number in range(1, 5):
        first, second, third, fourth = (
            trial.path for trial in world.ran if trial.round == number and trial.phase == "measure"
        )
        assert first == fourth != second == third
    assert [len([trial for trial in world.ran if trial.phase == phase]) for phase in ("warmup", "measure")] == [2, 16]
    seconds = [tuple(line and line["wall_s"] for line in step.lines) for step in result.rounds]
    assert seconds == [(2.0, 6.0), *[pytest.approx((4.0, 12.0))] * 4]
    assert {line["repeat"] for line in world.lines("measurement")} == {0, 1}


def test_a_round_without_one_of_its_trials_waits_for_it(world: World) -> None:
    world.trials = 3
    world.fails = lambda trial: trial.path == "api" and trial.round == 2 and trial.repeat == 1
    result = world.run()
    assert [bool(step.lines[1]) for step in result.rounds] == [True, True, False, True, True]
    world.fails = lambda trial: False
    result = world.run()
    again = [(trial.path, trial.round, trial.repeat) for trial in world.ran if trial.phase == "measure"]
    assert again == [("api", 2, 1)]
    assert all(step.lines[1] for step in result.rounds)


def test_more_trials_a_round_keep_what_the_first_of_them_measured(world: World) -> None:
    world.run()
    world.trials = 2
    world.run()
    assert {trial.repeat for trial in world.ran if trial.phase == "measure"} == {1}


def test_every_measurement_is_on_disk_after_one_session_line(world: World) -> None:
    world.run()
    assert len(world.lines("session")) == len(world.lines("end")) == 1
    lines = world.lines("measurement")
    assert len(lines) == len(world.ran) == len({line["key"] for line in lines})
    assert {line["cli_source"] for line in lines if line["path"] == "api"} == {None}
    assert not list((world.folder / ".work").iterdir())


def test_a_second_run_does_nothing(world: World) -> None:
    world.run()
    before = world.file.read_bytes()
    result = world.run()
    assert world.ran == []
    assert world.file.read_bytes() == before
    assert len(result.rounds) == 5
    assert world.tally.skipped == 10


def test_more_rounds_run_only_what_is_missing_after_a_warm_up_that_is_not_kept_again(world: World) -> None:
    world.run()
    world.rounds = 6
    world.run()
    assert [(trial.phase, trial.round) for trial in world.ran] == [
        ("warmup", 0),
        ("warmup", 0),
        ("measure", 5),
        ("measure", 5),
        ("measure", 6),
        ("measure", 6),
    ]
    keys = [line["key"] for line in world.lines("measurement")]
    assert len(keys) == len(set(keys))


def test_other_wheels_are_measured_anew(world: World) -> None:
    world.run()
    world.lock = "another"
    world.run()
    assert len(world.ran) == 13


def test_a_failed_trial_is_recorded_and_the_rest_goes_on(world: World) -> None:
    world.fails = lambda trial: trial.path == "cli" and trial.round == 2 and trial.phase == "measure"
    world.run()
    failed = [line for line in world.lines("measurement") if line["status"] == "failed"]
    assert [(line["round"], line["note"], line["exit_status"]) for line in failed] == [(2, "it broke", 3)]
    assert world.tally.failed == 1
    assert len(world.ran) == 13
    world.fails = lambda trial: False
    world.run()
    assert [(trial.path, trial.round) for trial in world.ran if trial.phase == "measure"] == [("cli", 2)]


def test_a_warm_up_that_fails_is_not_followed_by_rounds_that_would_fail_too(world: World) -> None:
    world.fails = lambda trial: trial.path == "api"
    world.run()
    assert [(trial.path, trial.phase) for trial in world.ran][3:] == [("cli", "warmup"), ("api", "warmup")]
    assert world.expected == 0
    assert "left out" in world.said[0]


def test_rounds_stop_once_the_interval_is_narrow_enough(world: World) -> None:
    world.rounds = 40
    world.run()
    assert max(trial.round for trial in world.ran) == 10
    assert world.expected == 0
    world.run()
    assert world.ran == []


def test_noisy_rounds_go_on_to_the_last(world: World) -> None:
    world.rounds = 12
    world.seconds = lambda trial: 2.0 if trial.path == "cli" else 1.0 + trial.round
    world.run()
    assert max(trial.round for trial in world.ran) == 12


def test_an_interrupt_ends_the_condition_after_the_trial(world: World) -> None:
    def seconds(trial: Trial) -> float:
        world.stop.requested = trial.round == 2 or world.stop.requested
        return 1.0

    world.seconds = seconds
    world.run()
    assert [trial.round for trial in world.ran if trial.phase == "measure"] == [1, 1, 2]
    assert all(arm.closed for arm in world.made)
    assert len(world.lines("measurement")) == len(world.ran)


def test_one_path_alone_can_be_run(world: World) -> None:
    world.paths = frozenset({"api"})
    result = world.run()
    assert {trial.path for trial in world.ran} == {"api"}
    assert all(step.lines[0] is None and step.lines[1] is not None for step in result.rounds)


def test_twice_the_same_path_gets_two_arms_of_its_own(world: World) -> None:
    world.condition = dataclasses.replace(CONDITION, arms=("api", "api"))
    world.run()
    assert len(world.made) == 2
    assert {trial.arm for trial in world.ran} == {0, 1}
    assert {trial.path for trial in world.ran} == {"api"}


def test_a_worker_that_is_slower_than_its_twin_is_noise_and_no_difference_of_the_arms(world: World) -> None:
    world.condition = dataclasses.replace(CONDITION, arms=("api", "api"))
    world.rounds = 8
    world.seconds = lambda trial: 1.0 + world.made.index(world.running)
    result = world.run()
    assert len(world.made) == 2
    quicker = [step.lines[0] and step.lines[0]["wall_s"] for step in result.rounds]
    assert quicker == [1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]


def test_equal_results_agree_exactly_and_different_ones_by_their_distance(world: World) -> None:
    world.run()
    assert {(line["mean_px"], line["max_px"]) for line in world.lines("agreement")} == {(0.0, 0.0)}
    world.shift = {"cli": 1.0, "api": 4.0}
    world.lock = "another"
    world.run()
    result = world.run()
    later = world.lines("agreement")[5:]
    assert {step.apart_px for step in result.rounds if step.number} == {1.5}
    # Three units of a spacing of two are one and a half pixels, at every point of the grid.
    assert {(line["round"], line["mean_px"], line["max_px"]) for line in later} == {(n, 1.5, 1.5) for n in range(5)}


def test_results_that_cannot_be_compared_are_said_and_the_rounds_go_on(world: World) -> None:
    world.shift = {"cli": 1.0, "api": float("inf")}
    result = world.run()
    assert len(world.ran) == 13
    assert [step.apart_px for step in result.rounds] == [None] * 5
    assert any("could not be compared" in text for text in world.said)


def test_a_disk_that_is_full_ends_the_run_and_the_next_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(FakeArm, "run", full)
    with pytest.raises(OSError, match="No space left"):
        world.run()
    assert all(arm.closed for arm in world.made)
    assert not list((world.folder / ".work").iterdir())
    monkeypatch.undo()
    world.run()
    keys = [line["key"] for line in world.lines("measurement")]
    assert len(keys) == len(set(keys)) == 13
