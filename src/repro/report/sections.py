"""Below the first screen: one section a question, each a chart, one sentence, and its table behind a disclosure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repro.explain.measured import BINS, is_posted, is_single, overrides
from repro.model import Verdict
from repro.report import curve_sections, fact_sections, sentences
from repro.report.first import Cell, Table
from repro.report.material import (
    MOST_ROWS,
    Material,
    Section,
    estimate_of,
    first_and_rest,
    plain_ratios,
    ratio_chart,
    ratio_table,
)
from repro.results.columns import Row
from repro.text import command, line


@dataclass(frozen=True, slots=True)
class Question:
    """A section of ratios with the findings that answer it."""

    name: str
    title: str
    wanted: Callable[[Row], bool]
    kinds: tuple[str, ...]
    """Kinds of the findings; none: it is only said how many are slower."""
    experiments: tuple[str, ...]
    """What measures it; empty: the main job."""


def _of(*experiments: str) -> Callable[[Row], bool]:
    return lambda row: row.experiment in experiments


def _few_changes(row: Row) -> bool:
    """As posted, or told its threads, and nothing else changed."""
    return _of("causes", "causes-own")(row) and is_single(row) and "+" not in (row.other_asked or "") and not _bins(row)


def _ladder(row: Row) -> bool:
    return row.experiment.startswith("causes") and is_single(row)


def _threader(row: Row) -> bool:
    in_ladder = _of("causes", "causes-orders")(row) and is_single(row) and not _bins(row)
    return row.experiment == "work-units" or in_ladder


def _bins(row: Row) -> bool:
    return BINS in overrides(row)


QUESTIONS = (
    Question(
        "posted", "How much slower is the API, run as posted?",
        _of("posted", "posted-28", "posted-28-told", "quick"), ("pair",), (),
    ),
    Question(
        "causes", "Which setting carries the slowdown?",
        _ladder, ("ladder", "order", "interaction"), ("causes",),
    ),
    Question(
        "threader", "Is it the thread pool?",
        _threader, ("threader", "same_units"), ("causes", "causes-orders", "work-units"),
    ),
    Question(
        "memory", "Is it memory or the cache?",
        lambda row: row.experiment == "causes" and (is_posted(row) or _bins(row)), ("memory", "peaks"), ("causes",),
    ),
    Question(
        "threads", "Is it the number of threads that ITK finds?",
        _few_changes, ("seen_threads",), ("causes", "causes-own"),
    ),
    Question(
        "jacobian", "Is it the B-spline's Jacobian?",
        _of("transforms"), ("jacobian", "fewer_bins"), ("transforms",),
    ),
    Question(
        "untold", "Is the executable slow too, where it is told no threads?",
        _of("untold"), ("untold",), ("untold",),
    ),
    Question("three-d", "Is it so in 3-D, with a mask?", _of("three-d"), (), ("three-d",)),
)  # fmt: skip
ELSEWHERE = ("aa", "releases", "scaling", "paths", "smoke")
"""Experiments that other sections show, and those whose ratios answer nothing."""


def sections(material: Material) -> list[Section]:
    """All sections in their order; those without data have a command and nothing else."""
    return [
        *(_section(material, one) for one in QUESTIONS),
        curve_sections.scaling(material),
        curve_sections.releases(material),
        curve_sections.ways(material),
        curve_sections.many_jobs(material),
        *_others(material),
        fact_sections.inspected(material),
        fact_sections.beside_posts(material),
        fact_sections.trust(material),
        fact_sections.machines(material),
    ]


def _section(material: Material, question: Question) -> Section:
    rows, findings = material.rows(question.wanted), material.said(*question.kinds)
    words = " ".join(("bench", *(f"--experiment {name}" for name in question.experiments)))
    if not rows or (question.kinds and not findings):
        return Section(question.name, question.title, command=command(words if question.experiments else "bench-all"))
    if not question.kinds:
        return plain_ratios(material, question.name, question.title, rows)
    sentence, details = first_and_rest(material, findings)
    tables = [ratio_table(material, rows)]
    if question.name == "causes":
        tables.append(_steps(material))
    chart = ratio_chart(question.name, question.title, rows)
    return Section(question.name, question.title, sentence, chart, details, tuple(tables))


def _steps(material: Material) -> Table:
    """What each change does, alone and after others."""
    rows = tuple(
        (
            Cell(line(one.subject.comparison, 40) + material.at(one.subject.machine)),
            Cell(line(one.subject.experiment, 30)),
            Cell(sentences.changes(str(one.figures["change"]))),
            Cell(sentences.changes(str(one.figures["before"]))),
            Cell(estimate_of(one, "factor"), small=_seen(one.figures["verdict"])),
        )
        for one in material.said("step")[:MOST_ROWS]
    )
    heads = ("pair", "experiment", "change", "after", "factor")
    return Table("What each change divides the ratio by", heads, rows, frozenset({4}))


def _seen(verdict: object) -> str:
    return "(no difference)" if verdict == Verdict.NO_DIFFERENCE else ""


def _others(material: Material) -> list[Section]:
    """Comparisons of builds, and experiments that no question above is about, as a user's own."""

    def other(row: Row) -> bool:
        asked = any(one.wanted(row) for one in QUESTIONS)
        return (
            row.experiment not in ELSEWHERE
            and not row.experiment.startswith("causes")
            and not row.strategy
            and not asked
        )

    found: dict[str, list[Row]] = {}
    for row in material.rows(other):
        title = "How do the builds compare?" if " " in row.comparison else f"Experiment {line(row.experiment, 40)}"
        found.setdefault(title, []).append(row)
    return [plain_ratios(material, f"other-{n}", *one) for n, one in enumerate(list(found.items())[:12])]
