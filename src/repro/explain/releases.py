"""Release by release: since when is the posted call slow, and since when fast."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise

from repro.explain.measured import Measured, is_posted, is_told, version_key
from repro.model import Estimate, Finding, Subject
from repro.results.columns import Row

EXPERIMENT = "releases"
SLOW = 2.0
"""From this factor on a release is called slow: far above the spread of its blocks."""
CHANGED = 1.5
"""Neighbouring releases whose factors differ by this much are named."""


def find(measured: Measured) -> Iterator[Finding]:
    """`release` for each of a machine, oldest first, then `stretch`es of slow and other releases, and `change`s."""
    by_machine: dict[str, list[tuple[Row | None, Row | None]]] = {}
    for place, rows in measured.rows.items():
        its = [row for row in rows.values() if row.experiment == EXPERIMENT and row.other_path == "api"]
        if its:
            posted = next((row for row in its if is_posted(row)), None)
            told = next((row for row in its if is_told(row)), None)
            by_machine.setdefault(place[0], []).append((posted, told))
    for machine, both in by_machine.items():
        found = [one for posted, told in both if (one := _release(measured, machine, posted, told))]
        found.sort(key=lambda one: version_key(str(one.figures["version"])))
        yield from found
        known = [one for one in found if _factor(one)]
        for n, (slow, group) in enumerate(groupby(known, key=lambda one: _factor(one) >= SLOW)):
            stretch = list(group)
            factors = [_factor(one) for one in stretch]
            ends = {"first": stretch[0].figures["version"], "last": stretch[-1].figures["version"]}
            reach = {"low": min(factors), "high": max(factors)}
            oldest = "yes" if n == 0 else "no"
            yield Finding(
                "stretch", Subject(machine), {"slow": "yes" if slow else "no", "oldest": oldest, **ends, **reach}
            )
        for older, newer in pairwise(known):
            change = _factor(newer) / _factor(older)
            if max(change, 1 / change) >= CHANGED:
                names = ("version", "factor", "units", "threader")
                before = {f"{name}_before": older.figures[name] for name in names}
                yield Finding("change", Subject(machine), {**before, **{name: newer.figures[name] for name in names}})


def _release(measured: Measured, machine: str, posted: Row | None, told: Row | None) -> Finding | None:
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
    return Finding("release", Subject(machine, row.comparison, EXPERIMENT), figures)


def _factor(release: Finding) -> float:
    factor = release.figures["factor"]
    return factor.value if isinstance(factor, Estimate) else 0.0
