"""What bench would run, with an estimate of the time, as data and as a table."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.cli.tables import Rows
from repro.measure import store
from repro.model import Experiment, Pair
from repro.plan import plan

PATHS = frozenset({"cli", "api"})


@dataclass(frozen=True, slots=True)
class Planned:
    """One condition of one pair."""

    pair: str
    experiment: str
    condition: str
    rounds: int
    """At most: rounds end once the interval is narrow enough."""
    trials: int
    order: tuple[tuple[str, ...], ...]
    """For each measured round, the paths in the order in which they run."""
    trials_each: int
    """Trials of each arm in a round."""
    estimate_s: float | None
    """From what earlier runs measured here; None: nothing yet."""


def plan_all(
    pairs: Sequence[Pair],
    experiments: Sequence[Experiment],
    rounds: int | None,
    seed: int,
    shard: tuple[int, int],
    raw: Path,
) -> list[Planned]:
    """Everything that bench would run, pair by pair."""
    chosen = [(experiment, condition) for experiment in experiments for condition in experiment.conditions]
    planned = []
    for pair in pairs:
        paths = plan.paths_of(pair, PATHS)
        for experiment, condition in plan.for_pair(pair, plan.shard(chosen, *shard)):
            count = rounds or experiment.rounds_of(condition.name)
            steps = plan.rounds(pair, experiment, condition, count, seed, paths)
            starts = plan.start_trials(pair, experiment, condition, paths)
            entry = Planned(
                pair=pair.name,
                experiment=experiment.name,
                condition=condition.name,
                rounds=count,
                trials=len(starts) + sum(len(step.trials) for step in steps),
                order=tuple(tuple(trial.path for trial in step.trials) for step in steps[1:]),
                trials_each=experiment.trials,
                estimate_s=_estimate_s(
                    _seconds(raw, pair.name, experiment.name, condition.name),
                    [arm for arm in condition.arms if arm in paths],
                    count * experiment.trials,
                ),
            )
            planned.append(entry)
    return planned


def rows(planned: Sequence[Planned]) -> Rows:
    """One row a condition, and the sum of what is known."""
    listed = tuple(
        (
            entry.pair,
            f"{entry.experiment}/{entry.condition}",
            str(entry.rounds),
            str(entry.trials),
            _minutes(entry.estimate_s),
            _order(entry),
        )
        for entry in planned
    )
    known = [entry.estimate_s for entry in planned if entry.estimate_s is not None]
    unknown = len(planned) - len(known)
    return Rows(
        title="What bench would run",
        heads=("pair", "experiment/condition", "rounds at most", "trials", "minutes", "order within the rounds"),
        rows=listed,
        remark=f"{_minutes(sum(known))} minutes for what was measured here before"
        + (f"; {unknown} conditions were not, so their time is not known" if unknown else "")
        + ". Each condition starts with the executable's own start and a warm-up round; "
        "rounds end early once the interval is narrow enough (--precision).",
    )


def _order(entry: Planned) -> str:
    """The first trial of each arm, round by round; the others mirror them."""
    firsts = " ".join("-".join(paths[: len(paths) // entry.trials_each]) for paths in entry.order)
    return firsts if entry.trials_each == 1 else f"each arm {entry.trials_each} times, mirrored: {firsts}"


def _seconds(raw: Path, pair: str, experiment: str, condition: str) -> Mapping[str, list[float]]:
    """Seconds that earlier runs on this disk took, by path; loading under "load"."""
    seconds = defaultdict(list)
    for file in sorted(raw.glob(f"*/{pair}/{experiment}.jsonl")):
        for line in store.read_lines(file):
            if line.get("condition") != condition or line.get("status") != "ok" or line.get("phase") == "start":
                continue
            # Folders of other machines may lie here: nothing is taken for granted.
            match line:
                case {"path": "cli" | "api" as path, "wall_s": int() | float() as wall_s} if 0 < wall_s < 1e9:
                    seconds[path].append(float(wall_s))
            match line:
                case {"load_s": int() | float() as load_s} if 0 < load_s < 1e9:
                    seconds["load"].append(float(load_s))
    return seconds


def _estimate_s(seconds: Mapping[str, list[float]], arms: Sequence[str], trials: int) -> float | None:
    """Of so many trials of each arm, with the loading and the warm-up."""
    if not all(seconds.get(path) for path in arms):
        return None
    loading = sum(statistics.median(seconds["load"]) for path in arms if path == "api" and seconds.get("load"))
    return loading + sum(statistics.median(seconds[path]) for path in arms) * (trials + 1)


def _minutes(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds / 60:.1f}"
