"""The ratio of each row of the comparison: its rounds, interval, outliers, drift and agreement."""

from __future__ import annotations

import numpy as np
import polars as pl

from repro import stats
from repro.interval import MIN_ROUNDS
from repro.results.trials_table import COUNTED, WARMUP

_AGREED = ("machine", "pair", "experiment", "condition", "digest_0", "digest_1")


def complete_rounds(trials: pl.DataFrame, which: pl.Expr = COUNTED) -> pl.DataFrame:
    """The rounds of which both arms were measured, sorted by row and round; from the tidy trials.

    Columns: row, round, has_results (there are transforms to compare), and of each arm wall_s, position,
    session and digest, with _0 or _1 behind it. Of an arm with several trials in the round, wall_s is their
    geometric mean and the rest is the first one's; both arms must have as many.
    """
    measured = trials.filter(which).select(
        *("machine", "pair", "experiment", "condition", "row", "round", "arm"),
        (pl.col("measures").fill_null("") != "loading").alias("has_results"),
        *("wall_s", "position", "session", pl.col("result_digest").alias("digest")),
    )
    first, second = (
        measured.filter(pl.col("arm") == arm)
        .group_by("row", "round", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in ("machine", "pair", "experiment", "condition", "has_results")),
            pl.len().alias("trials"),
            pl.col("wall_s").log().mean().exp().alias(f"wall_s_{arm}"),
            *(pl.col(name).first().alias(f"{name}_{arm}") for name in ("position", "session", "digest")),
        )
        for arm in (0, 1)
    )
    return first.join(
        second.drop("machine", "pair", "experiment", "condition", "has_results"), on=["row", "round", "trials"]
    ).sort("row", "round")


def of_rows(rounds: pl.DataFrame) -> pl.DataFrame:
    """From complete rounds, one line a row: the ratio and what is known of it; null where it is not.

    Columns as in comparison.csv, position_seen, and the drift of each arm as drift_0, drift_p_0, drift_1, drift_p_1.
    """
    lengths = rounds.select(pl.col("row").rle().struct.field("len")).to_series().to_numpy()
    rows, n_rows = rounds["row"].unique(maintain_order=True), len(lengths)
    log_0, log_1 = (np.log(rounds[f"wall_s_{arm}"].to_numpy()) for arm in (0, 1))
    second_first = (rounds["position_1"] < rounds["position_0"]).fill_null(False).to_numpy()
    numbers = rounds["round"].to_numpy()
    names = ("ratio", "ratio_low", "ratio_high", "half_width", "position_effect")
    drifts = ("drift", "drift_0", "drift_1")
    found = {name: np.full(n_rows, np.nan) for name in (*names, *drifts, *(f"{name}_p" for name in drifts))}
    outliers: list[tuple[int, int]] = []
    seen = np.zeros(n_rows, dtype=bool)
    for which, at in stats.by_length(lengths):
        logs = (log_1 - log_0)[at]
        effect, its_seen = stats.position_effect(logs, second_first[at])
        even = stats.without_position(logs, second_first[at], effect, its_seen)
        found["ratio"][which] = np.exp(np.median(even, axis=1))
        if at.shape[1] > 1:
            low, high = stats.median_interval(even)
            found["ratio_low"][which], found["ratio_high"][which] = np.exp(low), np.exp(high)
            found["half_width"][which] = (high - low) / 2
        found["position_effect"][which], seen[which] = np.exp(effect), its_seen
        for name, values in zip(drifts, (logs, log_0[at], log_1[at]), strict=True):
            found[name][which], found[f"{name}_p"][which] = stats.drift(values)
        i, j = np.nonzero(np.abs(stats.robust_z(logs)) > stats.OUTLIER_Z)
        outliers += zip(which[i].tolist(), numbers[at[i, j]].tolist(), strict=True)
    flagged = pl.DataFrame(outliers, schema={"at": pl.Int64, "outlier_rounds": pl.Int64}, orient="row")
    flagged = flagged.select(rows.gather(flagged["at"]), "outlier_rounds").group_by("row").agg("outlier_rounds")
    table = pl.DataFrame({"row": rows, "rounds": lengths.astype(np.int64), **found}, nan_to_null=True)
    return table.join(flagged, on="row", how="left", maintain_order="left").with_columns(
        pl.Series("position_seen", seen),
        interval=pl.when(pl.col("rounds") >= MIN_ROUNDS)
        .then(pl.lit("interval"))
        .when(pl.col("rounds") > 1)
        .then(pl.lit("range")),
    )


def agreement(rounds: pl.DataFrame, agreements: pl.DataFrame) -> pl.DataFrame:
    """How far apart the two results of a row are: agreement_px and agreement_mean_px, largest over its rounds.

    `uncompared` counts the rounds whose distance is unknown, `split` those made of two sessions.
    """
    return (
        _apart(rounds, agreements)
        .group_by("row")
        .agg(
            agreement_px=pl.col("max_px").max(),
            agreement_mean_px=pl.col("mean_px").max(),
            uncompared=(pl.col("max_px").is_null() & pl.col("has_results")).sum(),
            split=(pl.col("session_0") != pl.col("session_1")).sum(),
        )
    )


def warmup_agreement(trials: pl.DataFrame, agreements: pl.DataFrame) -> pl.DataFrame:
    """How far apart the two results of each row's warm-up round are: warmup_px, null where it was not compared.

    The warm-up is the first registration of the API's worker, as each of the executable's is of its process.
    """
    rounds = complete_rounds(trials, WARMUP)
    return _apart(rounds, agreements).group_by("row").agg(warmup_px=pl.col("max_px").max())


def _apart(rounds: pl.DataFrame, agreements: pl.DataFrame) -> pl.DataFrame:
    """The rounds with mean_px and max_px, the distances of their two results.

    A comparison of two results holds for every round that gave those two, and a result is at distance 0 from
    itself.
    """
    compared = agreements.with_columns(
        digest_0=pl.col("digests").list.get(0, null_on_oob=True),
        digest_1=pl.col("digests").list.get(1, null_on_oob=True),
    )
    compared = compared.group_by(_AGREED).agg(pl.col("mean_px", "max_px").max())
    same = pl.col("digest_0") == pl.col("digest_1")
    return rounds.join(compared, on=_AGREED, how="left").with_columns(
        pl.when(same & pl.col(name).is_null()).then(0.0).otherwise(name).alias(name) for name in ("mean_px", "max_px")
    )
