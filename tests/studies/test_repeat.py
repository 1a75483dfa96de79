"""Two results folders of which some conditions are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repro.results import tables
from repro.results.columns import Row
from repro.results.tables import Tables
from support.studies import repeat


def row(condition: str, ratio: float, low: float, high: float, *, key: str = "k", interval: str = "interval") -> Row:
    about: dict[str, Any] = {
        "machine": "m",
        "comparison": "0.25.4-5.3.1",
        "experiment": "e",
        "condition": condition,
        "key": key,
    }
    return Row(ratio=ratio, ratio_low=low, ratio_high=high, interval=interval, blocks=6, **about)


def test_an_interval_reaches_the_other_estimate() -> None:
    assert repeat.reach(row("a", 1.0, 0.9, 1.1), row("a", 1.05, 0.98, 1.2)) == "first and second"
    assert repeat.reach(row("a", 1.0, 0.9, 1.1), row("a", 1.05, 1.01, 1.2)) == "first"
    assert repeat.reach(row("a", 1.0, 0.9, 1.02), row("a", 1.05, 1.01, 1.2)) == "neither"


def test_only_conditions_that_both_folders_measured_alike_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [row("a", 1.0, 0.9, 1.1), row("b", 2.0, 1.9, 2.1), row("c", 3.0, 2.9, 3.1), row("d", 4.0, 3.0, 5.0)]
    second = [row("a", 1.05, 1.0, 1.1), row("b", 2.5, 2.4, 2.6), row("c", 3.0, 2.9, 3.1, key="other")]
    second.append(row("d", 4.0, 3.0, 5.0, interval="range"))
    for name, rows in (("first", first), ("second", second)):
        tables.write(Tables(rows, [], [], []), tmp_path / name)
    monkeypatch.setattr("sys.argv", ["repeat.py", str(tmp_path / "first"), str(tmp_path / "second")])
    repeat.main()
    said = capsys.readouterr().out
    assert "1 of 2 pairs of intervals reach the other's estimate." in said
    assert "1 more have other builds or inputs" in said
