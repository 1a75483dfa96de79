"""What the commands print: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from repro.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

    from repro.cli.tables import Rows

WIDTH_WITHOUT_TERMINAL = 160


def show(rows: Rows, data: object, as_json: bool) -> None:
    """A table for people or JSON for scripts."""
    if as_json:
        show_json(data)
    else:
        show_table(rows)


def show_json(data: object) -> None:
    """Data as indented JSON."""
    print(json.dumps(data, indent=2, default=str))


def show_table(rows: Rows) -> None:
    """A table with the remark below it."""
    from repro.cli.terminal import table

    out = console()
    out.print(table(rows))
    if rows.remark:
        out.print(printable(rows.remark), markup=False, highlight=False)


def console(*, stderr: bool = False) -> Console:
    """Where rich writes. A pipe or a file has no width; rich would fold tables at 80 columns."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=WIDTH_WITHOUT_TERMINAL)


def say(text: str) -> None:
    """A line for people."""
    print(printable(text), file=sys.stderr, flush=True)
