"""The questions of the post, the releases, the ways and the advice, from timings made by a known law."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from repro.explain.find import find
from repro.explain.measured import version_key
from repro.explain.questions import Answer, answer
from repro.model import Estimate, Finding, Reason, Status, Verdict
from repro.results.columns import write_reasons
from repro.results.tables import Tables
from support import report_tables as made_up
from support.report_tables import Case


@functools.cache
def findings() -> tuple[Finding, ...]:
    cases = tuple(made_up.MAIN + made_up.ORDERS + made_up.MORE)
    return tuple(find(made_up.made(pairs=made_up.PAIRS[:1], cases=cases, releases=made_up.RELEASES)))


def of(kind: str, **figures: object) -> list[Finding]:
    return [
        one
        for one in findings()
        if one.kind == kind and all(one.figures[name] == figure for name, figure in figures.items())
    ]


def test_the_thread_pool_acts_by_its_work_units_alone() -> None:
    (pool,) = of("threader", threader="Pool", told="no")
    assert (pool.figures["answer"], pool.figures["units_before"], pool.figures["units"]) == (Answer.YES, 448, 112)
    (told,) = of("threader", told="yes")
    assert told.figures["answer"] == Answer.NO


def test_as_many_work_units_on_both_paths_are_no_difference() -> None:
    (same,) = of("same_units")
    assert (same.figures["units"], same.figures["verdict"]) == (128, Verdict.NO_DIFFERENCE)


def test_the_ratio_goes_with_the_size_of_the_histograms() -> None:
    (memory,) = of("memory")
    assert (memory.figures["answer"], memory.figures["bins"]) == (Answer.YES, "32")


def test_the_number_of_threads_matters_until_the_api_is_told() -> None:
    (posted,), (told,) = of("seen_threads", told="no"), of("seen_threads", told="yes")
    assert (posted.figures["answer"], told.figures["answer"]) == (Answer.YES, Answer.NO)
    assert (posted.figures["threads"], posted.figures["own"]) == (28, 4)


def test_posted_rows_of_different_work_are_not_held_against_each_other() -> None:
    cases = [
        Case(experiment="posted", condition="as-posted"),
        Case(experiment="posted-28", condition="as-posted", machine_threads=28, overrides=made_up.HALF),
    ]
    found = find(made_up.made(pairs=made_up.PAIRS[:1], cases=cases))
    assert not [one for one in found if one.kind == "seen_threads"]


def test_the_jacobian_is_cleared_by_an_affine_transform_that_is_slow_too() -> None:
    (jacobian,) = of("jacobian")
    assert jacobian.figures["answer"] == Answer.NO


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(1.2, 1.4, Answer.YES), (0.9, 1.05, Answer.NO), (1.0, 1.3, Answer.UNCLEAR), (None, None, Answer.UNKNOWN)],
)
def test_an_answer_needs_an_interval_that_lies_on_one_side(low: float, high: float, says: Answer) -> None:
    assert answer(Estimate(1.2, low, high, "interval" if low else "single", 8)) == says


def test_the_executable_without_threads_is_compared_with_itself() -> None:
    seen = {one.figures["threads"]: one.figures for one in of("untold")}
    assert seen[28]["verdict"] == Verdict.SLOWER
    assert seen[28]["told"] == 2


def test_releases_stand_in_their_order_with_since_when_slow() -> None:
    assert [one.figures["version"] for one in of("release")] == list(made_up.RELEASES)
    (stretch,) = of("stretch")
    assert (stretch.figures["slow"], stretch.figures["first"], stretch.figures["oldest"]) == ("yes", "0.17.0", "yes")
    (change,) = of("change")
    assert (change.figures["version_before"], change.figures["version"]) == ("0.25.1", "0.25.4")
    few = find(made_up.made(pairs=(), releases=made_up.RELEASES, blocks=3))
    assert not [one for one in few if one.kind == "change"], "what few blocks give has no interval"


def test_a_release_that_was_measured_in_part_has_no_factor() -> None:
    tables = made_up.made(pairs=(), releases=("0.9.0", "0.10.0"))
    rows = [row for row in tables.rows if (row.condition, row.other) != ("threads", "api:0.9.0")]
    found = find(dataclasses.replace(tables, rows=rows))
    assert [(one.figures["version"], one.figures["factor"] is None) for one in found if one.kind == "release"] == [
        ("0.9.0", True),
        ("0.10.0", False),
    ]


def test_versions_are_ordered_as_versions() -> None:
    names = ["0.25.4-5.3.1", "0.9.1-5.0.1", "0.25.4.dev3-5.3.1", "odd name", "0.21.0-5.2.0"]
    ordered = ["0.9.1-5.0.1", "0.21.0-5.2.0", "0.25.4.dev3-5.3.1", "0.25.4-5.3.1", "odd name"]
    assert sorted(names, key=version_key) == ordered


# ---- what to do


ADVISED = [
    Case(experiment="own", condition="plain", other=made_up.TOLD),
    Case(experiment="own", condition="pool", other=f"{made_up.TOLD}+Pool"),
    Case(experiment="own", condition="posted"),
    *(case for case in made_up.MORE if case.strategy),
]


def advice(tables: Tables) -> dict[str, dict[str, Any]]:
    return {str(one.figures["batch"]): dict(one.figures) for one in find(tables) if one.kind == "advice"}


def test_the_simplest_of_the_quickest_settings_is_advised_with_the_lines_that_set_it() -> None:
    found = advice(made_up.made(pairs=made_up.PAIRS[:1], cases=ADVISED))
    assert found["no"]["code"] == "registration.SetNumberOfThreads(2)"
    assert "ElastixPool(workers=2, threads=1" in found["yes"]["code"]
    compile(found["yes"]["code"], "advice", "exec")


def test_another_registration_is_not_advised_for_being_quicker() -> None:
    bins = Case(experiment="own", condition="bins", other=made_up.TOLD, overrides="NumberOfHistogramBins=32")
    found = advice(made_up.made(pairs=made_up.PAIRS[:1], cases=[*ADVISED[:1], bins, bins]))
    assert found["no"]["each_s"] > 1.8


def test_settings_of_an_emulated_machine_or_of_unequal_work_are_not_advised() -> None:
    cases = [
        Case(experiment="own", condition="emulated", other=made_up.TOLD, machine_threads=28),
        Case(experiment="own", condition="posted"),
    ]
    assert advice(made_up.made(pairs=made_up.PAIRS[:1], cases=cases)) == {}


def test_other_random_samples_are_the_same_work() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=ADVISED[:1])
    reason = write_reasons([(Reason.OTHER_SAMPLES, ())])
    rows = [dataclasses.replace(row, status=Status.EXPLAINED, reason=reason) for row in tables.rows]
    assert "no" in advice(dataclasses.replace(tables, rows=rows))


def test_a_setting_whose_condition_crashed_is_not_advised_without_saying_so() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=ADVISED[:1])
    failed = dataclasses.replace(tables.rows[0], condition="two-metrics", status=Status.FAILED, ratio=None)
    found = advice(dataclasses.replace(tables, rows=[*tables.rows, failed]))
    assert found["no"]["crashed"] == "two-metrics"


# ---- the ways side by side


def test_the_ways_stand_side_by_side_with_seconds_first_result_and_memory() -> None:
    ways = {one.figures["way"]: one.figures for one in of("way")}
    assert list(ways) == ["executable", "itk-elastix as posted", "itk-elastix cured", "ElastixPool", "SimpleITK"]
    posted, cured = ways["itk-elastix as posted"], ways["itk-elastix cured"]
    assert posted["one_s"] > 5 * cured["one_s"]
    # Loading is what inspect measured of the build, not what the harness's quick way takes.
    assert cured["first_s"] == pytest.approx(8.0 + cured["one_s"])
    assert ways["executable"]["first_s"] == ways["executable"]["one_s"]
    assert ways["ElastixPool"]["jobs"] == 2
    assert {one.figures["use"] for one in of("pick")} == {"one", "many", "long"}


def test_one_job_of_the_pool_is_measured_like_the_other_ways() -> None:
    pool = Case(
        experiment="paths", condition="pool", other="method:2+Pool", strategy="pool", jobs=1, machine_threads=28
    )
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=[*made_up.MORE, pool])
    (row,) = (row for row in tables.rows if (row.experiment, row.condition) == ("paths", "pool"))
    assert (row.jobs, row.registrations) == (1, 1)
    row = dataclasses.replace(row, other_load_s=0.5)  # it loads in its own way, whatever inspect found of the build
    rows = [row if (one.experiment, one.condition) == ("paths", "pool") else one for one in tables.rows]
    ways = {
        one.figures["way"]: one.figures for one in find(dataclasses.replace(tables, rows=rows)) if one.kind == "way"
    }
    assert ways["ElastixPool"]["one_s"] == row.other_median_s
    assert ways["ElastixPool"]["first_s"] == pytest.approx(0.5 + (row.other_median_s or 0))
    assert ways["ElastixPool"]["jobs"] == 2
    alone = [one.figures for one in find(made_up.made(pairs=made_up.PAIRS[:1], cases=[pool])) if one.kind == "way"]
    assert [(one["way"], one["many_s"]) for one in alone] == [("executable", None), ("ElastixPool", None)]


def test_the_ways_of_one_job_do_the_same_work() -> None:
    bins = Case(
        experiment="causes", condition="bins", machine_threads=28, overrides=f"{made_up.HALF}; NumberOfHistogramBins=32"
    )
    posted = Case(experiment="causes", condition="posted", machine_threads=28, overrides=made_up.HALF)
    cured = dataclasses.replace(posted, condition="threads", other=made_up.TOLD)
    found = find(made_up.made(pairs=made_up.PAIRS[:1], cases=[bins, posted, cured]))
    assert {one.figures["overrides"] for one in found if one.kind == "way"} == {made_up.HALF}


def test_loading_that_nobody_asked_for_is_unknown() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=made_up.MORE)
    found = find(dataclasses.replace(tables, builds=[]))
    first = {one.figures["way"]: one.figures["first_s"] for one in found if one.kind == "way"}
    assert first["itk-elastix cured"] is None


def test_pairs_are_told_from_comparisons_of_builds() -> None:
    assert not [one for one in find(made_up.compared()) if one.kind in ("pair", "ladder", "advice", "way")]


def test_a_batch_of_damaged_cells_is_no_pick() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=made_up.MORE, blocks=2)
    rows = [dataclasses.replace(row, jobs=-1, registrations=None) if row.strategy else row for row in tables.rows]
    picks = [one.figures for one in find(dataclasses.replace(tables, rows=rows)) if one.kind == "pick"]
    assert all(one["seconds"] > 0 for one in picks)
    assert "many" not in {one["use"] for one in picks}
