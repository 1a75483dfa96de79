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
from repro.model import Estimate, Verdict
from repro.paths import ROOT

finite = st.floats(-50, 50)


def test_a_rounds_log_ratio_is_other_over_base() -> None:
    assert stats.round_log_ratio({"base": 2.0, "other": 20.0}) == pytest.approx(math.log(10))
    assert stats.round_log_ratio({"base": 2.0}) is None
    assert stats.round_log_ratio({"base": 0.0, "other": 1.0}) is None


@given(st.lists(finite, min_size=stats.MIN_BLOCKS, max_size=120))
def test_the_interval_is_scipys_at_96_percent(values: list[float]) -> None:
    """One point more than it promises, for what stopping early costs."""
    low, high = stats.interval(values)
    if len(values) >= 8:  # below, scipy takes an end outside of the values
        theirs = scipy.stats.mstats.median_cihs(np.array(values), alpha=0.04)
        assert (low, high) == pytest.approx(tuple(theirs), abs=1e-9)
    rounding = 1e-9
    assert min(values) - rounding <= low <= statistics.median(values) + rounding
    assert statistics.median(values) - rounding <= high <= max(values) + rounding


@pytest.mark.parametrize("n", [6, 7, 8, 20, 41, 1_000])
def test_minimum_to_maximum_or_less_covers_the_median_with_95_percent(n: int) -> None:
    values = [float(value) for value in range(n)]
    low, high = stats.interval(values)
    k = math.floor(low) + 1
    assert 1 - 2 * scipy.stats.binom.cdf(k - 1, n, 0.5) >= 0.95
    assert low + high == pytest.approx(n - 1)


@given(st.lists(finite, min_size=1, max_size=stats.MIN_BLOCKS - 1))
def test_few_blocks_have_a_range(values: list[float]) -> None:
    assert stats.interval(values) == (min(values), max(values))


@pytest.mark.parametrize("n", [10, 20, 30, 40])
def test_a_percentile_bootstrap_ends_near_by(n: int) -> None:
    """Ours stands in its place: for an even number of values the two end within one value of each other."""
    values = np.sort(np.random.default_rng(n).standard_t(3, n))
    draw = np.random.default_rng(0).integers(0, n, (10_000, n))
    theirs = np.quantile(np.median(values[draw], axis=1), (0.025, 0.975))
    for ours, end in zip(stats.interval(list(values)), theirs, strict=True):
        assert abs(np.searchsorted(values, ours) - np.searchsorted(values, end)) <= 1


def test_an_estimate_is_the_median_over_blocks_of_the_medians_of_their_rounds() -> None:
    blocks = {n: [math.log(ratio)] * 2 for n, ratio in enumerate((2.0, 4.0, 8.0))} | {9: []}
    found = stats.estimate(blocks)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((4.0, 2.0, 8.0))
    assert (found.interval, found.blocks, found.within_sd) == ("range", 3, 0.0)
    assert found.between_sd == pytest.approx(math.log(2))


def test_a_single_block_has_no_interval_and_no_block_no_estimate() -> None:
    found = stats.estimate({1: [0.1, 0.3]})
    assert found is not None
    assert (found.interval, found.low, found.between_sd) == ("single", None, None)
    assert found.within_sd == pytest.approx(math.sqrt(0.02))
    assert stats.estimate({1: []}) is None


def test_a_family_needs_more_blocks_and_has_wider_intervals() -> None:
    values = {n: [math.sin(n)] for n in range(8)}
    alone, together = stats.estimate(values), stats.estimate(values, stats.family(3))
    assert alone is not None
    assert together is not None
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low
    assert together.interval == "interval"
    assert stats.blocks_needed() == stats.MIN_BLOCKS
    assert stats.blocks_needed(stats.family(3)) == 7
    seven, six = ({n: [0.0] for n in range(number)} for number in (7, 6))
    kinds = [found.interval for blocks in (seven, six) if (found := stats.estimate(blocks, stats.family(3)))]
    assert kinds == ["interval", "range"]


def test_one_verdict_in_twenty_is_wrong_by_chance() -> None:
    assert stats.by_chance(40) == pytest.approx(2)


def test_outliers_are_flagged_by_their_distance_in_mads() -> None:
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 5.0]
    z = stats.robust_z(values)
    mad = np.median(np.abs(np.array(values) - 1.0))
    assert z[6] == pytest.approx(4.0 / (scipy.stats.norm.ppf(0.75) ** -1 * mad))
    assert [abs(one) > stats.OUTLIER_Z for one in z] == [False] * 6 + [True]


def test_few_values_have_no_outliers() -> None:
    assert stats.robust_z([1.0, 1.0, 1.0, 9.0]) == [0.0] * 4


@pytest.mark.parametrize("n", [10, 17, 60])
def test_drift_is_theil_sens_slope_and_kendalls_p(n: int) -> None:
    for slope in (0, 0.05, 0.3, -0.3):
        values = np.random.default_rng(n).normal(size=n) + slope * np.arange(n)
        found = stats.drift(list(values))
        assert found is not None
        assert found[0] == pytest.approx(scipy.stats.theilslopes(values)[0])
        assert found[1] == pytest.approx(scipy.stats.kendalltau(range(n), values).pvalue)


def test_few_blocks_have_no_drift() -> None:
    assert stats.drift([float(value) for value in range(9)]) is None


def _with(low: float, high: float, interval: str = "interval") -> Estimate:
    return Estimate(math.sqrt(low * high), low, high, interval, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "floor", "expected"),
    [
        (_with(8.0, 11.0), (0.98, 1.02), Verdict.SLOWER),
        (_with(0.5, 0.9), (0.98, 1.02), Verdict.FASTER),
        (_with(0.99, 1.2), (0.999, 1.001), Verdict.NO_DIFFERENCE),
        (_with(1.01, 1.2), (0.98, 1.02), Verdict.NO_DIFFERENCE),
        (_with(0.9, 0.985), (0.98, 1.02), Verdict.NO_DIFFERENCE),
        (_with(1.01, 1.2), None, Verdict.SLOWER),
        (_with(1.01, 1.02), (1.03, 1.05), Verdict.NO_DIFFERENCE),
        (_with(8.0, 11.0, "range"), (0.98, 1.02), Verdict.CANNOT_TELL),
        (Estimate(8.0), None, Verdict.CANNOT_TELL),
        (None, None, Verdict.CANNOT_TELL),
    ],
)
def test_a_verdict_needs_an_interval_clear_of_one_and_of_the_floor(
    found: Estimate | None, floor: stats.Floor, expected: Verdict
) -> None:
    assert stats.verdict(found, floor) is expected


@pytest.mark.parametrize(
    ("found", "floor", "threshold", "expected"),
    [
        (_with(1.06, 1.2), None, 0.05, True),
        (_with(1.04, 1.2), None, 0.05, False),
        (_with(1.06, 1.2), (0.98, 1.02), 0.05, True),
        (_with(1.06, 1.2), (0.92, 1.08), 0.05, False),
        (_with(1.08, 1.2, "range"), None, 0.05, False),
        (_with(0.8, 0.9), None, -0.05, True),
        (_with(0.8, 0.9), (0.88, 1.1), -0.05, False),
        (None, None, 0.05, False),
    ],
)
def test_a_threshold_is_passed_where_the_interval_lies_beyond_it_and_beyond_the_floor(
    found: Estimate | None, floor: stats.Floor, threshold: float, expected: bool
) -> None:
    assert stats.beyond(found, floor, threshold) is expected


def test_blocks_are_enough_once_the_interval_is_narrow_and_promises_to_stay_so() -> None:
    draw = random.Random(0)
    logs = [draw.gauss(2, 0.02) for _ in range(40)]
    low, high = stats.interval(logs)
    half = (high - low) / 2
    spread = sum(abs(log - statistics.median(logs)) for log in logs) / 39 * math.sqrt(math.pi / 2)
    promised = 1.96 * math.sqrt(math.pi / 2) * spread / math.sqrt(40)
    assert stats.enough(logs, max(half, promised) * 1.01)
    assert not stats.enough(logs, half * 0.99)
    assert not stats.enough(logs, promised * 0.99)
    assert not stats.enough([0.0] * (stats.MIN_BLOCKS - 1), 1.0)
    assert stats.enough([0.0] * stats.MIN_BLOCKS, 1.0)


def test_a_quotient_of_two_conditions_has_an_interval_around_the_true_one() -> None:
    draw = random.Random(1)
    first, second = ({n: [draw.gauss(middle, 0.02)] for n in range(10)} for middle in (math.log(10), math.log(2)))
    found = stats.quotient(first, second)
    assert found is not None
    assert found == stats.quotient(first, second)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 5 < found.high
    assert found.high / found.low < 1.1
    few = stats.quotient(dict(list(first.items())[:5]), second)
    assert few is not None
    assert (few.interval, few.low) == ("single", None)
    assert stats.quotient({}, second) is None


@pytest.mark.parametrize(("blocks", "between"), [(6, 0.0), (6, 0.06), (10, 0.06), (20, 0.10)])
def test_the_interval_holds_the_true_ratio_though_every_life_has_its_luck(blocks: int, between: float) -> None:
    """studies/coverage.py is the whole of it; of 2,000 tries a share is known to about half a point."""
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(2_000):
        luck = draw.normal(0, between, (blocks, 1))
        rounds = luck + draw.normal(0, 0.02, (blocks, 2))
        found = stats.estimate(dict(enumerate(rounds.tolist())))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1 <= found.high
    assert 0.94 <= held / 2_000 <= 0.985


def test_rounds_of_one_life_taken_for_repeats_would_hold_it_far_too_seldom() -> None:
    """Why the block is what repeats."""
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(500):
        rounds = draw.normal(0, 0.06) + draw.normal(0, 0.02, 12)
        low, high = stats.interval(rounds.tolist())
        held += low <= 0 <= high
    assert held / 500 < 0.5


def test_the_stop_rule_loads_neither_numpy_nor_scipy_before_there_are_blocks_enough() -> None:
    """It runs in the process that times; what that loads would count as its children's memory on Linux."""
    code = (
        "import sys, repro.stats as s; s.enough([0.0] * 5, 1.0); s.estimate({1: [0.0]}); "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'scipy')))"
    )
    environment = {"PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
