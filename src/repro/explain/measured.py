"""The tables in the shape that the questions need: one row a condition, and its blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.version import InvalidVersion, Version

from repro import stats
from repro.model import Estimate, Finding, Settings, Subject, Verdict
from repro.results.columns import Row, read_asked
from repro.results.tables import Tables, blocks_of

Place = tuple[str, str]
"""Machine and comparison."""
BINS = "NumberOfHistogramBins"
POSTED_BINS = 128
"""Histogram bins of the posted parameter file."""
MATTERS = 1.1
"""From this factor on a change is called a cause; well above the noise floors of the reference."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, by machine and comparison."""

    rows: Mapping[Place, Mapping[tuple[str, str], Row]]
    """Machine and comparison -> experiment and condition -> its row; of several that was measured last."""
    blocks: Mapping[tuple[str, str, str, str], stats.Blocks]

    def pairs(self) -> Iterator[tuple[Place, list[Row]]]:
        """The pairs with their measured rows, without comparisons of two builds that are none."""
        for place, rows in self.rows.items():
            if " " not in place[1]:
                yield place, [row for row in rows.values() if row.experiment]

    def blocks_of(self, row: Row) -> stats.Blocks:
        """The log ratios of the row's blocks."""
        return self.blocks.get((row.machine, row.comparison, row.experiment, row.condition), {})

    def factor(self, first: Row, second: Row) -> tuple[Estimate | None, Verdict]:
        """How many times the first row's ratio is the second's; `slower` says that it is larger."""
        found = stats.quotient(self.blocks_of(first), self.blocks_of(second))
        return found, stats.verdict(found, first.floor)


def measured(tables: Tables) -> Measured:
    """The tables by place, pairs of the oldest versions first."""
    rows: dict[Place, dict[tuple[str, str], Row]] = defaultdict(dict)
    for row in sorted(tables.rows, key=lambda one: (one.machine, version_key(one.comparison))):
        rows[row.machine, row.comparison][row.experiment, row.condition] = row
    return Measured(rows, blocks_of(tables.trials))


@lru_cache
def version_key(name: str) -> tuple[tuple[bool, Version, str], ...]:
    """Sorts `0.9.1-5.0.1` before `0.21.0-5.2.0`, and `api:0.9.1` before `api:0.21.0`."""
    return tuple(_version(part) for part in name.replace("-", " ").replace(":", " ").split())


def _version(part: str) -> tuple[bool, Version, str]:
    try:
        return False, Version(part), part
    except InvalidVersion:
        return True, Version("0"), part


def subject(row: Row) -> Subject:
    """The row as what a finding is about."""
    return Subject(row.machine, row.comparison, row.experiment, row.condition)


def value_of(one: Finding, name: str) -> float:
    """The value of an estimate of the finding; 0 where there is none."""
    return one.figures[name].value if one.figures[name] else 0.0


@lru_cache
def asked(text: str | None) -> Settings:
    """The settings that a cell says; what is none asks for nothing."""
    try:
        return read_asked(text)
    except ValueError:
        return Settings()


def overrides(row: Row) -> dict[str, str]:
    """Parameters that the condition replaces."""
    parts = (one.partition("=") for one in (row.overrides or "").split("; ") if one)
    return {name: value for name, _, value in parts}


def is_single(row: Row) -> bool:
    """Whether it is one registration of the executable against one of the API."""
    return not row.strategy and (row.base_path, row.other_path) == ("cli", "api") and row.ratio is not None


def is_posted(row: Row) -> bool:
    """Whether both arms are asked as in the post: `-threads`, and NumberOfThreads in the parameter map."""
    base, other = asked(row.base_asked), asked(row.other_asked)
    told_all = row.machine_threads is not None and base.threads == row.machine_threads
    return is_single(row) and base.by == "option" and other.by == "parameter" and not other.threader and not told_all


def is_told(row: Row) -> bool:
    """Whether the API is told its threads by SetNumberOfThreads, and nothing else differs from the post."""
    other = asked(row.other_asked)
    return not row.strategy and other.threads != "default" and other.by == "method" and not other.threader
