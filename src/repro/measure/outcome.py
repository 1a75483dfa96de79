"""What a bench has done: trials, rounds and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from repro.measure.measurement import Measurement
from repro.model import Condition


@dataclass
class Tally:
    """What a bench has done so far."""

    measurements: list[Measurement] = field(default_factory=list)
    skipped: int = 0
    """Trials that an earlier run had measured."""
    busy_s: float = 0.0
    """Seconds inside trials, loading included."""

    @property
    def failed(self) -> int:
        """Trials that gave no measurement."""
        return sum(measurement.status != "ok" for measurement in self.measurements)


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round of a condition: of each arm the raw line of its measurement, None where there is none.

    Of an arm with several trials it is the first one's, with the geometric mean of their seconds.
    """

    number: int
    lines: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
    apart_px: float | None
    """Largest distance of the two results over the fixed image's grid."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """All rounds of one condition of one pair, those of earlier runs included."""

    pair: str
    experiment: str
    condition: Condition
    rounds: tuple[RoundResult, ...]
