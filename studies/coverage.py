#!/usr/bin/env python3
"""How often does the interval hold the true ratio? Made-up timings with a known ratio, through repro.stats.

    PYTHONPATH=src python studies/coverage.py [--repeats 4000] [--seed 0]

Prints a Markdown table: for each disturbance and most number of blocks the coverage of the interval where all blocks
are measured, where `bench` stops early, and where one worker does all rounds (a life whose luck the interval does not
know: what this project did before it had blocks; of a quarter of the repeats). A share of 4,000 is known to 0.7 points.
Nothing is timed: the figures are the same everywhere.
docs/method.md quotes them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repro import stats

TRUE_LOG_RATIO = math.log(1.25)
ROUNDS = 2
PRECISION = 0.03
MOST_BLOCKS = (6, 10, 20)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Disturbance:
    """What the machine adds to the logarithm of a trial's seconds."""

    between: float = 0.03
    """Standard deviation of a block's log ratio: the luck of its workers."""
    noise: float = 0.02
    """Standard deviation of a trial; of heavy tails the scale."""
    tails: float = math.inf
    """Degrees of freedom of Student's t, of luck and noise; 2 has no variance."""
    drift: float = 0.0
    """A trial."""
    spikes: float = 0.0
    """Share of the trials that something else slows down, by up to a half."""


DISTURBANCES = {
    "no luck, noise 2%": Disturbance(between=0),
    "luck 1%, noise 2%": Disturbance(between=0.01),
    "luck 3%, noise 2%": Disturbance(),
    "luck 5%, noise 2%": Disturbance(between=0.05),
    "luck 10%, noise 2%": Disturbance(between=0.10),
    "luck 3%, noise 8%": Disturbance(noise=0.08),
    "heavy tails": Disturbance(tails=2),
    "drift of 0.3% a trial": Disturbance(drift=0.003),
    "spikes in 10% of trials": Disturbance(spikes=0.1),
    "all of it": Disturbance(tails=2, drift=0.003, spikes=0.1),
}


def log_ratios(d: Disturbance, repeats: int, blocks: int, rounds: int, seed: int) -> Array:
    """Log ratios of rounds, shape (repeats, blocks, rounds). Of two rounds in a row either arm is first in one."""
    rng = np.random.default_rng([seed, blocks, rounds])
    shape = (repeats, blocks, rounds)

    def noise(*size: int) -> Array:
        return rng.standard_t(d.tails, size) if d.tails < math.inf else rng.standard_normal(size)

    number = np.arange(blocks * (rounds + 1)).reshape(blocks, rounds + 1)[:, 1:]  # a warm-up round opens each block
    first = rng.integers(0, 2, (repeats, blocks, (rounds + 1) // 2))
    swapped = np.stack((first, 1 - first), axis=-1).reshape(repeats, blocks, -1)[..., :rounds]
    arms = []
    for arm in (0, 1):
        log = d.noise * noise(*shape) + d.drift * (2 * number + np.where(swapped == 1, 1 - arm, arm))
        arms.append(log + np.where(rng.random(shape) < d.spikes, np.log1p(rng.uniform(0, 0.5, shape)), 0))
    found: Array = TRUE_LOG_RATIO + arms[1] - arms[0] + d.between * noise(repeats, blocks, 1)
    return found


@dataclass(frozen=True)
class Quality:
    """Of many repeats: share of intervals that hold the truth, mean half width (log scale), mean number of blocks."""

    coverage: float
    half_width: float
    blocks: float


def quality(runs: Sequence[Sequence[Sequence[float]]]) -> Quality:
    """Of runs, each the log ratios of its rounds by block, through ``stats.estimate``."""
    inside, widths = 0, 0.0
    for run in runs:
        found = stats.estimate(dict(enumerate(run)))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        low, high = math.log(found.low), math.log(found.high)
        inside += low <= TRUE_LOG_RATIO <= high
        widths += (high - low) / 2
    return Quality(inside / len(runs), widths / len(runs), sum(map(len, runs)) / len(runs))


def all_blocks(d: Disturbance, repeats: int, blocks: int, seed: int) -> Quality:
    """All blocks are measured."""
    return quality(log_ratios(d, repeats, blocks, ROUNDS, seed).tolist())


def stopped_early(d: Disturbance, repeats: int, blocks: int, seed: int, precision: float = PRECISION) -> Quality:
    """Each run ends where ``bench --precision`` ends it."""
    values = log_ratios(d, repeats, blocks, ROUNDS, seed)
    by_block = np.median(values, axis=2).tolist()
    ends = [next((n for n in range(6, blocks) if stats.enough(run[:n], precision)), blocks) for run in by_block]
    return quality([run[:end] for run, end in zip(values.tolist(), ends, strict=True)])


def one_worker(d: Disturbance, repeats: int, blocks: int, seed: int) -> Quality:
    """As many rounds in one life of the workers; the interval is over rounds."""
    values = log_ratios(d, repeats, 1, ROUNDS * blocks, seed)
    return quality(values.reshape(repeats, -1, 1).tolist())


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    say("| disturbance | most blocks | all blocks | half width | stopped early | blocks used | one worker |")
    say("|---|---|---|---|---|---|---|")
    for name, d in DISTURBANCES.items():
        for blocks in MOST_BLOCKS:
            whole = all_blocks(d, options.repeats, blocks, options.seed)
            early = stopped_early(d, options.repeats, blocks, options.seed)
            old = one_worker(d, options.repeats // 4, blocks, options.seed)  # far from 95%: fewer tell
            say(
                f"| {name} | {blocks} | {whole.coverage:.1%} | {whole.half_width:.1%} | {early.coverage:.1%} "
                f"| {early.blocks:.1f} | {old.coverage:.1%} |"
            )


if __name__ == "__main__":
    main()
