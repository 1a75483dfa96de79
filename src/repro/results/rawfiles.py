"""Read raw files into tables, keeping every line that is whole.

A crash can tear the last line of a file; it is dropped. Any other line that cannot be used is named and
the rest is kept. The files of one machine and pair belong together, so that memory does not grow with the
number of machines; they are parsed many at a time, as most are small.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from repro.errors import StoreError
from repro.layout import shown
from repro.model import SCHEMA
from repro.results.nesting import deep_lines
from repro.results.sessionlines import is_session

Owner = tuple[str, str]
"""Machine and pair: what the lines of one file have in common."""
Groups = list[tuple[Owner, list[Path]]]
BLOCK_BYTES = 8 * 2**20
"""Bytes parsed at once: few enough to stay in a processor's cache."""
LOAD_PARTS = ("interpreter", "import_itk", "read_images", "registration_class")
_TEXT, _WHOLE, _NUMBER, _NUMBERS = pl.String(), pl.Int64(), pl.Float64(), pl.List(pl.Float64)
_REQUIRED = ("key", "session", "machine", "pair", "experiment", "condition", "path", "phase", "status")
MEASUREMENT: dict[str, pl.DataType] = {
    **dict.fromkeys(_REQUIRED, _TEXT),
    **dict.fromkeys(("arm", "round", "position", "repeat", "exit_status"), _WHOLE),
    **dict.fromkeys(("started_utc", "note", "log_threads", "threader"), _TEXT),
    **dict.fromkeys(
        ("wall_s", "load_s", "user_s", "system_s", "other_cores", "stolen_cores", "final_metric", "first_s"), _NUMBER
    ),
    "load_parts_s": pl.Struct(dict.fromkeys(LOAD_PARTS, _NUMBER)),
    **dict.fromkeys(("results_s", "resolutions_s", "estimation_s"), _NUMBERS),
    **dict.fromkeys(("peak_bytes", "disk_bytes", "voluntary_switches", "involuntary_switches"), _WHOLE),
    **dict.fromkeys(("threads", "machine_threads", "default_threads", "maximum_threads", "work_units"), _WHOLE),
    **dict.fromkeys(("itk", "itk_elastix", "elastix", "python", "cli_source", "result_digest"), _TEXT),
    **dict.fromkeys(("fixed_sha256", "moving_sha256", "params_sha256", "transform", "strategy", "measures"), _TEXT),
    **dict.fromkeys(("jobs", "registrations", "tree_peak_bytes"), _WHOLE),
    "jobs_s": _NUMBERS,
}
AGREEMENT: dict[str, pl.DataType] = {
    **dict.fromkeys(("machine", "pair", "experiment", "condition"), _TEXT),
    **dict.fromkeys(("mean_px", "max_px"), _NUMBER),
    "digests": pl.List(pl.String),
}
_CHECKED = ["kind", "schema", *_REQUIRED, "round", "arm", "wall_s"]
_LINE = {"kind": _TEXT, "schema": _WHOLE, **MEASUREMENT, **AGREEMENT}
_LINE_END = ord("\n")
_PLACE = {"file": pl.Int64(), "line": pl.Int64()}


@dataclass(frozen=True)
class Raw:
    """What raw files hold: the columns of MEASUREMENT and AGREEMENT, a row a line, and the session lines."""

    measurements: pl.DataFrame
    agreements: pl.DataFrame
    sessions: tuple[Mapping[str, Any], ...]
    torn: int
    """Last lines that a crash has torn."""
    broken: tuple[str, ...]
    """Other lines that could not be used: where, and why."""


class _Source(NamedTuple):
    owner: Owner
    file: Path
    content: bytes


def find(folders: Iterable[Path]) -> list[Path]:
    """The raw files below the folders, each once, sorted; a folder with `raw/` in it means that.

    Raises StoreError where a folder is missing or none holds a raw file.
    """
    folders = list(folders)
    files: set[str] = set()
    for folder in folders:
        if not folder.is_dir():
            raise StoreError(f"{shown(folder)}: no such folder; name a folder of raw results, or run `bench` first")
        files.update(_raw_files((folder / "raw" if (folder / "raw").is_dir() else folder).resolve()))
    if not files:
        listed = ", ".join(shown(folder) for folder in folders)
        raise StoreError(f"no raw results (*.jsonl) below {listed}; run `bench` first")
    return [Path(file) for file in sorted(files)]


def _raw_files(folder: Path) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith(".") and name not in ("transforms", "logs"))
        yield from (f"{top}{os.sep}{name}" for name in names if name.endswith(".jsonl"))


def by_folder(files: Iterable[Path]) -> Groups:
    """The files by the machine and pair that their folders are named after, sorted. Opens none of them."""
    return _grouped((file.parts[-3:-1], file) for file in files)


def by_content(files: Iterable[Path]) -> Groups:
    """The files by the machine and pair that their first line says, sorted. Raises StoreError."""
    return _grouped((_owner(file), file) for file in files)


def _grouped(files: Iterable[tuple[tuple[str, ...], Path]]) -> Groups:
    groups: dict[Owner, list[Path]] = {}
    for owner, file in files:
        groups.setdefault((owner[0], owner[-1]), []).append(file)
    return sorted(groups.items())


def _owner(file: Path) -> Owner:
    """Machine and pair of the first line that says them; of a file without one, nobody's."""
    try:
        with file.open("rb") as stream:
            for line in stream:
                try:
                    found = json.loads(line)
                    return str(found["machine"]), str(found["pair"])
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
    except OSError as error:
        raise _unreadable(file, error) from error
    return "", ""


def _unreadable(file: Path, error: OSError) -> StoreError:
    return StoreError(f"{shown(file)}: cannot be read: {error.strerror}; make it readable or leave it out")


class MisplacedError(Exception):
    """A line is of another machine or pair than its file's folder says: group the files by content."""


def read(groups: Groups, *, by_content: bool = True) -> Raw:
    """Every usable line of the groups' files; where they were not grouped by content, or MisplacedError.

    Raises StoreError for a file that cannot be read, and for a line of another schema: its numbers could
    mean something else.
    """
    reading = _Reading(by_content)
    block: list[_Source] = []
    size = 0
    for owner, files in groups:
        for file in files:
            try:
                block.append(_Source(owner, file, file.read_bytes()))
            except OSError as error:
                raise _unreadable(file, error) from error
            size += len(block[-1].content)
            if size >= BLOCK_BYTES:
                reading.add(block)
                block, size = [], 0
    reading.add(block)
    return reading.result()


@dataclass
class _Reading:
    by_content: bool
    measurements: list[pl.DataFrame] = field(default_factory=list)
    agreements: list[pl.DataFrame] = field(default_factory=list)
    sessions: list[Mapping[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    torn: int = 0

    def add(self, block: Sequence[_Source]) -> None:
        """Parse a block at once; where that fails, line by line around what is broken."""
        table = _whole(block)
        if table is None:
            table = pl.concat([self._around_damage(i, source) for i, source in enumerate(block)])
        self._sort_out(table, block)

    def result(self) -> Raw:
        return Raw(
            pl.concat([pl.DataFrame(schema=MEASUREMENT), *self.measurements]),
            pl.concat([pl.DataFrame(schema=AGREEMENT), *self.agreements]),
            tuple(self.sessions),
            self.torn,
            tuple(self.broken),
        )

    def _around_damage(self, index: int, source: _Source) -> pl.DataFrame:
        lines = source.content.rstrip(b"\n").split(b"\n")
        tables = [pl.DataFrame(schema={**_LINE, **_PLACE})]
        deep = deep_lines(source.content)
        self.broken += [f"{shown(source.file)}, line {i + 1}: left out: nested too deep" for i in deep]
        pending = [[i for i, line in enumerate(lines) if line.strip() and i not in deep]]
        while pending:
            numbers = pending.pop()
            table = _parsed(b"\n".join(lines[i] for i in numbers))
            if table is not None and table.height == len(numbers):
                tables.append(_placed(table, np.full(len(numbers), index), np.array(numbers)))
            elif len(numbers) > 1:
                half = len(numbers) // 2
                pending += [numbers[:half], numbers[half:]]
            elif numbers == [len(lines) - 1]:
                self.torn += 1
            elif numbers:
                self.broken.append(f"{shown(source.file)}, line {numbers[0] + 1}: left out: no valid JSON line")
        return pl.concat(tables)

    def _sort_out(self, table: pl.DataFrame, block: Sequence[_Source]) -> None:
        owners = pl.DataFrame([source.owner for source in block], schema=["machine", "pair"], orient="row")
        its = owners.select(pl.all().gather(table["file"]).name.prefix("its_"))
        problem = table.select(_CHECKED).hstack(its).select(_PROBLEM).to_series()
        wrong = problem.is_not_null()
        if wrong.any():
            self._note(table.select("file", "line", "schema", problem.alias("problem")).filter(wrong), block)
            table = table.filter(~wrong)
        self.measurements.append(table.select(list(MEASUREMENT)).filter(table["kind"] == "measurement"))
        self.agreements.append(table.select(list(AGREEMENT)).filter(table["kind"] == "agreement"))
        self._keep_sessions(table.select("file", "line").filter(table["kind"] == "session"), block)

    def _note(self, wrong: pl.DataFrame, block: Sequence[_Source]) -> None:
        for i, line, schema, problem in wrong.iter_rows():
            if problem == _ELSEWHERE and not self.by_content:
                raise MisplacedError
            where = f"{shown(block[i].file)}, line {line + 1}"
            if schema not in (None, SCHEMA):
                raise StoreError(
                    f"{where}: schema {schema}, but this version reads {SCHEMA}; "
                    "merge it with the version that wrote it, or leave the file out"
                )
            self.broken.append(f"{where}: left out: {problem}")

    def _keep_sessions(self, places: pl.DataFrame, block: Sequence[_Source]) -> None:
        for i, line in places.iter_rows():
            session = json.loads(next(islice(io.BytesIO(block[i].content), line, None)))
            if is_session(session):
                self.sessions.append(session)
            else:
                self.broken.append(f"{shown(block[i].file)}, line {line + 1}: left out: no complete session")


_ELSEWHERE = "of another machine or pair than the file's first line"
_PROBLEM = (
    pl.when(pl.col("schema").is_null() | (pl.col("schema") != SCHEMA))
    .then(pl.lit("no schema that this version reads"))
    .when((pl.col("machine") != pl.col("its_machine")) | (pl.col("pair") != pl.col("its_pair")))
    .then(pl.lit(_ELSEWHERE))
    .when(pl.col("kind").is_in(["session", "agreement", "end"]))
    .then(None)
    .when(pl.col("kind").is_null() | (pl.col("kind") != "measurement"))
    .then(pl.lit("neither session, measurement, agreement nor end"))
    .when(
        pl.any_horizontal(pl.col(*_REQUIRED, "round", "arm").is_null())
        | ~pl.col("arm").is_in([0, 1])
        | ~pl.col("path").is_in(["cli", "api"])
        | ((pl.col("status") == "ok") & ~(pl.col("wall_s").is_finite() & (pl.col("wall_s") > 0)).fill_null(False))
    )
    .then(pl.lit("no complete measurement"))
)


def _whole(block: Sequence[_Source]) -> pl.DataFrame | None:
    """The block as one table with the place of each line, or None where something is wrong in it."""
    ended = [c if c.endswith(b"\n") or not c else c + b"\n" for c in (source.content for source in block)]
    counts = np.array([np.count_nonzero(np.frombuffer(content, np.uint8) == _LINE_END) for content in ended], np.int64)
    table = None if any(map(deep_lines, ended)) else _parsed(b"".join(ended))
    if table is None or table.height != counts.sum():
        return None
    first = np.cumsum(counts) - counts
    return _placed(table, np.repeat(np.arange(len(block)), counts), np.arange(table.height) - np.repeat(first, counts))


def _placed(table: pl.DataFrame, file: Any, line: Any) -> pl.DataFrame:
    return table.with_columns(pl.Series("file", file, _PLACE["file"]), pl.Series("line", line, _PLACE["line"]))


def _parsed(lines: bytes) -> pl.DataFrame | None:
    try:
        return pl.read_ndjson(lines, schema=_LINE).rechunk()
    except pl.exceptions.PolarsError:
        return None
