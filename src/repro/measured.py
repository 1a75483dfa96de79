"""What merge has written, in the shape that questions about causes need."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import StoreError
from repro.ladder import Estimate
from repro.layout import shown

_CONDITION = ("machine", "pair", "experiment", "condition")
_INPUTS = ("fixed_sha256", "moving_sha256", "params_sha256")
Place = tuple[str, str]
"""Machine and pair."""
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What merge has written, in the shape that questions need."""

    rows: Mapping[Place, Mapping[tuple[str, str], Row]]
    """Machine and pair -> experiment and condition -> row of comparison.csv."""
    rounds: Mapping[Place, Mapping[str, Mapping[str, Sequence[float]]]]
    """Machine and pair -> experiment -> condition -> log ratio of each round."""


def read(results: Path) -> Measured:
    """Read comparison.csv and trials.csv. Raises StoreError where merge has not written them."""
    rows: dict[Place, dict[tuple[str, str], Row]] = defaultdict(dict)
    for row in _table(results / "comparison.csv"):
        its, name = rows[row["machine"], row["pair"]], (row["experiment"], row["condition"])
        if name not in its or int(row["rounds"] or 0) >= int(its[name]["rounds"] or 0):
            its[name] = row
    seconds: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in _table(results / "trials.csv"):
        if row["phase"] == "measure" and row["status"] == "ok":
            seconds[tuple(row[name] for name in (*_CONDITION, *_INPUTS, "round"))][row["arm"]] = float(row["wall_s"])
    logs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for (*place, _), arms in seconds.items():
        if len(arms) == 2 and min(arms.values()) > 0:
            logs[tuple(place)].append(math.log(arms["1"] / arms["0"]))
    rounds: dict[Place, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    # Rounds of different inputs are never mixed: those of the inputs with the most rounds count.
    for (machine, pair, experiment, condition, *_), values in sorted(logs.items(), key=lambda one: len(one[1])):
        rounds[machine, pair][experiment][condition] = values
    return Measured(rows, rounds)


def said(estimate: Estimate, digits: int = 3) -> str:
    """A figure with its interval."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}g} (no interval under 10 rounds)"
    return f"{estimate.value:.{digits}g} [{estimate.low:.{digits}g}, {estimate.high:.{digits}g}]"


def _table(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise StoreError(f"{shown(file)} cannot be read: {error.strerror}; run merge first") from error
