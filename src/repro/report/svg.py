"""matplotlib figures as SVG that lives inside a page: small, themed by the page, readable by ear.

Colours are drawn as stand-ins and become variables of the page's style sheet, so that one drawing serves
light, dark and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

WIDE_PX, NARROW_PX = 720, 340
FONT_PX = 12
_PX = 72.0
"""matplotlib writes 72 units an inch; one unit is one CSS pixel in our pages."""

INK, PAPER, MUTED, GRID, CLI, API, BAND = (f"#00000{n}" for n in range(1, 8))
SERIES = tuple(f"#00001{n}" for n in range(6))
"""Colours of pairs and strategies; their marks differ in shape, too."""
MARKERS = ("o", "s", "^", "D", "v", "P")
_VARIABLES = {
    **{INK: "ink", PAPER: "paper", MUTED: "muted", GRID: "grid", CLI: "cli", API: "api", BAND: "band"},
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
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": FONT_PX,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
    "path.simplify": True,
}

PATH_COLOURS = {"cli": CLI, "api": API}
PATH_NAMES = {"cli": "executable", "api": "Python API"}
PATH_MARKERS = {"cli": "o", "api": "s"}
Draw = Callable[[Figure, bool], None]
"""Draws into an empty figure; the flag is set for the narrow width."""


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure."""
    with mpl.rc_context(_STYLE):
        yield


def draw(name: str, title: str, description: str, height: Callable[[bool], float], drawn: Draw) -> tuple[str, str]:
    """The figure in both widths, wide and narrow; `height` gives pixels."""
    return (
        _draw(f"{name}-wide", title, description, WIDE_PX, height(False), drawn, narrow=False),
        _draw(f"{name}-narrow", title, description, NARROW_PX, height(True), drawn, narrow=True),
    )


def _draw(name: str, title: str, description: str, width: float, height: float, drawn: Draw, *, narrow: bool) -> str:
    with style():
        mpl.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=(width / _PX, height / _PX), dpi=_PX)
        drawn(figure, narrow)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return inline(written.getvalue(), name, title, description)


def inline(svg: str, name: str, title: str, description: str) -> str:
    """A whole SVG file as an element of a page, with its title and description for screen readers.

    matplotlib's own style sheet would hold for the whole page; report.css has its rules for plots.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    head, _, rest = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', rest))
    rest = re.sub(r">\s+<", "><", re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], name, used), rest))
    return (
        f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>{rest.strip()}'
    )


def _tag(tag: str, name: str, used: set[str]) -> str:
    """One tag in the page's colours and font, with the ids that something refers to made unique in the page.

    Texts stay as they are: they may hold anything, and nothing in a tag comes from outside.
    """
    tag = re.sub(r'\s+id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"#0000[0-9a-f]{2}\b", lambda found: f"var(--{_VARIABLES[found[0]]})", tag)
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", tag)
    # Hundredths of a pixel cannot be seen.
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", tag)
