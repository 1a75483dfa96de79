"""The ladder of causes: from the posted condition on, what each change of a setting does to the ratio.

What differs between two conditions is read from what their arms were asked for, so that this holds for ladders of the
user's own, too. A step's factor is the quotient of two ratios that were measured in different rounds (stats.quotient).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from repro.explain.measured import BINS, Measured, asked, is_posted, is_single, overrides, subject
from repro.model import Estimate, Finding, Subject, Verdict
from repro.results.columns import Row

PREFIX = "causes"
COMPLETES = {"causes-orders": "causes"}
"""Experiment -> the one whose ladder its conditions complete."""
SETTINGS = frozenset({"threads", "pool", "platform", "tbb"})
"""Changes that a user of the API can make and that leave the registration as it is."""
_ORDER = ("threads", "pool", "platform", "tbb", "units", "bins")
MOST_PLACES = 12
"""Machines times pairs whose steps are taken: each takes a tenth of a second of resampling."""

Rungs = Mapping[frozenset[str], Row]
"""Set of changes against the posted condition -> its row; the empty set is the posted condition."""


def find(measured: Measured) -> Iterator[Finding]:
    """`ladder`, then its `rung`s, `step`s, `end`s and `interaction`s, by machine, pair and experiment."""
    steps_left = MOST_PLACES
    for (machine, pair), rows in measured.pairs():
        for experiment in dict.fromkeys(_ladder_of(row) for row in rows):
            rungs = rungs_of(rows, experiment)
            if not experiment.startswith(PREFIX) or len(rungs) < 2:
                continue
            about = Subject(machine, pair, experiment)
            whole = _whole(rows, rungs[frozenset()])
            cure = best(rungs)
            yield Finding(
                "ladder",
                about,
                {
                    "threads": whole.machine_threads,
                    "posted": whole.estimate,
                    "posted_verdict": whole.verdict,
                    "cure": name(cure[0]) if cure else None,
                    "cured": cure[1].estimate if cure else None,
                    "cured_verdict": cure[1].verdict if cure else None,
                },
            )
            for changes, row in rungs.items():
                figures = {"changes": name(changes), "ratio": row.estimate, "verdict": row.verdict}
                yield Finding("rung", subject(row), figures)
            if steps_left > 0:
                steps_left -= 1
                yield from _steps(measured, about, rungs, whole)


def rungs_of(rows: Iterable[Row], experiment: str) -> Rungs:
    """The conditions of a ladder by their changes, fewest first; empty without the posted condition."""
    its = [row for row in rows if is_single(row) and _ladder_of(row) == experiment]
    top = next((row for row in its if is_posted(row) and BINS not in overrides(row)), None)
    if top is None:
        return {}
    found = {_changes(top, row): row for row in reversed(its) if row.machine_threads == top.machine_threads}
    return dict(sorted({**found, frozenset(): top}.items(), key=lambda one: (len(one[0]), name(one[0]))))


def _ladder_of(row: Row) -> str:
    return COMPLETES.get(row.experiment, row.experiment)


def _changes(top: Row, row: Row) -> frozenset[str]:
    """What the row is asked for beyond the posted condition."""
    other, found = asked(row.other_asked), set()
    if other.by == "method" and other.threads != "default":
        found.add("threads")
    if other.threader:
        found.add(other.threader.lower())
    if row.base_asked != top.base_asked:
        found.add("units")
    before, after = overrides(top), overrides(row)
    found |= {
        "bins" if key == BINS else key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
    return frozenset(found)


def name(changes: frozenset[str]) -> str:
    """`threads+pool`, settings first; the posted condition is the empty string."""
    return "+".join(sorted(changes, key=lambda one: (_ORDER.index(one) if one in _ORDER else len(_ORDER), one)))


def best(rungs: Rungs) -> tuple[frozenset[str], Row] | None:
    """The fewest settings of the API after which it is no slower, or else those with the smallest ratio."""
    settings = [(changes, row) for changes, row in rungs.items() if changes and changes <= SETTINGS]
    enough = [one for one in settings if one[1].verdict in (Verdict.FASTER, Verdict.NO_DIFFERENCE)]
    if enough:
        return min(enough, key=lambda one: (len(one[0]), one[1].ratio or math.inf))
    less = [one for one in settings if (one[1].ratio or math.inf) < (rungs[frozenset()].ratio or 0)]
    return min(less, key=lambda one: one[1].ratio or math.inf, default=None)


def _whole(rows: Iterable[Row], top: Row) -> Row:
    """The posted ratio that is taken apart: that of an experiment of its own where there is one."""
    same = [row for row in rows if row.experiment.startswith("posted") and is_posted(row)]
    work = (top.machine_threads, top.overrides)
    return next((row for row in same if (row.machine_threads, row.overrides) == work), top)


def _steps(measured: Measured, about: Subject, rungs: Rungs, whole: Row) -> Iterator[Finding]:
    by_change: dict[str, list[tuple[str, Estimate]]] = {}
    for before, first in rungs.items():
        for after, second in rungs.items():
            if before < after and len(after - before) == 1:
                factor, verdict = measured.factor(first, second)
                (change,) = after - before
                figures = {"change": change, "before": name(before), "factor": factor, "verdict": verdict}
                yield Finding("step", about, figures)
                if factor and factor.low is not None:
                    by_change.setdefault(change, []).append((name(before), factor))
    for changes in rungs:
        if changes and not any(changes < more for more in rungs):
            yield _end(measured, about, changes, rungs, whole)
    for change, steps in by_change.items():
        least, most = (end(steps, key=lambda one: one[1].value) for end in (min, max))
        if (least[1].high or 0) < (most[1].low or 0):
            ends = {"most_after": most[0], "most": most[1], "least_after": least[0], "least": least[1]}
            yield Finding("interaction", about, {"change": change, **ends})


def _end(measured: Measured, about: Subject, changes: frozenset[str], rungs: Rungs, whole: Row) -> Finding:
    """What changes that nothing was added to make together, in whatever order, and their share of the whole."""
    factor, _ = measured.factor(rungs[frozenset()], rungs[changes])
    slower = whole.verdict is Verdict.SLOWER and (whole.ratio or 0) > 1

    def share(end: float | None) -> float | None:
        return math.log(end) / math.log(whole.ratio or math.e) if end is not None and slower else None

    return Finding(
        "end",
        about,
        {
            "changes": name(changes),
            "factor": factor,
            "share": share(factor.value) if factor else None,
            "share_low": share(factor.low) if factor else None,
            "share_high": share(factor.high) if factor else None,
            "left": rungs[changes].estimate,
            "left_verdict": rungs[changes].verdict,
        },
    )
