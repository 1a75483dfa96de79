"""The tables of a results folder: written by merge, read by explain, report and terminal.

comparison.csv, trials.csv and builds.csv have the columns of columns.py; sessions.jsonl has the session lines as they
were measured (machines, commands, versions).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from repro import stats
from repro.errors import StoreError
from repro.files import adapter, problem, write_text
from repro.model import SessionLine, Side, read_line, write_line
from repro.paths import shown
from repro.results.columns import BuildRow, Row, TrialRow
from repro.stats import Blocks
from repro.text import command

COMPARISON_CSV, TRIALS_CSV, BUILDS_CSV, SESSIONS = "comparison.csv", "trials.csv", "builds.csv", "sessions.jsonl"
Place = tuple[str, str, str, str]
"""Machine, comparison, experiment, condition."""
T = TypeVar("T", Row, TrialRow, BuildRow)
_GUARDED = re.compile(r"^(?:[\t\r\x00']|\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20])")
"""A text that a spreadsheet could run as a formula, or that starts as a guarded one does. The last four are full-width
forms of the others."""
_LONGEST = 32_000
"""Characters of a cell: more than that no spreadsheet reads."""


@dataclass(frozen=True)
class Tables:
    """All that was found, sorted: of rows with the same names the one that was measured last stands last."""

    rows: list[Row]
    trials: list[TrialRow] = field(default_factory=list)
    builds: list[BuildRow] = field(default_factory=list)
    sessions: list[SessionLine] = field(default_factory=list)


def write(tables: Tables, out: Path) -> None:
    """Write the tables into the folder, each file whole or not at all. Raises StoreError."""
    write_text(out / TRIALS_CSV, _csv(TrialRow, tables.trials))
    write_text(out / BUILDS_CSV, _csv(BuildRow, tables.builds))
    write_text(out / SESSIONS, "".join(f"{write_line(session)}\n" for session in tables.sessions))
    write_text(out / COMPARISON_CSV, _csv(Row, tables.rows, digits=6))


def read(out: Path) -> Tables:
    """The tables of the folder. Raises StoreError where one is missing or is not ours."""
    return Tables(
        _read(out / COMPARISON_CSV, Row),
        _read(out / TRIALS_CSV, TrialRow),
        _read(out / BUILDS_CSV, BuildRow),
        _sessions(out / SESSIONS),
    )


def blocks_of(trials: Iterable[TrialRow]) -> Mapping[Place, Blocks]:
    """Block, numbered in the order of measuring, to log ratios of its rounds; of the key that was measured last."""
    lives: dict[tuple[Place, str], dict[tuple[str, int], list[TrialRow]]] = {}
    for trial in trials:
        if trial.whole:
            place = trial.machine, trial.comparison, trial.experiment, trial.condition
            lives.setdefault((place, trial.key), {}).setdefault((trial.life, trial.block), []).append(trial)
    blocks = {which: sorted(its.values(), key=_start) for which, its in lives.items()}
    by_time = sorted(blocks, key=lambda which: (_start(blocks[which][0]), which))
    return {which[0]: dict(enumerate(map(_log_ratios, blocks[which]), 1)) for which in by_time}


def _start(trials: Iterable[TrialRow]) -> str:
    return min(trial.started_utc or "" for trial in trials)


def _log_ratios(trials: Iterable[TrialRow]) -> list[float]:
    rounds: dict[int, dict[Side, float]] = {}
    for trial in trials:
        if trial.status == "ok" and trial.phase == "measure" and trial.wall_s:
            rounds.setdefault(trial.round, {})[trial.side] = trial.wall_s
    found = (stats.round_log_ratio(seconds) for _, seconds in sorted(rounds.items()))
    return [one for one in found if one is not None]


# ---- CSV


def _csv(kind: type, rows: Sequence[Any], digits: int | None = None) -> str:
    """The rows as text, numbers in full or to so many digits; what is not known or no number is empty."""
    names = [one.name for one in dataclasses.fields(kind)]
    cells = operator.attrgetter(*names)
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(names)

    def number(value: float) -> float | str | None:
        if not math.isfinite(value):
            return None
        return f"{value:.{digits}g}" if digits else value

    # By exact type: this runs for each cell of a hundred thousand lines. What is neither (None, int, an enum) is csv's.
    cell: dict[type, Callable[[Any], Any]] = {str: _text, bool: lambda one: "yes" if one else "no", float: number}
    out.writerows([cell[type(one)](one) if type(one) in cell else one for one in cells(row)] for row in rows)
    return text.getvalue()


@lru_cache(maxsize=1 << 12)
def _text(value: str) -> str:
    """A text in which nothing acts as a formula and that stays on its line."""
    value = re.sub(r"\s*[\r\n]+\s*", " | ", value.strip("\r\n")).encode("utf-8", "replace").decode()[:_LONGEST]
    return f"'{value}" if _GUARDED.match(value) else value


def _read(file: Path, kind: type[T]) -> list[T]:
    from pydantic import ValidationError

    try:
        with file.open(encoding="utf-8", newline="") as stream:
            cells = [
                {name: text.removeprefix("'") for name, text in row.items() if text and name}
                for row in csv.DictReader(stream)
            ]
        check = adapter(kind).validate_python
        return [check(row) for row in cells]
    except FileNotFoundError as error:
        raise StoreError(f"{shown(file)} is not there; run `{command('merge')}` first") from error
    except ValidationError as error:
        raise StoreError(
            f"{shown(file)}: row.column {problem(error)}; it is not as `merge` wrote it: run `{command('merge')}` again"
        ) from error
    except (OSError, ValueError, csv.Error, AttributeError) as error:  # AttributeError: more cells than columns
        raise StoreError(f"{shown(file)}: cannot be read: {error}; run `{command('merge')}` again") from error


def _sessions(file: Path) -> list[SessionLine]:
    try:
        lines = [read_line(line) for line in file.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{shown(file)}: cannot be read: {error}; run `{command('merge')}` again") from error
    return [line for line in lines if isinstance(line, SessionLine)]
