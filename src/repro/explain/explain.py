"""The causes in words and figures: what was measured, what it says, and what was not measured."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from repro.explain import advice, questions, scalingdata, startup, timeline
from repro.explain.ladder import POSTED, Account, Estimate, Ladder, Step, ladder, quotient
from repro.explain.measured import Measured, Place, said
from repro.model import is_api_only

REMOVES = {
    "threads": "`erm.SetNumberOfThreads(n)`: `NumberOfThreads` in the parameter map is read by nothing",
    "pool": "`ITK_GLOBAL_DEFAULT_THREADER=Pool` in the environment before itk is imported: TBB makes 16 work units "
    "a thread, Pool 4",
    "platform": "`ITK_GLOBAL_DEFAULT_THREADER=Platform` in the same way: it makes one work unit a thread, but starts "
    "its threads anew each time",
    "units": "a control, no remedy: the executable is given `-threads 28`, and with it as many work units as the API",
    "bins": "`(NumberOfHistogramBins 32)` in the parameter file, another registration: every work unit keeps a "
    "joint histogram of bins x bins",
}
LADDERS = {"causes": "where ITK believes to have 28 threads", "causes-own": "at the machine's own threads"}
MORE = {"causes": "causes-orders"}
"""Experiments whose conditions complete a ladder's orders."""
WHOLE = {"causes": ("posted-28", "as-posted"), "causes-own": ("posted", "as-posted")}
"""Where the posted condition of a ladder is measured in rounds of its own."""
ASKS = {
    "posted-28": "does the posted ratio appear here",
    "causes": "what does each setting do",
    "causes-orders": "do the causes act on one another",
    "causes-own": "what does each do at the machine's own threads",
    "work-units": "is the executable as slow with as many work units",
    "transforms": "does it go with the transform or with the bins",
    "scaling": "by what law does it grow",
    "loading": "what does loading cost, and what cuts it",
    "first-result": "from which result on is a process that stays ahead",
}
"""The experiments that the explanation is made of, and what it does not know without them."""


def ladders(measured: Measured, place: Place) -> Iterator[tuple[str, Ladder]]:
    """The ladders that a machine has measured of a pair, by experiment."""
    for experiment in LADDERS:
        rounds = measured.rounds.get(place, {})
        of, condition = WHOLE[experiment]
        whole = rounds.get(of, {}).get(condition, ())
        its = {**rounds.get(MORE.get(experiment, ""), {}), **rounds.get(experiment, {})}
        ratios = {
            name: one
            for name in its
            for owner in (experiment, MORE.get(experiment, ""))
            if (one := measured.ratio(place, owner, name)) and name in rounds.get(owner, {})
        }
        found = ladder(its, whole=whole, floor=measured.floor(place, experiment, POSTED), ratios=ratios)
        if found is not None:
            own = measured.ratio(place, of, condition) if whole else None
            yield experiment, dataclasses.replace(found, whole=own or found.whole)


def text(measured: Measured) -> str:
    """Everything that can be said, as Markdown."""
    parts = ["# Why the API is slower", ""]
    for place in measured.rows:
        if is_api_only(place[1]):
            continue  # these have their own section
        parts += [f"## {place[1]} on {place[0]}", ""]
        if not any(experiment for experiment, _ in measured.rows[place]):
            parts += [f"Not measured: {measured.rows[place]['', '']['note'] or 'the pair cannot be had here'}.", ""]
            continue
        for experiment, found in ladders(measured, place):
            parts += [*_ladder(experiment, found), *_besides(measured, place, experiment, found), ""]
        if law := list(scalingdata.text(measured, place)):
            parts += ["### `scaling`: by what law the time grows", "", *law, ""]
        parts += [*startup.loading(measured, place), *startup.first_result(measured, place)]
        parts += [*_missing(measured, place), ""]
    parts += ["## Pairs against each other", "", *_versions(measured), ""]
    parts += ["## Release by release", "", *timeline.text(measured), ""]
    parts += ["## The four questions of the post", "", *questions.answers(measured)]
    parts += ["", "## What to do", ""]
    for place, rows in measured.rows.items():
        if not is_api_only(place[1]) and any(experiment for experiment, _ in rows):
            parts += [f"{place[1]} on {place[0]}:", "", *advice.text(place[1], rows), ""]
    return "\n".join(parts).rstrip() + "\n"


def facts(measured: Measured) -> list[dict[str, Any]]:
    """The ladders, one mapping a machine, pair and experiment, the laws and the releases, as data."""
    found: list[dict[str, Any]] = []
    for place in measured.rows:
        common = {"machine": place[0], "pair": place[1]}
        found += [{**common, "experiment": name, **dataclasses.asdict(one)} for name, one in ladders(measured, place)]
        found += [
            {**common, "experiment": scalingdata.EXPERIMENT, "path": path, **dataclasses.asdict(law)}
            for path, law in scalingdata.laws(measured, place).items()
        ]
    return found + timeline.facts(measured)


def _ladder(experiment: str, found: Ladder) -> Iterator[str]:
    yield f"### `{experiment}`: {LADDERS[experiment]}"
    yield ""
    yield f"As posted the ratio of the API's time to the executable's is {said(found.posted)}."
    if found.whole != found.posted:
        own = "/".join(WHOLE[experiment])
        shared = ": that is the posted ratio of the shares below" if any(one.share for one in found.accounts) else ""
        yield f"In rounds of its own, `{own}`, it is {said(found.whole)}{shared}."
    if found.fair is not None:
        yield f"With SetNumberOfThreads it is {said(found.fair)}."
    if not found.steps:
        return
    yield ""
    yield "| change | from | to | the ratio falls by a factor of |"
    yield "|---|---|---|---|"
    for step in found.steps:
        yield f"| {step.change} | {step.before} | {step.after} | {said(step.factor)} |"
    yield ""
    for change, steps in found.by_change.items():
        yield f"* {change}: {REMOVES[change]}.{_orders(steps)}"
    yield ""
    for account in found.accounts:
        yield _account(account)


def _besides(measured: Measured, place: Place, experiment: str, found: Ladder) -> Iterator[str]:
    """What a reader has to know of the ratios of a ladder besides their intervals."""
    rows = measured.rows[place]
    files = {rows.get(name, {}).get("params_sha256") for name in ((experiment, POSTED), WHOLE[experiment])} - {None}
    said_so = []
    if len(files) > 1:
        said_so.append(f"The parameter file of `{'/'.join(WHOLE[experiment])}` is another one than the ladder's.")
    if any(one.disagree for one in (found.posted, found.whole, found.fair, *(a.left for a in found.accounts)) if one):
        said_so.append(
            "Where results disagree the two paths did not do the same work: the notes of comparison.csv say how far "
            "apart the results are and what explains it, docs/method.md why."
        )
    yield from ("", " ".join(said_so)) if said_so else ()


def _orders(steps: tuple[Step, ...]) -> str:
    """Whether a change does the same after others: not where two intervals have no value in common."""
    known = [step for step in steps if step.factor.low is not None and step.factor.high is not None]
    least = min(known, key=lambda step: step.factor.value, default=None)
    most = max(known, key=lambda step: step.factor.value, default=None)
    if len(known) < 2 or least is None or most is None:
        return ""
    if (least.factor.high or 0) < (most.factor.low or 0):
        larger, smaller = (f"{said(step.factor)} from {step.before}" for step in (most, least))
        return f" It depends on the order: {larger}, {smaller}."
    return " The order makes no difference that is seen."


def _account(account: Account) -> str:
    """One order: the product of its steps, its share of the whole, and what is left."""
    share = "" if account.share is None else f", {per_cent(account.share)} of the log of the posted ratio"
    changes = ", then ".join(account.changes)
    return f"* {changes}: {said(account.product)} together{share}; left is a ratio of {said(account.left)}."


def per_cent(share: Estimate) -> str:
    """A share with its interval."""
    ends = "" if share.low is None or share.high is None else f" [{share.low:.0%}, {share.high:.0%}]"
    return f"{share.value:.0%}{ends}"


def _missing(measured: Measured, place: Place) -> Iterator[str]:
    """What nothing was said about, because nobody measured it."""
    there = {experiment for experiment, _ in measured.rows[place]}
    absent = {name: asks for name, asks in ASKS.items() if name not in there}
    if absent:
        listed = "; ".join(f"{asks} (`{name}`)" for name, asks in absent.items())
        options = " ".join(f"--experiment {name}" for name in absent)
        yield f"Not measured: {listed}. `bench {place[1]} {options}` does, then `merge`."


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
                    factor = quotient(first, second, measured.floor((machine, newer), experiment, condition))
                    yield (
                        f"* `{experiment}/{condition}` on {machine}: from {older} to {newer}, with the same "
                        f"executable {elastix}, the ratio fell by a factor of {said(factor)}."
                    )
