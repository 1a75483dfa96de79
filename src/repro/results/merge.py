"""From raw lines of any number of machines to the tables of a results folder, the same bytes every time."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import StoreError
from repro.model import Status
from repro.paths import shown
from repro.results import tables
from repro.results.comparison import GRAVITY, compare
from repro.results.raw import read_raw
from repro.results.tables import Tables
from repro.text import command


@dataclass(frozen=True)
class Merged:
    """What `merge` has written, and what it had to leave out."""

    tables: Tables
    files: int
    measurements: int
    rows: int
    duplicates: int
    """Lines that were there more than once."""
    torn: int
    """Last lines that a crash has torn."""
    broken: tuple[str, ...]
    """Other lines that were left out: where, and why."""
    statuses: Mapping[Status, int]
    """Rows by status, the gravest last."""


def merge(sources: Sequence[Path], out: Path, own: Path | None = None) -> Merged:
    """Write the tables of the sources into the folder ``out``; each file is replaced whole.

    Sources are results folders, raw folders, folders of machines and packs, in any order. ``own`` is the checkout's raw
    folder (see read_raw). Raises StoreError where there is no row to write, two sources say different things of one
    machine, a source cannot be read or ``out`` cannot be written.
    """
    gc.disable()  # lines and rows are millions of objects without cycles; to look for some takes a quarter of the time
    try:
        raw = read_raw(sources, own)
        made = compare(raw)
        if not made.rows:
            listed = ", ".join(shown(source) for source in sources)
            why = f": {raw.broken[0]}" if raw.broken else ""
            raise StoreError(f"{listed}: no measurement in {raw.files} raw files{why}; run `{command('bench')}` first")
        tables.write(made, out)
    finally:
        gc.enable()
    counts = Counter(row.status for row in made.rows)
    return Merged(
        made,
        raw.files,
        raw.measurements,
        len(made.rows),
        raw.duplicates,
        raw.torn,
        tuple(raw.broken),
        {status: counts[status] for status in GRAVITY if counts[status]},
    )
