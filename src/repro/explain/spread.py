"""One ratio from a row of one machine, or from the rows of several."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from repro.report.reportdata import Row
from repro.wording import finite, reach, with_verdict

Kind = Literal["interval", "range", "single", "machines"]
"""What `low` and `high` are: a 95% interval; the range of few rounds; nothing, of one round; or the lowest and
highest ratio of several machines."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A ratio and how far it reaches."""

    value: float
    low: float
    high: float
    kind: Kind
    verdicts: tuple[str, ...]
    """What the ratio says, of each machine; empty: too few rounds to say."""
    machines: int = 1
    disagree: bool = False
    """Whether the two results are not the same, on any of the machines."""

    @property
    def cell(self) -> str:
        """`10.9 [10.4, 11.3]`, beside a verdict."""
        ends = (None, None) if self.kind == "single" else (self.low, self.high)
        return reach(self.value, *ends)

    @property
    def judged(self) -> str:
        """`10.9 [10.4, 11.3] (slower)`."""
        return with_verdict(self.cell, *self.verdicts, disagree=self.disagree)


def best_rows(rows: Iterable[Row]) -> list[Row]:
    """One row a machine: that of the most rounds, where inputs or settings of one name differ."""
    found: dict[str, Row] = {}
    for row in rows:
        kept = found.setdefault(row["machine"], row)
        if (row["rounds"] or 0) > (kept["rounds"] or 0):
            found[row["machine"]] = row
    return list(found.values())


def of_rows(rows: Sequence[Row]) -> Spread:
    """The ratio of one row, or the median and reach over the machines of several."""
    verdicts = tuple(row["verdict"] or "" for row in rows)
    disagree = any(row["status"] == "disagree" for row in rows)
    if len(rows) > 1:
        ratios = [row["ratio"] for row in rows]
        value, low, high = statistics.median(ratios), min(ratios), max(ratios)
        return Spread(value, low, high, "machines", verdicts, len(rows), disagree)
    (row,) = rows
    low, high = finite(row["ratio_low"]), finite(row["ratio_high"])
    if low is None or high is None:
        return Spread(row["ratio"], row["ratio"], row["ratio"], "single", verdicts, disagree=disagree)
    kind: Kind = "interval" if row["interval"] == "interval" else "range"
    return Spread(row["ratio"], low, high, kind, verdicts, disagree=disagree)
