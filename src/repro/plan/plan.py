"""From a pair and an experiment to the trials that bench will run, in their order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from repro.model import Condition, Experiment, Pair, Trial
from repro.plan.order import order, within

T = TypeVar("T")

START_RUNS = 3
"""How often the executable's own start (``--version``) is timed in each session."""


@dataclass(frozen=True, slots=True)
class Round:
    """The trials of one round, in the order in which they run. Round 0 is the warm-up."""

    number: int
    trials: tuple[Trial, ...]


def rounds(
    pair: Pair, experiment: Experiment, condition: Condition, count: int, seed: int, paths: Collection[str]
) -> list[Round]:
    """The warm-up round and ``count`` measured ones of one condition.

    ``paths`` are the paths that may run; an arm on another path is left out. The order within the
    rounds is balanced and depends on the seed and on what is measured alone, so that asking for
    more rounds does not change the first ones.
    """
    firsts = order(seed, f"{pair.name}/{experiment.name}/{condition.name}", count)
    planned = []
    for number in range(count + 1):
        first = int(number > 0 and not firsts[number - 1])
        order_within = enumerate(within(first, experiment.trials if number else 1))
        # Each two neighbours are one trial of either arm.
        arms = [(arm, place // 2) for place, arm in order_within if condition.arms[arm] in paths]
        trials = tuple(
            Trial(
                pair=pair.name,
                experiment=experiment.name,
                condition=condition.name,
                arm=arm,
                path=condition.arms[arm],
                phase="measure" if number else "warmup",
                round=number,
                position=position,
                repeat=repeat,
            )
            for position, (arm, repeat) in enumerate(arms)
        )
        planned.append(Round(number, trials))
    return planned


def start_trials(pair: Pair, experiment: Experiment, condition: Condition, paths: Collection[str]) -> tuple[Trial, ...]:
    """The timed starts of the executable that does nothing, ahead of a condition."""
    if "cli" not in condition.arms or "cli" not in paths or condition.measures == "loading":
        return ()
    arm = condition.arms.index("cli")
    return tuple(
        Trial(
            pair=pair.name,
            experiment=experiment.name,
            condition=condition.name,
            arm=arm,
            path="cli",
            phase="start",
            round=number,
            position=0,
        )
        for number in range(1, START_RUNS + 1)
    )


def paths_of(pair: Pair, paths: Collection[str]) -> frozenset[str]:
    """Those of the paths that the pair has."""
    return frozenset(paths) & {"api"} if pair.api_only else frozenset(paths)


def for_pair(pair: Pair, items: Sequence[tuple[Experiment, T]]) -> Sequence[tuple[Experiment, T]]:
    """What of it is run with the pair: an API-only entry leaves out experiments that are not about releases.

    Where none of them is, the entry was named by the user, and all are run with it.
    """
    if not pair.api_only:
        return items
    return [item for item in items if item[0].releases] or items


def shard(items: Sequence[tuple[Experiment, Condition]], index: int, of: int) -> list[tuple[Experiment, Condition]]:
    """The part ``index`` (from 1) of ``of`` parts: whole conditions, dealt out in turn.

    A condition is never split: its rounds must run on one machine to be a ratio.
    """
    return [item for number, item in enumerate(items) if number % of == index - 1]
