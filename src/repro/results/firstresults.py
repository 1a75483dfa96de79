"""From nothing to the first, the 10th and the 100th result, and from which on the API is ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from repro.results.trials_table import COUNTED

ORDINALS = {"tenth": 10, "hundredth": 100}


def of_rows(trials: pl.DataFrame) -> pl.DataFrame:
    """For each row that measured it: cli_tenth_s and so on, from medians over its trials, and ahead_after."""
    its = trials.filter(COUNTED & (pl.col("measures") == "first-result") & (pl.col("results_s").list.len() > 0))
    found = []
    for (row,), group in its.group_by("row", maintain_order=True):
        cli, api = (medians(group.filter(pl.col("path") == path)["results_s"].to_list()) for path in ("cli", "api"))
        cells = {
            f"{path}_{ordinal}_s": seconds[number - 1] if number <= len(seconds) else None
            for path, seconds in (("cli", cli), ("api", api))
            for ordinal, number in ORDINALS.items()
        }
        further = {"cli_more_s": more_s(cli), "api_more_s": more_s(api)}
        found.append({"row": row, **cells, **further, "ahead_after": ahead_after(cli, api)})
    names = [f"{path}_{what}_s" for path in ("cli", "api") for what in (*ORDINALS, "more")]
    schema = {"row": pl.UInt32(), **dict.fromkeys(names, pl.Float64()), "ahead_after": pl.Int64()}
    return pl.DataFrame(found, schema=schema)


def medians(trials: Sequence[Sequence[float]]) -> list[float]:
    """The median over the trials of the seconds to each result, as far as all of them go."""
    length = min(map(len, trials), default=0)
    return [float(np.median([seconds[n] for seconds in trials])) for n in range(length)]


def more_s(seconds: Sequence[float]) -> float | None:
    """Seconds of each result after the first, on average."""
    return (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else None


def ahead_after(cli: Sequence[float], api: Sequence[float]) -> int | None:
    """The number of results from which on the API needs no more time than the executable; None: none of these."""
    behind = [number for number, (first, second) in enumerate(zip(cli, api, strict=False), 1) if second > first]
    length, number = min(len(cli), len(api)), (behind[-1] if behind else 0) + 1
    return number if number <= length else None
