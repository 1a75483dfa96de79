"""Charts as SVG that lives inside the page: drawn once, scaled and coloured by the page's style sheet, readable by ear.

Colours are drawn as stand-ins and become variables of the style sheet: one drawing serves light, dark and print. The
drawings are narrow, with the labels above the rows, so that their text stays readable on a telephone.
"""

from __future__ import annotations

import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, TypeGuard

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from repro.model import Estimate
from repro.text import UNKNOWN, line, ratio

WIDTH_PX, FONT_PX = 440, 13
_PX = 72.0
"""matplotlib writes 72 units an inch; one unit is one CSS pixel in our pages."""
_SANE = (1e-9, 1e9)
"""What an axis can show; other figures stand in the tables only."""

INK, PAPER, MUTED, GRID, BAND, SLOWER, FASTER, SAME = (f"#00000{n}" for n in range(1, 9))
SERIES = tuple(f"#00001{n}" for n in range(6))
MARKERS = ("o", "s", "^", "D", "v", "P")
TONES = {"slower": SLOWER, "faster": FASTER, "no difference": SAME, "cannot tell": MUTED}
_HOLLOW = ("no difference", "cannot tell")
_NAMES = ("ink", "paper", "muted", "grid", "band", "slower", "faster", "same")
_VARIABLES = {
    **dict(zip((INK, PAPER, MUTED, GRID, BAND, SLOWER, FASTER, SAME), _NAMES, strict=True)),
    **{colour: f"series-{n}" for n, colour in enumerate(SERIES, 1)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.size": FONT_PX,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One figure on a line of a chart."""

    value: float
    low: float | None = None
    high: float | None = None
    tone: str = ""
    """A verdict: hollow where no difference is seen."""
    series: int | None = 0
    """Its colour and shape; None: the colour of its verdict."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart of rows; a heading where it has no marks."""

    label: str
    marks: tuple[Mark, ...] = ()
    said: str = ""
    floor: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One line through points."""

    label: str
    points: tuple[tuple[float, float], ...]
    series: int = 0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows."""

    label: str
    ticks: dict[float, str] = field(default_factory=dict)
    """Words instead of numbers, on an axis that isn't logarithmic."""


RATIO = Axis("ratio of the times; above 1 the other is slower")
API_RATIO = Axis("API time / executable time (log axis)")


def mark(found: Estimate, tone: str | None = "", series: int | None = None) -> Mark:
    """The estimate as a mark."""
    return Mark(found.value, found.low, found.high, tone or "", series)


def steps(name: str, title: str, steps: Sequence[tuple[str, Estimate, str]]) -> str:
    """The ladder: a bar a step from 1 to its ratio, and in pale what the change takes away from the ratio before it.

    ``steps`` are (label, ratio, verdict).
    """
    shown = [step for step in steps if drawable(step[1].value)]

    def draw(figure: Figure) -> None:
        axes = _rows(figure, len(shown))
        ends = [end for _, one, _ in shown for end in (one.value, one.low, one.high) if drawable(end)]
        _log(axes, "x", [0.9, 1.1, *ends])
        before = None
        for y, (label, one, tone) in enumerate(shown):
            colour = TONES.get(tone, MUTED)
            axes.barh(y, one.value - 1, 0.36, left=1, color=colour, linewidth=0)
            if before is not None:
                axes.barh(y, before - one.value, 0.36, left=one.value, color=BAND, linewidth=0)
            if drawable(one.low) and drawable(one.high):
                axes.plot([one.low, one.high], [y, y], color=INK, solid_capstyle="butt")
            _label(axes, y, label, f"{ratio(one.value)} {'' if tone == 'cannot tell' else tone}".strip())
            before = one.value
            axes.plot([1, 1], [y - 0.26, y + 0.26], color=INK, linewidth=1.2)
        axes.set_xlabel(API_RATIO.label)

    said = "; ".join(f"{label}: {ratio(one.value)}, {tone}".removesuffix(", cannot tell") for label, one, tone in shown)
    return _svg(name, title, f"Steps from the posted ratio down. {said}.", 48 + 42 * len(shown), draw)


def rows(name: str, title: str, lines: Sequence[Line], axis: Axis, series: Sequence[str] = (), one: bool = True) -> str:
    """Marks with their intervals on a log axis, a row a line; ``one`` draws the line at 1."""
    legend = _legend_px(series)

    def draw(figure: Figure) -> None:
        axes = _rows(figure, len(lines), legend)
        ends = [end for row in lines for m in row.marks for end in (m.value, m.low, m.high) if drawable(end)]
        ends += [end for row in lines for end in row.floor or () if drawable(end)]
        _log(axes, "x", [*((0.9, 1.1) if one else ()), *ends])
        axes.set_xlabel(axis.label)
        by_look: dict[tuple[str, int | None, bool], list[tuple[float, Mark]]] = defaultdict(list)
        for y, row in enumerate(lines):
            _label(axes, y, row.label, row.said, heading=not row.marks)
            if row.floor and all(map(drawable, row.floor)):
                axes.fill_betweenx([y - 0.2, y + 0.2], *row.floor, color=BAND, linewidth=0)
            if one and row.marks:
                axes.plot([1, 1], [y - 0.24, y + 0.24], color=INK, linewidth=1.2)
            shown = [m for m in row.marks if drawable(m.value)]
            for n, m in enumerate(shown):
                offset = 0.0 if len(shown) == 1 else 0.26 * (n / (len(shown) - 1) - 0.4)
                by_look[m.tone if m.series is None else "", m.series, m.tone in _HOLLOW].append((y + offset, m))
        for (tone, number, hollow), marks in by_look.items():
            look = _look(number or 0) | ({"color": TONES.get(tone, INK)} if number is None else {})
            _marks(axes, marks, look, hollow)
        _legend(figure, series)

    labels = ", ".join(line(row.label, 60) for row in lines[:12])
    return _svg(name, title, f"{axis.label}: {labels}.", 48 + legend + 40 * len(lines), draw)


def curves(name: str, title: str, found: Sequence[Curve], x: Axis, y: Axis) -> str:
    """Lines with marks; y is logarithmic, x too where it has no words at its ticks."""
    legend = _legend_px([one.label for one in found])

    def draw(figure: Figure) -> None:
        height = figure.get_figheight() * _PX
        low = 64 if x.ticks else 48
        axes = figure.add_axes((0.13, low / height, 0.84, (height - low - legend - 10) / height))
        points = [point for one in found for point in one.points if drawable(point[1])]
        _log(axes, "y", [value for _, value in points])
        if x.ticks:
            axes.set_xticks(list(x.ticks), list(x.ticks.values()), rotation=40, ha="right", rotation_mode="anchor")
        else:
            _log(axes, "x", [value for value, _ in points if drawable(value)])
        axes.set_xlabel(x.label)
        axes.set_ylabel(y.label)
        for one in found:
            its = [point for point in one.points if drawable(point[1]) and (x.ticks or drawable(point[0]))]
            dashed: dict[str, Any] = {"linestyle": "--", "markerfacecolor": PAPER} if one.dashed else {}
            if its:
                axes.plot(*zip(*its, strict=True), **_look(one.series), **dashed)
        _legend(figure, [one.label for one in found], [one.series for one in found])

    description = f"{y.label} against {x.label}: {', '.join(line(one.label, 60) for one in found)}."
    return _svg(name, title, description, 300 + legend, draw)


def drawable(value: float | None) -> TypeGuard[float]:
    """Whether an axis can show the value."""
    return value is not None and _SANE[0] < value < _SANE[1]


# ---- parts of a chart


def _look(series: int) -> dict[str, Any]:
    return {"color": SERIES[series % len(SERIES)], "marker": MARKERS[series % len(MARKERS)]}


def _rows(figure: Figure, number: int, above_px: float = 8) -> Axes:
    height = figure.get_figheight() * _PX
    axes = figure.add_axes((0.02, 44 / height, 0.96, (height - 44 - above_px) / height))
    axes.set_ylim(number - 0.55, -0.75)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return axes


def _label(axes: Axes, y: int, label: str, said: str, *, heading: bool = False) -> None:
    """The label above a row, and at its right what the row says."""
    clear = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
    across = axes.get_yaxis_transform()
    place: dict[str, Any] = {"y": y - 0.44, "va": "center", "zorder": 5, "transform": across, "bbox": clear}
    room = 58 - len(said)
    axes.text(0, s=line(label, room), ha="left", weight="bold" if heading else "normal", **place)
    if said and said != UNKNOWN:
        axes.text(1, s=said, ha="right", color=MUTED, **place)


def _marks(axes: Axes, marks: Sequence[tuple[float, Mark]], look: dict[str, Any], hollow: bool) -> None:
    """All marks of one look at once: an artist a mark takes matplotlib seconds."""
    reach = [(y, m.low, m.high) for y, m in marks if drawable(m.low) and drawable(m.high) and m.low < m.high]
    if reach:
        ys, lows, highs = zip(*reach, strict=True)
        axes.hlines(ys, lows, highs, colors=look["color"], linewidth=1.8)
    x, y = [m.value for _, m in marks], [at for at, _ in marks]
    axes.plot(x, y, **look, markerfacecolor=PAPER if hollow else look["color"], linestyle="none")


def _log(axes: Axes, which: str, values: Sequence[float]) -> None:
    """A log axis just wide enough for the values, with round figures at its ticks."""
    low, high = (min(values), max(values)) if values else (1.0, 2.0)
    decades = math.log10(high / low)
    subs = (1, 1.5, 2, 3, 5, 7) if decades < 0.8 else (1, 2, 5) if decades < 2.5 else (1,)
    pad = 10 ** max(0.03, decades * 0.04)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low / pad, high * pad)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _columns(labels: Sequence[str]) -> int:
    return 3 if max(map(len, labels)) <= 13 else 2


def _legend_px(labels: Sequence[str]) -> float:
    return 10 + 19 * math.ceil(len(labels) / _columns(labels)) if labels else 8


def _legend(figure: Figure, labels: Sequence[str], series: Sequence[int] = ()) -> None:
    if not labels:
        return
    handles: list[Any] = []
    for n, label in zip(series or range(len(labels)), labels, strict=True):
        handles += figure.axes[0].plot([], [], linestyle="none", label=line(label, 30), **_look(n))
    place: dict[str, Any] = {"loc": "upper left", "ncols": _columns(labels), "borderaxespad": 0, "frameon": False}
    figure.legend(handles=handles, handletextpad=0.3, columnspacing=1, **place)


# ---- SVG


def _svg(name: str, title: str, description: str, height_px: float, draw: Callable[[Figure], None]) -> str:
    """The drawing as an element of the page, with its title and description for screen readers."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_PX / _PX, height_px / _PX), dpi=_PX)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = written.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.S)
    head, _, rest = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', rest))
    rest = re.sub(r">\s+<", "><", re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], name, used), rest))
    return (
        f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(line(title))}</title>'
        f'<desc id="{name}-description">{escape(line(description, 1000))}</desc>{rest.strip()}'
    )


def _tag(tag: str, name: str, used: set[str]) -> str:
    """One tag in the page's colours and font, with the ids that something refers to made unique in the page.

    Texts stay as they are: they may hold anything, and nothing in a tag comes from outside.
    """
    tag = re.sub(r'\s+id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"#0000[0-9a-f]{2}\b", lambda found: f"var(--{_VARIABLES[found[0]]})", tag)
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", tag)
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", tag)  # hundredths of a pixel cannot be seen
