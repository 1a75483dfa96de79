"""The simulations of studies/coverage.py, small. Numbers are seeded; the bounds leave three standard errors."""

from __future__ import annotations

import pytest

from support.studies import coverage

REPEATS = 1000
LEAST, MOST = 0.93 - 0.015, 0.97 + 0.015


@pytest.mark.parametrize("blocks", [6, 10, 20])
@pytest.mark.parametrize("name", coverage.DISTURBANCES)
def test_the_interval_holds_the_true_ratio_also_where_bench_stops_early(name: str, blocks: int) -> None:
    found = coverage.stopped_early(coverage.DISTURBANCES[name], REPEATS, blocks, seed=1)
    assert LEAST <= found.coverage <= MOST
    assert 6 <= found.blocks <= blocks


@pytest.mark.parametrize("blocks", [6, 10, 20])
@pytest.mark.parametrize("between", [0.0, 0.02, 0.04, 0.06, 0.1])
def test_the_luck_of_the_workers_is_in_the_interval(between: float, blocks: int) -> None:
    found = coverage.all_blocks(coverage.Disturbance(between=between), REPEATS, blocks, seed=2)
    assert LEAST <= found.coverage <= MOST


def test_rounds_of_one_worker_do_not_know_its_luck() -> None:
    assert coverage.one_worker(coverage.Disturbance(between=0.05), 300, 10, seed=1).coverage < 0.4
    assert coverage.one_worker(coverage.Disturbance(between=0), 1000, 10, seed=1).coverage > LEAST


def test_the_table_has_a_row_for_each_disturbance_and_number_of_blocks() -> None:
    lines: list[str] = []
    coverage.main(["--repeats", "8"], lines.append)
    assert len(lines) == 2 + len(coverage.DISTURBANCES) * len(coverage.MOST_BLOCKS)
