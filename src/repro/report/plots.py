"""Plots of ratios and rounds. Each takes plain figures and gives its SVG in two widths; none touches a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repro.report.axes import drawable, legend, legend_px, log_axis, row_axes, row_label, row_note
from repro.report.svg import (
    API,
    BAND,
    CLI,
    GRID,
    INK,
    MARKERS,
    PAPER,
    PATH_COLOURS,
    PATH_MARKERS,
    PATH_NAMES,
    SERIES,
    draw,
)

_VERDICT_COLOURS = {"slower": API, "faster": CLI}


@dataclass(frozen=True, slots=True)
class Point:
    """A ratio with its reach and what it says."""

    value: float
    low: float
    high: float
    verdict: str = ""
    series: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a forest plot: a heading where it has no points."""

    label: str
    points: tuple[Point, ...] = ()
    floor: tuple[float, float] | None = None
    said: str = ""


def forest(
    name: str, title: str, description: str, lines: Sequence[Line], series: Sequence[str] = ()
) -> tuple[str, str]:
    """Ratios with their intervals on a log axis, the line at 1, and the noise floor as a band."""
    row_px = (24, 40)

    def drawn(figure: Figure, narrow: bool) -> None:
        axes = row_axes(figure, len(lines), narrow=narrow, right=0.8, top_px=legend_px(len(series), narrow=narrow))
        values = [end for line in lines for p in line.points for end in (p.value, p.low, p.high) if drawable(end)]
        floors = [end for line in lines for end in line.floor or () if drawable(end)]
        log_axis(axes, "x", [0.8, 1.25, *values, *floors])
        axes.axvline(1, color=INK, linewidth=1.2)
        axes.set_xlabel("API time / executable time" + ("" if narrow else "  (log axis; above 1 the API is slower)"))
        for y, line in enumerate(lines):
            _forest_line(axes, y, line, narrow, coloured=bool(series))
        if series:
            marks = [(one, SERIES[n % len(SERIES)], MARKERS[n % len(MARKERS)]) for n, one in enumerate(series)]
            legend(figure, marks, narrow=narrow)

    def height(narrow: bool) -> float:
        return 46 + legend_px(len(series), narrow=narrow) + len(lines) * row_px[narrow]

    return draw(name, title, description, height, drawn)


def _forest_line(axes: Axes, y: int, line: Line, narrow: bool, *, coloured: bool) -> None:
    row_label(axes, y, line.label, narrow=narrow, heading=not line.points)
    row_note(axes, y, line.said, narrow=narrow)
    if line.floor and all(map(drawable, line.floor)):
        axes.fill_betweenx([y - 0.32, y + 0.32], *line.floor, color=BAND, linewidth=0)
    shown = [point for point in line.points if drawable(point.value)]
    for n, point in enumerate(shown):
        offset = 0.0 if len(shown) == 1 else 0.5 * (n / (len(shown) - 1) - 0.5)
        colour = SERIES[point.series % len(SERIES)] if coloured else _VERDICT_COLOURS.get(point.verdict, INK)
        if drawable(point.low) and drawable(point.high) and point.low < point.high:
            axes.plot([point.low, point.high], [y + offset] * 2, color=colour, solid_capstyle="butt")
        axes.plot(
            [point.value],
            [y + offset],
            marker=MARKERS[point.series % len(MARKERS)],
            markersize=7 if len(shown) <= 4 else 5,
            color=colour,
            # Hollow: no difference seen, or too few rounds to say.
            markerfacecolor=colour if point.verdict in ("slower", "faster") else PAPER,
            linestyle="none",
        )


@dataclass(frozen=True, slots=True)
class Strip:
    """Every round of one condition: seconds of both arms in the order of the rounds."""

    label: str
    arms: tuple[tuple[str, tuple[float, ...]], ...]
    """(path, seconds)."""
    flagged: tuple[tuple[int, ...], ...] = ()
    """Of each arm the positions of rounds that are flagged as outliers."""


def rounds(name: str, title: str, description: str, strips: Sequence[Strip]) -> tuple[str, str]:
    """Each round as a dot on a log axis of seconds; time runs downwards inside a strip."""
    row_px = (46, 62)

    def drawn(figure: Figure, narrow: bool) -> None:
        axes = row_axes(figure, len(strips), narrow=narrow, top_px=legend_px(2, narrow=narrow))
        values = [value for strip in strips for _, its in strip.arms for value in its if drawable(value)]
        log_axis(axes, "x", values)
        axes.set_xlabel("seconds (log axis)")
        for y, strip in enumerate(strips):
            _strip(axes, y, strip, narrow)
        paths = dict.fromkeys(path for strip in strips for path, _ in strip.arms)
        legend(figure, [(PATH_NAMES[path], PATH_COLOURS[path], PATH_MARKERS[path]) for path in paths], narrow=narrow)

    return draw(name, title, description, lambda narrow: 72 + len(strips) * row_px[narrow], drawn)


def _strip(axes: Axes, y: int, strip: Strip, narrow: bool) -> None:
    row_label(axes, y, strip.label, narrow=narrow)
    reach = (-0.22, 0.36) if narrow else (-0.36, 0.36)
    axes.axhline(y + 0.5, color=GRID, linewidth=0.8)
    for arm, (path, values) in enumerate(strip.arms):
        colour = PATH_COLOURS[path]
        spots = [
            (value, y + reach[0] + (reach[1] - reach[0]) * (n + 0.5) / len(values), n)
            for n, value in enumerate(values)
            if drawable(value)
        ]
        if not spots:
            continue
        middle = sorted(value for value, _, _ in spots)[len(spots) // 2]
        axes.plot([middle] * 2, [y + reach[0], y + reach[1]], color=colour, linewidth=1, alpha=0.6)
        axes.plot(
            [x for x, _, _ in spots], [at for _, at, _ in spots], linestyle="none", marker=PATH_MARKERS[path],
            markersize=4.5, color=colour, markeredgewidth=0,
        )  # fmt: skip
        ringed = [spot for spot in spots if arm < len(strip.flagged) and spot[2] in strip.flagged[arm]]
        axes.plot(
            [x for x, _, _ in ringed], [at for _, at, _ in ringed], linestyle="none", marker="o", markersize=10,
            markerfacecolor="none", color=INK, markeredgewidth=1.2,
        )  # fmt: skip
