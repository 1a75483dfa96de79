"""What the sections are made of: tables, the rows and findings to choose from, and the parts that they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

from repro.explain.measured import Measured, value_of
from repro.model import Finding, Status, Verdict
from repro.report import charts, sentences
from repro.report.charts import Line, mark
from repro.results.columns import Row
from repro.results.tables import Tables
from repro.text import UNKNOWN, estimate, line, ratio, seconds

MOST_LINES = 14
"""Lines of a chart."""
MOST_MARKS = 12
"""Marks of a line."""
MOST_ROWS = 60
"""Rows of a table; comparison.csv has them all."""
MOST_SENTENCES = 17

T = TypeVar("T")


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    tone: str = ""
    """A verdict, ``bad``, ``long`` or ``code``: its look in the page, never the only carrier of a meaning."""
    small: str = ""
    """Words under the figure: its interval and verdict."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its head."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    figures: frozenset[int]
    """Columns of figures, which stand to the right."""
    note: str = ""


def table(
    caption: str,
    items: Sequence[T],
    columns: Mapping[str, Callable[[T], Cell | str]],
    figures: Collection[str] = (),
    note: str = "",
) -> Table:
    """A row an item, at most MOST_ROWS; ``figures`` are the heads of the columns of figures."""
    rows = []
    for one in items[:MOST_ROWS]:
        cells = [cell(one) for cell in columns.values()]
        rows.append(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells))
    to_the_right = frozenset(n for n, head in enumerate(columns) if head in figures)
    return Table(caption, tuple(columns), tuple(rows), to_the_right, note)


def cut(number: int) -> str:
    """How many rows a table of so many leaves out."""
    return f"{number - MOST_ROWS:,} more are in comparison.csv." if number > MOST_ROWS else ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report under a question."""

    name: str
    """Anchor of the heading."""
    title: str
    command: str = ""
    """What measures it; only of a section without data."""
    sentence: str = ""
    chart: str = ""
    """SVG."""
    tables: tuple[Table, ...] = ()
    details: tuple[str, ...] = ()
    """Further sentences, behind the disclosure."""

    def filled(self, said: Sequence[str], chart: str, *tables: Table) -> Section:
        """The section with its data; the first sentence stands above the chart."""
        return Section(self.name, self.title, "", said[0] if said else "", chart, tables, tuple(said[1:]))


@dataclass(frozen=True)
class Material:
    """What the sections are made of."""

    tables: Tables
    measured: Measured
    findings: Sequence[Finding]

    def found(self, *kinds: str) -> list[Finding]:
        """The findings of these kinds, those of the worst pair first."""
        pairs = [one for one in self.findings if one.kind == "pair"]
        top = worst(pairs).subject if pairs else None
        found = [one for one in self.findings if one.kind in kinds]
        return sorted(
            found,
            key=lambda one: not top or (one.subject.machine, one.subject.comparison) != (top.machine, top.comparison),
        )

    def said(self, findings: Sequence[Finding]) -> list[str]:
        """The findings as sentences, each after what it is about."""
        return [self.about(one) + sentences.say(one) for one in findings[:MOST_SENTENCES]]

    def about(self, one: Finding) -> str:
        """The pair, and of several machines the machine, before a sentence."""
        name = line(one.subject.comparison, 40) if one.subject.comparison else ""
        where = f"{name}{self.at(one.subject.machine)}".removeprefix(", ")
        return f"{where}: " if where else ""

    def rows(self, wanted: Callable[[Row], bool]) -> list[Row]:
        """The rows with a ratio that are wanted, by pair, experiment and condition."""
        return [
            row for its in self.measured.rows.values() for row in its.values() if row.ratio is not None and wanted(row)
        ]

    @cached_property
    def machines(self) -> list[str]:
        """Every machine by name."""
        return sorted({row.machine for row in self.tables.rows})

    def at(self, machine: str) -> str:
        """`, M2` where there are several machines; the last section says which is which."""
        return f", M{self.machines.index(machine) + 1}" if len(self.machines) > 1 and machine in self.machines else ""

    def label(self, row: Row) -> str:
        """`0.25.4-5.3.1 posted-28 as-posted, M2`."""
        return f"{line(row.comparison, 34)} {line(row.experiment, 20)} {line(row.condition, 24)}{self.at(row.machine)}"


def worst(pairs: Sequence[Finding]) -> Finding:
    """The pair and machine with the largest posted ratio."""
    return max(pairs, key=lambda one: max(value_of(one, "many"), value_of(one, "own")))


def ratio_chart(name: str, title: str, rows: Sequence[Row]) -> str:
    """The ratios with their intervals: a line a condition, a mark a pair; of one pair with verdicts and floors."""
    comparisons = list(dict.fromkeys(row.comparison for row in rows))[: len(charts.SERIES)]
    by_condition: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.comparison in comparisons:
            by_condition.setdefault((row.experiment, row.condition), []).append(row)
    alone = len(comparisons) == 1
    lines = []
    for (experiment, condition), its in list(by_condition.items())[:MOST_LINES]:
        marks = tuple(
            mark(row.estimate, row.verdict or Verdict.CANNOT_TELL, None if alone else comparisons.index(row.comparison))
            for row in its[:MOST_MARKS]
            if row.estimate
        )
        said = sentences.reach([row.ratio or 0.0 for row in its])
        if len(its) == 1:
            said = f"{ratio(its[0].ratio)} {sentences.verdict_words(its[0].verdict)}".strip()
        label = f"{line(experiment, 24)} {line(condition, 26)}"
        lines.append(Line(label, marks, said, its[0].floor if alone else None))
    api = all((row.base_path, row.other_path) == ("cli", "api") for row in rows)
    series = () if alone else [line(one, 30) for one in comparisons]
    return charts.rows(f"chart-{name}", title, lines, charts.API_RATIO if api else charts.RATIO, series)


def ratio_table(material: Material, rows: Sequence[Row]) -> Table:
    """Every ratio of a section."""
    return table(
        "Every ratio",
        rows,
        {
            "comparison": lambda row: line(row.comparison, 60) + material.at(row.machine),
            "experiment": lambda row: line(row.experiment, 40),
            "condition": lambda row: line(row.condition, 40),
            "base (s)": lambda row: seconds(row.base_median_s),
            "other (s)": lambda row: seconds(row.other_median_s),
            "ratio": lambda row: estimate(row.estimate),
            "verdict": lambda row: Cell(sentences.verdict_words(row.verdict), row.verdict or Verdict.CANNOT_TELL),
            "floor": floor,
            "apart (px)": lambda row: UNKNOWN if row.agreement_px is None else f"{row.agreement_px:.2g}",
            "status": lambda row: Cell(row.status, "" if row.status in (Status.OK, Status.EXPLAINED) else "bad"),
        },
        ("base (s)", "other (s)", "ratio", "floor", "apart (px)"),
        cut(len(rows)),
    )


def floor(row: Row) -> str:
    """The noise floor as a cell says it."""
    return f"{ratio(row.floor_low)} to {ratio(row.floor_high)}" if row.floor else UNKNOWN
