"""Axes that the plots share: log axes with round figures, and rows with their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from repro.report.svg import MUTED, PAPER
from repro.wording import text

SANE = (1e-9, 1e9)
"""What an axis can show; other ratios and seconds stand in the tables only."""
_LABEL_CHARACTERS = 42
_CLEAR = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
"""Keeps lines of the axes from crossing words."""
_LEFT = 0.38
"""Where rows begin in a wide figure: left of it stand their labels. In a narrow one they stand above the rows."""


def drawable(value: float | None) -> TypeGuard[float]:
    """Whether an axis can show the value."""
    return value is not None and SANE[0] < value < SANE[1]


def log_axis(axes: Axes, which: str, values: Sequence[float]) -> None:
    """A log axis just wide enough for the values, with round figures at its ticks."""
    low, high = (min(values), max(values)) if values else (1.0, 2.0)
    decades = math.log10(high / low)
    subs = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    pad = 10 ** max(0.03, decades * 0.04)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low / pad, high * pad)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low / pad, high * pad)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def row_axes(figure: Figure, rows: int, *, narrow: bool, right: float = 0.97, top_px: float = 8) -> Axes:
    """Axes with a row for each whole number from 0, from the top; `right` is where they end in a wide figure."""
    height = figure.get_figheight() * 72
    left, right = (0.02, 0.98) if narrow else (_LEFT, right)
    axes = figure.add_axes((left, 46 / height, right - left, (height - 46 - top_px) / height))
    axes.set_ylim(rows - 0.45, -0.6 - 0.15 * narrow)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return axes


def row_label(axes: Axes, row: int, label: str, *, narrow: bool, heading: bool = False) -> None:
    """The label of a row; a heading begins at the left edge and has the row for itself."""
    box = axes.get_position()
    place: dict[str, Any] = {"x": 0, "y": row - 0.42, "ha": "left"}
    if heading:
        place = {"x": -box.x0 / box.width, "y": row, "ha": "left"}
    elif not narrow:
        place = {"x": -0.02, "y": row, "ha": "right"}
    said = text(label, _LABEL_CHARACTERS * (2 if heading else 1))
    weight = "bold" if heading else "normal"
    axes.text(s=said, va="center", transform=axes.get_yaxis_transform(), weight=weight, bbox=_CLEAR, **place)


def row_note(axes: Axes, row: int, note: str, *, narrow: bool) -> None:
    """A few words at the right of a row."""
    place: dict[str, Any] = {"x": 1, "y": row - 0.42, "ha": "right"} if narrow else {"x": 1.02, "y": row, "ha": "left"}
    axes.text(s=note, va="center", transform=axes.get_yaxis_transform(), color=MUTED, bbox=_CLEAR, **place)


def legend_px(entries: int, *, narrow: bool) -> float:
    """Height that `legend` needs, in pixels; without entries what an axis needs above it."""
    return 8 + 18 * math.ceil(entries / _legend_columns(narrow)) if entries else 8


def legend(figure: Figure, entries: Sequence[tuple[str, str, str]], *, narrow: bool) -> None:
    """Marks with names above the first axes; entries are (name, colour, marker)."""
    handles = [
        figure.axes[0].plot([], [], color=colour, marker=marker, linestyle="none", label=text(label, 24))[0]
        for label, colour, marker in entries
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        ncols=_legend_columns(narrow),
        borderaxespad=0,
        handletextpad=0.3,
        columnspacing=1.2,
        labelspacing=0.3,
    )


def _legend_columns(narrow: bool) -> int:
    return 3 if narrow else 6
