"""What `explain` says of measurements that were made up by a known law."""

import math
import re
from pathlib import Path

import pytest

import reportraw
from repro.explain import explain, measured, questions

PLACE = "linux-64-epyc-2c-1a2b3c4d"
EVERYTHING = ("posted", "posted-28", "causes", "causes-orders", "causes-own", "transforms")
PAIR = reportraw.PAIRS[0]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> measured.Measured:
    folder = reportraw.made(tmp_path_factory.mktemp("explain"), pairs=reportraw.PAIRS[:1], experiments=EVERYTHING)
    return measured.read(folder)


@pytest.fixture(scope="module")
def text(found: measured.Measured) -> str:
    return explain.text(found)


def test_each_cause_has_a_factor_with_an_interval_and_what_removes_it(text: str) -> None:
    for change in ("threads", "pool", "bins", "platform", "units"):
        assert re.search(rf"^\| {change} \| .* \[[\d.]+, [\d.]+\] \|$", text, re.MULTILINE), change
        assert re.search(rf"^\* {change}: .*\.$", text, re.MULTILINE), change


def test_every_order_accounts_for_a_share_of_the_posted_ratio(text: str) -> None:
    section = text.partition("### `causes`")[2].partition("###")[0]
    assert "In rounds of its own, `posted-28/as-posted`" in section
    shares = re.findall(
        r"^\* (.*): .* together, (\d+)% \[\d+%, \d+%\] of the log of the posted ratio", section, re.MULTILINE
    )
    assert [changes for changes, _ in shares] == [
        "threads, then pool, then bins",
        "bins, then pool, then threads",
        "pool, then threads, then bins",
        "platform, then units",
    ]
    assert all(95 <= int(share) <= 106 for _, share in shares[:3])


def test_the_order_is_named_where_it_matters(text: str) -> None:
    section = text.partition("### `causes`")[2].partition("###")[0]
    assert re.search(r"^\* pool: .* It depends on the order: .* from posted, .* from ", section, re.MULTILINE)


def test_the_four_questions_are_answered_by_what_was_measured(text: str) -> None:
    answers = text.partition("## The four questions")[2]
    for said in (
        *("It changes the ratio. Pool instead", "No, only by the work units that it makes. Told its threads, and"),
        *("Yes, it goes with the size of the histograms. 32 bins", "Yes. With 28 threads found"),
    ):
        assert said in answers
    assert (
        "No more once told a number. With 28 threads found instead of 2, told its threads by SetNumberOfThreads"
        in answers
    )
    assert "No, it is slow without it. The posted file with an affine transform" in answers


def test_what_was_not_measured_is_said(text: str) -> None:
    assert "Not measured: is the executable as slow with as many work units (`work-units`); by what law" in text
    assert "--experiment scaling --experiment loading --experiment first-result` does, then `merge`" in text
    assert "Not measured: no executable of elastix 5.3.0 here." in text


def test_the_data_hold_the_same_figures(found: measured.Measured) -> None:
    facts = [one for one in explain.facts(found) if one["experiment"] == "causes"]
    assert [one["pair"] for one in facts] == [reportraw.PAIRS[0]]
    assert facts[0]["accounts"][0]["changes"] == ("threads", "pool", "bins")
    assert facts[0]["accounts"][0]["share"]["low"] > 0.9


def test_ratios_are_those_of_the_comparison_with_their_verdicts(found: measured.Measured, text: str) -> None:
    place = (PLACE, reportraw.PAIRS[0])
    (facts,) = (one for one in explain.facts(found) if one["experiment"] == "causes")
    row = found.rows[place]["causes", "threads"]
    assert (facts["fair"]["low"], facts["fair"]["verdict"]) == (float(row["ratio_low"]), row["verdict"])
    assert row["verdict"] == "no difference seen"
    assert re.search(r"With SetNumberOfThreads it is [\d.]+ \[[\d., ]+\] \(no difference seen\)\.", text)
    assert facts["whole"]["low"] == float(found.rows[place]["posted-28", "as-posted"]["ratio_low"])
    factors = {(step["before"], step["after"]): step["factor"] for step in facts["steps"]}
    assert factors["posted", "threads"]["verdict"] == "difference"
    assert re.search(
        r"^\| pool \| threads \| threads\+pool \| [\d.]+ \[[\d., ]+\] \(no difference seen\) \|$", text, re.M
    )


def test_every_answer_says_what_it_lacks_and_takes_what_there_is(tmp_path: Path) -> None:
    """From the main job alone: as posted at both numbers of threads, and the first steps of the ladder."""
    folder = reportraw.made(tmp_path, pairs=(PAIR,), experiments=("posted", "posted-28", "causes"), unavailable=False)
    answers = explain.text(measured.read(folder)).partition("## The four questions")[2]
    assert (
        f"Whether it is more than its work units was not measured: `bench {PAIR} --experiment causes-orders`."
        in answers
    )
    assert "Yes. With 28 threads found instead of 2, as posted, the ratio is multiplied by 6." in answers
    assert f"once told a number was not measured: `bench {PAIR} --experiment causes-own`." in answers
    assert "Not measured: `bench --experiment transforms` does, then `merge`." in answers


def test_as_many_work_units_on_both_paths_are_set_beside_each_other(tmp_path: Path) -> None:
    folder = reportraw.made(tmp_path, pairs=(PAIR,), experiments=("work-units",), unavailable=False)
    answers = explain.text(measured.read(folder)).partition("## The four questions")[2]
    for units in (32, 128):
        said = f"With {units} work units on both paths, the API's under TBB: a ratio of "
        assert re.search(re.escape(said) + r"[\d.]+ \[[\d., ]+\] \(no difference seen\)\.", answers)


def test_the_jacobian_is_cleared_or_charged_by_what_an_affine_transform_takes() -> None:
    def answer(bspline: float, affine: float) -> str:
        row = {"interval": "interval", "verdict": "slower", "status": "ok", "floor_low": "", "floor_high": ""}
        rows = {
            ("transforms", name): {
                **row,
                "ratio": f"{ratio}",
                "ratio_low": f"{ratio * 0.98}",
                "ratio_high": f"{ratio * 1.02}",
            }
            for name, ratio in (("bspline", bspline), ("affine-128-bins", affine))
        }
        found = measured.Measured({("m", PAIR): rows}, {("m", PAIR): {}})
        return next(line for line in questions.answers(found) if "affine transform instead" in line)

    assert "No, it is slow without it." in answer(9.0, 9.0)
    assert "Yes, without it nothing is slow." in answer(9.0, 1.0)
    assert "Not clear, the B-spline itself is not seen to be slow." in answer(1.0, 1.0)


def test_a_round_counts_by_geometric_means_and_only_where_every_trial_took_time() -> None:
    def trial(number: int, arm: int, wall_s: float) -> dict[str, object]:
        return {**dict.fromkeys(measured.TRIAL, "x"), "round": number, "arm": arm, "wall_s": wall_s}

    whole = [trial(1, 0, 1.0), trial(1, 1, 2.0), trial(1, 1, 8.0), trial(1, 0, 4.0)]
    not_whole = [*(trial(number, 0, 1.0) for number in (2, 3, 4)), trial(3, 1, 0.0), trial(4, 1, 2.0), trial(4, 1, 2.0)]
    found = measured.rounds([*whole, *not_whole])
    assert list(found) == [("x", "x")]
    assert list(found["x", "x"]["x"]["x"]) == [pytest.approx(math.log(2))]
