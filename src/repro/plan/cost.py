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

Place = tuple[str, str, str]
"""Comparison, experiment and condition."""
Seconds = Mapping[tuple[str, ...], float]
"""Medians of one machine: of (*place, side, "trial" or "load")."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What is known about how long trials take."""

    here: Seconds
    reference: Seconds
    scale: float = 1.0
    """Seconds here for a second of the reference."""

    def timed(self, place: Place, side: Side, wall_s: float) -> Costs:
        """The costs with the reference scaled by a trial that was timed here."""
        expected = _find(self.reference, (*place, side, "trial"))
        return replace(self, scale=wall_s / expected) if expected else self

    def trial_s(self, place: Place, side: Side) -> float | None:
        """Seconds of one trial of the arm; None: not known."""
        return self._known((*place, side, "trial"))

    def estimate_s(self, place: Place, paths: Sequence[Path_], blocks: int, rounds: int) -> float | None:
        """Seconds of so many blocks, each with loading, warm-up and so many rounds; None: not known.

        Where this comparison was never measured, others stand in.
        """
        trials = [self.trial_s(place, side) for side in SIDES]
        loads = [
            self._known((*place, side, "load")) or LOAD_S * self.scale
            for side, path in zip(SIDES, paths, strict=True)
            if path != "cli"
        ]
        known = [one for one in trials if one is not None]
        if len(known) < len(SIDES):
            return None
        return blocks * ((rounds + 1) * sum(known) + sum(loads) + BLOCK_S)

    def _known(self, key: tuple[str, ...]) -> float | None:
        own = _find(self.here, key)
        if own is not None:
            return own
        other = _find(self.reference, key)
        return None if other is None else other * self.scale


def read_costs(machine_folder: Path, reference: Path = REFERENCE) -> Costs:
    """What this machine's raw lines and the committed comparison.csv say; files that cannot be read say nothing."""
    return Costs(_from_raw(machine_folder), _from_comparison(reference / "comparison.csv"))


def _find(seconds: Seconds, key: tuple[str, ...]) -> float | None:
    """Of this comparison, else the median of the same condition in others."""
    if key in seconds:
        return seconds[key]
    others = [value for other, value in seconds.items() if other[1:] == key[1:]]
    return statistics.median(others) if others else None


def _from_raw(machine_folder: Path) -> Seconds:
    found: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for file in sorted(machine_folder.glob("*/*.jsonl")):
        conditions: dict[str, Place] = {}
        for line in _lines(file):
            if isinstance(line, ConditionLine):
                conditions[line.key] = (line.comparison, line.experiment, line.condition.name)
            elif line.status == "ok" and line.phase != "start" and line.key in conditions:
                for what, seconds in (("trial", line.wall_s), ("load", line.load_s)):
                    if seconds is not None:
                        found[(*conditions[line.key], line.side, what)].append(seconds)
    return {key: statistics.median(values) for key, values in found.items()}


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
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        return {}
    found: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        place = (row.get("comparison") or "", row.get("experiment") or "", row.get("condition") or "")
        for side in SIDES:
            for what, column in (("trial", f"{side}_median_s"), ("load", f"{side}_load_s")):
                if text := row.get(column):
                    found[(*place, side, what)].append(float(text))
    return {key: statistics.median(values) for key, values in found.items()}
