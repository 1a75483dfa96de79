"""A small campaign of tasks/kill.py; docs/reliability.md has the large ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import kill

SOURCE = Path(kill.__file__).parents[1] / "src"


@pytest.mark.skipif(sys.platform == "win32", reason="a killed launcher's children are looked for as on POSIX")
def test_a_run_killed_at_random_moments_loses_doubles_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, kill.__file__, "--kills", "4"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"4 of 4 kills recovered, 0 measurements lost, 0 duplicated, 0 leftovers", done.stdout)


def test_what_is_amiss_is_seen() -> None:
    """The comparison behind that campaign can fail."""
    lines = (b'{"n": 1}', b'{"n": 2}')
    good = kill.State(lines, Counter(a=1, b=1), frozenset({"x"}), (("status",), ("ok",)))
    assert kill.differences(good, good, good) == []
    lost = kill.State(lines[1:], Counter(b=1), frozenset({"x"}), good.comparison)
    assert kill.differences(good, lost, good) == [
        "lines that were there are no longer there as they were",
        "no measurement of a",
    ]
    doubled = kill.State((*lines, *lines), Counter(a=2, b=1), frozenset({"x", ".tmp"}), good.comparison)
    assert kill.differences(good, doubled, good) == ["1 measurements too many of a", "left: .tmp"]
    other = kill.State(lines, good.measured, frozenset(), (("status",), ("failed",)))
    assert [text.split(":")[0] for text in kill.differences(good, other, good)] == ["missing", "another comparison"]


def test_a_torn_table_is_seen(tmp_path: Path) -> None:
    for content, torn in (("a,b\n1,2\n", False), ("a,b\n1,2", True), ("a,b\n1\n", True), ('a,b\n"1,2\n', True)):
        (tmp_path / "trials.csv").write_text(content)
        assert (kill.broken_tables(tmp_path) != []) == torn


def test_only_what_a_clock_or_memory_decides_is_left_out_of_the_comparison() -> None:
    from repro.results.columns import COMPARISON

    compared = {column.name for column in COMPARISON if not kill.changing(column.name)}
    assert {"pair", "condition", "status", "rounds", "agreement_px", "failed", "cli_results", "work_units"} <= compared
    assert not {"ratio", "cli_median_s", "api_peak_bytes", "drift_p", "sessions", "floor_low"} & compared
