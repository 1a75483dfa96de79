"""What a condition will take: from earlier runs on this machine, else from the committed reference.

The reference was measured on another machine; one trial that is timed here scales it (``timed``).
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from repro.model import SIDES, ConditionLine, Measurement, Path_, Side, read_line
from repro.paths import REFERENCE

LOAD_S = 1.0
"""A worker's loading, where it was never measured."""
BLOCK_S = 0.3
"""Folders, parameter files, agreement and lines of a block."""

_Place = tuple[str, str, str, Side]
"""Comparison, experiment, condition and side."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Medians of one machine."""

    trial_s: Mapping[_Place, float]
    load_s: Mapping[_Place, float]


@dataclass(frozen=True, slots=True)
class Costs:
    """What is known about how long trials take."""

    here: Seconds
    reference: Seconds
    scale: float = 1.0
    """Seconds here for a second of the reference."""

    def timed(self, place: tuple[str, str, str], side: Side, wall_s: float) -> Costs:
        """The costs with the reference scaled by a trial of this comparison, experiment and condition."""
        expected = _find(self.reference.trial_s, (*place, side))
        return replace(self, scale=wall_s / expected) if expected else self

    def trial_s(self, place: tuple[str, str, str], side: Side) -> float | None:
        """Seconds of one trial of the arm; None: not known."""
        return self._known("trial_s", (*place, side))

    def estimate_s(self, place: tuple[str, str, str], paths: Sequence[Path_], blocks: int, rounds: int) -> float | None:
        """Seconds of so many blocks, each with loading, warm-up and so many rounds; None: not known.

        ``place`` is comparison, experiment and condition; where this comparison was never measured, others stand in.
        """
        trials = [self.trial_s(place, side) for side in SIDES]
        loads = [
            self._known("load_s", (*place, side)) or LOAD_S * self.scale
            for side, path in zip(SIDES, paths, strict=True)
            if path != "cli"
        ]
        known = [one for one in trials if one is not None]
        if len(known) < len(SIDES):
            return None
        return blocks * ((rounds + 1) * sum(known) + sum(loads) + BLOCK_S)

    def _known(self, what: str, place: _Place) -> float | None:
        own = _find(getattr(self.here, what), place)
        if own is not None:
            return own
        other = _find(getattr(self.reference, what), place)
        return None if other is None else other * self.scale


def read_costs(machine_folder: Path, reference: Path = REFERENCE) -> Costs:
    """What this machine's raw lines and the committed comparison.csv say; files that cannot be read say nothing."""
    return Costs(_from_raw(machine_folder), _from_comparison(reference / "comparison.csv"))


def _find(seconds: Mapping[_Place, float], place: _Place) -> float | None:
    """Of this place, else the median of the same condition in other comparisons."""
    if place in seconds:
        return seconds[place]
    others = [value for key, value in seconds.items() if key[1:] == place[1:]]
    return statistics.median(others) if others else None


def _from_raw(machine_folder: Path) -> Seconds:
    trials: defaultdict[_Place, list[float]] = defaultdict(list)
    loads: defaultdict[_Place, list[float]] = defaultdict(list)
    for file in sorted(machine_folder.glob("*/*.jsonl")):
        conditions: dict[str, tuple[str, str, str]] = {}
        for line in _lines(file):
            if isinstance(line, ConditionLine):
                conditions[line.key] = (line.comparison, line.experiment, line.condition.name)
            elif line.status == "ok" and line.phase != "start" and line.key in conditions:
                place: _Place = (*conditions[line.key], line.side)
                trials[place] += [line.wall_s] if line.wall_s is not None else []
                loads[place] += [line.load_s] if line.load_s is not None else []
    return Seconds(_medians(trials), _medians(loads))


def _lines(file: Path) -> Iterable[ConditionLine | Measurement]:
    try:
        texts = file.read_bytes().split(b"\n")
    except OSError:
        return
    for text in texts:
        if b'"kind": "measurement"' not in text and b'"kind": "condition"' not in text:
            continue
        try:
            line = read_line(text)
        except ValueError:  # cut off, or of another version
            continue
        if isinstance(line, ConditionLine | Measurement):
            yield line


def _from_comparison(file: Path) -> Seconds:
    trials: defaultdict[_Place, list[float]] = defaultdict(list)
    loads: defaultdict[_Place, list[float]] = defaultdict(list)
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        rows = []
    for row in rows:
        place = (row.get("comparison") or "", row.get("experiment") or "", row.get("condition") or "")
        for side in SIDES:
            for found, column in ((trials, f"{side}_median_s"), (loads, f"{side}_load_s")):
                if text := row.get(column):
                    found[(*place, side)].append(float(text))
    return Seconds(_medians(trials), _medians(loads))


def _medians(found: Mapping[_Place, Sequence[float]]) -> dict[_Place, float]:
    return {place: statistics.median(values) for place, values in found.items() if values}
