"""What `explain` says of measurements that were made up by a known law."""

import re

import pytest

import reportraw
from repro import explain, measured

PLACE = "linux-64-epyc-2c-1a2b3c4d"
EVERYTHING = ("posted", "posted-28", "causes", "causes-orders", "causes-own", "transforms")


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
    for said in ("Yes. Pool instead", "Yes, that of the histograms. 32 bins", "Yes. With 28 threads found"):
        assert said in answers
    assert "And that alone. With 28 threads found instead of 2, told its threads by SetNumberOfThreads" in answers
    assert "No, it is slow without it. The posted file with an affine transform" in answers


def test_what_was_not_measured_is_said(text: str) -> None:
    assert "Not measured: is the executable as slow with as many work units (`work-units`); by what law" in text
    assert "--experiment work-units --experiment scaling` does, then `merge`" in text
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
