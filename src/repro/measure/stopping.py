"""When enough rounds are enough. Standard library only, for the process that times."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from repro.interval import MIN_ROUNDS, interval

PRECISION = 0.03
"""Default of --precision: half width of the interval of the log ratio, so a relative precision."""
_Z = 1.959963984540054
"""97.5% quantile of the standard normal."""


def enough(log_ratios: Sequence[float], precision: float = PRECISION, minimum: int = MIN_ROUNDS) -> bool:
    """Whether a condition may stop: its interval is narrow enough after the minimum of rounds.

    `log_ratios` are natural logarithms, one a complete round, in any order. Fewer than MIN_ROUNDS have no
    interval and are never enough, whatever the minimum.

    The interval hangs on two of the rounds and is narrow by chance now and then; to stop at the first such
    moment would cost coverage. So the mean absolute deviation of all rounds has to promise the precision too.
    docs/method.md has the figures and tasks/simulate.py measures them.
    """
    n = len(log_ratios)
    if n < max(minimum, MIN_ROUNDS):
        return False
    low, high = interval(log_ratios)
    return (high - low) / 2 < precision and _promised(log_ratios) < precision


def _promised(values: Sequence[float]) -> float:
    """Half width of the median's interval, were the values normal with their mean absolute deviation.

    Both steps have the factor sqrt(pi / 2): from that deviation to the standard deviation, and from the mean's
    standard error to the median's.
    """
    n, middle = len(values), statistics.median(values)
    return _Z * math.pi / 2 * sum(abs(value - middle) for value in values) / ((n - 1) * math.sqrt(n))
