"""What the statistics of `merge` are worth: made-up timings with a known ratio, through the same functions.

    python tasks/simulate.py [--repeats 4000] [--seed 0]

prints bias, error and coverage of the ratio for three designs under several disturbances, what stopping
early costs, and the coverage of a percentile bootstrap for comparison. docs/method.md quotes it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import bootstrap

from repro.interval import MIN_ROUNDS, interval
from repro.measure.stopping import PRECISION, enough
from repro.plan.order import order
from repro.results import ratios
from repro.stats import median_interval

Array = NDArray[np.float64]
TRUE_RATIO = 1.25
ROUNDS = (5, 10, 20, 40)
DESIGNS = ("random", "fixed", "blocked")
MOST_ROUNDS = 40
MOST_BOOTSTRAPS = 2000
"""Repeats of the bootstrap, which takes nearly all of the time."""


@dataclass(frozen=True)
class Disturbance:
    """What the machine adds to the logarithm of a trial's seconds."""

    noise: float = 0.02
    """Standard deviation; of heavy tails the scale."""
    tails: float = math.inf
    """Degrees of freedom of Student's t; 2 has no variance."""
    drift: float = 0.0
    """A trial."""
    second: float = 0.0
    """Added to whichever path runs second in its round."""
    spikes: float = 0.0
    """Share of the trials that something else slows down, by up to a half."""


DISTURBANCES = {
    "noise of 2%": Disturbance(),
    "noise of 8%": Disturbance(noise=0.08),
    "heavy tails": Disturbance(tails=2),
    "drift of 0.3% a trial": Disturbance(drift=0.003),
    "spikes in 10% of trials": Disturbance(spikes=0.1),
    "second is 1% slower": Disturbance(second=0.01),
    "second is 2% slower": Disturbance(second=0.02),
    "all of it": Disturbance(tails=2, drift=0.003, spikes=0.1, second=0.01),
}


def log_seconds(
    rng: np.random.Generator, d: Disturbance, design: str, repeats: int, n: int
) -> tuple[Array, Array, Array]:
    """Log seconds of both paths, shape (repeats, n), and whether the second path went first, shape likewise.

    `random` runs rounds in the order that `bench` uses, `fixed` the first path first in every round, `blocked` all
    of the first path's trials before all of the second's.
    """
    number = np.arange(n)
    if design == "random":
        swapped = ~np.array([order(int(rng.integers(2**31)), "simulated", n) for _ in range(repeats)])
    else:
        swapped = np.zeros((repeats, n), dtype=bool)
    slots = (number, n + number) if design == "blocked" else (2 * number + swapped, 2 * number + 1 - swapped)
    paths = []
    for path, slot in enumerate(slots):
        t = rng.standard_t(d.tails, (repeats, n)) if d.tails < math.inf else rng.standard_normal((repeats, n))
        log = d.noise * t + d.drift * slot + path * math.log(TRUE_RATIO)
        log += np.where(rng.random((repeats, n)) < d.spikes, np.log1p(rng.uniform(0, 0.5, (repeats, n))), 0)
        if design != "blocked":
            log += d.second * (swapped != bool(path))
        paths.append(log)
    return paths[0], paths[1], swapped.astype(float)


def estimates(first: Array, second: Array, swapped: Array) -> pl.DataFrame:
    """What `merge` makes of each repeat: its row of the comparison."""
    repeats, n = first.shape
    rounds = pl.DataFrame(
        {
            "row": np.repeat(np.arange(repeats), n),
            "round": np.tile(np.arange(1, n + 1), repeats),
            "wall_s_0": np.exp(first).ravel(),
            "wall_s_1": np.exp(second).ravel(),
            "position_0": swapped.ravel(),
            "position_1": 1 - swapped.ravel(),
        }
    )
    return ratios.of_rows(rounds)


@dataclass(frozen=True)
class Quality:
    """How good an estimate of a known ratio is; relative, so 0.01 is one per cent."""

    bias: float
    rmse: float
    coverage: float
    half_width: float


def quality(rows: pl.DataFrame) -> Quality:
    """Of the rows of many repeats."""
    error = np.log(rows["ratio"].to_numpy() / TRUE_RATIO)
    inside = (rows["ratio_low"] <= TRUE_RATIO) & (rows["ratio_high"] >= TRUE_RATIO)
    return Quality(
        bias=float(error.mean()),
        rmse=float(np.sqrt((error**2).mean())),
        coverage=float(inside.to_numpy().mean()),
        half_width=float(rows["half_width"].to_numpy().mean()),
    )


def simulate(disturbance: Disturbance, design: str, n: int, repeats: int, seed: int) -> Quality:
    """The quality of n rounds of a design under a disturbance."""
    return quality(estimates(*log_seconds(np.random.default_rng([seed, n]), disturbance, design, repeats, n)))


Rule = Callable[[Sequence[float], float], bool]


def narrow(log_ratios: Sequence[float], precision: float) -> bool:
    """The stop rule that suggests itself, for comparison: the interval alone decides."""
    low, high = interval(log_ratios)
    return (high - low) / 2 < precision


def stopped(
    disturbance: Disturbance, repeats: int, seed: int, precision: float = PRECISION, rule: Rule = enough
) -> tuple[Quality, float]:
    """The quality of rounds that end when `bench` would end them, and how many they are on average."""
    rng = np.random.default_rng([seed, MOST_ROUNDS])
    first, second, swapped = log_seconds(rng, disturbance, "random", repeats, MOST_ROUNDS)
    logs = (second - first).tolist()
    used = np.array(
        [next((n for n in range(MIN_ROUNDS, MOST_ROUNDS) if rule(log[:n], precision)), MOST_ROUNDS) for log in logs]
    )
    rows = [estimates(*(values[used == n, :n] for values in (first, second, swapped))) for n in np.unique(used)]
    return quality(pl.concat(rows)), float(np.mean(used))


Coverage = tuple[float, float, float]
"""Share of intervals that hold the truth, their mean half width, and seconds of CPU for 1,000 of them."""


def coverages(n: int, repeats: int, seed: int) -> tuple[Coverage, Coverage]:
    """The interval of `merge` and a percentile bootstrap of the median (10,000 resamples), for normal noise."""
    values = np.random.default_rng([seed, n]).standard_normal((repeats, n))
    rng = np.random.default_rng(seed)

    def resampled(some: Array) -> tuple[Array, Array]:
        found = bootstrap((some,), np.median, axis=1, method="percentile", n_resamples=10_000, rng=rng)
        return found.confidence_interval.low, found.confidence_interval.high

    return _coverage(median_interval, values, repeats), _coverage(resampled, values, 50)


def _coverage(of: Callable[[Array], tuple[Array, Array]], values: Array, at_once: int) -> Coverage:
    started = time.process_time()
    parts = [of(values[start : start + at_once]) for start in range(0, len(values), at_once)]
    seconds = (time.process_time() - started) * 1000 / len(values)
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return float(((low <= 0) & (high >= 0)).mean()), float((high - low).mean() / 2), seconds


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    say(f"{'disturbance':26}{'design':9}{'rounds':>6}{'bias':>9}{'rmse':>9}{'coverage':>10}{'half width':>12}")
    for name, disturbance in DISTURBANCES.items():
        for design in DESIGNS:
            for n in ROUNDS:
                q = simulate(disturbance, design, n, options.repeats, options.seed)
                say(f"{name:26}{design:9}{n:6}{q.bias:9.2%}{q.rmse:9.2%}{q.coverage:10.1%}{q.half_width:12.2%}")
    say(f"\n{'stopped early':26}{'rounds':>8}{'bias':>9}{'rmse':>9}{'coverage':>10}   by the interval alone")
    for noise in (0.02, 0.03, 0.04, 0.05, 0.06):
        q, used = stopped(Disturbance(noise=noise), options.repeats, options.seed)
        alone, fewer = stopped(Disturbance(noise=noise), options.repeats, options.seed, rule=narrow)
        said = f"{used:8.1f}{q.bias:9.2%}{q.rmse:9.2%}{q.coverage:10.1%}"
        say(f"{f'noise of {noise:.0%}':26}{said}{fewer:9.1f} rounds{alone.coverage:7.1%}")
    say("\nnormal noise of 1      order statistics (ours)             percentile bootstrap")
    say(f"{'rounds':>6}" + f"{'coverage':>13}{'half width':>12}{'CPU s/1000':>12}" * 2)
    for n in (10, 11, 20, 21):
        both = coverages(n, min(options.repeats, MOST_BOOTSTRAPS), options.seed)
        say(f"{n:6}" + "".join(f"{covered:13.1%}{half:12.3f}{cpu_s:12.3f}" for covered, half, cpu_s in both))


if __name__ == "__main__":
    main()
