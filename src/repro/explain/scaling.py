"""By what law a registration's time grows: fitted to the conditions of experiment `scaling`. Pure.

    seconds = start + samples / min(units, cores) + histograms * (units / 64)^p * (bins / 128)^q

for one size of image. `units` are the metric's work units, each with a joint histogram of bins x bins that is
added up in every iteration. In the law p is 1 and q is 2; a second fit leaves both free and says what the
measurements make of them. Least squares of the logarithms, so that a second at 1024 work units weighs no
more than at one; the intervals of p and q are those of the linearised fit (Seber and Wild, Nonlinear
Regression, 1989, chapter 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls
from scipy.stats import t as student

Array = NDArray[np.float64]
PARTS = ("start", "samples", "histograms")
LAW = (1.0, 2.0)
"""Exponents of work units and of bins that the law has."""
REFERENCE_UNITS, REFERENCE_BINS = 64, 128
"""Where `histograms` is the seconds that the histograms take."""
MIN_POINTS = 8
"""Five figures are fitted; with fewer points the fit says nothing."""
WIDEST = 3.0
"""An exponent with a wider interval, or more than twice as large, was not determined by these points."""
_TINY_S = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """One condition of one path."""

    condition: str
    units: int
    bins: int
    cores: int
    seconds: float
    """Median over the rounds."""


@dataclass(frozen=True, slots=True)
class Exponent:
    """A fitted exponent with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Law:
    """The fitted law of one path."""

    seconds: Mapping[str, float]
    """Part -> seconds: `start`; `samples` on one core; `histograms` at 64 work units and 128 bins."""
    residuals: Mapping[str, float]
    """Condition -> log(measured / law): 0.05 is five per cent more than the law."""
    units: Exponent | None
    """Exponent of the work units where it is left free; None: the points do not determine both."""
    bins: Exponent | None

    @property
    def rms(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.mean(np.square(list(self.residuals.values())))))

    @property
    def worst(self) -> tuple[str, float]:
        """The condition with the largest residual, and that."""
        return max(self.residuals.items(), key=lambda one: abs(one[1]))


def fit(points: Sequence[Point]) -> Law | None:
    """The law of these points; None below MIN_POINTS, or where units or bins were not varied."""
    if len(points) < MIN_POINTS or any(len({getattr(p, name) for p in points}) < 3 for name in ("units", "bins")):
        return None
    measured = np.log([point.seconds for point in points])
    parts = _parts(points, LAW)
    # A start from the same law with relative weights, which is a linear problem.
    first, _ = nnls(parts / np.exp(measured)[:, None], np.ones(len(points)))

    def misfit(values: Array) -> Array:
        exponents = (float(values[-2]), float(values[-1])) if len(values) > len(PARTS) else LAW
        seconds = _parts(points, exponents) @ values[: len(PARTS)]
        return np.asarray(np.log(np.maximum(seconds, _TINY_S)) - measured, dtype=np.float64)

    law = least_squares(misfit, np.maximum(first, _TINY_S), bounds=(0, np.inf), x_scale="jac")
    seconds = dict(zip(PARTS, map(float, law.x), strict=True))
    most = max(point.seconds for point in points)
    units = bins = None
    if seconds["histograms"] * max(_parts(points, LAW)[:, 2]) > most / 10:
        free = least_squares(misfit, [*law.x, *LAW], bounds=(0, np.inf), x_scale="jac")
        found = _exponents(free.x, free.jac, free.fun)
        if all(one.high - one.low < WIDEST and one.value < WIDEST * 2 for one in found):
            units, bins = found
    named = {point.condition: -float(away) for point, away in zip(points, law.fun, strict=True)}
    return Law(seconds, named, units, bins)


def _parts(points: Sequence[Point], exponents: tuple[float, float]) -> Array:
    """Seconds of each part where its figure is 1, shape (points, PARTS)."""
    p, q = exponents
    return np.array(
        [
            (
                1.0,
                1 / min(point.units, point.cores),
                (point.units / REFERENCE_UNITS) ** p * (point.bins / REFERENCE_BINS) ** q,
            )
            for point in points
        ]
    )


def _exponents(values: Array, jacobian: Array, residuals: Array) -> tuple[Exponent, Exponent]:
    freedom = max(1, len(residuals) - len(values))
    variances = np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * float(residuals @ residuals) / freedom
    half = float(student.ppf(0.975, freedom)) * np.sqrt(variances[-2:])
    first, second = (
        Exponent(float(value), float(value - away), float(value + away))
        for value, away in zip(values[-2:], half, strict=True)
    )
    return first, second
