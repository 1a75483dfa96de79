"""What the commands print: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro import text
from repro.model import Status
from repro.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from repro.results.columns import Row

WIDTH_WITHOUT_TERMINAL = 160
_FIGURE = re.compile(r"[-*\d.,x\[\] e+%\N{EN DASH}]*")
_said: set[str] = set()


@dataclass(frozen=True, slots=True)
class Table:
    """A title, heads, rows of text and a closing remark."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    remark: str = ""


def show(table: Table) -> None:
    """Print a table; columns of figures are set to the right, and those without a cell are left out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    built = RichTable(title=Text(printable(table.title)), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    filled = [index for index, _ in enumerate(table.heads) if not table.rows or any(row[index] for row in table.rows)]
    for index in filled:
        figures = index > 0 and all(_FIGURE.fullmatch(row[index]) for row in table.rows)
        built.add_column(table.heads[index], justify="right" if figures else "left", overflow="fold")
    for row in table.rows:
        built.add_row(*(Text(printable(row[index])) for index in filled))
    out = console()
    out.print(built)
    if table.remark:
        out.print(printable(table.remark), markup=False, highlight=False, soft_wrap=True)


def show_json(data: Any) -> None:
    """Print data as indented JSON."""
    print(json.dumps(data, indent=2, default=str))


def ratio_table(rows: Sequence[Row]) -> Table:
    """Rows of the comparison in short, for 80 columns; those that could not be had are left out."""
    measured = [row for row in rows if row.experiment]
    machines, comparisons = ({getattr(row, name) for row in measured} for name in ("machine", "comparison"))
    heads = ("machine", "pair or builds", "experiment/condition", "base s", "other s", "ratio", "verdict", "status")
    cells = [
        (
            row.machine if len(machines) > 1 else "",
            row.comparison if len(comparisons) > 1 else "",
            f"{row.experiment}/{row.condition}",
            text.seconds(row.base_median_s),
            text.seconds(row.other_median_s),
            text.estimate(row.estimate),
            row.verdict or "",
            "" if row.status is Status.OK else row.status,
        )
        for row in measured
    ]
    of = "" if len(comparisons) != 1 else f" of {comparisons.pop()}"
    return Table(f"Ratios{of}: other over base, above 1 the other is slower", heads, cells)


def say(words: str) -> None:
    """A line for people. What was said once in this run is not said again."""
    if first_time(words):
        with contextlib.suppress(OSError):  # nobody can be told that stderr cannot be written
            print(printable(words), file=sys.stderr, flush=True)


def first_time(words: str) -> bool:
    """Whether this is said for the first time in this run."""
    new = words not in _said
    _said.add(words)
    return new


def forget_said() -> None:
    """A new run begins."""
    _said.clear()


def console(*, stderr: bool = False) -> Console:
    """Where rich writes. A pipe or a file has no width; rich would fold tables at 80 columns."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=WIDTH_WITHOUT_TERMINAL)
