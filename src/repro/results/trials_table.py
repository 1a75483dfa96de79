"""One row a measurement: what belongs together, in which order, and how it reads in trials.csv."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from repro.model import digest
from repro.results.columns import TRIALS
from repro.results.rawfiles import LOAD_PARTS, Raw
from repro.stats import OUTLIER_Z, by_length, robust_z

PLACE = ("machine", "pair", "session", "experiment", "condition")
ROW = (
    *("machine", "pair", "experiment", "condition"),
    *("fixed_sha256", "moving_sha256", "params_sha256", "lock", "setup"),
)
"""Measurements that agree in these make one row of the comparison: ratios never mix inputs, locks, or two
settings of a condition that were given the same name."""
COUNTED = (pl.col("phase") == "measure") & (pl.col("status") == "ok")
"""The trials that times and ratios are made of."""
WARMUP = (pl.col("phase") == "warmup") & (pl.col("status") == "ok")
_PHASES = ["start", "warmup", "measure"]


@dataclass(frozen=True)
class Setup:
    """What a session says of one condition."""

    lock: str
    condition: Mapping[str, Any]
    rounds: int | None
    """Rounds asked for; bench may stop from 10 on."""

    @cached_property
    def digest(self) -> str:
        """Tells settings of the same name apart; empty where they are unknown."""
        return digest(self.condition) if self.condition else ""


def setups(sessions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], Setup]:
    """The setup of every condition of every session, by the columns of PLACE."""
    found: dict[tuple[str, ...], Setup] = {}
    for session in sorted(sessions, key=lambda session: json.dumps(session, sort_keys=True)):
        experiment = session.get("experiment", {})
        for name, condition in experiment.get("conditions", {}).items():
            rounds = _asked(session) or experiment.get("own_rounds", {}).get(name, experiment.get("rounds"))
            place = (session.get("machine"), session.get("pair"), session.get("session"), experiment.get("name"), name)
            setup = Setup(str(session.get("lock") or ""), condition, rounds if isinstance(rounds, int) else None)
            found.setdefault(tuple(map(str, place)), setup)
    return found


def _asked(session: Mapping[str, Any]) -> int | None:
    """The rounds that the session's command asked for: older lines tell them nowhere else."""
    command = session.get("command")
    words = " ".join(map(str, command)) if isinstance(command, list) else ""
    found = re.findall(r"(?:^| )--(?:rounds|runs)[ =](\d{1,6})(?= |$)", words)
    return int(found[-1]) if found else None


def tidy(raw: Raw, known: Mapping[tuple[str, ...], Setup]) -> pl.DataFrame:
    """The measurements sorted, each key once, with `row`, the number of the row they belong to.

    Of a key that is there twice the first good measurement stays, as `bench` does it; where none is good, the
    first. Columns added: lock and setup of ROW, row, robust_z (of log seconds within an arm of a row).
    """
    table = raw.measurements.with_columns(pl.col("fixed_sha256", "moving_sha256", "params_sha256").fill_null(""))
    if table.select("machine", "key").is_duplicated().any():
        order = ("machine", "key", pl.col("status") != "ok", "started_utc", "session", "wall_s")
        table = table.sort(*order).unique(subset=["machine", "key"], keep="first", maintain_order=True)
    places, place = _runs(table, PLACE)
    told = [known.get(its, Setup("", {}, None)) for its in places]
    table = table.with_columns(
        lock=pl.Series([setup.lock for setup in told], dtype=pl.String)[place],
        setup=pl.Series([setup.digest for setup in told], dtype=pl.String)[place],
    )
    runs, run = _runs(table, ROW)
    numbers = {its: i for i, its in enumerate(sorted(set(runs)))}
    table = table.with_columns(row=pl.Series([numbers[its] for its in runs], dtype=pl.UInt32)[run])
    phase = pl.col("phase").replace_strict(_PHASES, range(len(_PHASES)), default=len(_PHASES))
    table = table.sort("row", phase, "round", "arm", "path", "position", "key")
    return table.with_columns(robust_z=_robust_z(table))


def _runs(table: pl.DataFrame, names: Sequence[str]) -> tuple[list[tuple[str, ...]], NDArray[np.intp]]:
    """Neighbouring lines with the same values: the values of each run, and for each line the run it is in.

    Files are written condition by condition, so that runs are few and long.
    """
    starts = (pl.col(name).ne_missing(pl.col(name).shift()) for name in names)
    its = table.select(*names, starts=pl.any_horizontal(pl.int_range(pl.len()) == 0, *starts))
    return its.filter("starts").drop("starts").rows(), its["starts"].cum_sum().to_numpy().astype(np.intp) - 1


def _robust_z(table: pl.DataFrame) -> pl.Series:
    counted = table.with_row_index("at").filter(COUNTED).select("at", "row", "arm", "wall_s").sort("row", "arm", "at")
    lengths = counted.select(pl.struct("row", "arm").rle().struct.field("len")).to_series().to_numpy()
    logs, scores = np.log(counted["wall_s"].to_numpy()), np.full(table.height, np.nan)
    for _, at in by_length(lengths):
        scores[counted["at"].to_numpy()[at]] = robust_z(logs[at])
    return pl.Series("robust_z", scores).fill_nan(None)


def as_csv(table: pl.DataFrame) -> pl.DataFrame:
    """The tidy table with the columns of trials.csv."""
    z = pl.col("robust_z")
    parts = [pl.col("load_parts_s").struct.field(part).alias(f"load_{part}_s") for part in LOAD_PARTS]
    return table.with_columns(
        *parts,
        *(numbers_as_text(name) for name in ("results_s", "resolutions_s", "estimation_s", "jobs_s")),
        robust_z=z.round(3),
        per_min=pl.when(pl.col("phase") != "start").then(60 * pl.col("registrations").fill_null(1) / pl.col("wall_s")),
        outlier=pl.when(z.abs() > OUTLIER_Z).then(pl.lit("yes")),
    ).select(column.name for column in TRIALS)


def numbers_as_text(name: str) -> pl.Expr:
    """A list of numbers as one cell, blanks between them; an empty list as an empty cell."""
    text = pl.col(name).cast(pl.List(pl.String)).list.join(" ")
    return pl.when(pl.col(name).list.len() > 0).then(text).alias(name)
