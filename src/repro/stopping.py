"""When enough rounds are enough. Standard library only, for the process that times."""

from __future__ import annotations

from collections.abc import Sequence

from repro.interval import MIN_ROUNDS, interval

PRECISION = 0.03
"""Default of --precision: half width of the interval of the log ratio, so a relative precision."""


def enough(log_ratios: Sequence[float], precision: float = PRECISION, minimum: int = MIN_ROUNDS) -> bool:
    """Whether a condition may stop: its interval is narrow enough after the minimum of rounds.

    `log_ratios` are natural logarithms, one a complete round, in any order. Fewer than MIN_ROUNDS have no
    interval and are never enough, whatever the minimum. Looking after every round costs some coverage;
    docs/method.md has the figures and tasks/simulate.py measures them.
    """
    if len(log_ratios) < max(minimum, MIN_ROUNDS):
        return False
    low, high = interval(log_ratios)
    return (high - low) / 2 < precision
