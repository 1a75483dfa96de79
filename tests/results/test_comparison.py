"""What a row says: its ratio, floor, status and reasons."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.model import (
    AgreementLine,
    BlockLine,
    ConditionLine,
    Line,
    Measurement,
    Reason,
    Settings,
    Status,
    Threader,
    Verdict,
)
from repro.results.columns import Row
from repro.results.merge import Merged, merge
from repro.results.tables import blocks_of
from support.raw_lines import (
    CURED,
    EXPERIMENTS,
    MACHINE,
    PAIRS,
    POSTED,
    Spec,
    change,
    raw_file,
    read_lines,
    write_lines,
    write_raw,
)

Change = Callable[[Line], Line | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def merged(folder: Path) -> Merged:
    return merge([folder], folder, folder / "nowhere")


def row(folder: Path, condition: str = "as-posted") -> Row:
    return next(one for one in merged(folder).tables.rows if one.condition == condition)


def reason(found: Row, which: Reason) -> tuple[str, ...] | None:
    return dict(found.reasons).get(which)


def edit(file: Path, how: Change) -> None:
    write_lines(file, [new for line in read_lines(file) if (new := how(line)) is not None])


def ask_for_blocks(file: Path, blocks: int) -> None:
    edit(file, lambda line: dataclasses.replace(line, blocks=blocks) if isinstance(line, ConditionLine) else line)


def other(one: Measurement) -> bool:
    return one.side == "other"


def test_a_row_holds_what_its_rounds_say(folder: Path) -> None:
    found = row(write_raw(folder, ratios={"posted": 8.0}, experiments=("posted", "aa")))
    assert (found.machine, found.comparison, found.experiment) == (MACHINE, PAIRS[-1], "posted")
    assert (found.platform, found.physical_cores, found.logical_cores) == ("linux-64", 2, 4)
    assert (found.base, found.other) == ("cli:5.3.1", "api:0.25.4")
    assert (found.base_asked, found.other_asked) == ("option:2", "parameter:2")
    assert found.ratio == pytest.approx(8.0, rel=0.02)
    assert found.ratio_low is not None
    assert found.ratio_high is not None
    assert found.ratio_low < 8.0 < found.ratio_high
    assert (found.interval, found.blocks, found.rounds) == ("interval", 8, 16)
    assert found.base_median_s == pytest.approx(2.0, rel=0.02)
    assert found.other_median_s == pytest.approx(16.0, rel=0.05)
    assert (found.transform, found.size_px) == ("BSplineTransform", "256x254")
    assert (found.base_work_units, found.other_work_units) == (2, 64)
    assert (found.base_threads, found.other_threads, found.other_threader) == (2, 4, "TBB")
    assert (found.other_load_s, found.other_peak_bytes) == (8.5, 900_000_000)
    assert (found.verdict, found.status) == (Verdict.SLOWER, Status.OK)


def test_the_luck_of_a_block_and_the_noise_of_its_rounds_are_told_apart(folder: Path) -> None:
    write_raw(folder, experiments=("posted",), blocks=40, rounds=3, between=0.10, within=0.02)
    found = row(folder)
    assert found.between_sd == pytest.approx(0.10, rel=0.4)
    assert found.within_sd == pytest.approx(0.02, rel=0.4)


def test_a_batch_says_how_it_ran(folder: Path) -> None:
    found = row(write_raw(folder, experiments=("parallel",)), "pool")
    assert (found.strategy, found.jobs, found.registrations) == ("pool", 2, 2)
    assert row(write_raw(folder, experiments=("posted",))).jobs is None


def test_fewer_blocks_than_asked_for_are_partial_and_a_run_that_has_what_it_asked_for_is_whole(folder: Path) -> None:
    write_raw(folder, experiments=("posted",), blocks=3)
    quick = row(folder)
    assert (quick.status, quick.interval, quick.verdict) == (Status.OK, "range", Verdict.CANNOT_TELL)
    edit(
        raw_file(folder), lambda line: dataclasses.replace(line, blocks=8) if isinstance(line, ConditionLine) else line
    )
    cut = row(folder)
    assert (cut.status, reason(cut, Reason.FEW_BLOCKS)) == (Status.PARTIAL, ("3",))


def test_a_run_that_stopped_early_by_its_precision_is_whole(folder: Path) -> None:
    write_raw(folder, experiments=("posted",), blocks=6)
    edit(
        raw_file(folder), lambda line: dataclasses.replace(line, blocks=10) if isinstance(line, ConditionLine) else line
    )
    assert row(folder).status is Status.OK


# ---- which lives count


def test_a_block_that_was_cut_is_kept_and_not_counted(folder: Path) -> None:
    write_raw(folder, experiments=("posted",))
    edit(raw_file(folder), lambda line: None if isinstance(line, BlockLine) and line.block == 3 else line)
    change(raw_file(folder), lambda one: one.block == 3 and other(one), wall_s=900.0)
    found = merged(folder)
    (its,) = found.tables.rows
    assert (its.blocks, its.rounds) == (7, 14)
    assert its.other_median_s is not None
    assert its.other_median_s < 100
    assert found.measurements == 8 * 6
    assert {trial.block for trial in found.tables.trials if not trial.whole} == {3}


def test_a_block_that_was_measured_anew_after_failures_counts_once(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    failed = [
        dataclasses.replace(line, life="first try", started_utc="2026-11-30T00", status="failed", wall_s=None)
        if isinstance(line, Measurement)
        else dataclasses.replace(line, life="first try")
        for line in read_lines(file)
        if isinstance(line, Measurement | BlockLine) and line.block == 2
    ]
    write_lines(file, [*read_lines(file), *failed])
    found = row(folder)
    assert (found.status, found.blocks, found.rounds) == (Status.OK, 8, 16)


def test_two_whole_lives_of_one_block_both_count(folder: Path) -> None:
    """Nothing is dropped: two runs into two folders may give one block number two lives."""
    file = raw_file(write_raw(folder, experiments=("posted",)))
    again = [
        dataclasses.replace(line, life=f"again {line.life}")
        for line in read_lines(file)
        if isinstance(line, Measurement | BlockLine | AgreementLine)
    ]
    write_lines(file, [*read_lines(file), *again])
    assert row(folder).blocks == 16


def test_blocks_are_numbered_in_the_order_of_measuring(folder: Path) -> None:
    write_raw(folder, experiments=("posted",), ratios={"posted": 2.0}, within=0.0, between=0.0)
    change(raw_file(folder), lambda one: one.block == 1, started_utc="2026-12-02T00")
    change(raw_file(folder), lambda one: one.block == 1 and other(one) and one.round > 0, wall_s=1000.0)
    blocks = blocks_of(merged(folder).tables.trials)[MACHINE, PAIRS[-1], "posted", "as-posted"]
    assert [*blocks] == [*range(1, 9)]
    assert blocks[8][0] > 5 * blocks[1][0]
    assert blocks[1] == pytest.approx([math.log(2)] * 2)


def test_a_round_needs_both_arms_good(folder: Path) -> None:
    write_raw(folder, experiments=("posted",))
    change(raw_file(folder), lambda one: one.block == 2 and one.round == 1 and other(one), status="failed", wall_s=None)
    assert row(folder).rounds == 15


# ---- failures


def test_failures_are_counted_with_the_first_reason_and_the_good_rounds_still_give_a_ratio(folder: Path) -> None:
    write_raw(folder, experiments=("posted",))
    which: Callable[[Measurement], bool] = lambda one: one.block == 2 and one.round == 1  # noqa: E731
    change(raw_file(folder), which, status="failed", wall_s=None, note="exit status 1;\nno (such) file")
    found = row(folder)
    assert found.status is Status.FAILED
    assert reason(found, Reason.TRIALS_FAILED) == ("2", "48", "exit status 1 no [such] file")
    assert found.ratio
    change(raw_file(folder), which, status="timeout", note="")
    assert row(folder).status is Status.TIMEOUT


def test_one_arm_alone_is_partial_and_gives_no_ratio(folder: Path) -> None:
    write_raw(folder, experiments=("posted",))
    edit(raw_file(folder), lambda line: None if isinstance(line, Measurement) and other(line) else line)
    found = row(folder)
    assert (found.status, found.ratio, reason(found, Reason.ONE_ARM)) == (Status.PARTIAL, None, ("base",))
    assert found.base_median_s


def test_what_cannot_be_had_is_one_row_with_the_reason(folder: Path) -> None:
    write_raw(folder, experiments=("posted",), unavailable={"0.25.0-5.3.0": "no executable for this platform"})
    gone = next(one for one in merged(folder).tables.rows if one.comparison == "0.25.0-5.3.0")
    assert (gone.status, gone.experiment, gone.ratio) == (Status.UNAVAILABLE, "", None)
    assert reason(gone, Reason.UNAVAILABLE) == ("no executable for this platform",)
    assert gone.platform == "linux-64"


def test_what_became_available_is_no_longer_unavailable(folder: Path) -> None:
    write_raw(folder, experiments=("posted",))
    write_raw(folder / "second", unavailable={PAIRS[-1]: "no network"}, comparisons=())
    lines = read_lines(raw_file(folder / "second"))
    write_lines(folder / "raw" / MACHINE / "aa" / f"{PAIRS[-1]}.jsonl", lines)
    found = merge([folder / "raw"], folder, folder / "nowhere")
    assert [one.status for one in found.tables.rows] == [Status.OK]


# ---- agreement


def apart(folder: Path, px: float = 2.5, spec: Spec = EXPERIMENTS["told"][0], pair: str = PAIRS[-1]) -> Row:
    write_raw(folder, comparisons=(pair,), experiments={"told": (spec,)}, agreement_px=px)
    return row(folder, spec.name)


def test_results_apart_after_equal_work_are_different(folder: Path) -> None:
    found = apart(folder)
    assert (found.base_work_units, found.other_work_units) == (2, 2)
    assert (found.status, found.agreement_px) == (Status.DIFFERENT, 2.5)
    assert reason(found, Reason.RESULTS_APART) == ("2.5",)


def test_results_apart_after_unequal_work_are_explained(folder: Path) -> None:
    found = apart(folder, spec=EXPERIMENTS["posted"][0])
    assert found.status is Status.EXPLAINED
    assert reason(found, Reason.UNEQUAL_WORK_UNITS) == ("2", "64")
    assert reason(found, Reason.RESULTS_APART) == ("2.5",)


def test_results_apart_after_work_that_is_not_known_are_no_fault_of_a_build(folder: Path) -> None:
    """A log that says nothing of threads, as SimpleITK's does in a batch of threads."""
    file = raw_file(write_raw(folder, experiments={"posted": EXPERIMENTS["told"]}, agreement_px=2.5))
    change(file, other, log_threads=None, work_units=None, said={})
    found = row(folder, "told")
    assert (found.status, found.other_work_units) == (Status.NOT_COMPARED, None)
    assert reason(found, Reason.WORK_UNITS_UNKNOWN) == ()
    assert reason(found, Reason.RESULTS_APART) == ("2.5",)


def test_random_samples_inside_a_mask_explain_other_results(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments={"posted": EXPERIMENTS["told"]}, agreement_px=2.5))

    def masked(line: Line) -> Line:
        if not isinstance(line, ConditionLine):
            return line
        return dataclasses.replace(
            line, inputs=dataclasses.replace(line.inputs, sampler="Random", masks=("fixed_mask",))
        )

    edit(file, masked)
    found = row(folder, "told")
    assert (found.status, reason(found, Reason.MASKED_RANDOM_SAMPLER)) == (Status.EXPLAINED, ())


def test_failures_of_blocks_that_were_cut_count_over_all_their_lives(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    edit(file, lambda line: None if isinstance(line, BlockLine) and line.block == 8 else line)
    change(file, lambda one: one.block == 8 and other(one), status="failed", wall_s=None)
    again = [
        dataclasses.replace(line, life="second try")
        for line in read_lines(file)
        if isinstance(line, Measurement) and line.block == 8
    ]
    write_lines(file, [*read_lines(file), *again])
    found = row(folder)
    assert found.status is Status.FAILED
    assert reason(found, Reason.TRIALS_FAILED) == ("6", "54")


def test_results_up_to_half_a_pixel_apart_agree(folder: Path) -> None:
    found = apart(folder, 0.4)
    assert (found.status, found.agreement_px, found.agreement_mean_px) == (Status.OK, 0.4, 0.1)


def test_results_that_could_not_be_compared_are_nowhere_a_number_and_not_ok(folder: Path) -> None:
    """The warm-up's 0 px must not stand for rounds that were not compared."""
    file = raw_file(write_raw(folder, experiments=("posted",), agreement_px=0.0))
    change(file, lambda one: other(one) and one.round > 0, result_digest="another result")
    edit(
        file,
        lambda line: (
            dataclasses.replace(
                line,
                digests=(line.digests[0], "another result"),
                mean_px=None,
                max_px=None,
                problem="AffineLogTransform",
            )
            if isinstance(line, AgreementLine) and line.round
            else line
        ),
    )
    found = row(folder)
    assert (found.status, found.agreement_px, found.agreement_mean_px) == (Status.NOT_COMPARED, None, None)
    assert reason(found, Reason.NOT_COMPARED) == ("16", "AffineLogTransform")
    assert {trial.max_px for trial in merged(folder).tables.trials if trial.round} == {None}


@pytest.mark.parametrize("digest", ["another result", None])
def test_different_results_without_a_comparison_are_not_compared(folder: Path, digest: str | None) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",), agreement_px=None))
    change(file, lambda one: other(one) and one.round == 1, result_digest=digest)
    found = row(folder)
    assert (found.status, found.agreement_px) == (Status.NOT_COMPARED, None)


def test_equal_results_agree_without_a_comparison(folder: Path) -> None:
    found = row(write_raw(folder, experiments=("posted",), agreement_px=None))
    assert (found.status, found.agreement_px) == (Status.OK, 0.0)


def test_a_comparison_counts_for_every_round_with_these_two_results(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",), agreement_px=0.2))
    first = next(line for line in read_lines(file) if isinstance(line, AgreementLine))
    edit(file, lambda line: None if isinstance(line, AgreementLine) and line is not first and line.block > 1 else line)
    found = row(folder)
    assert (found.status, found.agreement_px) == (Status.OK, 0.2)


def restless(folder: Path, version: str, rounds: int = 2) -> Row:
    """The n-th call of each worker gives its n-th result, of which the first is the executable's."""
    pair = PAIRS[0]
    file = raw_file(
        write_raw(folder, experiments={"posted": EXPERIMENTS["told"]}, comparisons=(pair,), rounds=rounds), name=pair
    )

    def later(line: Line) -> Line:
        if isinstance(line, Measurement) and line.side == "other":
            said = {**line.said, "elastix": version}
            digest = f"call {line.round}" if line.round else line.result_digest
            return dataclasses.replace(line, said=said, result_digest=digest)
        if isinstance(line, AgreementLine) and line.round:
            return dataclasses.replace(line, digests=(line.digests[0], f"call {line.round}"), max_px=0.9)
        return line

    edit(file, later)
    return row(folder, "told")


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_worker_that_draws_other_samples_at_each_call_is_explained(folder: Path, rounds: int) -> None:
    found = restless(folder, "5.2.0", rounds)
    assert (found.status, reason(found, Reason.OTHER_SAMPLES)) == (Status.EXPLAINED, ())
    assert reason(found, Reason.NOT_DETERMINISTIC) == ("other", str(rounds + 1))


def test_a_newer_worker_whose_later_calls_differ_is_different(folder: Path) -> None:
    found = restless(folder, "5.3.1")
    assert (found.status, reason(found, Reason.LATER_CALLS_DIFFER)) == (Status.DIFFERENT, ())


# ---- what took effect


def test_threads_that_nothing_reads_are_said(folder: Path) -> None:
    found = row(write_raw(folder, experiments=("posted",)))
    assert reason(found, Reason.NOT_HONOURED) == ("other", "2", "unspecified")


def test_a_request_that_was_heard_is_not_said(folder: Path) -> None:
    assert row(write_raw(folder, experiments=("told",)), "told").reasons == []


def test_requests_that_another_number_answers_are_said(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments={"posted": EXPERIMENTS["told"]}))
    change(file, lambda one: one.side == "base", log_threads="7")
    assert reason(row(folder, "told"), Reason.NOT_HONOURED) == ("base", "2", "7")


def test_a_threader_that_did_not_take_effect_is_said(folder: Path) -> None:
    pool = Spec("pool", dataclasses.replace(CURED, threader="Pool"))
    file = raw_file(write_raw(folder, experiments={"posted": (pool,)}))
    change(file, other, threader="TBB")
    assert reason(row(folder, "pool"), Reason.THREADER_NOT_HONOURED) == ("other", "Pool", "TBB")


def test_a_machine_that_a_build_does_not_see_is_said(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted-28",)), "posted-28")
    assert reason(row(folder), Reason.MACHINE_THREADS_NOT_SEEN) is None
    change(file, other, default_threads=2)
    assert reason(row(folder), Reason.MACHINE_THREADS_NOT_SEEN) == ("other", "28", "2")


def test_what_differs_between_trials_is_said_and_its_figure_is_empty(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, lambda one: other(one) and one.block == 1, default_threads=28)
    found = row(folder)
    assert reason(found, Reason.SETTINGS_VARY) == ("other", "default_threads")
    assert found.other_threads is None


@pytest.mark.parametrize(
    ("log_threads", "threader", "units"),
    [("28", "TBB", 28), ("512", "Pool", 128), ("512", "TBB", 512), ("unspecified", "TBB", 64), ("\u0663", "TBB", 3)],
)
def test_the_metric_has_as_many_work_units_as_elastix_was_told_threads(
    folder: Path, log_threads: str, threader: str, units: int
) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, other, log_threads=log_threads, threader=threader)
    assert row(folder).other_work_units == units


@pytest.mark.parametrize(
    ("threader", "said", "units"),
    [
        (None, "default", 112),
        ("Pool", "default+Pool", 112),
        ("Platform", "default+Platform", 28),
        ("TBB", "default+TBB", None),
    ],
)
def test_an_executable_that_was_told_nothing_has_the_work_units_of_its_threader(
    folder: Path, threader: Threader | None, said: str, units: int | None
) -> None:
    (spec,) = EXPERIMENTS["untold"]
    asked = dataclasses.replace(spec, other=Settings(threader=threader))
    found = row(write_raw(folder, experiments={"untold": (asked,)}), "untold")
    assert (found.other_asked, found.other_threads, found.other_work_units) == (said, 28, units)
    assert found.base_work_units == 2


@pytest.mark.parametrize("threads", ["9" * 5000, "\u00b2", "-1", "", "many"])
def test_threads_that_cannot_be_are_unknown(folder: Path, threads: str) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, log_threads=threads, default_threads=None, work_units=None)
    found = row(folder)
    assert (found.base_threads, found.other_threads, found.other_work_units) == (None, None, None)


# ---- versions


def test_a_build_that_says_another_version_is_a_mismatch(folder: Path) -> None:
    """An executable that was swapped after fetch, or a stranger's lines with another elastix."""
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, lambda one: one.side == "base", said={"elastix": "9.9.9"})
    found = row(folder)
    assert (found.status, found.verdict) == (Status.MISMATCH, Verdict.CANNOT_TELL)
    assert reason(found, Reason.VERSION_MISMATCH) == ("base", "5.3.1", "9.9.9")


@pytest.mark.parametrize("said", ["0.25.4", "0.25.4.0", "v0.25.4", "0.25.4.dev3"])
def test_another_spelling_of_the_version_is_no_mismatch(folder: Path, said: str) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, other, said={"itk_elastix": said})
    assert row(folder).status is Status.OK


def test_two_builds_of_one_version_make_rows_of_their_own(folder: Path) -> None:
    """Debian's 5.3.1 is another build once it is linked to another ITK."""
    file = raw_file(write_raw(folder, experiments=("posted",)))
    lines = read_lines(file)

    def rebuilt(line: Line) -> Line:
        changes: dict[str, Any] = {"session": f"later {getattr(line, 'session', '')}"}
        if isinstance(line, ConditionLine):
            base = line.condition.base
            build = dataclasses.replace(base.build, digest="f" * 32)
            changes["condition"] = dataclasses.replace(line.condition, base=dataclasses.replace(base, build=build))
        if hasattr(line, "key"):
            changes["key"] = "another"
        if isinstance(line, Measurement):
            changes |= {"started_utc": f"2027{line.started_utc[4:]}", "wall_s": (line.wall_s or 0) * 2}
        return dataclasses.replace(line, **changes)

    write_lines(file, [*lines, *map(rebuilt, lines)])
    found = merged(folder)
    assert [one.base_digest == "f" * 8 for one in found.tables.rows] == [False, True]
    assert len({one.digest for one in found.tables.builds if one.build == "cli:5.3.1"}) == 2
    # By names alone, the last measured counts.
    blocks = blocks_of(found.tables.trials)
    assert len(blocks) == 1
    assert sum(map(len, next(iter(blocks.values())).values())) == 16


# ---- disturbances


def test_spikes_are_flagged_and_kept(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, lambda one: other(one) and (one.block, one.round) == (3, 1), wall_s=500.0)
    found = merged(folder)
    (its,) = found.tables.rows
    assert (reason(its, Reason.OUTLIERS), its.rounds) == (("1",), 16)
    flagged = [(trial.block, trial.round) for trial in found.tables.trials if trial.outlier]
    assert flagged == [(3, 1)] * 2
    assert {trial.outlier for trial in found.tables.trials if not trial.round} == {None}


def test_drift_from_block_to_block_is_said(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",), blocks=12))
    edit(
        file,
        lambda line: (
            dataclasses.replace(line, wall_s=(line.wall_s or 0) * 1.1**line.block)
            if isinstance(line, Measurement) and other(line)
            else line
        ),
    )
    figures = reason(row(folder), Reason.DRIFT)
    assert figures is not None
    assert float(figures[0]) == pytest.approx(math.log(1.1), abs=0.01)


def test_rounds_that_others_disturbed_are_counted(folder: Path) -> None:
    file = raw_file(write_raw(folder, experiments=("posted",)))
    change(file, lambda one: one.block == 2, other_cores=0.2, stolen_cores=0.1)
    assert reason(row(folder), Reason.DISTURBED) == ("2",)


# ---- the noise floor


def test_the_floor_beside_a_ratio_is_that_of_its_kind(folder: Path) -> None:
    """Of the small file where ITK sees the machine, of the slow condition where it was made to see more threads."""
    ratios = {"cli": 1.02, "api": 0.97, "cli-28": 1.0, "api-28": 1.20}
    write_raw(folder, ratios=ratios, between=0.002, within=0.002)
    found = {(one.experiment, one.condition): one for one in merged(folder).tables.rows}
    small, slow = found["posted", "as-posted"], found["posted-28", "as-posted"]
    assert small.floor == pytest.approx((0.97, 1.02), abs=0.01)
    assert slow.floor == pytest.approx((1.0, 1.20), abs=0.01)


def test_a_floor_is_a_builds_own_or_else_that_of_its_path(folder: Path) -> None:
    write_raw(folder, experiments=("aa",), ratios={"api": 1.3, "cli": 1.0}, comparisons=PAIRS[:1], between=0.001)
    write_raw(folder, experiments=("aa",), ratios={"api": 1.1, "cli": 1.0}, comparisons=PAIRS[1:2], between=0.001)
    write_raw(folder, experiments=("posted",), comparisons=PAIRS, between=0.001)
    high = {one.comparison: one.floor_high for one in merged(folder).tables.rows if one.experiment == "posted"}
    assert high[PAIRS[0]] == pytest.approx(1.3, abs=0.04)
    assert high[PAIRS[1]] == pytest.approx(1.1, abs=0.04)
    assert high[PAIRS[2]] == pytest.approx(1.3, abs=0.04)


def test_a_build_against_itself_in_the_same_condition_is_the_best_floor(folder: Path) -> None:
    """As `compare` measures it."""
    specs = {"compare": (Spec("untold", POSTED, POSTED, machine_threads=28),)}
    write_raw(folder, comparisons=("api:0.25.3 api:0.25.4",), experiments=specs, ratios={"untold": 1.05}, between=0.001)
    write_raw(folder, comparisons=("api:0.25.3 api:0.25.3",), experiments=specs, ratios={"untold": 1.1}, between=0.001)
    write_raw(folder, experiments=("aa",), ratios={"api": 1.5, "api-28": 1.5}, between=0.001)
    found = {one.comparison: one for one in merged(folder).tables.rows if one.experiment == "compare"}
    both, itself = found["api:0.25.3 api:0.25.4"], found["api:0.25.3 api:0.25.3"]
    assert both.floor == (itself.ratio_low, itself.ratio_high)
    assert both.verdict is Verdict.NO_DIFFERENCE
    # It is no floor of its own.
    assert itself.floor == pytest.approx((1.5, 1.5), abs=0.03)


def test_another_machines_floor_is_none_of_ours(folder: Path) -> None:
    write_raw(folder, experiments=("aa",), machines=("m1",))
    write_raw(folder, experiments=("posted",), machines=("m2",))
    assert row(folder).floor is None


def test_a_small_difference_inside_the_floor_is_none(folder: Path) -> None:
    quiet = {"between": 0.001, "within": 0.001}
    write_raw(folder, experiments=("posted",), ratios={"posted": 1.03}, **quiet)  # type: ignore[arg-type]
    assert row(folder).verdict is Verdict.SLOWER
    write_raw(folder, experiments=("aa",), ratios={"api": 1.05}, **quiet)  # type: ignore[arg-type]
    assert row(folder).verdict is Verdict.NO_DIFFERENCE


def test_a_build_against_itself_that_does_not_give_one_is_suspect(folder: Path) -> None:
    write_raw(folder, experiments=("aa",), ratios={"api": 1.2, "cli": 1.0}, between=0.01)
    assert reason(row(folder, "api"), Reason.FLOOR_OFF_ONE) == ()
    assert row(folder, "api").floor is None


def test_two_builds_of_one_path_are_compared_like_any_other(folder: Path) -> None:
    name = "api:0.25.3 api:0.25.4"
    write_raw(folder, comparisons=(name,), experiments={"quick": (Spec("posted", POSTED, POSTED, machine_threads=28),)})
    found = row(folder, "posted")
    assert (found.comparison, found.base, found.other) == (name, "api:0.25.3", "api:0.25.4")
    assert found.verdict is Verdict.FASTER
