"""The causes in words and figures: what was measured, what it says, and what was not measured."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from repro import questions, startup, timeline
from repro.ladder import FAIR, POSTED, Ladder, ladder, quotient
from repro.measured import Measured, Place, said
from repro.model import is_api_only

REMOVES = {
    "threads": "`erm.SetNumberOfThreads(n)`: `NumberOfThreads` in the parameter map is read by nothing",
    "pool": "`ITK_GLOBAL_DEFAULT_THREADER=Pool` in the environment before itk is imported: TBB makes 16 work units "
    "a thread, Pool 4",
    "bins": "`(NumberOfHistogramBins 32)` in the parameter file, another registration: every work unit keeps a "
    "joint histogram of bins x bins",
}
LADDERS = {"causes": "where ITK believes to have 28 threads", "causes-own": "at the machine's own threads"}
MORE = {"causes": "causes-orders"}
"""Experiments whose conditions complete a ladder's orders."""


def ladders(measured: Measured, place: Place) -> Iterator[tuple[str, Ladder]]:
    """The ladders that a machine has measured of a pair, by experiment."""
    for experiment in LADDERS:
        rounds = measured.rounds.get(place, {})
        found = ladder({**rounds.get(MORE.get(experiment, ""), {}), **rounds.get(experiment, {})})
        if found is not None:
            yield experiment, found


def text(measured: Measured) -> str:
    """Everything that can be said, as Markdown."""
    parts = ["# Why the API is slower", ""]
    for place in measured.rows:
        if is_api_only(place[1]):
            continue  # these have their own section
        parts += [f"## {place[1]} on {place[0]}", ""]
        for experiment, found in ladders(measured, place):
            parts += [*_ladder(experiment, found), ""]
        parts += [*startup.loading(measured, place), *startup.first_result(measured, place)]
        missing = [name for name in LADDERS if name not in measured.rounds.get(place, {})]
        if missing:
            parts += [f"Not measured: {', '.join(missing)} (`bench {place[1]} --experiment {missing[0]}`).", ""]
    parts += ["## Pairs against each other", "", *_versions(measured), ""]
    parts += ["## Release by release", "", *timeline.text(measured), ""]
    parts += ["## The four questions of the post", "", *questions.answers(measured)]
    return "\n".join(parts).rstrip() + "\n"


def facts(measured: Measured) -> list[dict[str, Any]]:
    """The ladders, one mapping a machine, pair and experiment, and the releases, as data."""
    return [
        {"machine": place[0], "pair": place[1], "experiment": experiment, **dataclasses.asdict(found)}
        for place in measured.rows
        for experiment, found in ladders(measured, place)
    ] + timeline.facts(measured)


def _ladder(experiment: str, found: Ladder) -> Iterator[str]:
    yield f"### `{experiment}`: {LADDERS[experiment]}"
    yield ""
    yield f"Posted: {said(found.posted)} times the executable's time."
    if found.fair is not None:
        yield f"With SetNumberOfThreads: {said(found.fair)}."
    yield ""
    yield "| change | from | to | factor | what removes it |"
    yield "|---|---|---|---|---|"
    for step in found.steps:
        yield f"| {step.change} | {step.before} | {step.after} | {said(step.factor)} | {REMOVES[step.change]} |"
    yield ""
    if found.share is not None:
        value, low, high = found.share.value, found.share.low, found.share.high
        interval = "" if low is None or high is None else f" [{low:.0%}, {high:.0%}]"
        yield (
            f"The change from {POSTED} to {FAIR} accounts for {value:.0%}{interval} of the log of the posted ratio; "
            f"{1 - value:.0%} is left unexplained."
        )


def _versions(measured: Measured) -> Iterator[str]:
    """Pairs with the same executable: their ratios differ by their wheels alone."""
    by_elastix: dict[tuple[str, str], list[str]] = defaultdict(list)
    for machine, pair in (place for place in measured.rows if not is_api_only(place[1])):
        by_elastix[machine, pair.partition("-")[2]].append(pair)
    for (machine, elastix), pairs in by_elastix.items():
        for older, newer in pairwise(sorted(pairs)):
            for experiment, condition in (("causes", "posted"), ("posted-28", "as-posted"), ("posted", "as-posted")):
                first = measured.rounds.get((machine, older), {}).get(experiment, {}).get(condition)
                second = measured.rounds.get((machine, newer), {}).get(experiment, {}).get(condition)
                if first and second:
                    factor = quotient(first, second)
                    yield (
                        f"* `{experiment}/{condition}` on {machine}: from {older} to {newer}, with the same "
                        f"executable {elastix}, the ratio fell by a factor of {said(factor)}."
                    )
