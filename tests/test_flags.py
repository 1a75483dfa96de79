"""What a row says in words."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rawdata
from repro.results import merge
from test_merge import Line, edit, merged


def row_after(tmp_path: Path, change: Callable[[Line], object], rounds: int = 12, **made: object) -> dict[str, str]:
    """The posted row of a raw folder whose lines were changed."""
    raw = rawdata.write_raw(tmp_path / "raw", rounds=rounds, experiments=("posted",), **made)  # type: ignore[arg-type]
    edit(raw, change)
    (row,) = merged(raw, tmp_path)
    return row


def measured(line: Line, path: str = "") -> bool:
    return line["kind"] == "measurement" and line["phase"] == "measure" and path in ("", line["path"])


def test_the_posted_request_for_threads_is_flagged(tmp_path: Path) -> None:
    row = row_after(tmp_path, lambda line: None)
    assert row["note"] == (
        "NumberOfThreads was not honoured: elastix.log says 'unspecified', the API ran with 4 threads, 64 work units"
    )


def test_a_request_that_was_heard_is_not_flagged(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", experiments=("causes",))
    rows = {row["condition"]: row for row in merged(raw, tmp_path)}
    assert rows["equal-threads"]["note"] == ""
    assert rows["machine-28"]["note"].startswith("NumberOfThreads was not honoured")
    assert "machine of 28" not in rows["machine-28"]["note"]


def test_other_requests_without_effect_are_flagged(tmp_path: Path) -> None:
    def deaf(line: Line) -> None:
        if line["kind"] == "session":
            condition = line["experiment"]["conditions"]["posted"]
            condition["api"] |= {"threads_by": "none", "threads": None, "threader": "Pool"}
            condition["machine_threads"] = 28
        elif line["kind"] == "measurement" and line["path"] == "cli" and line["phase"] != "start":
            line["log_threads"] = "1"

    note = row_after(tmp_path, deaf)["note"]
    assert "2 threads were asked for and not honoured: elastix.log says '1'" in note
    assert "the threader Pool was asked for, the API ran with TBB" in note
    assert "the API was to find a machine of 28 threads, but found 4" in note


@pytest.mark.parametrize(
    ("cli", "api", "words"),
    [
        ("2", 448, "explained by unequal work units of the metric: cli 2, api 448"),
        ("2", 2, "though the metric had 2 work units on both paths"),
        ("unspecified", 2, "whether the metric had equally many work units is not known"),
    ],
)
def test_a_disagreement_says_what_explains_it(tmp_path: Path, cli: str, api: int, words: str) -> None:
    def apart(line: Line) -> None:
        if line["kind"] == "agreement":
            line["digests"] = ["a", "b"]
        elif line["phase"] != "start":
            line["result_digest"] = "a" if line["path"] == "cli" else "b"
            line["log_threads"] = cli if line["path"] == "cli" else "unspecified"
            line["work_units"] = api if line["path"] == "api" else None

    row = row_after(tmp_path, lambda line: apart(line) if line["kind"] != "session" else None, agreement_px=4.25)
    assert row["status"] == "disagree"
    assert row["agreement_px"] == "4.25"
    assert row["ratio"]
    assert f"4.25 px apart (tolerance 0.5 px){',' if 'explained' in words else ''}" in row["note"].replace(
        "px);", "px)"
    )
    assert words in row["note"]
    assert merge.merge([tmp_path / "raw"], tmp_path).exit_status == 3


@pytest.mark.parametrize(
    ("elastix", "first", "words"),
    [
        ("5.2.0", 0.0, "explained by other random samples at each call of one process (first call: as the executable)"),
        ("5.10.1", 0.0, "the API gives other results at each call of one process, its first is the executable's"),
        ("5.2.0", 3.0, "though the metric had 2 work units on both paths"),
    ],
)
def test_a_worker_whose_first_result_alone_agrees_is_named(
    tmp_path: Path, elastix: str, first: float, words: str
) -> None:
    def restless(line: Line) -> None:
        if line["kind"] == "agreement":
            line["digests"] = ["a", f"b{line['round']}"]
            line["max_px"] = 4.25 if line["round"] else first
        elif line["kind"] == "measurement" and line["phase"] != "start":
            line["log_threads"] = "2"
            line["result_digest"] = "a" if line["path"] == "cli" else f"b{line['round']}"
            line["elastix"] = elastix if line["path"] == "api" else "5.2.0"

    row = row_after(tmp_path, restless)
    assert row["status"] == "disagree"
    assert (row["agreement_px"], float(row["warmup_px"]), row["api_results"]) == ("4.25", first, "12")
    assert words in row["note"]
    assert "the API is not deterministic: 12 different results" in row["note"]


def test_agreement_below_the_tolerance_is_fine(tmp_path: Path) -> None:
    row = row_after(tmp_path, lambda line: None, agreement_px=0.5)
    assert (row["status"], row["agreement_px"], row["agreement_mean_px"]) == ("ok", "0.5", "0.125")


def test_a_comparison_counts_for_every_round_with_these_two_results(tmp_path: Path) -> None:
    assert row_after(tmp_path, lambda line: line["kind"] != "agreement" or line["round"] == 3)["agreement_px"] == "1e-7"


def test_equal_results_agree_without_a_comparison_and_different_ones_are_unknown(tmp_path: Path) -> None:
    assert row_after(tmp_path, lambda line: line["kind"] != "agreement")["agreement_px"] == "0.0"

    def different(line: Line) -> bool:
        if measured(line, "api"):
            line["result_digest"] = "other"
        return bool(line["kind"] != "agreement")

    row = row_after(tmp_path, different)
    assert row["agreement_px"] == ""
    assert "the results of 12 rounds were not compared" in row["note"]


def test_different_results_of_one_path_are_flagged(tmp_path: Path) -> None:
    def restless(line: Line) -> None:
        if measured(line, "api"):
            line["result_digest"] = f"{line['round'] % 3}"

    row = row_after(tmp_path, restless)
    assert (row["cli_results"], row["api_results"]) == ("1", "3")
    assert "the API is not deterministic: 3 different results" in row["note"]


@pytest.mark.parametrize(("statuses", "status"), [(["failed", "timeout"], "failed"), (["timeout"] * 2, "timeout")])
def test_failures_are_counted_and_the_good_rounds_still_give_a_ratio(
    tmp_path: Path, statuses: list[str], status: str
) -> None:
    bad = iter(statuses)

    def fail(line: Line) -> None:
        if measured(line, "api") and line["round"] in (2, 5):
            line |= {"status": next(bad), "wall_s": None, "note": "elastix said no\nand stopped"}

    row = row_after(tmp_path, fail)
    assert (row["status"], row["rounds"], row["failed"]) == (status, "10", "2")
    assert row["note"].startswith("2 of 29 trials failed, the first: elastix said no | and stopped; ")
    assert float(row["ratio"]) == pytest.approx(10, rel=0.1)
    assert merge.merge([tmp_path / "raw"], tmp_path).exit_status == 1


def test_too_few_rounds_are_partial_unless_no_more_were_planned(tmp_path: Path) -> None:
    row = row_after(tmp_path, lambda line: line.get("phase") != "measure" or line["round"] <= 2)
    assert (row["status"], row["interval"], row["verdict"]) == ("partial", "range", "")
    assert "only 2 rounds complete" in row["note"]
    row = row_after(tmp_path, lambda line: line.get("phase") != "measure" or line["round"] <= 9)
    assert (row["status"], row["rounds"]) == ("partial", "9")
    row = row_after(tmp_path, lambda line: line.get("phase") != "measure" or line["round"] <= 10)
    assert (row["status"], row["rounds"]) == ("ok", "10")
    row = row_after(tmp_path, lambda line: None, rounds=1)
    assert (row["status"], row["interval"], row["ratio_low"], row["verdict"]) == ("ok", "", "", "")
    assert row["ratio"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["bench", "--rounds", "2"], "ok"),
        (["bench", "--runs=2"], "ok"),
        (["bench", "--rounds", "3"], "partial"),
        (["bench", "--out", "--rounds2"], "partial"),
        ("--rounds 2", "partial"),
    ],
)
def test_a_run_that_has_the_rounds_it_was_asked_for_is_whole(tmp_path: Path, words: Any, status: str) -> None:
    def two(line: Line) -> bool | None:
        if line["kind"] == "session":
            line["command"] = words
        return line.get("phase") != "measure" or line["round"] <= 2

    row = row_after(tmp_path, two)
    assert (row["status"], row["verdict"], row["rounds"]) == (status, "", "2")
    assert ("only 2 rounds complete" in row["note"]) == (status == "partial")


def test_one_path_alone_is_partial(tmp_path: Path) -> None:
    row = row_after(tmp_path, lambda line: line.get("path") != "api")
    assert (row["status"], row["arms"], row["ratio"], row["rounds"]) == ("partial", "cli", "", "0")
    assert row["note"] == "only the executable ran"
    assert row["cli_median_s"]


def test_spikes_are_flagged_and_kept(tmp_path: Path) -> None:
    def spike(line: Line) -> None:
        if measured(line, "api") and line["round"] in (4, 9):
            line["wall_s"] *= 3

    row = row_after(tmp_path, spike)
    assert row["outlier_rounds"] == "4 9"
    assert row["rounds"] == "12"


def test_drift_is_tested_and_said(tmp_path: Path) -> None:
    def drifting(line: Line) -> None:
        if measured(line, "api"):
            line["wall_s"] *= math.exp(0.02 * line["round"])

    row = row_after(tmp_path, drifting)
    assert float(row["api_drift_per_round"]) == pytest.approx(0.02, rel=0.3)
    assert float(row["api_drift_p"]) < 0.001 < float(row["cli_drift_p"])
    assert "the ratio drifts by +" in row["note"]


def test_disturbed_rounds_are_named(tmp_path: Path) -> None:
    def busy(line: Line) -> None:
        if measured(line, "cli") and line["round"] in (3, 11):
            line |= {"other_cores": 0.2, "stolen_cores": 0.1}

    row = row_after(tmp_path, busy)
    assert row["disturbed_rounds"] == "3 11"
    assert "other processes disturbed 2 rounds" in row["note"]


def test_a_floor_without_one_in_it_is_suspect(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", experiments=("aa",))

    def slower(line: Line) -> None:
        if measured(line) and line["arm"] == 1:
            line["wall_s"] *= 1.5

    edit(raw, slower, "aa.jsonl")
    assert all("a path against itself does not give 1" in row["note"] for row in merged(raw, tmp_path))


def test_what_differs_between_trials_is_said_and_its_number_unknown(tmp_path: Path) -> None:
    def mixed(line: Line) -> None:
        if measured(line, "api") and line["round"] > 6:
            line |= {"work_units": 8, "threader": "Pool"}

    row = row_after(tmp_path, mixed)
    assert (row["work_units"], row["threader"]) == ("", "Pool | TBB")
    assert "threader differs between trials of the API: Pool | TBB" in row["note"]
    assert "work_units differs between trials of the API: 8 | 64" in row["note"]


def test_rounds_of_two_sessions_and_remarks_are_told(tmp_path: Path) -> None:
    def resumed(line: Line) -> None:
        if measured(line, "api") and line["round"] == 12:
            line["session"] = "later"
        if measured(line) and line["round"] <= 5:
            line["note"] = f"remark {line['round']}"

    raw = rawdata.write_raw(tmp_path / "raw", experiments=("posted",))
    session = rawdata.session_line("m1", rawdata.PAIRS[0], "posted", 12) | {"session": "later"}
    edit(raw, resumed)
    (raw / "m1" / "later.jsonl").write_text(json.dumps(session))
    (row,) = merged(raw, tmp_path)
    assert row["sessions"] == "2"
    assert "1 round is made of two sessions" in row["note"]
    assert "remark 1; remark 2; remark 3; 2 other remarks in trials.csv" in row["note"]
