"""The sections about what comes before and beside one registration: loading, first results, many jobs at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from repro.report import timeplots
from repro.report.axes import drawable
from repro.report.curvesections import MOST_CURVES, curve_section
from repro.report.page import Cell, Figure, Section, Table
from repro.report.reportdata import Data, Row
from repro.report.sections import MOST_ROWS, cut, label, tone
from repro.report.timeplots import Bar, Scale, Series
from repro.report.timesections import at
from repro.wording import judged, mebibytes, seconds, text, version_key

MOST_BARS = 16
_RESULTS = {"first": 1, "tenth": 10, "hundredth": 100}
"""Columns of seconds to a result -> which result it is."""


def _newest(rows: Sequence[Row]) -> list[Row]:
    """The rows of the newest pair among them, on the machine that has most of its rows."""
    if not rows:
        return []
    newest = max((row["pair"] for row in rows), key=version_key)
    machines = Counter(row["machine"] for row in rows if row["pair"] == newest)
    (machine, _), *_ = machines.most_common(1)
    return [row for row in rows if row["pair"] == newest and row["machine"] == machine]


def startup(data: Data) -> Section:
    """What a process costs before it can register, what cuts that, and the way to the first results."""
    title = "Loading, and the first results"
    loading = [row for row in data.rows if row["measures"] == "loading" and drawable(row["api_median_s"])]
    first = [row for row in data.rows if row["measures"] == "first-result" and drawable(row["api_first_s"])]
    if not loading and not first:
        return Section(
            "startup", title, missing="Neither loading nor the way to the first results was measured by itself.",
            command="pixi run bench --experiment loading --experiment first-result",
        )  # fmt: skip
    figures = ([_loading(data, loading)] if loading else []) + ([_first(data, first)] if first else [])
    tables = (_first_table(first),) if first else ()
    words = [
        "A process pays for loading once: the ratios of this report leave it out, and these seconds are what it adds. "
        "A start of the executable is one that is asked for its version.",
    ]
    missing = [name for name, rows in (("loading", loading), ("first-result", first)) if not rows]
    words += [f"Not measured: pixi run bench --experiment {name}." for name in missing]
    return Section("startup", title, tuple(words), tuple(figures), tables)


def _loading(data: Data, rows: Sequence[Row]) -> Figure:
    """A bar for each way to load, the executable's start first; the table has every pair and machine."""
    name, title = "loading-ways", "Until a process can register"
    its = _newest(rows)
    starts = [row["cli_median_s"] for row in its if drawable(row["cli_median_s"])]
    bars = [Bar("executable, start", "cli", (("start", min(starts)),))] if starts else []
    bars += [Bar(text(row["condition"], 40), "api", (("load", row["api_median_s"]),)) for row in its]
    description = "Bars of seconds, one a way to load: from the start of an interpreter to an object that can register."
    key = (
        f"{text(its[0]['pair'], 40)}{at(data, its[0]['machine'])}. posted: as the posted script loads; cold: from "
        "disk, not from the file cache; no-bytecode: nothing is compiled yet, as after installing; the others "
        "are ways to load less, or once (docs/loading.md)."
    )
    drawn = timeplots.breakdown(name, title, description, bars[:MOST_BARS], "seconds (medians)")
    table = Table(
        caption="Seconds until a process can register, by the way it loads",
        heads=(
            "pair",
            "machine",
            "way",
            "start of the executable (s)",
            "loading of the API (s)",
            "API / CLI",
            "rounds",
        ),
        rows=tuple(
            (
                *(Cell(text(row[name])) for name in ("pair", "machine", "condition")),
                Cell(seconds(row["cli_median_s"])),
                Cell(seconds(row["api_median_s"])),
                Cell(judged(row), tone(row["verdict"])),
                Cell(str(row["rounds"] or 0)),
            )
            for row in rows[:MOST_ROWS]
        ),
        figures=frozenset({3, 4, 5, 6}),
        note=cut(len(rows)),
    )
    return Figure(name, title, description, *drawn, table, key)


def _first(data: Data, rows: Sequence[Row]) -> Figure:
    """Seconds from nothing to the first, the 10th and the 100th result."""
    name, title = "first-results", "From nothing to the first results"
    its = _newest(rows)
    series = []
    for n, row in enumerate(its[: MOST_CURVES // 2 + 1]):
        for path, dashed in (("api", False), ("cli", True)):
            points = tuple(
                (float(number), row[f"{path}_{ordinal}_s"])
                for ordinal, number in _RESULTS.items()
                if drawable(row[f"{path}_{ordinal}_s"])
            )
            whose = "executables beside it" if dashed else text(row["condition"], 30)
            series += [Series(whose, points, colour=n, dashed=dashed)] if points else []
    scale = Scale("results (log axis)", "seconds from nothing (log axis); dashed: executables")
    description = "Lines with marks: seconds from nothing against the number of results, for each way to run the API."
    key = f"{text(its[0]['pair'], 40)}{at(data, its[0]['machine'])}. Dashed: as many executables side by side."
    drawn = timeplots.curves(name, title, description, series, scale)
    heads = ("line", "results", "seconds")
    table = Table(
        "Seconds from nothing to a result", heads,
        tuple((Cell(one.label), Cell(f"{x:.0f}"), Cell(seconds(y))) for one in series for x, y in one.points),
        frozenset({1, 2}),
    )  # fmt: skip
    return Figure(name, title, description, *drawn, table, key)


def _first_table(rows: Sequence[Row]) -> Table:
    paths = (("cli", "executable"), ("api", "API"))
    return Table(
        caption="From how many results on a process that stays is ahead of the executable",
        heads=(
            "pair", "machine", "way", "results measured", *(f"first, {whose} (s)" for _, whose in paths),
            *(f"each further, {whose} (s)" for _, whose in paths), "ahead from result",
        ),
        rows=tuple(
            (
                *(Cell(text(row[name])) for name in ("pair", "machine", "condition", "registrations")),
                *(Cell(seconds(row[f"{path}_first_s"])) for path, _ in paths),
                *(Cell(seconds(row[f"{path}_more_s"])) for path, _ in paths),
                Cell(text(row["ahead_after"]) if row["ahead_after"] else "not within these"),
            )
            for row in rows[:MOST_ROWS]
        ),
        figures=frozenset(range(3, 9)),
        note=cut(len(rows)),
    )  # fmt: skip


def throughput(data: Data) -> Section:
    """Registrations a minute against jobs at once, and what they cost."""
    title = "Many jobs at once"
    rows = [
        row
        for row in data.rows
        if row["strategy"] and row["measures"] in (None, "registration") and "smoke" not in row["experiment"]
        and (drawable(row["api_per_min"]) or drawable(row["cli_per_min"]))
    ]  # fmt: skip
    if not rows:
        return Section(
            "parallel", title, missing="Several registrations at once were not measured.",
            command="pixi run bench --experiment parallel",
        )  # fmt: skip
    its = _newest(rows)
    lines: dict[str, dict[float, float]] = defaultdict(dict)
    for row in its:
        for path, name in (("cli", "executables"), ("api", _way(row))):
            rate, jobs = row[f"{path}_per_min"], float(row["jobs"] or 1)
            if drawable(rate):
                lines[name][jobs] = max(rate, lines[name].get(jobs, 0.0))
    # Lines with most points first: a strategy at one number of jobs is a mark.
    longest = sorted(lines, key=lambda name: (name != "executables", -len(lines[name]), name))[: MOST_CURVES + 2]
    series = [Series(name, tuple(sorted(lines[name].items())), dashed=name == "executables") for name in longest]
    scale = Scale("registrations at once (log axis)", "registrations a minute (log axis)")
    words = [
        f"{text(its[0]['pair'], 40)}{at(data, its[0]['machine'])}: how many registrations end in a minute at so many "
        "at once, the best of each strategy; dashed: as many executables at once."
    ]
    words += _gains(lines.get("recipe", {}))
    return curve_section("parallel", title, words, series, scale, _throughput_table(data, rows))


def _way(row: Row) -> str:
    """The strategy, and what the condition changes of it: `forked-tbb`."""
    return text(row["condition"].removesuffix(f"-{row['jobs']}") or row["strategy"], 30)


def _gains(rates: dict[float, float]) -> list[str]:
    """Where more jobs at once stop to help."""
    best = max(rates, key=lambda jobs: rates[jobs], default=0.0)
    if len(rates) < 2:
        return []
    steps = "; ".join(f"{b:.0f} against {a:.0f}: {rates[b] / rates[a]:.2f} times" for a, b in pairwise(sorted(rates)))
    return [f"The recipe does most at {best:.0f} at once. {steps}."]


def _throughput_table(data: Data, rows: Sequence[Row]) -> Table:
    heads = (
        "pair", "machine", "condition", "strategy", "jobs", "of", "CLI a minute", "API a minute", "API / CLI time",
        "first result (s)", "CPU a registration, CLI (s)", "CPU a registration, API (s)", "memory CLI", "memory API",
        "status",
    )  # fmt: skip
    return Table(
        caption="Registrations a minute, and what they cost",
        heads=heads,
        rows=tuple(
            (
                Cell(text(row["pair"])),
                Cell(text(row["machine"])),
                Cell(label(data, row["experiment"], row["condition"])),
                *(Cell(text(row[name])) for name in ("strategy", "jobs", "registrations")),
                *(Cell(seconds(row[f"{path}_per_min"])) for path in ("cli", "api")),
                Cell(judged(row), tone(row["verdict"])),
                Cell(seconds(row["api_first_s"])),
                *(Cell(seconds(row[f"{path}_cpu_s"])) for path in ("cli", "api")),
                *(Cell(mebibytes(row[f"{path}_tree_peak_bytes"])) for path in ("cli", "api")),
                Cell(text(row["status"]), "" if row["status"] == "ok" else "bad"),
            )
            for row in rows[:MOST_ROWS]
        ),
        figures=frozenset(range(4, 14)),
        note=f"Memory: of all processes of a batch, shared pages counted once; Linux only. {cut(len(rows))}".strip(),
    )
