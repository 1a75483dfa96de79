"""The sections of facts: builds, what was reported, how far the ratios can be trusted, machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from repro.explain.measured import is_posted, version_key
from repro.report import charts, reported, sentences
from repro.report.charts import Axis, Line, Mark, mark
from repro.report.first import Cell, Table
from repro.report.material import MOST_LINES, MOST_ROWS, Material, Section, cut, first_and_rest
from repro.results.columns import BuildRow, Row
from repro.text import UNKNOWN, command, estimate, line, listed, mebibytes, ratio, seconds

_ASKED = (
    ("ITK", "itk"),
    ("elastix", "elastix"),
    ("threader", "default_threader"),
    ("work units of 28 threads", "work_units_28"),
    ("NumberOfThreads heeded", "parameter_honoured"),
    ("SetNumberOfThreads heeded", "method_honoured"),
    ("-threads heeded", "option_honoured"),
    ("environment heeded", "environment_honoured"),
    ("ticks of another thread", "lock_ticks"),
    ("import itk (s)", "import_s"),
    ("first object (s)", "first_object_s"),
    ("memory", "resident_bytes"),
    ("later calls the same", "later_calls_same"),
    ("transformix reads it", "transformix_reads"),
)


def inspected(material: Material) -> Section:
    """builds.csv: what each build says and does."""
    name, title = "inspected", "What does each build do, whatever its release notes say?"
    builds = [one for one in material.tables.builds if one.inspected_utc or one.default_threader or one.first_object_s]
    if not builds:
        return Section(name, title, command=command("inspect"))
    shown = [(label, key) for label, key in _ASKED if any(getattr(one, key) is not None for one in builds)]
    rows = tuple(
        (Cell(sentences.build(one.build) + material.at(one.machine)), *(_asked(one, key) for _, key in shown))
        for one in sorted(builds, key=lambda one: (version_key(one.build), one.machine))[:MOST_ROWS]
    )
    starts = [one for one in builds if one.first_object_s]
    lines = [
        Line(
            f"{sentences.build(one.build)}{material.at(one.machine)}",
            (Mark(one.first_object_s or 0.0),),
            f"{seconds(one.first_object_s)} s",
        )
        for one in sorted(starts, key=lambda one: version_key(one.build))[:MOST_LINES]
    ]
    axis = Axis("seconds to the first registration object (log axis)")
    chart = charts.rows("chart-inspected", axis.label, lines, axis, one=False) if lines else ""
    sentence = _lock(builds) or "Each fact was measured by asking the build."
    table = Table("What was asked of each build", ("build", *(label for label, _ in shown)), rows)
    return Section(name, title, sentence, chart, (), (table,))


def _lock(builds: Sequence[BuildRow]) -> str:
    """Who holds Python's lock during a registration, so that another thread stands still."""
    ticks = {
        one.build: (one.lock_ticks, one.lock_ticks_expected)
        for one in sorted(builds, key=lambda one: version_key(one.build))
        if one.lock_ticks is not None and one.lock_ticks_expected
    }
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for build, (got, of) in ticks.items():  # of a path's builds that do the same the newest
        path = {"api": "itk-elastix", "sitk": "SimpleITK"}.get(build.partition(":")[0], "the executable")
        groups[path, "releases" if got > of / 2 else "holds"] = got, of
    said = [
        f"{path} {does} it ({got:,} of {of:,}{'' if n else ' ticks'})"
        for n, ((path, does), (got, of)) in enumerate(groups.items())
    ]
    return f"Python's lock during a registration: {listed(said)}." if said else ""


def _asked(one: BuildRow, key: str) -> Cell:
    value = getattr(one, key)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if key == "lock_ticks" and value is not None:
        return Cell(f"{value:,} of {one.lock_ticks_expected or 0:,}")
    if key == "resident_bytes":
        return Cell(mebibytes(value))
    return Cell(seconds(value) if isinstance(value, float) else line(value, 40))


def beside_posts(material: Material) -> Section:
    """data/reported.csv: each posted registration beside the measured row that comes nearest to it."""
    name, title = "reported", "What was reported, and what was measured here?"
    posted, rows = reported.read(), material.rows(lambda row: is_posted(row) or row.strategy == "threads")
    found = [(one, reported.nearest(one, rows)) for one in posted]
    near = [(one, row) for one, row in found if row is not None and row.estimate]
    if not near:
        return Section(name, title, command=command("bench-all"))
    lines = [
        Line(
            one.title,
            (Mark(one.ratio, series=1), mark(row.estimate, row.verdict, 0)),
            f"{ratio(one.ratio)} / {ratio(row.ratio)} {sentences.verdict_words(row.verdict)}",
        )
        for one, row in near
        if row.estimate
    ]
    chart = charts.rows("chart-reported", title, lines, charts.API_RATIO, ("measured here", "reported"))
    cells = tuple(
        (
            Cell(one.title),
            Cell(f"{line(one.reporter, 30)}, {line(one.source, 40)}"),
            Cell(seconds(one.base_s)),
            Cell(seconds(one.other_s), small=f"(SimpleITK {seconds(one.sitk_s)})" if one.sitk_s else ""),
            Cell(ratio(one.ratio)),
            Cell(estimate(row.estimate) if row else UNKNOWN, small=sentences.verdict_words(row.verdict) if row else ""),
            Cell("; ".join(reported.differences(one, row)) if row else "nothing like it was run as posted", "long"),
        )
        for one, row in found
    )
    heads = ("posted", "by", "executable (s)", "API (s)", "reported", "measured", "what differs here")
    table = Table(
        "Each posted registration and the measured condition that comes nearest", heads, cells, frozenset({2, 3, 4, 5})
    )
    ends = [one.ratio for one in posted]
    sentence = (
        f"The thread reported {ratio(min(ends))} to {ratio(max(ends))} times the executable's time; the mark beside "
        "each is the nearest condition measured here."
    )
    return Section(name, title, sentence, chart, (), (table,))


def trust(material: Material) -> Section:
    """Every block of the headline conditions, the spreads, and how many verdicts may be wrong."""
    name, title = "trust", "How far can the ratios be trusted?"
    rows = material.rows(
        lambda row: row.experiment.startswith(("posted", "quick")) and bool(material.measured.blocks_of(row))
    )
    rows = rows or material.rows(lambda row: bool(material.measured.blocks_of(row)))
    if not rows:
        return Section(name, title, command=command("bench-all"))
    lines = [
        Line(material.label(row), tuple(Mark(value) for value in _by_block(material, row)), f"{row.blocks} blocks")
        for row in rows[:MOST_LINES]
    ]
    chart = charts.rows("chart-trust", title, lines, Axis("ratio of each block (log axis)"))
    sentence, details = first_and_rest(material, material.said("spread", "family"))
    every = sorted(material.rows(lambda row: row.between_sd is not None), key=lambda row: -(row.between_sd or 0))
    cells = tuple(
        (
            Cell(material.label(row)),
            Cell(str(row.blocks or 0)),
            Cell(str(row.rounds or 0)),
            Cell(f"{row.between_sd:.1%}" if row.between_sd is not None else UNKNOWN),
            Cell(f"{row.within_sd:.1%}" if row.within_sd is not None else UNKNOWN),
            Cell(f"{ratio(row.floor_low)} to {ratio(row.floor_high)}" if row.floor else UNKNOWN),
            Cell(line((row.reason or "").replace("_", " "), 160), "long"),
        )
        for row in every[:MOST_ROWS]
    )
    heads = ("condition", "blocks", "rounds", "between blocks", "within blocks", "noise floor", "to know")
    table = Table(
        "Spread of the log ratios, the widest first", heads, cells, frozenset({1, 2, 3, 4, 5}), cut(len(every))
    )
    how = (
        "A block is one life of fresh processes: a warm-up, then rounds in which both arms run once. Its log ratio is "
        "the median of its rounds'. The ratio is the median over blocks; its interval is by order statistics over them."
    )
    return Section(name, title, sentence, chart, (*details, how), (table,))


def _by_block(material: Material, row: Row) -> list[float]:
    return [math.exp(median(rounds)) for rounds in material.measured.blocks_of(row).values() if rounds]


def machines(material: Material) -> Section:
    """Machine beside machine, and what each is."""
    name, title = "machines", "Where was it measured?"
    rows = material.rows(lambda row: is_posted(row) and row.experiment.startswith(("posted", "quick")))
    several = len(material.machines) > 1
    chart = _by_machine(material, title, rows) if several else ""
    facts = {row.machine: row for row in material.tables.rows}
    prints = {session.machine: session for session in material.tables.sessions}
    cells = []
    for machine in material.machines[:MOST_ROWS]:
        row, session = facts[machine], prints.get(machine)
        of = session.fingerprint if session else {}
        cells.append(
            (
                Cell(line(machine, 60), small=material.at(machine).removeprefix(", ")),
                Cell(line(row.cpu, 60)),
                Cell(f"{row.physical_cores or UNKNOWN} / {row.logical_cores or UNKNOWN}"),
                Cell(line(" ".join(str(of[key]) for key in ("os", "os_version") if of.get(key)) or row.platform, 60)),
                Cell(line(session.started_utc[:10] if session else None, 12)),
                Cell(line(session.harness if session else None, 60)),
                Cell(line(" ".join(session.command) if session else None, 120), "code"),
            )
        )
    heads = ("machine", "processor", "cores / threads", "system", "last measured", "harness", "command")
    sentence = (
        f"{len(material.machines)} machines; M1, M2, ... in this page are the rows of the table."
        if several
        else f"On {line(material.machines[0] if material.machines else '', 60)}."
    )
    return Section(name, title, sentence, chart, (), (Table("Machines", heads, tuple(cells)),))


def _by_machine(material: Material, title: str, rows: Sequence[Row]) -> str:
    """The posted ratios, a line a machine, a mark a pair."""
    pairs = list(dict.fromkeys(row.comparison for row in rows))[: len(charts.SERIES)]
    lines = []
    for machine in material.machines[:MOST_LINES]:
        its = [row for row in rows if row.machine == machine and row.comparison in pairs and row.machine_threads]
        marks = tuple(mark(row.estimate, row.verdict, pairs.index(row.comparison)) for row in its if row.estimate)
        if marks:
            lines.append(Line(f"{material.at(machine).removeprefix(', ')} {line(machine, 40)}", marks))
    return (
        charts.rows("chart-machines", title, lines, charts.API_RATIO, [line(one, 30) for one in pairs]) if lines else ""
    )
