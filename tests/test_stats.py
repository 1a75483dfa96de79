import math
import random
import statistics
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from repro import stats
from repro.interval import MIN_ROUNDS, ends, interval
from repro.layout import ROOT
from repro.measure.stopping import enough
from repro.plan.order import order

finite = st.floats(-50, 50)


@given(st.integers(), st.text(max_size=5), st.integers(0, 60), st.integers(0, 60))
def test_order_is_balanced_and_a_longer_run_keeps_the_first_rounds(seed: int, key: str, few: int, more: int) -> None:
    rounds = order(seed, key, few + more)
    assert len(rounds) == few + more
    assert order(seed, key, few) == rounds[:few]
    assert all(sum(rounds[i : i + 2]) == 1 for i in range(0, len(rounds) - 1, 2))


def test_order_depends_on_seed_and_condition_and_uses_both_orders() -> None:
    orders = {tuple(order(seed, key, 20)) for seed in (1, 2) for key in ("a", "b")}
    assert len(orders) == 4
    starts = [order(seed, "a", 1)[0] for seed in range(200)]
    assert 60 < sum(starts) < 140


def test_order_never_changes_for_a_seed() -> None:
    """Results of a resumed run would mix two orders if it did."""
    assert order(0, "posted", 8) == [True, False, False, True, False, True, True, False]


@given(st.lists(finite, min_size=MIN_ROUNDS, max_size=120))
def test_the_interval_is_scipys(values: list[float]) -> None:
    expected = scipy.stats.mstats.median_cihs(np.array(values))
    assert interval(values) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("n", [10, 11, 20, 41, 1_000, 50_000])
def test_the_ends_lie_where_the_binomial_says(n: int) -> None:
    k, inner = ends(n)
    outer, next_in = (1 - 2 * scipy.stats.binom.cdf(at - 1, n, 0.5) for at in (k, k + 1))
    assert next_in < 0.95 <= outer
    assert 0 <= inner < 1


@given(st.lists(st.lists(finite, min_size=13, max_size=13), min_size=1, max_size=5))
def test_many_rows_at_once_have_the_same_intervals(rows: list[list[float]]) -> None:
    low, high = stats.median_interval(np.array(rows))
    for row, *both in zip(rows, low, high, strict=True):
        assert interval(row) == pytest.approx(tuple(both))
        assert both[0] <= np.median(row) <= both[1]


@given(st.lists(finite, min_size=1, max_size=MIN_ROUNDS - 1))
def test_few_rounds_have_a_range(values: list[float]) -> None:
    assert interval(values) == (min(values), max(values))
    low, high = stats.median_interval(np.array([values]))
    assert (low[0], high[0]) == (min(values), max(values))
    with pytest.raises(ValueError, match="needs 10"):
        ends(len(values))


@pytest.mark.parametrize("n", [10, 20, 30, 40])
def test_a_percentile_bootstrap_ends_near_by(n: int) -> None:
    """Ours stands in its place: for an even number of rounds the two end within one value of each other."""
    values = np.sort(np.random.default_rng(n).standard_t(3, n))
    theirs = scipy.stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    for ours, end in zip(interval(list(values)), theirs, strict=True):
        assert abs(np.searchsorted(values, ours) - np.searchsorted(values, end)) <= 1


def test_outliers_are_flagged_by_their_distance_in_mads() -> None:
    values = np.array([[1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 5.0]])
    z = stats.robust_z(values)[0]
    mad = np.median(np.abs(values - 1.0))
    assert z[6] == pytest.approx(4.0 / (scipy.stats.norm.ppf(0.75) ** -1 * mad))
    assert (np.abs(z) > stats.OUTLIER_Z).tolist() == [False] * 6 + [True]


def test_a_mad_of_zero_neither_hides_nor_invents_outliers() -> None:
    z = stats.robust_z(np.array([[2.0] * 9 + [3.0], [2.0] * 10]))
    assert z[0, 9] > stats.OUTLIER_Z
    assert not z[0, :9].any()
    assert not z[1].any()


def test_few_values_have_no_outliers() -> None:
    assert np.isnan(stats.robust_z(np.array([[1.0, 1.0, 1.0, 9.0]]))).all()


@pytest.mark.parametrize("n", [10, 17, 60])
def test_drift_is_theil_sens_slope_and_kendalls_p(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(4, n)) + np.outer([0, 0.05, 0.3, -0.3], np.arange(n))
    slopes, p = stats.drift(values)
    for row, slope, chance in zip(values, slopes, p, strict=True):
        assert slope == pytest.approx(scipy.stats.theilslopes(row)[0])
        assert chance == pytest.approx(scipy.stats.kendalltau(range(n), row, method="asymptotic").pvalue)


def test_drift_of_many_rounds_is_found_in_bounded_memory() -> None:
    n = 30_000
    noisy = np.random.default_rng(1).normal(size=(1, n)) + 0.001 * np.arange(n)
    slopes, p = stats.drift(noisy)
    assert slopes[0] == pytest.approx(0.001, rel=0.05)
    assert p[0] < 1e-6


def test_few_rounds_have_no_drift() -> None:
    assert all(np.isnan(values).all() for values in stats.drift(np.arange(9.0)[None]))


def test_the_position_effect_is_found_apart_from_the_ratio() -> None:
    first = np.array([order(3, "x", 20)])
    noise = np.random.default_rng(0).normal(0, 1e-3, 20)
    logs = math.log(8) + np.where(first, 0.05, -0.05) + noise  # arm 1 second where arm 0 goes first
    effect, seen = stats.position_effect(logs, ~first)
    assert effect[0] == pytest.approx(0.05, abs=1e-3)
    assert seen[0]
    even = stats.without_position(logs, ~first, effect, seen)
    assert np.ptp(even) < 0.006
    assert np.median(even) == pytest.approx(math.log(8), abs=1e-3)
    assert np.isnan(stats.position_effect(logs, np.ones_like(first))[0])
    assert np.isnan(stats.position_effect(logs[:, :9], ~first[:, :9])[0])


def test_a_position_effect_is_taken_out_only_where_it_is_seen() -> None:
    first = np.array([order(3, "x", 20)] * 2)
    logs = np.random.default_rng(1).normal(0, 0.05, (2, 20))
    logs[1] += np.where(first[1], 0.2, -0.2)
    effect, seen = stats.position_effect(logs, ~first)
    assert seen.tolist() == [False, True]
    assert stats.without_position(logs, ~first, effect, seen)[0].tolist() == logs[0].tolist()
    few = stats.position_effect(logs[:, :18], ~first[:, :18])
    assert not few[1].any()
    assert few[0][1] == pytest.approx(0.2, abs=0.05)


def test_rounds_that_lost_their_block_are_still_paired() -> None:
    """A failed round leaves more rounds of one order than of the other."""
    first = np.array([order(3, "x", 25)[1:]])
    logs = np.where(first, 0.05, -0.05)
    assert stats.position_effect(logs, ~first)[0][0] == pytest.approx(0.05)


@given(st.lists(st.integers(1, 6), max_size=12))
def test_rows_of_unequal_length_are_taken_by_length(lengths: list[int]) -> None:
    values = np.arange(sum(lengths))
    bounds = np.cumsum([0, *lengths])
    seen: dict[int, list[int]] = {}
    for rows, at in stats.by_length(np.array(lengths, dtype=np.int64)):
        seen.update(zip(rows.tolist(), values[at].tolist(), strict=True))
    assert seen == {i: list(range(bounds[i], bounds[i + 1])) for i in range(len(lengths))}


@pytest.mark.parametrize(
    ("low", "high", "floor", "rounds", "words"),
    [
        (8.0, 11.0, (0.98, 1.02), 10, "slower"),
        (0.5, 0.9, (0.98, 1.02), 10, "faster"),
        (0.99, 1.2, (0.999, 1.001), 10, "no difference seen"),
        (1.01, 1.2, (0.98, 1.02), 10, "no difference seen"),
        (0.9, 0.985, (0.98, 1.02), 10, "no difference seen"),
        (1.01, 1.2, None, 10, "slower"),
        (1.01, 1.02, (1.03, 1.05), 10, "no difference seen"),
        (8.0, 11.0, (0.98, 1.02), 5, "slower"),
        (8.0, 11.0, (0.98, 1.02), 4, ""),
        (0.9, 11.0, None, 2, "no difference seen"),
    ],
)
def test_a_verdict_needs_an_interval_clear_of_one_and_of_the_floor(
    low: float, high: float, floor: tuple[float, float] | None, rounds: int, words: str
) -> None:
    assert stats.verdict(low, high, floor, rounds) == words


def test_rounds_are_enough_once_the_interval_is_narrow() -> None:
    draw = random.Random(0)
    logs = [draw.gauss(2, 0.02) for _ in range(40)]
    low, high = interval(logs)
    half = (high - low) / 2
    spread = sum(abs(log - statistics.median(logs)) for log in logs) / 39 * math.sqrt(math.pi / 2)
    promised = 1.96 * math.sqrt(math.pi / 2) * spread / math.sqrt(40)
    assert enough(logs, max(half, promised) * 1.01)
    assert not enough(logs, half * 0.99)
    assert not enough(logs, promised * 0.99)
    assert half != pytest.approx(promised, rel=0.02)
    assert not enough(logs, 1.0, minimum=41)
    assert not enough([0.0] * (MIN_ROUNDS - 1), 1.0, minimum=1)
    assert enough([0.0] * MIN_ROUNDS)


def test_the_stop_rule_and_the_order_load_nothing_heavy() -> None:
    """They run in the process that times; what it loads would count as its children's memory on Linux."""
    code = "import sys, repro.measure.stopping, repro.plan.order; sys.exit(any(m in sys.modules for m in ('numpy', 'scipy', 'polars')))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0
    )
