"""Below the first screen: one section a question, each a chart, one sentence, and its table behind a disclosure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repro.explain.measured import BINS, is_posted, is_single, overrides
from repro.model import Verdict
from repro.report import curve_sections, fact_sections, reported, sentences
from repro.report.material import Cell, Material, Section, Table, ratio_chart, ratio_table, table
from repro.results.columns import Row
from repro.text import command, estimate, line


@dataclass(frozen=True, slots=True)
class Question:
    """A section of ratios with the findings that answer it."""

    name: str
    title: str
    kinds: tuple[str, ...]
    """Kinds of the findings; none: it is only said how many are slower."""
    experiments: tuple[str, ...]
    """What measures it; empty: the main job."""
    wanted: Callable[[Row], bool]
    """The rows that it shows."""


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
    Question("posted", "How much slower is the API, run as posted?", ("pair",), (),
             _of("posted", "posted-28", "whole-28", "posted-28-told", "quick")),
    Question("causes", "Which setting carries the slowdown?", ("ladder", "end", "interaction"), ("causes",), _ladder),
    Question("threader", "Is it the thread pool?", ("threader", "same_units"),
             ("causes", "causes-orders", "work-units"), _threader),
    Question("memory", "Is it memory or the cache?", ("memory", "peaks"), ("causes",),
             lambda row: row.experiment == "causes" and (is_posted(row) or _bins(row))),
    Question("threads", "Is it the number of threads that ITK finds?", ("seen_threads",), ("causes", "causes-own"),
             _few_changes),
    Question("jacobian", "Is it the B-spline's Jacobian?", ("jacobian", "fewer_bins"), ("transforms",),
             _of("transforms")),
    Question("untold", "Is the executable slow too, where it is told no threads?", ("untold",), ("untold",),
             _of("untold")),
    Question("three-d", "Is it so in 3-D, with a mask?", (), ("three-d",), _of("three-d")),
)  # fmt: skip
Make = Callable[[Material, Section], Section]
"""Fills the section; leaves it as it is where there is no data."""
CURVES: tuple[tuple[str, str, str, Make], ...] = (
    ("scaling", "How does the time grow with the work units?", "bench --experiment scaling", curve_sections.scaling),
    ("releases", "Since when is it slow, since when fast?", "bench --experiment releases", curve_sections.releases),
    ("ways", "What to pick: one job, many jobs, a program that stays?",
     "bench --experiment paths --experiment parallel", curve_sections.ways),
    ("many-jobs", "Many jobs at once: how many registrations a minute?", "bench --experiment parallel",
     curve_sections.many_jobs),
)  # fmt: skip
FACTS: tuple[tuple[str, str, str, Make], ...] = (
    ("inspected", "What does each build do, whatever its release notes say?", "inspect", fact_sections.inspected),
    ("reported", "What was reported, and what was measured here?", "bench-all", reported.beside_posts),
    ("trust", "How far can the ratios be trusted?", "bench-all", fact_sections.trust),
    ("machines", "Where was it measured?", "bench-all", fact_sections.machines),
)
ELSEWHERE = ("aa", "releases", "scaling", "paths", "smoke")
"""Experiments that other sections show, and those whose ratios answer nothing."""


def sections(material: Material) -> list[Section]:
    """All sections in their order; those without data have a command and nothing else."""

    def made(those: Sequence[tuple[str, str, str, Make]]) -> list[Section]:
        return [make(material, Section(name, title, command(words))) for name, title, words, make in those]

    return [*(_answered(material, one) for one in QUESTIONS), *made(CURVES), *_others(material), *made(FACTS)]


def _answered(material: Material, question: Question) -> Section:
    words = " ".join(("bench", *(f"--experiment {name}" for name in question.experiments)))
    empty = Section(question.name, question.title, command(words if question.experiments else "bench-all"))
    rows, said = material.rows(question.wanted), material.said(material.found(*question.kinds))
    if not rows or (question.kinds and not said):
        return empty
    if not question.kinds:
        return _counted(material, empty, rows)
    tables = [ratio_table(material, rows), *([_steps(material)] if question.name == "causes" else [])]
    return empty.filled(said, ratio_chart(question.name, question.title, rows), *tables)


def _counted(material: Material, empty: Section, rows: Sequence[Row]) -> Section:
    """Ratios of which nothing is said but how many are slower."""
    verdicts = [row.verdict or Verdict.CANNOT_TELL for row in rows]
    whose = "the API" if {(row.base_path, row.other_path) for row in rows} == {("cli", "api")} else "the other arm"
    said = sentences.counted_verdicts(verdicts, whose)
    return empty.filled([said], ratio_chart(empty.name, empty.title, rows), ratio_table(material, rows))


def _steps(material: Material) -> Table:
    """What each change does, alone and after others."""
    same = {Verdict.NO_DIFFERENCE: "(no difference)"}
    return table(
        "What each change divides the ratio by",
        material.found("step"),
        {
            "pair": lambda one: line(one.subject.comparison, 40) + material.at(one.subject.machine),
            "experiment": lambda one: line(one.subject.experiment, 30),
            "change": lambda one: sentences.changes(one.figures["change"]),
            "after": lambda one: sentences.changes(one.figures["before"]),
            "factor": lambda one: Cell(estimate(one.figures["factor"]), small=same.get(one.figures["verdict"], "")),
        },
        ("factor",),
    )


def _others(material: Material) -> list[Section]:
    """Comparisons of builds, and experiments that no question above is about, as a user's own."""

    def other(row: Row) -> bool:
        shown = row.experiment in ELSEWHERE or row.experiment.startswith("causes") or bool(row.strategy)
        return not shown and not any(one.wanted(row) for one in QUESTIONS)

    found: dict[str, list[Row]] = {}
    for row in material.rows(other):
        title = "How do the builds compare?" if " " in row.comparison else f"Experiment {line(row.experiment, 40)}"
        found.setdefault(title, []).append(row)
    shown = list(found.items())[:12]
    return [_counted(material, Section(f"other-{n}", title), rows) for n, (title, rows) in enumerate(shown)]
