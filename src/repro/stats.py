"""The statistics: from seconds to a ratio, its interval and its verdict.

A round's log ratio is log(other / base). A block's is the median of its rounds'. The estimate is the median over blocks
with the interval of order statistics (Hettmansperger and Sheather, 1986, Confidence intervals based on
interpolated order statistics, Statistics & Probability Letters 4, 75-79). A block is one life of the workers, and the
luck of a life is what varies. docs/method.md says why, studies/coverage.py measures what it is worth.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Literal

from repro.model import Estimate, Side, Verdict

CONFIDENCE = 0.95
MIN_BLOCKS = 6
"""Below this many blocks a range is given, no interval: from six on minimum to maximum covers the median with 96.9%."""
OUTLIER_Z = 3.5
"""Robust z from which a value is flagged (Iglewicz and Hoaglin, 1993, How to Detect and Handle Outliers)."""
DRIFT_P = 0.01
_RISK_TAKEN = 0.8
"""Share of an interval's risk that its order statistics take: 95% is made at 96%. The rest is for stopping early, which
prefers blocks that lie close together by chance; it costs up to 2.4 points (studies/coverage.py)."""
_SCALED_MAD = 1.4826022185056018
"""Makes a median absolute deviation a standard deviation, for normal values."""
_Z = 1.959963984540054

Floor = tuple[float, float] | None
"""Least and greatest end of the intervals of builds against themselves, as ratios; None: not measured."""
Blocks = Mapping[int, Sequence[float]]
"""Block -> log ratios of its rounds."""


def round_log_ratio(seconds: Mapping[Side, float]) -> float | None:
    """log(other / base) of one round; None where an arm is missing or took no time."""
    base, other = seconds.get("base"), seconds.get("other")
    return math.log(other / base) if base and other else None


def estimate(blocks: Blocks, confidence: float = CONFIDENCE) -> Estimate | None:
    """The ratio of a condition from its blocks; None where no round is complete."""
    by_block = [statistics.median(rounds) for rounds in blocks.values() if rounds]
    if not by_block:
        return None
    value, n = math.exp(statistics.median(by_block)), len(by_block)
    within = _within_sd(blocks.values())
    if n == 1:
        return Estimate(value, within_sd=within)
    low, high = interval(by_block, confidence)
    kind: Literal["interval", "range"] = "interval" if n >= blocks_needed(confidence) else "range"
    return Estimate(value, math.exp(low), math.exp(high), kind, n, statistics.stdev(by_block), within)


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the median; the range of the values where there are too few of them."""
    ordered = sorted(values)
    n = len(ordered)
    if n < blocks_needed(confidence):
        return ordered[0], ordered[-1]
    k, inner = _ends(n, 1 - _RISK_TAKEN * (1 - confidence))
    low = (1 - inner) * ordered[k - 1] + inner * ordered[k]
    high = (1 - inner) * ordered[n - k] + inner * ordered[n - k - 1]
    return low, high


@cache
def blocks_needed(confidence: float = CONFIDENCE) -> int:
    """Blocks from which minimum to maximum covers the median with this probability: 6 for 95%, 7 for 98.3%."""
    return math.ceil(1 - math.log2(1 - confidence))


@cache
def _ends(n: int, confidence: float) -> tuple[int, float]:
    """k and the weight between the k-th and the next of n sorted values at which the interval ends."""

    def covered(k: int) -> float:
        return 1 - sum(math.comb(n, below) for below in range(k)) / (1 << (n - 1))

    k = 1
    while 2 * (k + 1) <= n and covered(k + 1) >= confidence:
        k += 1
    if 2 * (k + 1) > n:
        return k, 0.0
    wide, narrow = covered(k), covered(k + 1)
    surplus = max(0.0, wide - confidence) / (wide - narrow)
    return k, (n - k) * surplus / (k + (n - 2 * k) * surplus)


def enough(by_block: Sequence[float], precision: float) -> bool:
    """Whether a condition may stop: from MIN_BLOCKS on, once the half width of its interval promises to stay narrow.

    The interval hangs on few values and is narrow by chance now and then; so the mean absolute deviation of all blocks
    has to promise the precision too, as it would for normal values. ``by_block`` are the blocks' log ratios.
    """
    if len(by_block) < MIN_BLOCKS:
        return False
    low, high = interval(by_block)
    return (high - low) / 2 < precision and _promised(by_block) < precision


def _promised(values: Sequence[float]) -> float:
    """Half width of the median's interval, were the values normal with their mean absolute deviation.

    Both steps have the factor sqrt(pi / 2): from that deviation to the standard deviation, and from the mean's standard
    error to the median's.
    """
    n, middle = len(values), statistics.median(values)
    return _Z * math.pi / 2 * sum(abs(value - middle) for value in values) / ((n - 1) * math.sqrt(n))


def verdict(found: Estimate | None, floor: Floor = None) -> Verdict:
    """What a ratio says. An interval that reaches 1 or the noise floor shows no difference; a range cannot tell."""
    if found is None or found.interval != "interval" or found.low is None or found.high is None:
        return Verdict.CANNOT_TELL
    below, above = floor or (1.0, 1.0)
    if found.low <= max(above, 1.0) and found.high >= min(below, 1.0):
        return Verdict.NO_DIFFERENCE
    return Verdict.SLOWER if found.low > 1 else Verdict.FASTER


def beyond(found: Estimate | None, floor: Floor, threshold: float) -> bool:
    """Whether the other is slower by more than the threshold (0.05: 5%): its interval is, and is clear of the floor.

    A negative threshold asks whether it is faster by more than that.
    """
    if found is None or found.interval != "interval" or found.low is None or found.high is None:
        return False
    below, above = floor or (1.0, 1.0)
    if threshold >= 0:
        return found.low > max(1 + threshold, above)
    return found.high < min(1 + threshold, below)


def robust_z(values: Sequence[float]) -> list[float]:
    """Distance of each value from the median in robust standard deviations; zeros below six values."""
    if len(values) < MIN_BLOCKS:
        return [0.0] * len(values)
    middle = statistics.median(values)
    scale = _SCALED_MAD * statistics.median(abs(value - middle) for value in values)
    return [(value - middle) / scale if scale else 0.0 for value in values]


def drift(by_block: Sequence[float]) -> tuple[float, float] | None:
    """Theil-Sen slope a block and the two-sided p value of Kendall's tau; None below ten blocks."""
    if len(by_block) < 10:
        return None
    from scipy.stats import kendalltau, theilslopes

    p = float(kendalltau(range(len(by_block)), by_block).pvalue)
    return float(theilslopes(by_block).slope), p


def quotient(first: Blocks, second: Blocks, seed: int = 1) -> Estimate | None:
    """Ratio of one condition over that of another, from their blocks; they were measured in different rounds.

    The interval comes from resampling the blocks of both (percentile bootstrap of the difference of two medians:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), from six blocks of each on.
    """
    import numpy as np

    by_block = [[statistics.median(rounds) for rounds in blocks.values() if rounds] for blocks in (first, second)]
    if not all(by_block):
        return None
    value = math.exp(statistics.median(by_block[0]) - statistics.median(by_block[1]))
    n = min(map(len, by_block))
    if n < MIN_BLOCKS:
        return Estimate(value, blocks=n)
    medians = []
    for number, values in enumerate(by_block):
        draw = np.random.default_rng([seed, number]).integers(0, len(values), (10_000, len(values)))
        medians.append(np.median(np.asarray(values)[draw], axis=1))
    low, high = np.exp(np.quantile(medians[0] - medians[1], (0.025, 0.975)))
    return Estimate(value, float(low), float(high), "interval", n)


def by_chance(verdicts: int, confidence: float = CONFIDENCE) -> float:
    """How many of so many verdicts at this confidence are expected to be wrong where nothing differs."""
    return verdicts * (1 - confidence)


def family(members: int, confidence: float = CONFIDENCE) -> float:
    """Confidence at which each of so many intervals is to be made so that all of them hold together (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, members)


def _within_sd(blocks: Iterable[Sequence[float]]) -> float | None:
    """Pooled standard deviation of the rounds inside their blocks; None where no block has two."""
    several = [rounds for rounds in blocks if len(rounds) > 1]
    freedom = sum(len(rounds) - 1 for rounds in several)
    if not freedom:
        return None
    squares = sum((one - statistics.fmean(rounds)) ** 2 for rounds in several for one in rounds)
    return math.sqrt(squares / freedom)
