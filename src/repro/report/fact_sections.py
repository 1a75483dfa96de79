"""The sections of facts: builds, how far the ratios can be trusted, machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from repro.explain.measured import is_posted, version_key
from repro.model import SessionLine
from repro.report import charts, sentences
from repro.report.charts import Axis, Line, Mark, mark
from repro.report.material import MOST_LINES, Cell, Material, Section, cut, floor, table
from repro.results.columns import BuildRow, Row
from repro.text import UNKNOWN, counted, line, listed, mebibytes, seconds

_ASKED = {
    "ITK": "itk",
    "elastix": "elastix",
    "threader": "default_threader",
    "work units of 28 threads": "work_units_28",
    "NumberOfThreads heeded": "parameter_honoured",
    "SetNumberOfThreads heeded": "method_honoured",
    "-threads heeded": "option_honoured",
    "environment heeded": "environment_honoured",
    "ticks of another thread": "lock_ticks",
    "import itk (s)": "import_s",
    "first object (s)": "first_object_s",
    "memory": "resident_bytes",
    "later calls the same": "later_calls_same",
    "transformix reads it": "transformix_reads",
}


def inspected(material: Material, empty: Section) -> Section:
    """builds.csv: what each build says and does."""
    builds = [one for one in material.tables.builds if one.inspected_utc or one.default_threader or one.first_object_s]
    if not builds:
        return empty
    builds.sort(key=lambda one: (version_key(one.build), one.machine))

    def name(one: BuildRow) -> str:
        return sentences.build(one.build) + material.at(one.machine)

    asked = {head: key for head, key in _ASKED.items() if any(getattr(one, key) is not None for one in builds)}
    lines = [
        Line(name(one), (Mark(one.first_object_s),), f"{seconds(one.first_object_s)} s")
        for one in builds
        if one.first_object_s
    ]
    axis = Axis("seconds to the first registration object (log axis)")
    return empty.filled(
        [_lock(builds) or "Each fact was measured by asking the build."],
        charts.rows("chart-inspected", axis.label, lines[:MOST_LINES], axis, one=False) if lines else "",
        table(
            "What was asked of each build",
            builds,
            {"build": name, **{head: partial(_answered, key) for head, key in asked.items()}},
        ),
    )


def _lock(builds: Sequence[BuildRow]) -> str:
    """Who holds Python's lock during a registration, so that another thread stands still."""
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for one in builds:  # of a path's builds that do the same the newest
        if one.lock_ticks is not None and one.lock_ticks_expected:
            path = {"api": "itk-elastix", "sitk": "SimpleITK"}.get(one.build.partition(":")[0], "the executable")
            does = "releases" if one.lock_ticks > one.lock_ticks_expected / 2 else "holds"
            groups[path, does] = one.lock_ticks, one.lock_ticks_expected
    said = [
        f"{path} {does} it ({got:,} of {of:,}{'' if n else ' ticks'})"
        for n, ((path, does), (got, of)) in enumerate(groups.items())
    ]
    return f"Python's lock during a registration: {listed(said)}." if said else ""


def _answered(key: str, one: BuildRow) -> str:
    value = getattr(one, key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "lock_ticks" and value is not None:
        return f"{value:,} of {one.lock_ticks_expected or 0:,}"
    if key == "resident_bytes":
        return mebibytes(value)
    return seconds(value) if isinstance(value, float) else line(value, 40)


def trust(material: Material, empty: Section) -> Section:
    """Every block of the headline conditions, the spreads, and how many verdicts may be wrong."""
    rows = material.rows(lambda row: bool(material.measured.blocks_of(row)))
    rows = [row for row in rows if row.experiment.startswith(("posted", "quick"))] or rows
    if not rows:
        return empty
    lines = []
    for row in rows[:MOST_LINES]:
        by_block = [math.exp(median(rounds)) for rounds in material.measured.blocks_of(row).values() if rounds]
        lines.append(Line(material.label(row), tuple(map(Mark, by_block)), counted(row.blocks or 0, "block")))
    how = (
        "A block is one life of fresh processes: a warm-up, then rounds in which both arms run once. Its log ratio is "
        "the median of its rounds'. The ratio is the median over blocks; its interval is by order statistics over them."
    )
    every = sorted(material.rows(lambda row: row.between_sd is not None), key=lambda row: -(row.between_sd or 0))
    return empty.filled(
        [*material.said(material.found("spread", "family")), how],
        charts.rows("chart-trust", empty.title, lines, Axis("ratio of each block (log axis)")),
        table(
            "Spread of the log ratios, the widest first",
            every,
            {
                "condition": material.label,
                "blocks": lambda row: str(row.blocks or 0),
                "rounds": lambda row: str(row.rounds or 0),
                "between blocks": lambda row: sentences.per_cent(row.between_sd),
                "within blocks": lambda row: sentences.per_cent(row.within_sd),
                "noise floor": floor,
                "to know": lambda row: Cell(line((row.reason or "").replace("_", " "), 160), "long"),
            },
            ("blocks", "rounds", "between blocks", "within blocks", "noise floor"),
            cut(len(every)),
        ),
    )


def machines(material: Material, empty: Section) -> Section:
    """Machine beside machine, and what each is."""
    names = material.machines
    facts = {row.machine: row for row in material.tables.rows}
    sessions = {session.machine: session for session in material.tables.sessions}

    def system(name: str) -> str:
        of = sessions[name].fingerprint if name in sessions else {}
        return line(" ".join(str(of[key]) for key in ("os", "os_version") if of.get(key)) or facts[name].platform, 60)

    def of_session(name: str, longest: int, tell: Callable[[SessionLine], str]) -> str:
        return line(tell(sessions[name]) if name in sessions else None, longest)

    sentence = f"On {line(names[0] if names else '', 60)}."
    if len(names) > 1:
        sentence = f"{len(names)} machines; M1, M2, ... in this page are the rows of the table."
    return empty.filled(
        [sentence],
        _by_machine(material, empty.title) if len(names) > 1 else "",
        table(
            "Machines",
            names,
            {
                "machine": lambda name: Cell(line(name, 60), small=material.at(name).removeprefix(", ")),
                "processor": lambda name: line(facts[name].cpu, 60),
                "cores / threads": lambda name: _cores(facts[name]),
                "system": system,
                "last measured": lambda name: of_session(name, 12, lambda one: one.started_utc[:10]),
                "harness": lambda name: of_session(name, 60, lambda one: one.harness),
                "command": lambda name: Cell(of_session(name, 120, lambda one: " ".join(one.command)), "code"),
            },
        ),
    )


def _cores(row: Row) -> str:
    return f"{row.physical_cores or UNKNOWN} / {row.logical_cores or UNKNOWN}"


def _by_machine(material: Material, title: str) -> str:
    """The posted ratios, a line a machine, a mark a pair."""
    rows = material.rows(lambda row: is_posted(row) and row.experiment.startswith(("posted", "quick")))
    pairs = list(dict.fromkeys(row.comparison for row in rows))[: len(charts.SERIES)]
    lines = []
    for machine in material.machines[:MOST_LINES]:
        its = [row for row in rows if row.machine == machine and row.comparison in pairs and row.machine_threads]
        marks = tuple(mark(row.estimate, row.verdict, pairs.index(row.comparison)) for row in its if row.estimate)
        if marks:
            lines.append(Line(f"{material.at(machine).removeprefix(', ')} {line(machine, 40)}", marks))
    series = [line(one, 30) for one in pairs]
    return charts.rows("chart-machines", title, lines, charts.API_RATIO, series) if lines else ""
