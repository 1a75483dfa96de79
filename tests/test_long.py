"""Very many trials leave the parent as it was; tasks/bench_long.py gives the figures of a thousand."""

from __future__ import annotations

from pathlib import Path

import bench_long


def test_many_trials_open_nothing_and_start_no_thread(tmp_path: Path) -> None:
    watch = bench_long.made_up(tmp_path, 120)
    assert watch.statuses == {"ok"}
    assert len(watch.handles) == 3 + 2 + 120
    # The launcher and the worker are started by the first trials of their kind; what other tests have left in
    # this process may end meanwhile.
    assert max(watch.handles[10:]) == watch.handles[10]
    assert max(watch.threads[10:]) == watch.threads[10]


def test_the_figures_are_told(tmp_path: Path) -> None:
    said = bench_long.report(bench_long.made_up(tmp_path, 4))
    assert said[0] == "9 trials, all ok"
    assert "MiB" in said[1]
