from pathlib import Path

import pytest

from repro.results import families
from repro.results.merge import merge
from repro.results.tables import read
from support.raw_lines import PAIRS, write_raw


def test_verdicts_that_are_wrong_by_chance_are_counted_among_those_with_an_interval(tmp_path: Path) -> None:
    write_raw(tmp_path, experiments=("aa", "posted"), comparisons=PAIRS)
    write_raw(tmp_path, experiments=("causes",), comparisons=PAIRS, blocks=3)
    number, wrong = families.verdicts_by_chance(merge([tmp_path], tmp_path, tmp_path / "nowhere").tables.rows)
    assert number == 3 * 5
    assert wrong == pytest.approx(0.75)


def test_the_headlines_of_three_pairs_hold_together_at_95_percent(tmp_path: Path) -> None:
    write_raw(tmp_path, experiments=("posted", "posted-28", "causes"), comparisons=PAIRS)
    merge([tmp_path], tmp_path, tmp_path / "nowhere")
    tables = read(tmp_path)
    for row in tables.rows:
        together, alone = families.headline_estimate(tables, row), row.estimate
        assert together is not None
        assert alone is not None
        assert together.value == pytest.approx(alone.value, rel=1e-5)
        assert together.interval == "interval"
        if row.experiment == "causes":
            assert (together.low, together.high) == pytest.approx((alone.low, alone.high), rel=1e-5)
        else:
            assert together.low < alone.low  # type: ignore[operator]
            assert families.headline_confidence(tables, row) == pytest.approx(1 - 0.05 / 3)


def test_one_pair_alone_is_no_family(tmp_path: Path) -> None:
    write_raw(tmp_path, experiments=("posted",))
    tables = merge([tmp_path], tmp_path, tmp_path / "nowhere").tables
    assert families.headline_confidence(tables, tables.rows[0]) == pytest.approx(0.95)
