"""The ladder of causes: from the posted condition to the fair one, one change a step. Pure.

A condition's ratio is the median of its rounds' log ratios. The factor of a step is the quotient
of the ratios of the two conditions it lies between; they were measured in different rounds, so
its interval comes from resampling the rounds of both (percentile bootstrap of the difference of
two medians: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from repro.interval import MIN_ROUNDS
from repro.stats import verdict

Array = NDArray[np.float64]
RESAMPLES = 10_000
POSTED = "posted"
FAIR = "threads"
"""The condition in which the API is asked for its threads as the executable is."""
ORDERS = (
    (POSTED, FAIR, "threads+pool", "threads+pool+bins"),
    (POSTED, "bins", "pool+bins", "threads+pool+bins"),
    (POSTED, "pool", "threads+pool", "threads+pool+bins"),
    (POSTED, "platform", "platform+units"),
)
"""The changes in different orders, the second the first the other way round; each change is named by what
the next condition adds."""

_WHOLE = " whole"
"""Where the rounds of the whole stand among the conditions, none of which has a blank in its name."""

DIFFERENCE = "difference"
Floor = tuple[float, float] | None
Rounds = Mapping[str, Sequence[float]]
"""Condition -> log ratio of each round."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval; no interval where a condition has under 10 rounds."""

    value: float
    low: float | None
    high: float | None
    verdict: str | None = None
    """What a ratio or a factor says, as `stats.verdict` has it of its interval and the noise floor; empty: too few
    rounds to say. A factor that is no ratio of the API to the executable says `DIFFERENCE` instead of slower or
    faster. None: it is a share."""
    disagree: bool = False
    """Of a ratio: whether the results of the two paths are not the same."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change: how many times nearer the ratio of ``after`` is than that of ``before``."""

    change: str
    before: str
    after: str
    factor: Estimate


@dataclass(frozen=True, slots=True)
class Account:
    """What the steps of one order make together."""

    changes: tuple[str, ...]
    product: Estimate
    """Of the steps' factors."""
    share: Estimate | None
    """log(product) / log(whole): 1 where the causes account for all of it."""
    left: Estimate
    """Ratio of the last condition: what is left to explain."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What one pair on one machine measured of the causes."""

    posted: Estimate
    """Ratio of the posted condition."""
    whole: Estimate
    """The posted ratio that is taken apart: that of rounds of its own where they were given."""
    fair: Estimate | None
    steps: tuple[Step, ...]
    """The steps of all orders, each once."""
    share: Estimate | None
    """Part of the log of the whole that the steps from posted to fair account for."""
    accounts: tuple[Account, ...] = ()
    """One for each order, as far as its conditions were measured."""

    @property
    def by_change(self) -> Mapping[str, tuple[Step, ...]]:
        """Every measured step of each change: their factors differ where causes act on one another."""
        found: dict[str, tuple[Step, ...]] = {}
        for step in self.steps:
            found[step.change] = (*found.get(step.change, ()), step)
        return found


def ladder(
    rounds: Rounds,
    seed: int = 1,
    whole: Sequence[float] = (),
    floor: Floor = None,
    ratios: Mapping[str, Estimate] | None = None,
) -> Ladder | None:
    """The ladder of what was measured; None without the posted condition.

    ``whole`` are log ratios of the posted condition in rounds of their own: the product of the steps, which
    telescopes, is then held against something that it is not made of. ``ratios`` are those of the conditions as the
    comparison has them, so that nobody reads two intervals of one ratio.
    """
    rounds = {condition: values for condition, values in rounds.items() if len(values)}
    if POSTED not in rounds:
        return None
    known = dict(ratios or {})
    if not len(whole) and POSTED in known:
        known[_WHOLE] = known[POSTED]
    medians = _Medians({**rounds, _WHOLE: whole if len(whole) else rounds[POSTED]}, seed, floor, known)
    pairs = dict.fromkeys((before, after) for order in ORDERS for before, after in pairwise(order))
    steps = tuple(
        Step(change(before, after), before, after, medians.factor(before, after))
        for before, after in pairs
        if before in rounds and after in rounds
    )
    fair = FAIR in rounds
    return Ladder(
        posted=medians.ratio(POSTED),
        whole=medians.ratio(_WHOLE),
        fair=medians.ratio(FAIR) if fair else None,
        steps=steps,
        share=medians.share(POSTED, FAIR) if fair else None,
        accounts=tuple(
            Account(
                changes=tuple(change(before, after) for before, after in pairwise(order)),
                product=medians.factor(POSTED, order[-1]),
                share=medians.share(POSTED, order[-1]),
                left=medians.ratio(order[-1]),
            )
            for order in dict.fromkeys(_measured(order, rounds) for order in ORDERS)
            if len(order) > 1
        ),
    )


def _measured(order: tuple[str, ...], rounds: Rounds) -> tuple[str, ...]:
    """The conditions of an order up to the first that was not measured."""
    return tuple(takewhile(rounds.__contains__, order))


def change(before: str, after: str) -> str:
    """What a condition adds to another: "threads+pool" to "threads" is "pool"."""
    return "+".join(sorted(set(after.split("+")) - set(before.split("+"))))


def quotient(first: Sequence[float], second: Sequence[float], floor: Floor = None, seed: int = 1) -> Estimate:
    """Ratio of one condition over that of another, from their rounds' log ratios."""
    return _Medians({"first": first, "second": second}, seed, floor).factor("first", "second")


class _Medians:
    """Medians of each condition, and those of its resampled rounds."""

    def __init__(
        self, rounds: Rounds, seed: int, floor: Floor = None, known: Mapping[str, Estimate] | None = None
    ) -> None:
        self._floor, self._known = floor, known or {}
        self._median = {condition: float(np.median(values)) for condition, values in rounds.items()}
        self._resampled: dict[str, Array] = {}
        for condition, rows in rounds.items():
            if len(rows) >= MIN_ROUNDS:
                values = np.asarray(rows, dtype=np.float64)
                # Without rounds of its own the whole is the posted condition, draw by draw.
                name = POSTED if condition == _WHOLE and rows is rounds.get(POSTED) else condition
                draw = np.random.default_rng([seed, *name.encode()])
                chosen = draw.integers(0, len(values), (RESAMPLES, len(values)))
                self._resampled[condition] = np.median(values[chosen], axis=1)

    def ratio(self, condition: str) -> Estimate:
        if condition in self._known:
            return self._known[condition]
        return self._judged(_exponential(self._median[condition], self._resampled.get(condition)))

    def factor(self, before: str, after: str) -> Estimate:
        first, second = self._resampled.get(before), self._resampled.get(after)
        apart = None if first is None or second is None else first - second
        found = self._judged(_exponential(self._median[before] - self._median[after], apart))
        return replace(found, verdict=DIFFERENCE) if found.verdict in ("slower", "faster") else found

    def _judged(self, found: Estimate) -> Estimate:
        if found.low is None or found.high is None:
            return replace(found, verdict="")
        return replace(found, verdict=verdict(found.low, found.high, self._floor, MIN_ROUNDS))

    def share(self, before: str, after: str) -> Estimate | None:
        """log(before / after) / log(whole); None where no slowdown is seen, so that there is nothing to share.

        The ladder's own rounds must show it as the whole's do.
        """
        unseen = {self.ratio(name).verdict for name in (_WHOLE, POSTED)} & {"no difference seen", "faster"}
        if self._median[_WHOLE] == 0 or unseen:
            return None
        first, second, whole = (self._resampled.get(name) for name in (before, after, _WHOLE))
        low = high = None
        if first is not None and second is not None and whole is not None and np.all(whole != 0):
            low, high = (float(end) for end in np.quantile((first - second) / whole, (0.025, 0.975)))
        return Estimate((self._median[before] - self._median[after]) / self._median[_WHOLE], low, high)


def _exponential(value: float, resampled: Array | None) -> Estimate:
    if resampled is None:
        return Estimate(math.exp(value), None, None)
    low, high = np.exp(np.quantile(resampled, (0.025, 0.975)))
    return Estimate(math.exp(value), float(low), float(high))
