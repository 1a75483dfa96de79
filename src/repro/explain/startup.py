"""What comes before the first result, in words: loading, and where the lines of two strategies cross."""

from __future__ import annotations

import math
from collections.abc import Iterator

from repro.explain.ladder import quotient
from repro.explain.measured import Measured, Place, Row, said

LOADING, POSTED, FIRST = "loading", "posted", "first-result"
_NAMES = {
    "interpreters": "a fresh interpreter for each",
    "worker": "one warm worker that loads as posted",
    "recipe": "the recipe's pool",
}


def loading(measured: Measured, place: Place) -> Iterator[str]:
    """A table of the ways to load, each against the executable's start and against the posted way."""
    rounds = measured.rounds.get(place, {}).get(LOADING, {})
    rows = {name: row for (experiment, name), row in measured.rows[place].items() if experiment == LOADING}
    if not rounds:
        return
    yield "### `loading`: what a process costs before it can register"
    yield ""
    yield "| way | API (s) | executable's start (s) | how many times the posted way takes as long |"
    yield "|---|---|---|---|"
    for name, logs in rounds.items():
        row = rows[name]
        floor = measured.floor(place, LOADING, name)
        over = said(quotient(rounds[POSTED], logs, floor)) if POSTED in rounds and name != POSTED else ""
        yield f"| {name} | {_seconds(row, 'api_median_s')} | {_seconds(row, 'cli_median_s')} | {over} |"
    yield ""


def first_result(measured: Measured, place: Place) -> Iterator[str]:
    """For each strategy the seconds to the 1st, 10th and 100th result, and from which on it is ahead."""
    rows = [row for (experiment, _), row in measured.rows[place].items() if experiment == FIRST and row["api_more_s"]]
    if not rows:
        return
    yield "### `first-result`: from nothing to the first, the 10th and the 100th result"
    yield ""
    yield "| strategy | jobs at a time | path | 1st (s) | 10th (s) | 100th (s) | each further (s) |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        for path, name in (("cli", "executables"), ("api", _NAMES.get(row["strategy"], row["strategy"]))):
            cells = (*(_to(row, path, number) for number in (1, 10, 100)), _seconds(row, f"{path}_more_s"))
            yield f"| {row['condition']} | {row['jobs']} | {name} | {' | '.join(cells)} |"
    yield ""
    yield "~ is no measurement but the last measured result and as many further ones as it takes."
    yield ""
    yield from (f"* {row['condition']}: {crossing(row)}" for row in rows)
    yield ""


def crossing(row: Row) -> str:
    """From which result on the API is ahead of the executable, measured or extrapolated."""
    if row["ahead_after"]:
        return f"ahead of the executable from result {row['ahead_after']} on, measured."
    cli_more, api_more = float(row["cli_more_s"]), float(row["api_more_s"])
    if api_more >= cli_more:
        return "never ahead of the executable: each further result takes it no less time."
    number = 1 + math.ceil((float(row["api_first_s"]) - float(row["cli_first_s"])) / (cli_more - api_more))
    return (
        f"ahead of the executable from result {number} on, extrapolated from {row['registrations']} measured: "
        f"it is {float(row['api_first_s']) - float(row['cli_first_s']):.2g} s behind at the first and gains "
        f"{cli_more - api_more:.2g} s with each further one."
    )


def _to(row: Row, path: str, number: int) -> str:
    """Seconds to this result; with a mark where they were not measured."""
    measured = row[{1: f"{path}_first_s", 10: f"{path}_tenth_s", 100: f"{path}_hundredth_s"}[number]]
    if measured:
        return f"{float(measured):.3g}"
    return f"~{float(row[f'{path}_first_s']) + (number - 1) * float(row[f'{path}_more_s']):.3g}"


def _seconds(row: Row, column: str) -> str:
    return f"{float(row[column]):.3g}" if row[column] else "unknown"
