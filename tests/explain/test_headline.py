"""The headline: which rows count, what is said of them, and what may be wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from repro.explain.find import find
from repro.model import Finding, Reason, Status, Verdict
from repro.results.columns import write_reasons
from repro.results.tables import Tables
from support import report_tables as made_up
from support.report_tables import Case


def one(tables: Tables, kind: str) -> Finding:
    (found,) = (finding for finding in find(tables) if finding.kind == kind)
    return found


def changed(tables: Tables, experiment: str, condition: str, **cells: Any) -> Tables:
    rows = [
        dataclasses.replace(row, **cells) if (row.experiment, row.condition) == (experiment, condition) else row
        for row in tables.rows
    ]
    return dataclasses.replace(tables, rows=rows)


PAIR = made_up.PAIRS[:1]


def test_a_pair_has_its_ratio_with_28_threads_with_the_machines_own_and_cured() -> None:
    pair = one(made_up.made(pairs=PAIR), "pair").figures
    assert (pair["threads"], pair["own_threads"], pair["cores"]) == (28, 4, 2)
    assert [pair[f"{name}_verdict"] for name in ("many", "own", "cured")] == [
        *(Verdict.SLOWER, Verdict.SLOWER, Verdict.NO_DIFFERENCE),
    ]
    assert pair["many"].value > 9


def test_the_quick_look_gives_the_same_headline_and_says_what_it_is() -> None:
    tables = made_up.made(pairs=PAIR, cases=made_up.QUICK, blocks=2)
    pair = one(tables, "pair").figures
    assert pair["many_verdict"] == Verdict.CANNOT_TELL
    assert pair["cured"]
    assert one(tables, "quick").figures["blocks"] == 2


def test_the_full_run_counts_before_the_quick_look() -> None:
    tables = made_up.made(pairs=PAIR, cases=made_up.MAIN + made_up.QUICK)
    assert one(tables, "pair").subject.experiment == "posted-28"
    assert not [finding for finding in find(tables) if finding.kind == "quick"]


def test_rows_that_ask_for_all_threads_or_do_other_work_are_not_the_headline() -> None:
    told_all = Case(experiment="posted-28-told", condition="as-posted", base="option:28", machine_threads=28)
    bins = Case(experiment="posted", condition="bins", overrides="NumberOfHistogramBins=32")
    assert not [one for one in find(made_up.made(pairs=PAIR, cases=[told_all, bins])) if one.kind == "pair"]


def test_what_took_effect_is_the_reason_and_histograms_only_where_fewer_bins_help() -> None:
    tables = made_up.made(pairs=PAIR)
    figures = one(tables, "why").figures
    assert (figures["unheeded"], figures["threads"], figures["work_units"]) == ("yes", 28, 448)
    assert figures["histograms"] == "yes"
    # A metric without histograms takes as long with any number of bins.
    posted = next(row for row in tables.rows if (row.experiment, row.condition) == ("causes", "posted"))
    trials = [
        dataclasses.replace(trial, wall_s=other.wall_s)
        for trial, other in zip(
            (trial for trial in tables.trials if (trial.experiment, trial.condition) == ("causes", "bins")),
            (trial for trial in tables.trials if (trial.experiment, trial.condition) == ("causes", "posted")),
            strict=True,
        )
    ]
    rest = [trial for trial in tables.trials if (trial.experiment, trial.condition) != ("causes", "bins")]
    same = changed(tables, "causes", "bins", ratio=posted.ratio, ratio_low=posted.ratio_low)
    assert one(dataclasses.replace(same, trials=[*rest, *trials]), "why").figures["histograms"] == "no"


def test_the_verdicts_of_the_pairs_hold_together() -> None:
    """With three pairs each needs 98.3%: an interval that just clears the floor at 95% may reach it."""
    tables = made_up.made()
    family = one(tables, "family").figures
    assert family["headlines"] == 3
    assert family["by_chance"] == pytest.approx(0.05 * family["verdicts"])


def test_the_larger_spread_is_named() -> None:
    spread = one(made_up.made(pairs=PAIR), "spread").figures
    assert spread["between_larger"] > spread["rows"] / 2


def test_a_cure_that_crashed_is_known() -> None:
    failed = write_reasons([(Reason.TRIALS_FAILED, (8, 8, "ended by SIGSEGV"))])
    tables = changed(
        made_up.made(pairs=PAIR), "causes", "threads", status=Status.FAILED, reason=failed, ratio=None, interval=None
    )
    pair = one(tables, "pair").figures
    assert (pair["cured"], pair["cured_reason"]) == (None, "ended by SIGSEGV")
