"""The sections whose charts are curves: work units, releases, many jobs; and the ways to register side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial

from repro.explain import paths
from repro.explain.measured import version_key
from repro.model import Finding
from repro.report import charts
from repro.report.charts import Axis, Curve, Line, Mark
from repro.report.material import Cell, Material, Section, Table, ratio_table, table
from repro.report.sentences import say
from repro.text import estimate, line, listed, mebibytes, seconds


def scaling(material: Material, empty: Section) -> Section:
    """Seconds against the work units of the metric, of both paths."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in material.rows(lambda row: row.experiment == "scaling" and row.condition.startswith("units")):
        where = f"{line(row.comparison, 20)}{material.at(row.machine)}"
        if row.other_work_units and row.other_median_s:
            points[f"{where} API"].append((row.other_work_units, row.other_median_s))
        if row.base_work_units and row.base_median_s:
            points[f"{where} executable"].append((row.base_work_units, row.base_median_s))
    curves = [
        Curve(label, tuple(sorted(its)), n // 2, dashed=label.endswith("executable"))
        for n, (label, its) in enumerate(list(points.items())[:8])
    ]
    if not curves:
        return empty
    every = [(one.label, units, wall) for one in curves for units, wall in one.points]
    _, most, longest = max(every, key=lambda one: one[2])
    each = "Each work unit has a histogram of its own to add up"
    sentence = f"{each}: with {most:,.0f} a registration takes {seconds(longest)} s."
    axes = Axis("work units (log axis)"), Axis("seconds (log axis)")
    return empty.filled(
        [sentence],
        charts.curves("chart-scaling", empty.title, curves, *axes),
        table(
            "Seconds by work units",
            every,
            {
                "line": lambda one: one[0],
                "work units": lambda one: f"{one[1]:,.0f}",
                "seconds": lambda one: seconds(one[2]),
            },
            ("work units", "seconds"),
        ),
    )


def releases(material: Material, empty: Section) -> Section:
    """Seconds of the posted call in each release, as posted and told its threads."""
    found = material.found("release")
    if not found:
        return empty
    found.sort(key=lambda one: (one.subject.machine, version_key(one.figures["version"])))
    ((machine, _),) = Counter(one.subject.machine for one in found).most_common(1)
    its = [one for one in found if one.subject.machine == machine]
    ticks = {float(n): line(one.figures["version"], 16) for n, one in enumerate(its)}
    kinds = (("as posted", "posted_s"), ("with SetNumberOfThreads", "told_s"), ("executable", "base_s"))
    curves = [
        Curve(label, tuple((float(n), wall) for n, one in enumerate(its) if (wall := one.figures[key])), k, k == 2)
        for k, (label, key) in enumerate(kinds)
    ]
    axes = Axis("itk-elastix release", ticks), Axis("seconds (log axis)")
    return empty.filled(
        material.said(material.found("stretch", "change")),
        charts.curves("chart-releases", empty.title, [one for one in curves if one.points], *axes),
        table(
            "The posted call in each release",
            found,
            {
                "itk-elastix": lambda one: line(one.figures["version"], 30) + material.at(one.subject.machine),
                "as posted (s)": lambda one: seconds(one.figures["posted_s"]),
                "told (s)": lambda one: seconds(one.figures["told_s"]),
                "factor": lambda one: estimate(one.figures["factor"]),
                "executable (s)": lambda one: seconds(one.figures["base_s"]),
                "work units": lambda one: line(one.figures["units"], 12),
                "threader": lambda one: line(one.figures["threader"], 20),
            },
            ("as posted (s)", "told (s)", "factor", "executable (s)", "work units"),
        ),
    )


_WAYS = {
    "first result (s)": "first_s",
    "once loaded (s)": "one_s",
    "memory": "bytes",
    "many jobs, each (s)": "many_s",
    "memory, many jobs": "many_bytes",
}


def ways_table(findings: Iterable[Finding]) -> Table:
    """The ways to register side by side, with the columns that were measured.

    README, report and docs/recipe.md have this table.
    """
    its = _ways(findings)
    shown = {head: key for head, key in _WAYS.items() if sum(one.figures[key] is not None for one in its) > 1}
    shorter = {one.figures["many_overrides"] for one in its if one.figures["many_s"]} - {
        one.figures["overrides"] for one in its if one.figures["one_s"]
    }
    work = listed(line(one or "the file as it is", 60) for one in shorter)
    return table(
        "Seconds and memory of each way to register",
        its,
        {"": lambda one: str(one.figures["way"]), **{head: partial(_way_cell, key) for head, key in shown.items()}},
        shown,
        f"Figures of many jobs are of another registration: {work}." if shorter else "",
    )


def _ways(findings: Iterable[Finding]) -> list[Finding]:
    """Those of the first machine."""
    its = [one for one in findings if one.kind == "way"]
    return [one for one in its if one.subject.machine == its[0].subject.machine]


def _way_cell(key: str, one: Finding) -> Cell:
    value = one.figures[key]
    if key.endswith("bytes"):
        return Cell(mebibytes(value))
    at_a_time = f"({one.figures['jobs']} at a time)" if key == "many_s" and value is not None else ""
    return Cell(seconds(value), small=at_a_time)


def ways(material: Material, empty: Section) -> Section:
    """The ways to register side by side."""
    its = _ways(material.findings)
    if not its:
        return empty
    shown = ways_table(material.findings)
    uses = {head.removesuffix(" (s)"): key for head, key in _WAYS.items() if key.endswith("_s") and head in shown.heads}
    lines = [
        Line(
            str(one.figures["way"]),
            tuple(Mark(wall, series=n) for n, key in enumerate(uses.values()) if (wall := one.figures[key])),
        )
        for one in its
    ]
    several = len(uses) > 1
    axis = Axis(f"seconds{'' if several else ''.join(f', {label}' for label in uses)} (log axis)")
    marked = [one for one in lines if one.marks]
    chart = charts.rows("chart-ways", empty.title, marked, axis, list(uses) if several else (), one=False)
    about = its[0].subject
    picks = [say(one) for one in material.found("pick") if one.subject.machine == about.machine]
    return empty.filled([f"{line(about.comparison, 40)}. {' '.join(picks)}"], chart, shown)


def many_jobs(material: Material, empty: Section) -> Section:
    """Registrations a minute against jobs at a time, by strategy; of the last machine and its newest pair."""
    rows = material.rows(lambda row: bool(row.strategy) and row.jobs is not None and row.experiment != paths.EXPERIMENT)
    if not rows:
        return empty
    points: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if (row.machine, row.comparison) == (rows[-1].machine, rows[-1].comparison):
            threader = f" {row.other_threader}" if "+" in (row.other_asked or "") and row.other_threader else ""
            for label, wall in ((f"{row.strategy}{threader}", row.other_median_s), ("executables", row.base_median_s)):
                if wall:
                    a_minute = 60 * (row.registrations or row.jobs or 1) / wall
                    points[line(label, 30)][float(row.jobs or 1)] = a_minute
    curves = [
        Curve(label, tuple(sorted(one.items())), n, label == "executables")
        for n, (label, one) in enumerate(list(points.items())[:6])
    ]
    axes = Axis("jobs at a time (log axis)"), Axis("registrations a minute (log axis)")
    advice = [one for one in material.found("advice") if one.figures["batch"] == "yes"]
    code = [f"{material.about(one)}{part}" for one in advice[:4] for part in one.figures["code"].split("\n")]
    chart = charts.curves("chart-many-jobs", empty.title, curves, *axes)
    return empty.filled([*material.said(advice), *code], chart, ratio_table(material, rows))
