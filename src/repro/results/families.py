"""Many verdicts at once: how many are wrong by chance, and what the headlines say together."""

from __future__ import annotations

from collections.abc import Iterable

from repro import stats
from repro.model import Estimate
from repro.results.columns import Row
from repro.results.tables import Tables, blocks_by_key

HEADLINES = ("posted", "posted-28")
"""Experiments with one verdict a pair, which hold together."""


def verdicts_by_chance(rows: Iterable[Row]) -> tuple[int, float]:
    """Verdicts that rest on an interval, and how many of them are expected to be wrong where nothing differs."""
    number = sum(row.interval == "interval" for row in rows)
    return number, stats.by_chance(number)


def headline_confidence(tables: Tables, row: Row) -> float:
    """Confidence of each interval of the row's family: the comparisons of this experiment on this machine."""
    if row.experiment not in HEADLINES:
        return stats.CONFIDENCE
    members = {
        one.comparison
        for one in tables.rows
        if (one.machine, one.experiment) == (row.machine, row.experiment) and one.ratio is not None
    }
    return stats.family(len(members))


def headline_estimate(tables: Tables, row: Row) -> Estimate | None:
    """The row's ratio with an interval that holds at 95% together with those of the other comparisons."""
    place = (row.machine, row.comparison, row.experiment, row.condition, row.key or "")
    blocks = blocks_by_key(
        trial
        for trial in tables.trials
        if (trial.machine, trial.comparison, trial.experiment, trial.condition, trial.key) == place
    )
    return stats.estimate(blocks[place], headline_confidence(tables, row)) if place in blocks else None
