"""Where the ends of the 95% interval of a median lie among the sorted values.

Standard library only: the stop rule runs between trials, in the process that times them. The same
positions serve `merge`, over many rows at once (stats.py).

The method is Hettmansperger and Sheather's (1986): the interval between the k-th smallest and the k-th
largest value holds the median with a probability that the binomial distribution gives whatever the values
are distributed like, and the ends are interpolated between the two neighbouring k to reach 95%.
docs/method.md says why it stands where a resampled bootstrap would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

CONFIDENCE = 0.95
MIN_ROUNDS = 10
"""Below this many rounds a range is given, no interval."""


class Ends(NamedTuple):
    """The lower end is ``(1 - inner) * sorted[k - 1] + inner * sorted[k]``, the upper its mirror image."""

    k: int
    inner: float


@cache
def ends(n: int) -> Ends:
    """Position of the 95% interval's ends among n sorted values; ValueError below MIN_ROUNDS.

    Hettmansperger, T. P. and Sheather, S. J. (1986), Confidence intervals based on interpolated order
    statistics, Statistics & Probability Letters 4, 75-79.
    """
    if n < MIN_ROUNDS:
        raise ValueError(f"{n} values: an interval needs {MIN_ROUNDS}")
    k, wide = 1, 1 - 2 * _binomial(n, 0)
    while (narrow := wide - 2 * _binomial(n, k)) >= CONFIDENCE:
        k, wide = k + 1, narrow
    surplus = (wide - CONFIDENCE) / (wide - narrow)
    return Ends(k, (n - k) * surplus / (k + (n - 2 * k) * surplus))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the median from MIN_ROUNDS values on; the range of the values below that."""
    ordered = sorted(values)
    n = len(ordered)
    if n < MIN_ROUNDS:
        return ordered[0], ordered[-1]
    k, inner = ends(n)
    low = (1 - inner) * ordered[k - 1] + inner * ordered[k]
    high = (1 - inner) * ordered[n - k] + inner * ordered[n - k - 1]
    return low, high


def _binomial(n: int, k: int) -> float:
    """Probability of k heads in n tosses of a fair coin; in logarithms, as 2**n overflows."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
