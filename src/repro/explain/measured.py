"""What merge has written, in the shape that questions about causes need."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import StoreError
from repro.explain.ladder import DIFFERENCE, Estimate, Floor
from repro.interval import MIN_ROUNDS
from repro.layout import shown
from repro.wording import finite, reach, with_verdict

_CONDITION = ("machine", "pair", "experiment", "condition")
_INPUTS = ("fixed_sha256", "moving_sha256", "params_sha256")
TRIAL = (*_CONDITION, *_INPUTS, "round", "arm", "wall_s")
"""The columns of trials.csv that say which round a trial is of, and what it took."""
Place = tuple[str, str]
"""Machine and pair."""
Rounds = Mapping[Place, Mapping[str, Mapping[str, Sequence[float]]]]
"""Machine and pair -> experiment -> condition -> log ratio of each round."""
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What merge has written, in the shape that questions need."""

    rows: Mapping[Place, Mapping[tuple[str, str], Row]]
    """Machine and pair -> experiment and condition -> row of comparison.csv."""
    rounds: Rounds

    def ratio(self, place: Place, experiment: str, condition: str) -> Estimate | None:
        """The ratio of a condition as comparison.csv has it, with its verdict; None: there is none."""
        row = self.rows.get(place, {}).get((experiment, condition), {})
        value, low, high = (finite(row.get(name)) for name in ("ratio", "ratio_low", "ratio_high"))
        if value is None:
            return None
        if row["interval"] != "interval":
            low = high = None
        return Estimate(value, low, high, row["verdict"], row["status"] == "disagree")

    def floor(self, place: Place, experiment: str, condition: str) -> Floor:
        """The noise floor that stands beside a condition; None: it was not measured."""
        row = self.rows.get(place, {}).get((experiment, condition), {})
        low, high = (finite(row.get(f"floor_{end}")) for end in ("low", "high"))
        return None if low is None or high is None else (low, high)


def read(results: Path) -> Measured:
    """Read comparison.csv and trials.csv. Raises StoreError where merge has not written them."""
    rows: dict[Place, dict[tuple[str, str], Row]] = defaultdict(dict)
    for row in _table(results / "comparison.csv"):
        its, name = rows[row["machine"], row["pair"]], (row["experiment"], row["condition"])
        if name not in its or int(row["rounds"] or 0) >= int(its[name]["rounds"] or 0):
            its[name] = row
    good = (row for row in _table(results / "trials.csv") if row["phase"] == "measure" and row["status"] == "ok")
    return Measured(rows, rounds(good))


def rounds(trials: Iterable[Mapping[str, Any]]) -> Rounds:
    """The log ratios of the complete rounds, from good measured trials in the columns of trials.csv.

    Of an arm with several trials in a round their geometric mean counts, as `merge` has it.
    """
    seconds: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in trials:
        its_round = tuple(row[name] for name in TRIAL[:-2])
        seconds[its_round][str(row["arm"])].append(float(row["wall_s"]))
    logs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for (*place, _), arms in seconds.items():
        first, second = arms["0"], arms["1"]
        if len(first) == len(second) and min(first + second, default=0) > 0:
            ratio = statistics.geometric_mean(second) / statistics.geometric_mean(first)
            logs[tuple(place)].append(math.log(ratio))
    found: dict[Place, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    # Rounds of different inputs are never mixed: those of the inputs with the most rounds count.
    for (machine, pair, experiment, condition, *_), values in sorted(logs.items(), key=lambda one: len(one[1])):
        found[machine, pair][experiment][condition] = values
    return found


def said(estimate: Estimate) -> str:
    """A ratio or factor with its interval and its verdict; of a factor that is a difference, the figure says it."""
    figure = reach(estimate.value, estimate.low, estimate.high)
    if estimate.verdict in (None, DIFFERENCE):
        return figure
    if estimate.low is None:
        figure = f"{figure}, no interval under {MIN_ROUNDS} rounds"
    return with_verdict(figure, estimate.verdict, disagree=estimate.disagree)


def _table(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise StoreError(f"{shown(file)} cannot be read: {error.strerror}; run merge first") from error
