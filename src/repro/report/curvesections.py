"""The sections with curves of seconds: against work units, releases, and jobs at once."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from repro.explain import scalingdata, timeline
from repro.explain.measured import Measured
from repro.report import timeplots
from repro.report.axes import drawable
from repro.report.page import Cell, Figure, Section, Table
from repro.report.reportdata import Data, Row
from repro.report.sections import MOST_ROWS, label
from repro.report.timeplots import Scale, Series
from repro.report.timesections import INPUTS, at
from repro.wording import counted, seconds, text, version_key

MOST_CURVES = 6
_ALL_RELEASES = "pixi run fetch --releases, then pixi run bench --experiment versions"


def work_units(data: Data) -> Section:
    """Time against work units, of both paths where the executable's were many and few, too."""
    title = "Time against work units"
    found: dict[tuple[str, ...], dict[str, dict[int, list[float]]]] = defaultdict(
        lambda: {path: defaultdict(list) for path in ("api", "cli")}
    )
    for row in data.single:
        place = tuple(str(row[name]) for name in ("pair", "machine", *INPUTS))
        if (row["jobs"] or 1) == 1:
            for path, units in (("api", row["work_units"]), ("cli", row["cli_work_units"])):
                if units and drawable(row[f"{path}_median_s"]):
                    found[place][path][units].append(row[f"{path}_median_s"])
    richest: dict[str, tuple[str, ...]] = {}
    for place, paths in found.items():
        most = len(found[richest[place[0]]]["api"]) if place[0] in richest else 2
        if len(paths["api"]) > most:
            richest[place[0]] = place
    if not richest:
        return Section(
            "work-units", title, missing="Fewer than three numbers of work units were measured with the same inputs.",
            command="pixi run bench --experiment scaling",
        )  # fmt: skip
    chosen = sorted(richest.items(), key=lambda one: version_key(one[0]))[: MOST_CURVES // 2]
    series = []
    for n, (pair, place) in enumerate(chosen):
        name = f"{text(pair, 30)}{at(data, place[1])}"
        api, cli = (_medians(found[place][path]) for path in ("api", "cli"))
        few = len(cli) < 3
        level = statistics.median(y for _, y in cli) if few and cli else None
        series.append(Series(f"{name}, API", api, level, colour=n))
        series += [] if few else [Series(f"{name}, executable", cli, colour=n, dashed=True)]
    scale = Scale("work units of the metric (log axis)", "median seconds (log axis); dashed: executable")
    words = (
        "Every condition of a pair with the same images and parameter file, whatever made the work units many or few. "
        "Dashed: the executable with as many work units, or its median where they were always few."
    )
    table = _points(title, series, scale, "work units", "median (s)")
    return curve_section("work-units", title, (words, *_laws(data, chosen)), series, scale, table)


def _laws(data: Data, chosen: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
    """What `explain` says of experiment `scaling`, a paragraph a pair."""
    measured = Measured(data.as_text, {})
    for pair, (_, machine, *_) in chosen:
        if lines := [line.strip().removeprefix("* ") for line in scalingdata.text(measured, (machine, pair))]:
            yield f"{text(pair, 30)}{at(data, machine)}, by experiment scaling. {' '.join(lines)}"


def _medians(points: Mapping[int, Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple(sorted((float(units), statistics.median(its)) for units, its in points.items()))


def curve_section(
    name: str, title: str, words: Sequence[str], series: Sequence[Series], scale: Scale, table: Table
) -> Section:
    """A section of one plot of lines, with the table that says the same."""
    description = f"Lines with marks: {scale.ylabel} against {scale.xlabel}, {counted(len(series), 'line')}."
    drawn = timeplots.curves(f"{name}-plot", title, description, series, scale)
    return Section(name, title, tuple(words), (Figure(f"{name}-plot", title, description, *drawn, table),))


def _points(title: str, series: Sequence[Series], scale: Scale, x_head: str, y_head: str) -> Table:
    return Table(
        caption=title,
        heads=("line", x_head, y_head),
        rows=tuple(
            (Cell(one.label), Cell(scale.ticks.get(x, f"{x:,.0f}")), Cell(seconds(y)))
            for one in series
            for x, y in one.points
        ),
        figures=frozenset({1, 2}),
    )


def releases(data: Data) -> Section:
    """The same registration over itk-elastix releases."""
    title = "Release by release"
    if (measured := Measured(data.as_text, {})) and (
        known := [one for one in timeline.releases(measured) if one.factor]
    ):
        return _timeline(data, title, measured, known)
    found: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in data.single:
        itk_elastix = row["itk_elastix"]
        same_path = row["arms"] in ("api api", "cli cli") and not row["experiment"].startswith("versions")
        if itk_elastix and drawable(row["api_median_s"]) and not same_path and (row["jobs"] or 1) == 1:
            place = tuple(str(row[name]) for name in ("experiment", "condition", "machine", *INPUTS))
            found[place].setdefault(itk_elastix, row)
    several = {place: rows for place, rows in found.items() if len(rows) > 1}
    if not several:
        return Section(
            "releases", title, missing="No condition was measured with two releases of itk-elastix.",
            command="pixi run fetch --releases && pixi run bench --experiment versions",
        )  # fmt: skip
    order = ("versions", "posted-28", "posted")

    def rank(place: tuple[str, ...]) -> tuple[int, int, str]:
        first = next((n for n, start in enumerate(order) if place[0].startswith(start)), len(order))
        return first, -len(several[place]), place[0]

    chosen: dict[tuple[str, str], tuple[str, ...]] = {}
    for place in sorted(several, key=rank):
        chosen.setdefault((place[0], place[1]), place)
    shown = list(chosen.values())[: MOST_CURVES // 2]
    shown = [place for place in shown if place[0].startswith(order)] or shown
    versions = sorted({version for place in shown for version in several[place]}, key=version_key)
    spots = {version: float(n) for n, version in enumerate(versions)}
    series = []
    for n, place in enumerate(shown):
        rows = several[place]
        name = label(data, place[0], place[1]) + at(data, place[2])
        for path, whose in (("api", "API"), ("cli", "executable")):
            medians = {version: row[f"{path}_median_s"] for version, row in rows.items()}
            points = [(spots[version], median) for version, median in medians.items() if drawable(median)]
            if points:
                series.append(Series(f"{name}, {whose}", tuple(sorted(points)), colour=n, dashed=path == "cli"))
    scale = Scale("itk-elastix release", "median seconds (log axis)", {n: text(v, 20) for v, n in spots.items()})
    words = (
        "The same condition, images and parameter file with each release, beside the executable of its pair.",
        f"The releases between: {_ALL_RELEASES}.",
    )
    return curve_section(
        "releases", title, words, series, scale, _points(title, series, scale, "itk-elastix", "median (s)")
    )


def _timeline(data: Data, title: str, measured: Measured, known: Sequence[timeline.Release]) -> Section:
    """Every release as posted, told its threads, and beside its executable: on the machine that has most of them."""
    counts = Counter(one.machine for one in known)
    machine = max(counts, key=lambda name: counts[name])
    its = [one for one in known if one.machine == machine]
    kinds = (
        ("as posted", "posted_s", False),
        ("with SetNumberOfThreads", "told_s", False),
        ("executable", "cli_s", True),
    )
    series = []
    for label_, name, dashed in kinds:
        points = tuple((float(n), value) for n, one in enumerate(its) if drawable(value := getattr(one, name)))
        series += [Series(label_ + at(data, machine), points, dashed=dashed)] if points else []
    scale = Scale(
        "itk-elastix release",
        "median seconds (log axis)",
        {float(n): text(one.itk_elastix, 20) for n, one in enumerate(its)},
    )
    heads = ("itk-elastix", "machine", "ITK", "elastix inside", "threader", "work units", "as posted (s)")
    table = Table(
        caption="The posted call in each release, told no threads and told them with SetNumberOfThreads",
        heads=(*heads, "told (s)", "factor", "executable (s)"),
        rows=tuple(
            (
                *map(
                    Cell, map(text, (one.itk_elastix, one.machine, one.itk, one.elastix, one.threader, one.work_units))
                ),
                *map(Cell, map(seconds, (one.posted_s, one.told_s, one.factor, one.cli_s))),
            )
            for one in known[:MOST_ROWS]
        ),
        figures=frozenset(range(5, 10)),
    )
    said = [text(line.replace("`", ""), 1000) for line in timeline.text(measured) if line and not line.startswith("|")]
    return curve_section("releases", title, said, series, scale, table)
