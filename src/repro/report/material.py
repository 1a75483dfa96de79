"""What the sections are made of, and the parts that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from repro.explain.measured import Measured
from repro.model import Estimate, Finding, Status, Verdict
from repro.report import charts, sentences
from repro.report.charts import Line, mark
from repro.report.first import Cell, Table, worst
from repro.report.sentences import say
from repro.results.columns import Row
from repro.results.tables import Tables
from repro.text import UNKNOWN, estimate, line, ratio, seconds

MOST_LINES = 14
"""Lines of a chart."""
MOST_MARKS = 12
"""Marks of a line."""
MOST_ROWS = 60
"""Rows of a table of a section; comparison.csv has them all."""
MOST_SENTENCES = 16


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report under a question."""

    name: str
    """Anchor of the heading."""
    title: str
    sentence: str = ""
    chart: str = ""
    """SVG."""
    details: tuple[str, ...] = ()
    """Further sentences, behind the disclosure."""
    tables: tuple[Table, ...] = ()
    command: str = ""
    """What measures it; only of a section without data."""


@dataclass(frozen=True)
class Material:
    """What the sections are made of."""

    tables: Tables
    measured: Measured
    findings: Sequence[Finding]

    def said(self, *kinds: str) -> list[Finding]:
        """The findings of these kinds, those of the worst pair first."""
        pairs = [one for one in self.findings if one.kind == "pair"]
        top = worst(pairs).subject if pairs else None
        found = [one for one in self.findings if one.kind in kinds]
        return sorted(
            found,
            key=lambda one: not top or (one.subject.machine, one.subject.comparison) != (top.machine, top.comparison),
        )

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


def first_and_rest(material: Material, findings: Sequence[Finding]) -> tuple[str, tuple[str, ...]]:
    """The first finding as the sentence, with the pair that it is about, and the others for the details."""
    said = [about(material, one) + say(one) for one in findings[: MOST_SENTENCES + 1]]
    return (said[0], tuple(said[1:])) if said else ("", ())


def about(material: Material, one: Finding) -> str:
    """The pair, and of several machines the machine, before a sentence."""
    name = line(one.subject.comparison, 40) if one.subject.comparison else ""
    return (
        f"{name}{material.at(one.subject.machine)}: ".removeprefix(", ")
        if name or material.at(one.subject.machine)
        else ""
    )


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
        said = _note(its[0]) if len(its) == 1 else sentences.reach([row.ratio for row in its if row.ratio])
        lines.append(
            Line(f"{line(experiment, 24)} {line(condition, 26)}", marks, said, its[0].floor if alone else None)
        )
    api = all((row.base_path, row.other_path) == ("cli", "api") for row in rows)
    series = () if alone else [line(one, 30) for one in comparisons]
    return charts.rows(f"chart-{name}", title, lines, charts.API_RATIO if api else charts.RATIO, series)


def _note(row: Row) -> str:
    return f"{ratio(row.ratio)} {sentences.verdict_words(row.verdict)}".strip()


def ratio_table(material: Material, rows: Sequence[Row]) -> Table:
    """Every ratio of a section."""
    heads = (
        "comparison",
        "experiment",
        "condition",
        "base (s)",
        "other (s)",
        "ratio",
        "verdict",
        "floor",
        "apart (px)",
        "status",
    )
    cells = tuple(
        (
            Cell(line(row.comparison, 60) + material.at(row.machine)),
            Cell(line(row.experiment, 40)),
            Cell(line(row.condition, 40)),
            Cell(seconds(row.base_median_s)),
            Cell(seconds(row.other_median_s)),
            Cell(estimate(row.estimate)),
            Cell(sentences.verdict_words(row.verdict), str(row.verdict or Verdict.CANNOT_TELL)),
            Cell(f"{ratio(row.floor_low)} to {ratio(row.floor_high)}" if row.floor else UNKNOWN),
            Cell(UNKNOWN if row.agreement_px is None else f"{row.agreement_px:.2g}"),
            Cell(str(row.status), "" if row.status in (Status.OK, Status.EXPLAINED) else "bad"),
        )
        for row in rows[:MOST_ROWS]
    )
    return Table("Every ratio", heads, cells, frozenset({3, 4, 5, 7, 8}), cut(len(rows)))


def cut(number: int) -> str:
    """How many rows a table leaves out."""
    return f"{number - MOST_ROWS:,} more are in comparison.csv." if number > MOST_ROWS else ""


def plain_ratios(material: Material, name: str, title: str, rows: Sequence[Row]) -> Section:
    """A section of ratios of which nothing is said but how many are slower."""
    verdicts = [row.verdict or Verdict.CANNOT_TELL for row in rows]
    whose = "the API" if {(row.base_path, row.other_path) for row in rows} == {("cli", "api")} else "the other arm"
    sentence = sentences.counted_verdicts(verdicts, whose)
    return Section(name, title, sentence, ratio_chart(name, title, rows), (), (ratio_table(material, rows),))


def estimate_of(one: Finding, name: str) -> str:
    """A figure of a finding, with its interval."""
    found = one.figures[name]
    return estimate(found if isinstance(found, Estimate) else None)


def number_of(one: Finding, name: str) -> float | None:
    """A figure of a finding that is a number."""
    found = one.figures[name]
    return found if isinstance(found, int | float) else None
