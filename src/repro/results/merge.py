"""From raw folders of any number of machines to trials.csv, comparison.csv and sessions.ndjson, the same bytes
every time."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

import polars as pl

from repro.errors import EXIT_DISAGREE, EXIT_OK, EXIT_TRIAL_FAILED, StoreError
from repro.layout import shown
from repro.measure.store import drop_abandoned
from repro.results import comparison, rawfiles, trials_table
from repro.results.columns import TRIALS
from repro.results.rawfiles import Groups, MisplacedError

TRIALS_CSV = "trials.csv"
COMPARISON_CSV = "comparison.csv"
SESSIONS = "sessions.ndjson"
"""The session lines as they were read: machines, commands, versions and checksums, for the report."""
PART_BYTES = 64 * 2**20
"""Raw bytes of a part of the work: large enough that what a part costs by itself is little beside its lines."""
_WORKERS = 2
"""Parts of the work in flight: while one is parsed by all cores, another is read or written."""
_FORMULA = r"^[\t\r\x00]|^\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
"""Start of a cell that a spreadsheet could run as a formula; the last four are full-width forms of the others."""
_SPECIAL = rf'[\r\n",]|{_FORMULA}'
"""A cell that cannot be written as it is."""


@dataclass(frozen=True)
class Merged:
    """What `merge` has written, and what it had to leave out."""

    files: int
    measurements: int
    rows: int
    duplicates: int
    """Measurements that were there more than once, or were made good by a rerun."""
    torn: int
    broken: tuple[str, ...]
    statuses: Mapping[str, int]
    """Rows of the comparison by status."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell a person, a line each."""
        counted = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        said = [f"{self.measurements} measurements of {self.files} files make {self.rows} rows: {counted}"]
        if self.duplicates:
            said.append(f"{self.duplicates} measurements that another one repeats or replaces were left out")
        if self.torn:
            said.append(f"{self.torn} last lines were torn by a crash and left out")
        return (*said, *self.broken)

    @property
    def exit_status(self) -> int:
        """3 where results disagree, else 1 where trials failed, else 0."""
        if self.statuses.get("disagree"):
            return EXIT_DISAGREE
        return EXIT_TRIAL_FAILED if self.statuses.get("failed") or self.statuses.get("timeout") else EXIT_OK


@dataclass(frozen=True)
class _Part:
    """The finished rows of a few machines and pairs."""

    trials: bytes
    comparison: bytes
    sessions: bytes
    lines: int
    measurements: int
    torn: int
    broken: tuple[str, ...]
    statuses: tuple[str, ...]


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Write out/trials.csv, out/comparison.csv and out/sessions.ndjson from the raw files below the folders.

    Folders may be `raw` folders, machine or pair folders, or results folders with `raw/` in them, in any
    order; the files that are written depend on the measurements alone. They are replaced as whole files at the
    end. Raises StoreError where there is nothing to merge, or a file cannot be read or written.
    """
    files = rawfiles.find(folders)
    try:
        return _written(rawfiles.by_folder(files), out, by_content=False)
    except MisplacedError:  # renamed or copied folders: slower, as every file is opened twice
        return _written(rawfiles.by_content(files), out, by_content=True)


def _written(groups: Groups, out: Path, *, by_content: bool) -> Merged:
    statuses: Counter[str] = Counter()
    lines = measurements = torn = 0
    broken: list[str] = []
    with contextlib.ExitStack() as stack:
        names = (TRIALS_CSV, COMPARISON_CSV, SESSIONS)
        trials, rows, sessions = (stack.enter_context(_replaced(out / name)) for name in names)
        trials.write(_csv(pl.DataFrame(schema={column.name: pl.String for column in TRIALS}), header=True))
        rows.write(_csv(pl.DataFrame(schema=comparison.SCHEMA), header=True))
        pool = stack.enter_context(ThreadPoolExecutor(_WORKERS))
        for part in _in_order(pool, (partial(_made, part, by_content) for part in _parts(groups))):
            trials.write(part.trials)
            rows.write(part.comparison)
            sessions.write(part.sessions)
            statuses.update(part.statuses)
            lines += part.lines
            measurements += part.measurements
            torn += part.torn
            broken += part.broken
    return Merged(
        files=sum(len(files) for _, files in groups),
        measurements=measurements,
        rows=statuses.total(),
        duplicates=lines - measurements,
        torn=torn,
        broken=tuple(broken),
        statuses=dict(sorted(statuses.items())),
    )


def _parts(groups: Groups) -> Iterator[Groups]:
    """Machines and pairs, as many at a time as make a good block; each is whole in one part."""
    part: Groups = []
    size = 0
    for owner, files in groups:
        part.append((owner, files))
        size += sum(file.stat().st_size for file in files)
        if size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _in_order(pool: ThreadPoolExecutor, parts: Iterator[Callable[[], _Part]]) -> Iterator[_Part]:
    """Each part made, in order, never more than the workers' number ahead: memory stays small."""
    pending = [pool.submit(part) for part in islice(parts, _WORKERS)]
    while pending:
        yield pending.pop(0).result()
        pending += [pool.submit(part) for part in islice(parts, 1)]


def _made(part: Groups, by_content: bool) -> _Part:
    raw = rawfiles.read(part, by_content=by_content)
    known = trials_table.setups(raw.sessions)
    trials = trials_table.tidy(raw, known)
    rows = comparison.rows(trials, raw, known)
    return _Part(
        trials=_csv(trials_table.as_csv(trials)),
        comparison=_csv(_rounded(rows)),
        sessions="".join(f"{json.dumps(session)}\n" for session in raw.sessions).encode(),
        lines=raw.measurements.height,
        measurements=trials.height,
        torn=raw.torn,
        broken=raw.broken,
        statuses=tuple(rows["status"]),
    )


def _rounded(rows: pl.DataFrame) -> pl.DataFrame:
    """Numbers to six digits: far below what any measurement here can tell apart."""
    return rows.with_columns(pl.col(pl.Float64).round_sig_figs(6))


def _csv(table: pl.DataFrame, *, header: bool = False) -> bytes:
    """The table as CSV in which no text can act as a formula and no cell spans lines; empty text is no text."""
    special = _with(table, pl.col(pl.String).unique().str.contains(_SPECIAL))
    for name in special:
        table = table.with_columns(pl.col(name).str.strip_chars("\r\n").str.replace_all(r"\s*[\r\n]+\s*", " | "))
        safe = pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name))
        table = table.with_columns(safe.alias(name))
    table = table.with_columns(pl.col(name).replace("", None) for name in _with(table, pl.col(pl.String) == ""))
    buffer = io.BytesIO()
    # To look into every cell for what needs quotes takes a third of the time of writing.
    table.write_csv(
        buffer, include_header=header, line_terminator="\n", quote_style="necessary" if special else "never"
    )
    return buffer.getvalue()


def _with(table: pl.DataFrame, what: pl.Expr) -> list[str]:
    """The columns in which that is true of a cell."""
    found = table.select(what.any())
    return [name for name in found.columns if found[name].item()]


@contextlib.contextmanager
def _replaced(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that takes its place as a whole, or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        drop_abandoned(file)
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(file)
    except OSError as error:
        raise StoreError(f"{shown(file)}: cannot be written: {error.strerror}; choose another --out") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
