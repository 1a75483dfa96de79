import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from repro import stats
from repro.cli import export
from repro.model import Build, Status, Verdict
from repro.results.columns import Row
from repro.results.comparison import compare
from repro.results.raw import read_raw
from support import raw_lines
from support.raw_lines import TOLD, Spec

BASE, OTHER = Build("api", "0.25.3", "a" * 32), Build("api", "0.25.5.dev3", "1a2b3c4d" + "0" * 24, own=True)


def row(
    condition: str,
    ratio: float,
    spread: float = 0.01,
    *,
    other: Build = OTHER,
    blocks: int = 6,
    floor: float | None = 0.01,
) -> Row:
    made = Row(
        machine="linux-64-made-up",
        comparison=f"{BASE.name} {other.name}",
        experiment="compare",
        condition=condition,
        base=BASE.name,
        other=other.name,
        base_median_s=2.0,
        other_median_s=2.0 * ratio,
        ratio=ratio,
        ratio_low=ratio * (1 - spread),
        ratio_high=ratio * (1 + spread),
        interval="interval" if blocks >= 6 else "range",
        blocks=blocks,
        agreement_px=0.0,
        floor_low=None if floor is None else 1 - floor,
        floor_high=None if floor is None else 1 + floor,
    )
    return dataclasses.replace(made, verdict=stats.verdict(made.estimate, made.floor))


def itself(condition: str, spread: float = 0.01) -> Row:
    return row(condition, 1.0, spread, other=BASE)


@pytest.mark.parametrize("builds", ["cli:5.3.1 cli:5.3.1", "cli:5.3.0 cli:5.3.1"])
def test_twenty_comparisons_of_equal_speed_show_no_difference_and_fail_nothing(builds: str, tmp_path: Path) -> None:
    base, other = raw_lines.comparison(builds).base, raw_lines.comparison(builds).other
    specs = {"compare": (Spec("told", TOLD, TOLD),)}
    verdicts = Counter[Verdict | None]()
    for seed in range(20):
        folder = raw_lines.write_raw(
            tmp_path / str(seed),
            comparisons=[*dict.fromkeys((builds, f"{base.name} {base.name}"))],
            experiments=specs,
            ratios={"told": 1.0},
            blocks=6,
            between=0.03,
            within=0.03,
            seed=seed,
        )
        rows = compare(read_raw([folder], tmp_path / "none")).rows
        found = export.outcome(base, other, rows, 0.05)
        verdicts.update(one.verdict for one in found.rows)
        assert not found.beyond
    assert verdicts.total() == 20
    assert verdicts[Verdict.NO_DIFFERENCE] >= 19


@pytest.mark.parametrize(
    ("ratio", "floor", "blocks", "fails"),
    [
        (1.10, 0.01, 6, True),
        (1.04, 0.01, 6, False),
        (1.10, 0.10, 6, False),
        (1.10, 0.01, 5, False),
        (0.90, 0.01, 6, False),
    ],
)
def test_a_threshold_fires_only_where_the_interval_lies_beyond_it_and_the_floor(
    ratio: float, floor: float, blocks: int, fails: bool
) -> None:
    rows = [row("slow", ratio, blocks=blocks, floor=floor)]
    assert bool(export.outcome(BASE, OTHER, rows, 0.05).beyond) is fails


def test_a_threshold_for_faster_is_the_mirror_image() -> None:
    rows = [row("slow", 0.85), itself("slow")]
    assert export.outcome(BASE, OTHER, rows, -0.05).beyond
    assert not export.outcome(BASE, OTHER, rows, 0.05).beyond


def test_without_a_floor_nothing_fires() -> None:
    assert not export.outcome(BASE, OTHER, [row("slow", 2.0, floor=None)], 0.05).beyond


def test_a_build_against_itself_never_differs() -> None:
    same = [row("slow", 1.2, other=BASE), row("told", 0.8, other=BASE)]
    found = export.outcome(BASE, BASE, same, 0.05)
    assert {one.verdict for one in found.rows} == {Verdict.NO_DIFFERENCE}
    assert not found.beyond


def test_few_blocks_cannot_tell_and_that_is_no_failure() -> None:
    found = export.outcome(BASE, OTHER, [row("slow", 3.0, blocks=3), itself("slow")], 0.05)
    assert found.rows[0].verdict is Verdict.CANNOT_TELL
    assert "Passes" in export.markdown(found)


def test_the_markdown_fits_a_comment_however_many_conditions_there_are() -> None:
    rows = [one for n in range(60) for one in (row(f"c{n}", 1.1), itself(f"c{n}"))]
    text = export.markdown(export.outcome(BASE, OTHER, rows, 0.05))
    assert len(text.splitlines()) < 40
    assert "35 more conditions in the JSON" in text


def test_markdown_of_hostile_names_stays_a_table() -> None:
    text = export.markdown(export.outcome(BASE, OTHER, [row("a|b\nc", 1.1), itself("a|b\nc")], None))
    (line,) = [line for line in text.splitlines() if "a\\|b c" in line]
    assert line.startswith("| ")


def test_the_json_has_what_the_documentation_says() -> None:
    from repro.paths import ROOT

    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    document = export.document(export.outcome(BASE, OTHER, [row("slow", 1.1), itself("slow")], 0.05))
    assert json.loads(json.dumps(document)) == document
    (entry,) = document["conditions"]
    assert all(f"`{key}`" in page for key in (*document, *entry, *document["base"]))
    assert document["failed"] is True
    assert entry["verdict"] == "slower"
    assert entry["beyond"] is True


def test_the_benchmark_json_has_names_without_versions() -> None:
    (entry,) = export.benchmark(export.outcome(BASE, OTHER, [row("slow", 1.1), itself("slow")], None))
    assert entry["name"] == "compare/slow: other over base"
    assert entry["value"] == 1.1
    assert entry["range"] == "1.089 to 1.111"
    assert {"name", "unit", "value", "range", "extra"} == entry.keys()


def test_a_status_that_is_not_ok_stands_in_the_table_with_its_reasons() -> None:
    odd = dataclasses.replace(row("slow", 1.1), status=Status.EXPLAINED, reason="unequal_work_units(28, 448)")
    (cells,) = export.table(export.outcome(BASE, OTHER, [odd, itself("slow")], None)).rows
    assert cells[-1] == "explained: unequal work units"
