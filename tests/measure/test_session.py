"""Blocks, rounds, resuming and stopping, with arms that cost nothing."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from repro.errors import ConfigError, TrialError
from repro.measure import session, store
from repro.measure.arms import PADDING, Facts, Place
from repro.measure.session import Summary, Work
from repro.model import (
    AgreementLine,
    BlockLine,
    ConditionLine,
    Line,
    Measurement,
    SessionLine,
    Side,
    Trial,
    TrialStatus,
)
from repro.plan import schedule
from repro.system.interrupts import Stop
from support.made_up import build as made_up
from support.made_up.elastix import TRANSFORM


class FakeArm:
    """An arm of made-up seconds and a made-up result, which notes what it was asked."""

    def __init__(self, world: World, side: Side, place: Place) -> None:
        self.world, self.side, self.place = world, side, place
        self.usable, self.closed = True, False
        world.made.append(self)

    def run(self, trial: Trial, folder: Path) -> Facts:
        assert not list(folder.iterdir())
        self.world.ran.append(trial)
        self.world.folders.append(folder)
        self.world.running = self
        if self.world.fails(trial):
            self.usable = not self.world.fatal
            raise TrialError("it broke", facts={"exit_status": 3})
        x = self.world.shift[trial.side]
        (folder / "TransformParameters.0.txt").write_text(TRANSFORM.format(x), encoding="utf-8")
        return {
            "wall_s": self.world.seconds(trial),
            "result_digest": f"{trial.side}-{x}",
            "said": self.world.said_by[trial.side],
        }

    def close(self) -> None:
        self.closed = True


@dataclasses.dataclass
class World:
    """Everything around one condition."""

    out: Path
    work: list[Work]
    seconds: Callable[[Trial], float] = lambda trial: {"base": 2.0, "other": 3.0}[trial.side]
    fails: Callable[[Trial], bool] = lambda trial: False
    fatal: bool = False
    """Whether a failure leaves the arm unusable, as that of a worker does."""
    shift: dict[Side, Any] = dataclasses.field(default_factory=lambda: {"base": 1.0, "other": 1.0})
    said_by: dict[Side, dict[str, str]] = dataclasses.field(default_factory=lambda: {"base": {}, "other": {}})
    stop: Stop = dataclasses.field(default_factory=Stop)
    ran: list[Trial] = dataclasses.field(default_factory=list)
    folders: list[Path] = dataclasses.field(default_factory=list)
    made: list[FakeArm] = dataclasses.field(default_factory=list)
    running: FakeArm = dataclasses.field(init=False)
    heard: made_up.Quiet = dataclasses.field(default_factory=made_up.Quiet)

    def run(self, blocks: int = 2, rounds: int = 2, **options: Any) -> Summary:
        self.ran, self.made, self.folders, self.heard = [], [], [], made_up.Quiet()
        work = [dataclasses.replace(one, blocks=blocks, rounds=rounds) for one in self.work]
        return made_up.run(self.out, work, self.heard, self.stop, **options)

    @property
    def file(self) -> Path:
        (found,) = self.out.glob("raw/*/made-up/*.jsonl")
        return found

    def lines(self) -> list[Line]:
        return list(store.read_lines(self.file))

    def measurements(self, status: TrialStatus | None = None) -> list[Measurement]:
        lines = [line for line in self.lines() if isinstance(line, Measurement)]
        return [line for line in lines if status in (None, line.status)]

    def of_kind(self, kind: type) -> list[Any]:
        return [line for line in self.lines() if isinstance(line, kind)]

    def blocks_ran(self) -> list[int]:
        return sorted({trial.block for trial in self.ran})


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture
def world(tmp_path: Path, builds: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, made_up.works(builds))
    monkeypatch.setattr(session, "make_arm", lambda _, __, side, place, ___: FakeArm(made, side, place))
    monkeypatch.setattr("repro.system.machine.fingerprint", dict)
    monkeypatch.setattr("repro.system.machine.state", dict)
    return made


def test_a_block_is_a_warm_up_and_its_rounds_each_with_both_arms(world: World) -> None:
    summary = world.run(blocks=1, rounds=3)
    assert [(trial.round, trial.phase) for trial in world.ran] == [
        *[(0, "warmup")] * 2,
        *[(number, "measure") for number in (1, 2, 3) for _ in (0, 1)],
    ]
    for number in range(4):
        assert {trial.side for trial in world.ran if trial.round == number} == {"base", "other"}
    assert (summary.measured, summary.failed, summary.results[0].blocks) == (8, 0, 1)


def test_every_block_has_fresh_workers_that_are_ended_with_it(world: World) -> None:
    world.run(blocks=3)
    assert len(world.made) == 6
    assert all(arm.closed for arm in world.made)
    lives = {line.block: line.life for line in world.of_kind(BlockLine)}
    assert len(set(lives.values())) == 3


def test_both_arms_go_first_equally_often_in_an_order_that_is_no_pattern(world: World) -> None:
    world.run(blocks=10, rounds=2)
    firsts = [trial.side for trial in world.ran if trial.round and trial.position == 0]
    assert sorted(firsts) == ["base"] * 10 + ["other"] * 10
    assert firsts not in (["base", "other"] * 10, ["other", "base"] * 10)
    positions = [(line.block, line.round, line.side, line.position) for line in world.measurements()]
    assert positions == [(trial.block, trial.round, trial.side, trial.position) for trial in world.ran]


def test_environment_and_folder_differ_from_block_to_block_and_are_recorded(world: World) -> None:
    world.run(blocks=4)
    key = world.work[0].prepared.key
    for number, line in enumerate(world.of_kind(BlockLine), start=1):
        planned = schedule.block(key, number, 2, 1)
        assert (line.environment_bytes, line.folder_length) == (planned.environment_bytes, planned.folder_length)
        for arm in world.made[2 * number - 2 : 2 * number]:
            assert len(arm.place.environment[PADDING]) == line.environment_bytes
        folders = {
            folder.parent for trial, folder in zip(world.ran, world.folders, strict=True) if trial.block == number
        }
        assert [len(folder.name) for folder in folders] == [line.folder_length]
    assert len({line.environment_bytes for line in world.of_kind(BlockLine)}) > 1


def test_the_lines_stand_in_the_order_in_which_they_are_read_back(world: World) -> None:
    world.run(blocks=1, rounds=1)
    kinds = [type(line) for line in world.lines()]
    assert kinds == [SessionLine, ConditionLine, *[Measurement] * 4, AgreementLine, BlockLine]
    first = world.lines()[0]
    assert isinstance(first, SessionLine)
    assert set(first.builds) == {"cli:0", "api:0"}
    assert not list(world.out.glob("raw/*/.work"))


def test_the_estimate_is_that_of_the_blocks(world: World) -> None:
    world.seconds = lambda trial: 2.0 if trial.side == "base" else 2.0 * (1 + trial.block)
    result = world.run(blocks=3).results[0]
    assert result.estimate is not None
    assert result.estimate.value == pytest.approx(3)
    assert (result.estimate.blocks, result.estimate.interval) == (3, "range")
    assert result.medians_s == {"base": 2.0, "other": 6.0}


def test_a_second_run_measures_nothing(world: World) -> None:
    before = world.run()
    content = world.file.read_bytes()
    again = world.run()
    assert world.ran == []
    assert world.file.read_bytes() == content
    assert (again.measured, again.skipped) == (0, 2)
    assert again.results[0].estimate == before.results[0].estimate


def test_more_blocks_leave_the_first_ones_as_they_are(world: World) -> None:
    world.run(blocks=2)
    content = world.file.read_bytes()
    world.run(blocks=3)
    assert world.blocks_ran() == [3]
    assert world.file.read_bytes().startswith(content)


def test_a_block_that_was_cut_is_measured_anew_and_nothing_is_lost(world: World) -> None:
    def seconds(trial: Trial) -> float:
        world.stop.requested = trial.block == 2 and trial.round == 1
        return 1.0

    world.seconds = seconds
    world.run()
    content = world.file.read_bytes()
    cut = [line for line in world.measurements() if line.block == 2]
    assert len(cut) == 3
    world.stop.requested = False
    world.seconds = lambda trial: 1.0
    summary = world.run()
    assert world.blocks_ran() == [2]
    assert len(world.ran) == 6
    assert world.file.read_bytes().startswith(content)
    lives = {line.life for line in world.measurements() if line.block == 2}
    assert len(lives) == 2
    assert summary.results[0].blocks == 2
    assert len(world.of_kind(BlockLine)) == 2


def test_a_stop_lets_the_trial_finish_and_starts_none(world: World) -> None:
    def seconds(trial: Trial) -> float:
        world.stop.requested = trial.round == 1
        return 1.0

    world.seconds = seconds
    summary = world.run(blocks=3)
    assert [trial.round for trial in world.ran] == [0, 0, 1]
    assert len(world.measurements("ok")) == 3
    assert all(arm.closed for arm in world.made)
    assert (summary.results[0].blocks, summary.results[0].estimate) == (0, None)


def test_a_line_that_was_torn_does_not_count_and_is_cut_off(world: World) -> None:
    world.run(blocks=1)
    content = world.file.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, len(content) - 1):
        world.file.write_bytes(content[:cut])
        world.run(blocks=1)
        assert len(world.ran) == 6
        assert world.file.read_bytes().startswith(content[:last])
        assert b"}{" not in world.file.read_bytes()


def test_other_builds_are_measured_anew(world: World) -> None:
    world.run()
    (one,) = world.work
    condition = one.prepared.condition
    other = dataclasses.replace(condition.other, build=dataclasses.replace(condition.other.build, digest="0" * 32))
    prepared = dataclasses.replace(one.prepared, condition=dataclasses.replace(condition, other=other))
    world.work = [dataclasses.replace(one, prepared=prepared)]
    world.run()
    assert world.blocks_ran() == [1, 2]


def test_a_block_of_one_arm_is_not_whole_for_both(world: World) -> None:
    summary = world.run(sides=frozenset({"other"}))
    assert {trial.side for trial in world.ran} == {"other"}
    assert summary.results[0].estimate is None
    assert set(summary.results[0].medians_s) == {"other"}
    world.run(sides=frozenset({"other"}))
    assert world.ran == []
    assert world.run().results[0].estimate is not None
    assert world.blocks_ran() == [1, 2]


def test_fresh_begins_anew_and_keeps_what_was_there(world: World) -> None:
    world.run()
    content = world.file.read_bytes()
    world.run(fresh=True)
    assert world.blocks_ran() == [1, 2]
    (aside,) = world.file.parent.glob("*.replaced")
    assert aside.read_bytes() == content


# ---- failures


def test_an_executable_that_fails_is_recorded_and_its_block_goes_on(world: World) -> None:
    world.fails = lambda trial: trial.side == "base" and trial.block == 2 and trial.round == 1
    summary = world.run()
    (failed,) = world.measurements("failed")
    assert (failed.block, failed.round, failed.note, failed.exit_status) == (2, 1, "it broke", 3)
    assert len(world.ran) == 12
    assert (summary.failed, summary.results[0].blocks) == (1, 2)
    world.run()
    assert world.ran == [], "all its trials were tried"


def test_a_worker_that_fails_ends_its_block_which_is_tried_once_more(world: World) -> None:
    tries: list[Trial] = []

    def fails(trial: Trial) -> bool:
        if trial.side == "other" and trial.block == 2 and trial.round == 1:
            tries.append(trial)
        return len(tries) == 1 and trial.block == 2 and trial.side == "other" and trial.round == 1

    world.fails, world.fatal = fails, True
    summary = world.run(blocks=3)
    assert (summary.failed, summary.results[0].blocks) == (1, 3)
    lives = {line.life for line in world.measurements() if line.block == 2}
    assert len(lives) == 2
    assert all(arm.closed for arm in world.made)


def test_a_warm_up_that_fails_twice_ends_the_condition(world: World) -> None:
    world.fails = lambda trial: trial.side == "other"
    summary = world.run(blocks=5)
    assert {trial.phase for trial in world.ran} == {"warmup"}
    assert sum(trial.side == "other" for trial in world.ran) == 2
    assert summary.failed == 2
    assert any("given up" in text for text in world.heard.said)
    world.fails = lambda trial: False
    assert world.run(blocks=1).results[0].blocks == 1, "a later session tries it again"


def test_the_next_condition_is_measured_where_one_was_given_up(world: World, builds: Path) -> None:
    world.work = made_up.works(builds, conditions=2)
    failures = iter((True, False, False, False, True))  # both times that the first condition has its turn
    world.fails = lambda trial: trial.side == "other" and next(failures, False)
    results = world.run(blocks=1).results
    assert {result.work.prepared.condition.name: result.blocks for result in results} == {
        "condition-1": 0,
        "condition-2": 1,
    }


def test_conditions_take_turns_so_that_the_blocks_of_one_lie_apart(world: World, builds: Path) -> None:
    world.work = made_up.works(builds, conditions=2)
    world.run(blocks=2)
    assert world.heard.turns == [("condition-1", 0), ("condition-2", 0), ("condition-1", 1), ("condition-2", 1)]


def test_a_condition_that_has_enough_leaves_its_turns_to_the_others(world: World, builds: Path) -> None:
    world.work = made_up.works(builds, conditions=1)
    world.run(blocks=1)
    world.work = made_up.works(builds, conditions=2)
    assert {result.blocks for result in world.run(blocks=2).results} == {2}
    assert world.heard.turns == [("condition-1", 1), ("condition-2", 0), ("condition-2", 1)]


def test_a_stop_in_one_condition_starts_no_block_of_another(world: World, builds: Path) -> None:
    world.work = made_up.works(builds, conditions=2)

    def seconds(trial: Trial) -> float:
        world.stop.requested = trial.block == 2
        return 1.0

    world.seconds = seconds
    results = world.run(blocks=3).results
    assert len(world.heard.turns) == 3
    assert [result.blocks for result in results] == [1, 1], "what was measured of both is told"


def test_a_build_that_says_another_version_ends_the_session_and_nothing_of_it_is_kept(world: World) -> None:
    world.said_by["base"] = {"elastix": "9.9.9"}
    with pytest.raises(ConfigError, match=r"cli:0 says that its elastix is 9\.9\.9, not 0"):
        world.run()
    assert {line.side for line in world.measurements()} <= {"other"}
    assert all(arm.closed for arm in world.made)


@pytest.mark.parametrize("said", ["0", "0.0", "0+g1234567", "0.dev3"])
def test_a_build_may_say_less_or_more_of_its_version_than_its_release(world: World, said: str) -> None:
    world.said_by["base"] = {"elastix": said}
    assert world.run(blocks=1).failed == 0


def test_a_build_whose_files_were_changed_is_not_measured(world: World, tmp_path: Path) -> None:
    world.work = made_up.works(tmp_path / "own")
    program = tmp_path / "own" / "cli-0" / "elastix" / "elastix.py"
    program.write_text(program.read_text(encoding="utf-8") + "# swapped\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not what was fetched"):
        world.run()
    assert world.ran == []


def test_a_disk_that_is_full_ends_the_run_and_the_next_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr(FakeArm, "run", full)
        with pytest.raises(OSError, match="No space left"):
            world.run()
    assert all(arm.closed for arm in world.made)
    assert not list(world.out.glob("raw/*/.work"))
    assert world.run().results[0].blocks == 2


# ---- stopping early


def test_blocks_stop_once_the_interval_is_narrow_enough(world: World) -> None:
    summary = world.run(blocks=40, precision=0.03)
    assert world.blocks_ran() == [1, 2, 3, 4, 5, 6]
    world.run(blocks=40, precision=0.03)
    assert world.ran == []
    assert summary.results[0].estimate is not None
    assert summary.results[0].estimate.interval == "interval"


def test_noisy_blocks_go_on_to_the_last(world: World) -> None:
    world.seconds = lambda trial: 2.0 if trial.side == "base" else math.exp(trial.block % 5)
    world.run(blocks=9, precision=0.03)
    assert len(world.blocks_ran()) == 9


# ---- agreement


def test_equal_results_agree_exactly_and_others_by_their_distance(world: World) -> None:
    world.run(blocks=1)
    assert {line.max_px for line in world.of_kind(AgreementLine)} == {0.0}
    world.shift = {"base": 1.0, "other": 4.0}
    world.run(blocks=2)
    later = [line for line in world.of_kind(AgreementLine) if line.block == 2]
    # Three units of a spacing of two are one and a half pixels, at every point of the grid.
    assert {(line.round, line.mean_px, line.max_px, line.problem) for line in later} == {
        (1, 1.5, 1.5, ""),
        (2, 1.5, 1.5, ""),
    }


def test_the_warm_up_is_no_agreement(world: World) -> None:
    world.run(blocks=1)
    assert [line.round for line in world.of_kind(AgreementLine)] == [1, 2]


def test_results_that_cannot_be_compared_are_no_number_anywhere(world: World) -> None:
    world.shift = {"base": 1.0, "other": float("inf")}
    world.run(blocks=1)
    lines: Sequence[AgreementLine] = world.of_kind(AgreementLine)
    assert {(line.mean_px, line.max_px) for line in lines} == {(None, None)}
    assert all(line.problem for line in lines)
    assert sum("not compared" in text for text in world.heard.said) == 1


def test_a_result_is_kept_once_under_its_digest(world: World) -> None:
    world.run()
    kept = [folder.name for folder in world.out.glob("raw/*/transforms/*")]
    assert sorted(kept) == ["base-1.0", "other-1.0"]


def test_a_strategy_that_a_system_cannot_run_is_left_out_and_said(
    world: World, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strategy, systems in (("forked", {"darwin", "win32"}), ("spawned", set())):
        (one,) = made_up.works(builds, strategy=strategy)  # type: ignore[arg-type]
        assert {
            name for name in ("linux", "darwin", "win32") if session.impossible(one.prepared.condition, name)
        } == systems
    monkeypatch.setattr(session, "impossible", lambda _: "it cannot")
    summary = world.run()
    assert (summary.results, world.ran) == ([], [])
    assert any("left out: it cannot" in text for text in world.heard.said)


# ---- what must not leave the machine


def test_the_command_in_a_raw_line_names_no_folder_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mueller").mkdir()
    words = (
        "compare",
        "api:0.25.3",
        "api:0.25.5.dev3+1a2b3c4d",
        "--fixed",
        "/home/mary/mueller.nii.gz",
        "--moving=b.mha",
    )
    kept = session.command_words((*words, "--out", "mueller", "--blocks", "8", "0.25.4-5.3.1", "C:\\Users\\x\\y"))
    assert kept == (
        *("compare", "api:0.25.3", "api:0.25.5.dev3+1a2b3c4d", "--fixed", "FILE", "--moving=FILE"),
        *("--out", "FILE", "--blocks", "8", "0.25.4-5.3.1", "FILE"),
    )


def test_the_size_of_images_is_what_the_build_read_where_nobody_else_knows_it(world: World, builds: Path) -> None:
    world.work = made_up.works(builds, images=dataclasses.replace(made_up.IMAGES, size_px=()))
    world.run(blocks=1)
    (line,) = world.of_kind(ConditionLine)
    assert line.inputs.size_px == (4, 4)
    assert line.key == world.work[0].prepared.key


def test_images_of_another_dimension_than_the_parameter_file_is_for_end_the_session(world: World, builds: Path) -> None:
    (one,) = made_up.works(builds, images=dataclasses.replace(made_up.IMAGES, size_px=()))
    world.work = [dataclasses.replace(one, prepared=dataclasses.replace(one.prepared, dimension=3))]
    with pytest.raises(ConfigError, match="the images are 2-D"):
        world.run()


def test_nothing_depends_on_the_wall_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    years = itertools.cycle((2026, 1970, 2099, 2025))
    monkeypatch.setattr(session, "utc_now", lambda: f"{next(years)}-01-01T00:00:00+00:00")
    monkeypatch.setattr(time, "time", lambda: 3e9 / next(years))
    for blocks in (1, 3):
        result = world.run(blocks=blocks).results[0]
    assert world.blocks_ran() == [2, 3]
    assert result.blocks == 3
    assert result.estimate is not None
    assert result.estimate.value == pytest.approx(1.5)


def test_a_hung_trial_is_recorded_as_a_timeout_and_its_condition_given_up(tmp_path: Path, builds: Path) -> None:
    """With real children of made-up builds."""
    heard = made_up.Quiet()
    summary = made_up.run(tmp_path, made_up.works(builds, text='(api "hang")'), heard, limits=session.Limits(1.5))
    hung = [line for line in heard.measurements if line.status != "ok"]
    assert {(line.side, line.status, line.phase) for line in hung} == {("other", "timeout", "warmup")}
    assert (summary.failed, summary.results[0].blocks) == (2, 0)
    assert any("given up" in text for text in heard.said)
