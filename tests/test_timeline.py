"""When the posted call became slow and when fast, from made-up rows of which the truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest

import rawdata
from repro.explain import explain, measured, timeline
from repro.explain.measured import Measured
from repro.model import is_api_only
from repro.report import report
from repro.results import merge

EMPTY = dict.fromkeys(
    ("itk", "api_elastix", "threader", "api_threads", "work_units", "api_median_s", "cli_median_s", "note"), ""
)


Rows = dict[tuple[str, str], dict[str, str]]


def rows(pair: str, posted: float, told: float, itk: str = "5.4.0", units: str = "448") -> Rows:
    cells = {**EMPTY, "itk": itk, "threader": "TBB", "api_elastix": "5.2.0", "api_threads": "28", "work_units": units}
    cells |= {} if is_api_only(pair) else {"cli_median_s": "1.1"}
    return {
        ("versions", "posted"): {**cells, "api_median_s": str(posted)},
        ("versions", "threads"): {**cells, "api_median_s": str(told), "work_units": "2"},
    }


def made(**releases: Rows) -> Measured:
    return Measured({("m1", name): its for name, its in releases.items()}, {})


STORY = made(
    **{
        "0.9.1": rows("0.9.1", 1.3, 1.0, units="4"),
        "0.10.0": rows("0.10.0", 8.0, 1.0),
        "0.11.0-5.2.0": rows("0.11.0-5.2.0", 9.0, 1.0),
        "0.11.0": rows("0.11.0", 5.0, 1.0),
        "0.12.0": rows("0.12.0", 1.5, 1.0),
    }
)


def test_releases_come_by_version_and_a_pair_before_its_api_only_entry() -> None:
    found = timeline.releases(STORY)
    assert [one.itk_elastix for one in found] == ["0.9.1", "0.10.0", "0.11.0", "0.12.0"]
    assert [one.factor for one in found] == [1.3, 8.0, 9.0, 1.5]
    assert [one.pair for one in found][2] == "0.11.0-5.2.0"
    assert [one.cli_s for one in found] == [None, None, 1.1, None]
    assert [fact["factor"] for fact in timeline.facts(STORY)] == [1.3, 8.0, 9.0, 1.5]


def test_it_says_when_it_became_slow_and_when_fast() -> None:
    said = "\n".join(timeline.text(STORY))
    story = "not slow in 0.9.1 (factor 1.3), then slow in 0.10.0 to 0.11.0 (factor 8 to 9), then not slow in 0.12.0"
    assert story in said
    assert "already slow" not in said
    assert (
        "From 0.9.1 (ITK 5.4.0) to 0.10.0 (ITK 5.4.0) the factor rose from 1.3 to 8; work units 4 became 448." in said
    )
    assert "to 0.12.0 (ITK 5.4.0) the factor fell from 9 to 1.5; threader, work units and elastix's own" in said
    assert "From 0.10.0" not in said, "a change within the spread is no change"


def test_a_timeline_that_begins_slow_says_so_and_one_that_is_slow_throughout_too() -> None:
    said = "\n".join(timeline.text(made(**{"0.10.0": rows("0.10.0", 8.0, 1.0), "0.11.0": rows("0.11.0", 8.0, 1.0)})))
    assert "0.10.0, the oldest release measured, was already slow; the posted call is slow in 0.10.0 to 0.11.0" in said


def test_a_release_that_gave_no_time_is_named_with_its_reason() -> None:
    absent: Rows = {("", ""): {**EMPTY, "note": "it has no wheels"}}
    found = made(**{"0.9.0": absent, "0.10.0": rows("0.10.0", 8.0, 1.0)})
    assert "0.9.0 gave no time: it has no wheels." in list(timeline.text(found))
    assert "Not measured" in next(timeline.text(made(**{"0.9.0": absent})))


@pytest.mark.parametrize("pairs", [(), ("0.19.1", "0.25.4-5.3.1")])
def test_explain_reads_it_from_what_merge_writes(tmp_path: Path, pairs: tuple[str, ...]) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", experiments=("posted",), rounds=3)
    if pairs:
        rawdata.write_raw(raw, pairs=pairs, experiments=("versions",), rounds=3)
    merge.merge([raw], tmp_path)
    found = measured.read(tmp_path)
    said = explain.text(found)
    assert ("| 0.19.1 | 5.4.5 |" in said) == bool(pairs)
    assert "## 0.19.1 on" not in said, "the causes of a pair are not asked of a release without an executable"
    listed = [fact for fact in explain.facts(found) if fact["experiment"] == "versions"]
    assert [fact["pair"] for fact in listed] == list(pairs)


def test_the_report_takes_in_releases_without_an_executable(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", experiments=("posted",), rounds=3)
    rawdata.write_raw(raw, pairs=("0.19.1", "0.25.4-5.3.1"), experiments=("versions",), rounds=3)
    merge.merge([raw], tmp_path)
    page = report.write(tmp_path).html.read_text(encoding="utf-8")
    section = page[page.index('id="releases"') :]
    section = section[: section.index("</section>")]
    assert "0.19.1" in section
    assert "0.25.4" in section
    assert "itk-elastix 0.19.1 with elastix" not in page
