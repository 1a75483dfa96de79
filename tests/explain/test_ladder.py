"""The ladder of causes, from timings that were made by a known law."""

from __future__ import annotations

import functools

import pytest

from repro.explain.find import find
from repro.model import Finding, Verdict
from support import report_tables as made_up
from support.report_tables import Case


@functools.cache
def findings() -> tuple[Finding, ...]:
    return tuple(find(made_up.made(pairs=made_up.PAIRS[:1], cases=tuple(made_up.MAIN + made_up.ORDERS))))


def of(kind: str, experiment: str = "causes") -> list[Finding]:
    return [one for one in findings() if one.kind == kind and one.subject.experiment == experiment]


def test_each_change_has_a_factor_with_an_interval_that_holds_the_truth() -> None:
    steps = {(one.figures["before"], one.figures["change"]): one for one in of("step")}
    # 1.9 s + 18 s x units / 448, against 1.9 s + 18 s x 2 / 448.
    told, pool, posted = (1.9 + 18 * units / 448 for units in (2, 112, 448))
    for change, truth in (("threads", posted / told), ("pool", posted / pool)):
        factor = steps["", change].figures["factor"]
        assert factor.low * 0.98 < truth < factor.high * 1.02
    assert steps["threads", "pool"].figures["verdict"] == Verdict.NO_DIFFERENCE


def test_all_changes_together_make_the_whole() -> None:
    ends = {one.figures["changes"]: one for one in of("end")}
    assert set(ends) == {"threads+pool+bins", "platform+units"}
    for one in ends.values():
        assert one.figures["share"] == pytest.approx(1, abs=0.06)


def test_causes_that_act_on_one_another_are_named() -> None:
    changes = {one.figures["change"] for one in of("interaction")}
    assert {"threads", "pool", "bins"} <= changes


def test_the_fewest_settings_that_cure_it_are_the_cure() -> None:
    (ladder,) = of("ladder")
    assert ladder.figures["cure"] == "threads"
    assert ladder.figures["cured_verdict"] == Verdict.NO_DIFFERENCE


def test_the_posted_ratio_in_rounds_of_its_own_is_the_whole() -> None:
    whole = Case(experiment="posted-28", condition="as-posted", machine_threads=28, overrides=made_up.HALF)
    tables = made_up.made(pairs=made_up.PAIRS[:1], cases=[*made_up.MAIN, whole])
    (ladder,) = (one for one in find(tables) if one.kind == "ladder")
    (row,) = (row for row in tables.rows if row.experiment == "posted-28" and row.overrides == made_up.HALF)
    assert ladder.figures["posted"] == row.estimate


def test_without_the_posted_condition_there_is_no_ladder() -> None:
    cases = [case for case in made_up.MAIN if case.condition != "posted"]
    assert not [one for one in find(made_up.made(pairs=made_up.PAIRS[:1], cases=cases)) if one.kind == "ladder"]


def test_few_blocks_give_a_factor_without_a_verdict_and_no_share_of_what_is_no_slowdown() -> None:
    few = find(made_up.made(pairs=made_up.PAIRS[:1], blocks=3))
    steps = [one for one in few if one.kind == "step"]
    assert {one.figures["verdict"] for one in steps} == {Verdict.CANNOT_TELL}
    assert {one.figures["share"] for one in few if one.kind == "end"} == {None}


def test_a_ladder_of_the_users_own_is_read_from_what_its_conditions_ask_for() -> None:
    cases = [
        Case(experiment="causes-mine", condition="start", machine_threads=8),
        Case(experiment="causes-mine", condition="samples", machine_threads=8, overrides="NumberOfSpatialSamples=100"),
    ]
    found = find(made_up.made(pairs=made_up.PAIRS[:1], cases=cases))
    assert {one.figures["changes"] for one in found if one.kind == "rung"} == {"", "NumberOfSpatialSamples"}
    (ladder,) = (one for one in found if one.kind == "ladder")
    assert ladder.figures["cure"] is None


def test_the_same_tables_give_the_same_findings() -> None:
    tables = made_up.made(pairs=made_up.PAIRS[:1])
    assert find(tables) == find(tables)
