"""The sections whose charts are curves: work units, releases, many jobs; and the ways to register side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from repro.explain.measured import version_key
from repro.model import Finding
from repro.report import charts
from repro.report.charts import Axis, Curve, Line, Mark
from repro.report.first import Cell, Table
from repro.report.material import (
    MOST_ROWS,
    Material,
    Section,
    about,
    estimate_of,
    first_and_rest,
    number_of,
    ratio_table,
)
from repro.report.sentences import say
from repro.results.columns import Row
from repro.text import command, line, listed, mebibytes, seconds


def scaling(material: Material) -> Section:
    """Seconds against the work units of the metric, of both paths."""
    name, title = "scaling", "How does the time grow with the work units?"
    rows = material.rows(lambda row: row.experiment == "scaling" and row.condition.startswith("units"))
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for side, whose in (("other", "API"), ("base", "executable")):
            units, wall = getattr(row, f"{side}_work_units"), getattr(row, f"{side}_median_s")
            if units and wall:
                points.setdefault(f"{line(row.comparison, 20)}{material.at(row.machine)} {whose}", []).append(
                    (units, wall)
                )
    curves = [
        Curve(label, tuple(sorted(its)), n // 2, dashed=label.endswith("executable"))
        for n, (label, its) in enumerate(list(points.items())[:8])
    ]
    if not curves:
        return Section(name, title, command=command("bench --experiment scaling"))
    most = max((point for one in curves for point in one.points), key=lambda point: point[1])
    each = "Each work unit has a histogram of its own to add up"
    sentence = f"{each}: with {most[0]:,.0f} a registration takes {seconds(most[1])} s."
    table = _points_table("Seconds by work units", curves, "work units")
    chart = charts.curves("chart-scaling", title, curves, Axis("work units (log axis)"), Axis("seconds (log axis)"))
    return Section(name, title, sentence, chart, (), (table,))


def _points_table(caption: str, curves: Sequence[Curve], x: str, ticks: dict[float, str] | None = None) -> Table:
    rows = tuple(
        (Cell(one.label), Cell((ticks or {}).get(at, f"{at:,.0f}")), Cell(seconds(value)))
        for one in curves
        for at, value in one.points
    )
    return Table(caption, ("line", x, "seconds"), rows[:MOST_ROWS], frozenset({1, 2}))


def releases(material: Material) -> Section:
    """Seconds of the posted call in each release, as posted and told its threads."""
    name, title = "releases", "Since when is it slow, since when fast?"
    found = material.said("release")
    if not found:
        return Section(name, title, command=command("bench --experiment releases"))
    ((machine, _),) = Counter(one.subject.machine for one in found).most_common(1)
    its = [one for one in found if one.subject.machine == machine]
    its.sort(key=lambda one: version_key(str(one.figures["version"])))
    ticks = {float(n): line(one.figures["version"], 16) for n, one in enumerate(its)}
    kinds = (("as posted", "posted_s"), ("with SetNumberOfThreads", "told_s"), ("executable", "base_s"))
    curves = [
        Curve(label, tuple((float(n), wall) for n, one in enumerate(its) if (wall := number_of(one, key))), k, k == 2)
        for k, (label, key) in enumerate(kinds)
    ]
    curves = [one for one in curves if one.points]
    sentence, details = first_and_rest(material, material.said("stretch", "change"))
    rows = tuple(
        (
            Cell(line(one.figures["version"], 30) + material.at(one.subject.machine)),
            Cell(seconds(number_of(one, "posted_s"))),
            Cell(seconds(number_of(one, "told_s"))),
            Cell(estimate_of(one, "factor")),
            Cell(seconds(number_of(one, "base_s"))),
            Cell(line(one.figures["units"], 12)),
            Cell(line(one.figures["threader"], 20)),
        )
        for one in sorted(found, key=lambda one: (one.subject.machine, version_key(str(one.figures["version"]))))[
            :MOST_ROWS
        ]
    )
    heads = ("itk-elastix", "as posted (s)", "told (s)", "factor", "executable (s)", "work units", "threader")
    table = Table("The posted call in each release", heads, rows, frozenset({1, 2, 3, 4, 5}))
    chart = charts.curves(
        "chart-releases", title, curves, Axis("itk-elastix release", ticks), Axis("seconds (log axis)")
    )
    return Section(name, title, sentence, chart, details, (table,))


def ways_table(findings: Iterable[Finding]) -> Table:
    """The ways to register side by side, with the columns that were measured.

    README, report and docs/recipe.md have this table.
    """
    its = [one for one in findings if one.kind == "way"]
    its = [one for one in its if one.subject.machine == its[0].subject.machine]
    shown = [(head, name) for head, name in _WAYS if sum(one.figures[name] is not None for one in its) > 1]
    rows = tuple((Cell(str(one.figures["way"])), *(_way_cell(one, name) for _, name in shown)) for one in its)
    shorter = {one.figures["many_overrides"] for one in its if one.figures["many_s"]} - {
        one.figures["overrides"] for one in its if one.figures["one_s"]
    }
    work = listed(line(one or "the file as it is", 60) for one in shorter)
    note = f"Figures of many jobs are of another registration: {work}." if shorter else ""
    heads = ("", *(head for head, _ in shown))
    return Table("Seconds and memory of each way to register", heads, rows, frozenset(range(1, len(heads))), note)


_WAYS = (
    ("first result (s)", "first_s"),
    ("once loaded (s)", "one_s"),
    ("memory", "bytes"),
    ("many jobs, each (s)", "many_s"),
    ("memory, many jobs", "many_bytes"),
)


def _way_cell(one: Finding, name: str) -> Cell:
    value = number_of(one, name)
    if name.endswith("bytes"):
        return Cell(mebibytes(value))
    at_a_time = f"({one.figures['jobs']} at a time)" if name == "many_s" and value is not None else ""
    return Cell(seconds(value), small=at_a_time)


def ways(material: Material) -> Section:
    """The ways to register side by side."""
    name, title = "ways", "What to pick: one job, many jobs, a program that stays?"
    its = [one for one in material.findings if one.kind == "way"]
    if not its:
        return Section(name, title, command=command("bench --experiment paths --experiment parallel"))
    table = ways_table(material.findings)
    its = [one for one in its if one.subject.machine == its[0].subject.machine]
    uses = [(head.removesuffix(" (s)"), key) for head, key in _WAYS if head.endswith("(s)") and head in table.heads]
    lines = [
        Line(
            str(one.figures["way"]),
            tuple(Mark(wall, series=n) for n, (_, key) in enumerate(uses) if (wall := number_of(one, key))),
        )
        for one in its
    ]
    labels = [label for label, _ in uses]
    axis = Axis(f"seconds{'' if len(labels) > 1 else f', {labels[0]}'} (log axis)")
    shown = [one for one in lines if one.marks]
    chart = charts.rows("chart-ways", title, shown, axis, labels if len(labels) > 1 else (), one=False)
    picks = [one for one in material.findings if one.kind == "pick" and one.subject.machine == its[0].subject.machine]
    sentence = " ".join(map(say, picks))
    return Section(name, title, f"{line(its[0].subject.comparison, 40)}. {sentence}", chart, (), (table,))


def many_jobs(material: Material) -> Section:
    """Registrations a minute against jobs at a time, by strategy."""
    name, title = "many-jobs", "Many jobs at once: how many registrations a minute?"
    rows = material.rows(lambda row: bool(row.strategy) and row.jobs is not None)
    if not rows:
        return Section(name, title, command=command("bench --experiment parallel"))
    its = [row for row in rows if (row.machine, row.comparison) == (rows[-1].machine, rows[-1].comparison)]
    points: dict[str, dict[float, float]] = {}
    for row in its:
        for side, label in (("other", f"{row.strategy}{_threader(row)}"), ("base", "executables")):
            wall = getattr(row, f"{side}_median_s")
            if wall:
                points.setdefault(line(label, 30), {})[float(row.jobs or 1)] = (
                    60 * (row.registrations or row.jobs or 1) / wall
                )
    curves = [
        Curve(label, tuple(sorted(one.items())), n, label == "executables")
        for n, (label, one) in enumerate(list(points.items())[:6])
    ]
    advice = [one for one in material.said("advice") if one.figures["batch"] == "yes"]
    sentence, details = first_and_rest(material, advice)
    chart = charts.curves(
        "chart-many-jobs", title, curves, Axis("jobs at a time (log axis)"), Axis("registrations a minute (log axis)")
    )
    code = [f"{about(material, one)}{part}" for one in advice[:4] for part in str(one.figures["code"]).split("\n")]
    return Section(name, title, sentence, chart, (*details, *code), (ratio_table(material, rows),))


def _threader(row: Row) -> str:
    return f" {row.other_threader}" if "+" in (row.other_asked or "") and row.other_threader else ""
