"""What a report is made of: the two CSV files of `merge`, and the session lines that it has kept beside them."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from repro.errors import EXIT_DISAGREE, EXIT_OK, EXIT_TRIAL_FAILED, StoreError
from repro.explain.measured import Place
from repro.layout import shown
from repro.results.columns import COMPARISON, TRIALS, Column
from repro.results.merge import COMPARISON_CSV, SESSIONS, TRIALS_CSV
from repro.wording import version_key

Row = Mapping[str, Any]
"""A row of comparison.csv: text, whole numbers and finite numbers; None where nothing is known."""
ByPlace = Mapping[Place, Mapping[tuple[str, str], Mapping[str, str]]]
_KINDS = {"text": pl.String(), "list": pl.String(), "whole": pl.Int64(), "number": pl.Float64()}
_NAMES = frozenset(("machine", "pair", "experiment", "condition"))
"""Columns that name a row; empty is a name like any other, so that rows can be put in order."""
_FORMULA = r"^'(\s*[=+\-@\t\r\x00\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"
"""What `merge` makes of a text that a spreadsheet could run."""


@dataclass(frozen=True)
class Data:
    """Everything a report says comes from here."""

    rows: tuple[Row, ...]
    trials: pl.DataFrame
    """Columns of trials.csv; lists as text with blanks."""
    sessions: tuple[Mapping[str, Any], ...]
    """Session lines by their start; empty where sessions.ndjson is not there."""

    @cached_property
    def compared(self) -> tuple[Row, ...]:
        """Rows with a ratio of the API to the executable, of registrations."""
        return tuple(
            row
            for row in self.rows
            if row["arms"] == "cli api" and row["ratio"] and row["measures"] in (None, "registration")
        )

    @cached_property
    def single(self) -> tuple[Row, ...]:
        """Rows whose seconds are those of one registration by itself."""
        return tuple(row for row in self.rows if row["measures"] in (None, "registration") and not row["strategy"])

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """Every pair, the oldest versions first."""
        return tuple(sorted({row["pair"] for row in self.rows}, key=version_key))

    @cached_property
    def machines(self) -> tuple[str, ...]:
        """Every machine by name."""
        return tuple(sorted({row["machine"] for row in self.rows}))

    @cached_property
    def as_text(self) -> ByPlace:
        """Every row as comparison.csv has it, those of releases without an executable too."""
        return by_place(self.rows)

    def short(self, machine: str) -> str:
        """`M3`: how plots and narrow columns name a machine; the section on machines has the whole name."""
        return f"M{self.machines.index(machine) + 1}"

    @cached_property
    def conditions(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """What the latest session says of a condition, by experiment and condition, in the order of the files."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for session in self.sessions:
            experiment = _mapping(session.get("experiment"))
            for name, condition in _mapping(experiment.get("conditions")).items():
                found[str(experiment.get("name")), str(name)] = _mapping(condition)
        return found

    @cached_property
    def questions(self) -> Mapping[str, str]:
        """Experiment -> the question that it answers."""
        experiments = [_mapping(session.get("experiment")) for session in self.sessions]
        return {str(one["name"]): str(one.get("question", "")) for one in experiments if "name" in one}

    def fingerprint(self, machine: str) -> Mapping[str, Any]:
        """The machine's latest fingerprint; empty where no session is known."""
        its = [session for session in self.sessions if session.get("machine") == machine]
        return _mapping(its[-1].get("fingerprint")) if its else {}

    @property
    def exit_status(self) -> int:
        """Status of the whole, as `merge` has it: 3 where results disagree, else 1 where trials failed, else 0."""
        statuses = Counter(row["status"] for row in self.rows)
        if statuses["disagree"]:
            return EXIT_DISAGREE
        return EXIT_TRIAL_FAILED if statuses["failed"] or statuses["timeout"] else EXIT_OK


def by_place(rows: Iterable[Row]) -> ByPlace:
    """The rows with their cells as text, by machine and pair, then by experiment and condition: what `measured` has."""
    found: dict[Place, dict[tuple[str, str], dict[str, str]]] = defaultdict(dict)
    for row in rows:
        cells = {name: "" if value is None else str(value) for name, value in row.items()}
        found[row["machine"], row["pair"]][row["experiment"], row["condition"]] = cells
    return found


def read(results: Path) -> Data:
    """Everything below a results folder.

    Raises StoreError where the CSV files are missing or are not those of this version.
    """
    return Data(
        rows=tuple(_table(results / COMPARISON_CSV, COMPARISON).to_dicts()),
        trials=_table(results / TRIALS_CSV, TRIALS),
        sessions=tuple(sorted(_sessions(results / SESSIONS), key=lambda line: str(line.get("started_utc")))),
    )


def _table(file: Path, columns: Iterable[Column]) -> pl.DataFrame:
    """The CSV file with the kinds of its columns; a cell that does not fit its kind is not known."""
    try:
        table = pl.read_csv(file, infer_schema=False, encoding="utf8-lossy")
    except FileNotFoundError as error:
        raise StoreError(f"{shown(file)} is not there; run `python -m repro merge` first") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(f"{shown(file)}: cannot be read: {error}; run `python -m repro merge` again") from error
    if missing := [column.name for column in columns if column.name not in table.columns]:
        raise StoreError(
            f"{shown(file)}: has no column {missing[0]!r}; it is not of this version, run `python -m repro merge` again"
        )
    return table.select(_cell(column) for column in columns)


def _cell(column: Column) -> pl.Expr:
    cell = pl.col(column.name)
    if column.kind == "number":
        number = cell.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(column.name)
    if column.kind == "whole":
        return cell.cast(pl.Int64, strict=False)
    text = cell.str.replace(_FORMULA, "$1")
    return text.fill_null("") if column.name in _NAMES else text


def _sessions(file: Path) -> Iterator[Mapping[str, Any]]:
    """The session lines that `merge` has kept; none where the file is not there."""
    if not file.is_file():
        return
    for line in file.read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            yield _mapping(json.loads(line))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def numbers(cell: str | None) -> tuple[float, ...]:
    """The numbers of a list cell; none where one of them is no finite number."""
    try:
        found = tuple(float(part) for part in (cell or "").split())
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()
