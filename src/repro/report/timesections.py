"""The sections about seconds: where they go, and every round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import polars as pl

from repro.explain.answers import POSTED
from repro.model import is_api_only
from repro.report import plots, timeplots
from repro.report.axes import drawable
from repro.report.page import Cell, Figure, Section, Table
from repro.report.plots import Strip
from repro.report.reportdata import Data, Row, numbers
from repro.report.sections import by_condition, label
from repro.report.timeplots import Bar
from repro.results.rawfiles import LOAD_PARTS
from repro.wording import UNKNOWN, finite, seconds, text

MOST_BARS, MOST_STRIPS = 8, 16
MOST_ROUNDS = 200
"""Rounds of a condition that a plot and its table show."""
_PARTS = {"interpreter": "start", "import_itk": "import itk", "read_images": "images", "registration_class": "class"}
_ONE = (
    "From left to right the start of the executable; set-up, the optimizer's automatic estimation of its parameters in "
    "all resolutions; 1, 2, ..., the resolutions without it, as elastix.log says them; the rest: reading, writing, and "
    "what the log does not name."
)
_ONCE = (
    "The start of the executable, against interpreter, import of itk, reading of images and first use of the "
    "registration class: a worker pays them once, and they are no part of the ratios."
)
INPUTS = ("fixed_sha256", "moving_sha256", "params_sha256")


def headline_rows(data: Data, most: int) -> list[Row]:
    """Rows of the posted experiments; every pair before any machine twice."""
    found = by_condition(data, (row for row in data.compared if row["experiment"].startswith(POSTED)))
    by_rank = sorted(((n, row) for rows in found.values() for n, row in enumerate(rows)), key=lambda one: one[0])
    chosen = {id(row) for _, row in by_rank[:most]}
    return [row for rows in found.values() for row in rows if id(row) in chosen]


def trials_of(data: Data, row: Row) -> pl.DataFrame:
    """The measured trials of a row, in the order of the rounds."""
    same = [pl.col(name) == row[name] for name in ("machine", "pair", "experiment", "condition", *INPUTS) if row[name]]
    return data.trials.filter(*same, pl.col("phase") == "measure", pl.col("status") == "ok").sort("round", "arm")


def _named(data: Data, row: Row) -> str:
    """Pair, condition and, of several, the machine."""
    return f"{text(row['pair'], 24)} {label(data, row['experiment'], row['condition'])}{at(data, row['machine'])}"


def breakdown(data: Data) -> Section:
    """Where the time goes: load, start, each resolution, the optimizer's own steps."""
    title = "Where the time goes"
    rows = headline_rows(data, MOST_BARS)
    parts = {path: [_registration(data, row, path) for row in rows] for path in ("cli", "api")}
    if not any(one for its in parts.values() for one in its):
        return Section("time", title, missing="No registration as posted was measured yet.", command="pixi run bench")
    bars = [
        Bar(f"{_named(data, row)}, {'executable' if path == 'cli' else 'API'}", path, tuple(parts[path][n].items()))
        for n, row in enumerate(rows)
        for path in ("cli", "api")
        if parts[path][n]
    ]
    once = _once(data)
    figures = [_bar_figure("registration", "One registration", bars, "seconds (medians of the rounds)", _ONE)]
    if once:
        label = "seconds before the first registration (medians)"
        figures.append(_bar_figure("loading", "Once per process", once, label, _ONCE))
    return Section("time", title, (), tuple(figures))


def _bar_figure(name: str, title: str, bars: Sequence[Bar], xlabel: str, key: str) -> Figure:
    description = f"Stacked bars of seconds, one a line: {title.lower()}, part by part, for both paths."
    heads = list(dict.fromkeys(part for bar in bars for part, _ in bar.parts))
    table = Table(
        caption=f"{title}: seconds of each part",
        heads=("what", *heads, "in all"),
        rows=tuple(
            (
                Cell(bar.label),
                *(Cell(seconds(dict(bar.parts).get(part))) for part in heads),
                Cell(seconds(sum(length for _, length in bar.parts))),
            )
            for bar in bars
        ),
        figures=frozenset(range(1, len(heads) + 2)),
    )
    return Figure(name, title, description, *timeplots.breakdown(name, title, description, bars, xlabel), table, key)


def _registration(data: Data, row: Row, path: str) -> dict[str, float]:
    """Median seconds of the parts of one registration; empty where the log said nothing."""
    its = trials_of(data, row).filter(pl.col("path") == path)
    resolutions = _columns(numbers(cell) for cell in its["resolutions_s"])
    estimations = _columns(numbers(cell) for cell in its["estimation_s"])
    wall = finite(its["wall_s"].median())
    if not resolutions or wall is None or not drawable(wall):
        return {}
    set_up = [*estimations, *[0.0] * len(resolutions)][: len(resolutions)]
    parts = {"set-up": sum(set_up)}
    parts |= {str(n): max(0.0, all_ - part) for n, (all_, part) in enumerate(zip(resolutions, set_up, strict=True), 1)}
    start = finite(row["cli_start_s"]) if path == "cli" else None
    rest = max(0.0, wall - sum(resolutions) - (start or 0.0))
    return ({"start": start} if start else {}) | parts | {"rest": rest}


def _columns(lists: Iterable[tuple[float, ...]]) -> list[float]:
    """Median of each position over lists of the usual length."""
    known = [one for one in lists if one]
    if not known:
        return []
    length = statistics.mode(map(len, known))
    return [statistics.median(column) for column in zip(*(one for one in known if len(one) == length), strict=True)]


def _once(data: Data) -> list[Bar]:
    """What each path costs before its first registration, for every pair on its first machine."""
    columns = [f"load_{part}_s" for part in LOAD_PARTS]
    ours = pl.col("machine").is_in(data.machines)  # one of the two files may have been changed
    good = data.trials.filter(
        ours, pl.col("status") == "ok", pl.col("measures").fill_null("registration") == "registration"
    )
    loads = good.filter(pl.col("load_s").is_not_null()).group_by("pair", "machine").agg(pl.col(columns).median())
    starts = good.filter(pl.col("phase") == "start").group_by("pair", "machine").agg(pl.col("wall_s").median())
    bars: dict[tuple[str, str], Bar] = {}
    for pair, machine, wall in starts.sort("pair", "machine").iter_rows():
        if drawable(wall):
            bars.setdefault(
                (pair, "cli"), Bar(f"{text(pair, 30)}, executable{at(data, machine)}", "cli", (("start", wall),))
            )
    for pair, machine, *values in loads.sort("pair", "machine").iter_rows():
        parts = tuple((_PARTS[name], value) for name, value in zip(LOAD_PARTS, values, strict=True) if drawable(value))
        if parts:
            bars.setdefault((pair, "api"), Bar(f"{text(pair, 30)}, API{at(data, machine)}", "api", parts))
    pairs = sorted(data.pairs, key=is_api_only)  # releases without an executable must not crowd out the others
    return [bars[place] for pair in pairs for path in ("cli", "api") if (place := (pair, path)) in bars][:16]


def at(data: Data, machine: str) -> str:
    """The machine in brackets, where there are several."""
    return f" ({data.short(machine)})" if len(data.machines) > 1 else ""


def rounds(data: Data) -> Section:
    """Every round as a dot: the data behind the ratios."""
    title = "Every round"
    rows = headline_rows(data, MOST_STRIPS) or list(data.compared[:MOST_STRIPS])
    strips, lists = [], []
    for row in rows:
        trials = trials_of(data, row)
        arms, flagged = [], []
        for path in ("cli", "api"):
            its = trials.filter(pl.col("path") == path).head(MOST_ROUNDS)
            values = [value if value is not None else 0.0 for value in its["wall_s"]]
            arms.append((path, tuple(values)))
            flagged.append(tuple(n for n, outlier in enumerate(its["outlier"]) if outlier == "yes"))
        if any(values for _, values in arms):
            strips.append(Strip(_named(data, row), tuple(arms), tuple(flagged)))
            lists += [(strips[-1].label, path, values, text(row["outlier_rounds"])) for path, values in arms]
    if not strips:
        return Section("rounds", title, missing="No complete round was measured yet.", command="pixi run bench")
    description = (
        "Dots on a log axis of seconds, one a trial, in the order of the rounds from top to bottom, with the "
        "median of each path as a bar and outliers ringed."
    )
    table = Table(
        caption="Seconds of every round, in their order",
        heads=("condition", "path", "seconds", "outlier rounds of the ratio"),
        rows=tuple(
            (
                Cell(name),
                Cell("executable" if path == "cli" else "API"),
                Cell(" ".join(map(seconds, values)) or UNKNOWN),
                Cell(outliers),
            )
            for name, path, values, outliers in lists
        ),
    )  # fmt: skip
    key = "One dot a round and path, the first round on top. Line: median. Ring: outlier within its path."
    figure = Figure(
        "rounds-plot", title, description, *plots.rounds("rounds-plot", title, description, strips), table, key
    )
    words = (
        "Nothing is dropped: outliers are flagged and stay in. Warm-up rounds are kept apart in trials.csv and are "
        "not among the dots."
    )
    return Section("rounds", title, (words,), (figure,))
