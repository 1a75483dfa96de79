"""Plots of seconds. Each takes plain figures and gives its SVG in two widths; none touches a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report.axes import drawable, log_axis, row_axes, row_label
from repro.report.svg import MARKERS, MUTED, PAPER, PATH_COLOURS, SERIES, draw
from repro.wording import seconds, text


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where the seconds of one path went."""

    label: str
    path: str
    parts: tuple[tuple[str, float], ...]
    """(name, seconds) from left to right; resolutions are named by their number."""


def breakdown(name: str, title: str, description: str, bars: Sequence[Bar], xlabel: str) -> tuple[str, str]:
    """Seconds as stacked bars, two paths below each other."""
    row_px = (26, 44)

    def drawn(figure: Figure, narrow: bool) -> None:
        axes = row_axes(figure, len(bars), narrow=narrow)
        reach = max((sum(seconds for _, seconds in bar.parts) for bar in bars), default=1.0)
        axes.set_xlim(0, reach * 1.12)
        axes.xaxis.set_major_locator(MaxNLocator(5 if narrow else 8))
        axes.set_xlabel(xlabel)
        for y, bar in enumerate(bars):
            _bar(axes, y, bar, reach * 1.12 / (axes.get_position().width * figure.get_figwidth() * 72), narrow)

    return draw(name, title, description, lambda narrow: 54 + len(bars) * row_px[narrow], drawn)


def _bar(axes: Axes, y: int, bar: Bar, seconds_per_px: float, narrow: bool) -> None:
    row_label(axes, y, bar.label, narrow=narrow)
    start, height = 0.0, 0.42 if narrow else 0.62
    for part, length in bar.parts:
        edge = 1.2 if length / seconds_per_px > 5 else 0
        axes.barh(y, length, left=start, height=height, color=PATH_COLOURS[bar.path], edgecolor=PAPER, linewidth=edge)
        if length / seconds_per_px > 7 * len(part) + 6:
            axes.text(start + length / 2, y, part, ha="center", va="center", color=PAPER, fontsize=11)
        start += length
    axes.text(start + 4 * seconds_per_px, y, f"{seconds(start)} s", va="center", color=MUTED)


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together."""

    label: str
    points: tuple[tuple[float, float], ...]
    level: float | None = None
    """Seconds of the executable, drawn as a dashed line over the whole width."""
    colour: int | None = None
    """Which of the series' colours and marks; None: the next."""
    dashed: bool = False


MOST_LEVEL_TICKS = 10
"""Names below an axis that fit side by side."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the axes of a curve plot show."""

    xlabel: str
    ylabel: str
    ticks: Mapping[float, str] = field(default_factory=dict)
    """Names for positions on x, which is then no log axis."""


def curves(name: str, title: str, description: str, series: Sequence[Series], scale: Scale) -> tuple[str, str]:
    """Lines with marks on log axes (x: positions with names, where the scale has them)."""

    columns = (1, 2)

    def legend_px(narrow: bool) -> float:
        return 20 * math.ceil(len(series) / columns[not narrow]) + 30

    def drawn(figure: Figure, narrow: bool) -> None:
        height = figure.get_figheight() * 72
        inner = height - 56 - legend_px(narrow)
        left = 0.14 if narrow else 0.08
        axes = figure.add_axes((left, 56 / height, 0.97 - left, inner / height))
        levels = [one.level for one in series if drawable(one.level)]
        log_axis(axes, "y", [*(y for one in series for _, y in one.points if drawable(y)), *levels])
        if scale.ticks:
            axes.set_xticks(
                [*scale.ticks],
                [*scale.ticks.values()],
                rotation=40 if narrow or len(scale.ticks) > MOST_LEVEL_TICKS else 0,
            )
            axes.set_xlim(min(scale.ticks) - 0.4, max(scale.ticks) + 0.4)
        else:
            log_axis(axes, "x", [x for one in series for x, _ in one.points])
        for n, one in enumerate(series):
            _curve(axes, one, n if one.colour is None else one.colour)
        axes.set_xlabel(scale.xlabel)
        axes.text(
            0,
            1 + 8 / inner,
            scale.ylabel.partition(";")[0] if narrow else scale.ylabel,
            transform=axes.transAxes,
            color=MUTED,
        )
        figure.legend(
            loc="upper left", ncols=columns[not narrow], borderaxespad=0, handletextpad=0.5, labelspacing=0.35
        )

    return draw(name, title, description, lambda narrow: (260 if narrow else 300) + legend_px(narrow), drawn)


def _curve(axes: Axes, one: Series, number: int) -> None:
    colour = SERIES[number % len(SERIES)]
    points = [(x, y) for x, y in one.points if drawable(y)]
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        markerfacecolor=PAPER if one.dashed else colour,
        linestyle=(0, (5, 3)) if one.dashed else "-",
        label=text(one.label, 42),
    )
    if drawable(one.level):
        axes.axhline(one.level, color=colour, linestyle=(0, (5, 3)), linewidth=1.2)
