"""Release by release: since when is the posted call slow, and since when fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

from repro.explain.measured import Measured, is_posted, is_told, value_of, version_key
from repro.model import Estimate, Finding, Subject
from repro.results.columns import Row

EXPERIMENT = "releases"
SLOW = 2.0
"""From this factor on a release is called slow: far above the spread of its blocks."""
CHANGED = 1.5
"""Neighbouring releases whose factors differ by this much, and whose intervals lie apart, are named."""


def find(measured: Measured) -> Iterator[Finding]:
    """`release` for each of a machine, oldest first, then `stretch`es of slow and other releases, and `change`s."""
    found = [one for rows in measured.rows.values() if (one := _release(measured, rows.values()))]
    found.sort(key=lambda one: (one.subject.machine, version_key(one.figures["version"])))
    for machine, group in groupby(found, key=lambda one: one.subject.machine):
        its = list(group)
        yield from its
        known = [one for one in its if value_of(one, "factor")]
        for n, (slow, alike) in enumerate(groupby(known, key=lambda one: value_of(one, "factor") >= SLOW)):
            stretch = list(alike)
            factors = [value_of(one, "factor") for one in stretch]
            yield Finding(
                "stretch",
                Subject(machine),
                {
                    "slow": "yes" if slow else "no",
                    "oldest": "yes" if n == 0 else "no",
                    "first": stretch[0].figures["version"],
                    "last": stretch[-1].figures["version"],
                    "low": min(factors),
                    "high": max(factors),
                },
            )
        for older, newer in pairwise(known):
            change = value_of(newer, "factor") / value_of(older, "factor")
            if max(change, 1 / change) >= CHANGED and _lie_apart(older.figures["factor"], newer.figures["factor"]):
                names = ("version", "factor", "units", "threader")
                before = {f"{name}_before": older.figures[name] for name in names}
                yield Finding("change", Subject(machine), {**before, **{name: newer.figures[name] for name in names}})


def _lie_apart(one: Estimate, other: Estimate) -> bool:
    """Whether both have an interval, and neither reaches the other."""
    first, second = sorted((one, other), key=lambda its: its.value)
    return first.high is not None and second.low is not None and first.high < second.low


def _release(measured: Measured, rows: Iterable[Row]) -> Finding | None:
    """The posted call in a release, as posted and told its threads; of other comparisons nothing."""
    its = [row for row in rows if row.experiment == EXPERIMENT and row.other_path == "api"]
    posted = next((row for row in its if is_posted(row)), None)
    told = next((row for row in its if is_told(row)), None)
    row = posted or told
    if row is None:
        return None
    factor = measured.factor(posted, told)[0] if posted and told else None
    figures = {
        "version": (row.other or "").partition(":")[2] or "?",
        "posted_s": posted.other_median_s if posted else None,
        "told_s": told.other_median_s if told else None,
        "base_s": told.base_median_s if told else None,
        "factor": factor,
        "threader": row.other_threader,
        "units": posted.other_work_units if posted else None,
    }
    return Finding("release", Subject(row.machine, row.comparison, EXPERIMENT), figures)
