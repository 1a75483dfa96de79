"""One row a machine, pair, experiment and condition: from tidy trials to comparison.csv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from repro.results import firstresults, ratios
from repro.results.columns import COMPARISON
from repro.results.flags import SAID, floors, judged
from repro.results.rawfiles import Raw
from repro.results.trials_table import COUNTED, PLACE, ROW, Setup, numbers_as_text
from repro.system.load import DISTURBED_CORES

KINDS = {"text": pl.String(), "list": pl.String(), "whole": pl.Int64(), "number": pl.Float64()}
SCHEMA = {column.name: KINDS[column.kind] for column in COMPARISON}
_SAID_BY_BOTH = ("transform", "strategy", "measures", "jobs", "registrations", "machine_threads")
"""What should be the same in the trials of both paths."""
_REGISTRATIONS, _REGISTERS = (
    pl.col("registrations").fill_null(1),
    pl.col("measures").fill_null("registration") == "registration",
)
_MACHINE = ("os", "arch", "cpu", "physical_cores", "logical_cores")
_WHOLE = {name for name, kind in SCHEMA.items() if kind == pl.Int64()}
Machines = dict[tuple[str, str, str], dict[str, Any]]
"""What is known of a machine, by machine, pair and session."""


def rows(trials: pl.DataFrame, raw: Raw, known: Mapping[tuple[str, ...], Setup]) -> pl.DataFrame:
    """The rows of the comparison, sorted, with the columns of comparison.csv."""
    rounds = ratios.complete_rounds(trials)
    table = (
        trials.group_by("row", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in ROW),
            *_shared(),
            *(expression for path in ("cli", "api") for expression in _of_path(path)),
        )
        .join(_said(trials), on="row", how="left")
        .join(ratios.of_rows(rounds), on="row", how="left")
        .join(ratios.agreement(rounds, raw.agreements), on="row", how="left")
        .join(ratios.warmup_agreement(trials, raw.agreements), on="row", how="left")
        .join(firstresults.of_rows(trials), on="row", how="left")
        .with_columns(
            pl.col("rounds").fill_null(0), *(numbers_as_text(f"{name}_rounds") for name in ("outlier", "disturbed"))
        )
        .sort("row")
    )
    listed = table.to_dicts()
    machines = _machines(raw.sessions)
    setups = {
        name: known.get(tuple(place))
        for name, *place in trials.unique(subset=["row"], keep="first").select("row", *PLACE).iter_rows()
    }
    floor = floors(listed)
    for row in listed:
        row.update(machines.get((row["machine"], row["pair"], row["first_session"]), {}))
        row.update(judged(row, setups[row["row"]], floor.get((row["machine"], row["pair"], row["lock"]))))
    made = listed + _unavailable(raw.sessions, machines, {(row["machine"], row["pair"]) for row in listed})
    made.sort(key=lambda row: (row["machine"], row["pair"]))
    return pl.from_dicts(made, schema=SCHEMA) if made else pl.DataFrame(schema=SCHEMA)


def _shared() -> Iterable[pl.Expr]:
    """What a row says of its trials on both paths."""
    yield from (pl.col("path").filter(pl.col("arm") == arm).first().alias(f"arm_{arm}") for arm in (0, 1))
    failed = pl.col("status") != "ok"
    yield pl.len().alias("trials")
    yield failed.sum().alias("failed")
    yield (pl.col("status") == "timeout").sum().alias("timeouts")
    yield pl.col("note").filter(failed).first().alias("first_failure")
    yield pl.col("note").filter(~failed & (pl.col("note") != "")).unique().sort().alias("remarks")
    others = pl.sum_horizontal("other_cores", "stolen_cores")
    yield pl.col("round").filter(COUNTED & (others > DISTURBED_CORES)).unique().sort().alias("disturbed_rounds")
    yield pl.col("session").n_unique().alias("sessions")
    yield pl.col("session").sort_by("started_utc", "session").first().alias("first_session")


def _of_path(path: str) -> Iterable[pl.Expr]:
    """What a row says of one path: times over its good trials, what took effect over all of them."""
    its = pl.col("path") == path
    counted = COUNTED & its
    wall = pl.col("wall_s").filter(counted)
    for name, value in {
        "median_s": wall.median(),
        "mad_s": (wall - wall.median()).abs().median(),
        "min_s": wall.min(),
        "peak_bytes": pl.col("peak_bytes").filter(counted).max(),
        "results": pl.col("result_digest").filter(counted).drop_nulls().n_unique(),
        "resolutions_s": _sums("resolutions_s").filter(counted).median(),
        "estimation_s": _sums("estimation_s").filter(counted).median(),
        "cpu_s": ((pl.col("user_s") + pl.col("system_s")) / _REGISTRATIONS).filter(counted).median(),
        "per_min": (60 * _REGISTRATIONS / pl.col("wall_s")).filter(counted & _REGISTERS).median(),
        "job_s": pl.col("jobs_s").list.mean().filter(counted).median(),
        "first_s": pl.col("first_s").filter(counted).median(),
        "tree_peak_bytes": pl.col("tree_peak_bytes").filter(its & (pl.col("status") == "ok")).max(),
        "metric": pl.col("final_metric").filter(counted).median(),
        "load_s": pl.col("load_s").filter(its & (pl.col("status") == "ok")).median(),
        "start_s": pl.col("wall_s").filter(its & (pl.col("status") == "ok") & (pl.col("phase") == "start")).median(),
        "good": counted.sum(),
    }.items():
        yield value.alias(f"{path}_{name}")


def _sums(name: str) -> pl.Expr:
    return pl.when(pl.col(name).list.len() > 0).then(pl.col(name).list.sum())


def _said(trials: pl.DataFrame) -> pl.DataFrame:
    """For each row the different values of what should be the same in all trials, as one text each.

    Columns <path>_said_<name> for the names of SAID, and the names of _SAID_BY_BOTH.
    """
    said = _joined(trials, _SAID_BY_BOTH)
    for path in ("cli", "api"):
        its = _joined(trials.filter(pl.col("path") == path), SAID)
        said = said.join(its.rename({name: f"{path}_said_{name}" for name in SAID}), on="row", how="left")
    return said


def _joined(trials: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """For each row the different values of each of the columns as one text; nearly always there is one."""
    different = trials.select("row", *names).unique()
    ends = different.group_by("row").agg(pl.col(names).min(), pl.col(names).max().name.prefix("last_"))
    alone = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"last_{name}")) for name in names)
    several = different.join(ends.filter(~alone), on="row", how="semi").group_by("row")
    return pl.concat(
        [
            ends.filter(alone).select("row", pl.col(names).cast(pl.String)),
            several.agg(pl.col(names).drop_nulls().unique().sort().cast(pl.String).str.join(" | ")),
        ]
    )


def _machines(sessions: Iterable[Mapping[str, Any]]) -> Machines:
    """What each session says of its machine."""
    found: Machines = {}
    for session in sessions:
        facts = session.get("fingerprint", {})
        place = (str(session.get("machine")), str(session.get("pair")), str(session.get("session")))
        found[place] = {name: _fitting(name, facts.get(name)) for name in _MACHINE}
        found[place]["session_python"] = _fitting("python", session.get("python"))
    return found


def _fitting(name: str, value: object) -> object:
    """The value where it is of its column's kind; a fingerprint's "unknown" is not known."""
    if name in _WHOLE:
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
    return value if isinstance(value, str) and value not in ("", "unknown") else None


def _unavailable(
    sessions: Iterable[Mapping[str, Any]], machines: Machines, measured: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    """One row for each machine and pair that could not be had, with the latest reason."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    unavailable = (session for session in sessions if session.get("status") == "unavailable")
    for session in sorted(unavailable, key=lambda its: (str(its.get("started_utc")), str(its.get("note")))):
        owner = (str(session.get("machine")), str(session.get("pair")))
        if owner not in measured:
            facts = machines[(*owner, str(session.get("session")))]
            found[owner] = {
                **facts,
                **dict(zip(("machine", "pair"), owner, strict=True)),
                "status": "unavailable",
                "note": str(session.get("note") or ""),
            }
    return list(found.values())
