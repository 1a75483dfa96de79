"""The statistics of `merge`, over many rows of the comparison at once.

Every function takes an array of shape (rows, rounds): one row of the comparison in each row, its rounds in
the order in which they were run. Values are natural logarithms of seconds or of ratios, so that a difference
of 0.01 is one per cent. docs/method.md says what the figures mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from repro.interval import MIN_ROUNDS, ends

Array = NDArray[np.float64]
OUTLIER_Z = 3.5
MIN_VERDICT_ROUNDS = 5
"""Below this many rounds nothing is called slower, faster or an outlier."""
_SCALED_MAD = 1.4826022185056018
"""1 / (third quartile of the standard normal): makes a MAD estimate a standard deviation."""
_SCALED_MEAN = 1.2533141373155001
"""sqrt(pi / 2): does the same for a mean absolute deviation."""
_DRIFT_POINTS = 256


def by_length(lengths: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of unequal length, stored one after the other, as arrays of rows of equal length.

    Yields, for each length there is, the numbers of the rows that have it and, in the shape (rows, length),
    where their values stand.
    """
    starts = np.cumsum(lengths) - lengths
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        yield rows, (starts[rows, None] + np.arange(length)).astype(np.intp)


def median_interval(values: Array) -> tuple[Array, Array]:
    """Lower and upper end for each row: `interval.interval` over an array."""
    ordered = np.sort(values, axis=1)
    n = ordered.shape[1]
    if n < MIN_ROUNDS:
        return ordered[:, 0], ordered[:, -1]
    k, inner = ends(n)
    low = (1 - inner) * ordered[:, k - 1] + inner * ordered[:, k]
    high = (1 - inner) * ordered[:, n - k] + inner * ordered[:, n - k - 1]
    return low, high


def robust_z(values: Array) -> Array:
    """Distance of each value from its row's median in robust standard deviations, shape of `values`.

    The scale is the MAD, or, where more than half the values are equal, the mean absolute deviation; 0
    everywhere in a row whose values are all equal. Not a number below MIN_VERDICT_ROUNDS values, whose MAD
    says too little. The threshold 3.5 is from Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers.
    """
    if values.shape[1] < MIN_VERDICT_ROUNDS:
        return np.full(values.shape, np.nan)
    away = values - np.median(values, axis=1, keepdims=True)
    scale = _SCALED_MAD * np.median(np.abs(away), axis=1, keepdims=True)
    scale = np.where(scale > 0, scale, _SCALED_MEAN * np.mean(np.abs(away), axis=1, keepdims=True))
    return np.divide(away, scale, out=np.zeros_like(away), where=scale > 0)


def drift(values: Array) -> tuple[Array, Array]:
    """Change a round (Theil-Sen slope) and the Mann-Kendall two-sided p value of each row.

    Not a number below MIN_ROUNDS rounds, where the normal approximation of the p value is poor. Above 256
    rounds both are taken over medians of consecutive blocks, as the number of pairs grows with the square.
    The p value is that of scipy.stats.kendalltau(method="asymptotic") where no two values are equal.
    """
    rows, n = values.shape
    if n < MIN_ROUNDS:
        return np.full(rows, np.nan), np.full(rows, np.nan)
    block = -(-n // _DRIFT_POINTS)
    points = n // block
    if block > 1:
        values = np.median(values[:, : points * block].reshape(rows, points, block), axis=2)
    early, late = np.triu_indices(points, 1)
    slopes, signs = np.empty(rows), np.empty(rows)
    at_once = max(1, 2_000_000 // len(early))
    for start in range(0, rows, at_once):
        some = slice(start, start + at_once)
        rise = values[some][:, late] - values[some][:, early]
        signs[some] = np.sign(rise).sum(axis=1)
        slopes[some] = np.median(rise / (late - early), axis=1)
    deviation = np.sqrt(points * (points - 1) * (2 * points + 5) / 18)
    return slopes / block, np.array([math.erfc(z) for z in np.abs(signs) / deviation / math.sqrt(2)])


def position_effect(log_ratios: Array, second_arm_first: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Logarithm of the factor on the seconds of whichever arm runs second in its round, and whether it is seen.

    Going second multiplies the ratio when arm 1 goes second and divides it when arm 0 does, so that half the
    difference of two rounds of either order is the effect, whatever the ratio. Rounds are paired in the order in
    which they ran, which makes pairs of the design's blocks of two. The effect is their median, and seen where
    its 95% interval leaves out 0: from 20 rounds on. Not a number below MIN_ROUNDS rounds, or where one arm always
    went first.
    """
    rows, n = log_ratios.shape
    effect, seen = np.full(rows, np.nan), np.zeros(rows, dtype=bool)
    if n < MIN_ROUNDS:
        return effect, seen
    by_order = np.take_along_axis(log_ratios, np.argsort(second_arm_first, axis=1, kind="stable"), axis=1)
    firsts = second_arm_first.sum(axis=1)
    for swapped in np.unique(firsts):
        its, straight = np.flatnonzero(firsts == swapped), n - swapped
        if pairs := min(swapped, straight):
            halves = (by_order[its, :pairs] - by_order[its, straight : straight + pairs]) / 2
            effect[its] = np.median(halves, axis=1)
            if pairs >= MIN_ROUNDS:
                low, high = median_interval(halves)
                seen[its] = (low > 0) | (high < 0)
    return effect, seen


def without_position(
    log_ratios: Array, second_arm_first: NDArray[np.bool_], effect: Array, seen: NDArray[np.bool_]
) -> Array:
    """The log ratios less the rows' position effects that are seen: they would only widen the intervals."""
    added = np.where(seen, effect, 0.0)[:, None]
    return log_ratios - np.where(second_arm_first, -added, added)


def verdict(low: float, high: float, floor: tuple[float, float] | None, rounds: int) -> str:
    """What a ratio's interval or range says, in words; empty where it is too short of rounds to say.

    An interval that reaches 1 or the noise floor is "no difference seen". Below 5 rounds a range that does
    not is no evidence either: it misses the median with probability 2 ** (1 - rounds), more than 1 in 16.
    """
    below, above = floor or (1.0, 1.0)
    if low <= max(above, 1.0) and high >= min(below, 1.0):
        return "no difference seen"
    if rounds < MIN_VERDICT_ROUNDS:
        return ""
    return "slower" if low > 1 else "faster"
