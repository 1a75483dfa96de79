"""The release timeline: what the posted call cost in each itk-elastix release, and when that changed. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from repro.explain.measured import Measured, Row
from repro.model import is_api_only
from repro.wording import version_key

EXPERIMENT = "versions"
POSTED, TOLD = "posted", "threads"
"""Its conditions: the call as posted, and with SetNumberOfThreads."""
SLOW = 2.0
"""From this factor on a release is called slow: far above the spread of three rounds."""
CHANGED = 1.5
"""Neighbouring releases whose factors differ by this much are named."""


@dataclass(frozen=True, slots=True)
class Release:
    """One itk-elastix release on one machine; empty or None where nothing is known."""

    machine: str
    pair: str
    itk_elastix: str
    itk: str
    elastix: str
    """The elastix inside the wheel, as its elastix.log says it."""
    threader: str
    threads: str
    work_units: str
    posted_s: float | None
    """Median seconds of the call as posted."""
    told_s: float | None
    """Median seconds of the same call with SetNumberOfThreads."""
    cli_s: float | None
    """Median seconds of the pair's executable, where there is one."""
    note: str = ""
    """Why nothing was measured."""

    @property
    def factor(self) -> float | None:
        """How much longer the posted call takes than the one told its threads; the setting decides nothing else."""
        return self.posted_s / self.told_s if self.posted_s and self.told_s else None


def releases(measured: Measured) -> list[Release]:
    """Every release that was measured or could not be had, by machine and version; a pair before an API-only entry."""
    found: dict[tuple[str, str], Release] = {}
    for (machine, pair), rows in sorted(measured.rows.items(), key=lambda one: (one[0][0], is_api_only(one[0][1]))):
        posted, told = (rows.get((EXPERIMENT, name)) for name in (POSTED, TOLD))
        absent = rows.get(("", "")) if is_api_only(pair) else None
        if row := posted or told or absent:
            one = _release(machine, pair, row, posted, told)
            found.setdefault((machine, one.itk_elastix), one)
    return sorted(found.values(), key=lambda one: (one.machine, version_key(one.itk_elastix)))


def _release(machine: str, pair: str, row: Row, posted: Row | None, told: Row | None) -> Release:
    return Release(
        machine=machine,
        pair=pair,
        itk_elastix=pair.partition("-")[0],
        itk=row["itk"],
        elastix=row["api_elastix"],
        threader=row["threader"],
        threads=posted["api_threads"] if posted else "",
        work_units=posted["work_units"] if posted else "",
        posted_s=_seconds(posted, "api"),
        told_s=_seconds(told, "api"),
        cli_s=_seconds(told, "cli"),
        note="" if _seconds(posted, "api") else row["note"],
    )


def _seconds(row: Row | None, path: str) -> float | None:
    value = row[f"{path}_median_s"] if row else ""
    return float(value) if value else None


def facts(measured: Measured) -> list[dict[str, Any]]:
    """The timeline as data, one mapping a machine and release."""
    return [{"experiment": EXPERIMENT, **dataclasses.asdict(one), "factor": one.factor} for one in releases(measured)]


def text(measured: Measured) -> Iterator[str]:
    """A table a machine, and below it when the posted call became slow and when fast."""
    found = releases(measured)
    if not any(one.factor for one in found):
        yield f"Not measured: {EXPERIMENT} (`fetch --releases`, then `bench --experiment {EXPERIMENT}`)."
    for machine, its in groupby(found, key=lambda one: one.machine):
        yield from _machine(machine, list(its))


def _machine(machine: str, its: Sequence[Release]) -> Iterator[str]:
    known = [one for one in its if one.factor]
    if not known:
        return
    yield (
        f"On {machine}: seconds of the posted call, told no threads and told them with SetNumberOfThreads. "
        "They are medians; the factor, posted over told, has no interval."
    )
    yield ""
    heads = ("itk-elastix", "ITK", "elastix inside", "threader", "work units")
    yield f"| {' | '.join((*heads, 'as posted (s)', 'told (s)', 'factor', 'executable (s)'))} |"
    yield "|---" * (len(heads) + 4) + "|"
    for one in known:
        cells = (one.itk_elastix, one.itk, one.elastix, one.threader, one.work_units)
        figures = (one.posted_s, one.told_s, one.factor, one.cli_s)
        yield f"| {' | '.join((*cells, *('' if value is None else f'{value:.3g}' for value in figures)))} |"
    yield ""
    yield from (f"{one.itk_elastix} gave no time: {one.note}." for one in its if not one.factor and one.note)
    yield _story(known)
    for older, newer in pairwise(known):
        yield from _change(older, newer)


def _story(known: Sequence[Release]) -> str:
    """When it was slow and when fast, as stretches of releases."""
    stretches = [(slow, list(its)) for slow, its in groupby(known, key=_is_slow)]
    said = []
    for slow, its in stretches:
        first, last = its[0].itk_elastix, its[-1].itk_elastix
        factors = [one.factor for one in its if one.factor]
        span = first if first == last else f"{first} to {last}"
        low, high = (f"{end(factors):.3g}" for end in (min, max))
        reach = low if low == high else f"{low} to {high}"
        said.append(f"{'slow' if slow else 'not slow'} in {span} (factor {reach})")
    begins = f"{known[0].itk_elastix}, the oldest release measured, was already slow; " if stretches[0][0] else ""
    return f"{begins}the posted call is {', then '.join(said)}. Slow: a factor of {SLOW:g} or more."


def _is_slow(one: Release) -> bool:
    return one.factor is not None and one.factor >= SLOW


def _change(older: Release, newer: Release) -> Iterator[str]:
    assert older.factor
    assert newer.factor
    change = newer.factor / older.factor
    if max(change, 1 / change) >= CHANGED:
        words = "rose" if change > 1 else "fell"
        yield (
            f"From {older.itk_elastix} (ITK {older.itk}) to {newer.itk_elastix} (ITK {newer.itk}) the factor {words} "
            f"from {older.factor:.3g} to {newer.factor:.3g}{_besides(older, newer)}."
        )


def _besides(older: Release, newer: Release) -> str:
    """What of the settings in effect changed with it: the release's own code is not all that differs."""
    names = {"threader": "threader", "work_units": "work units", "elastix": "elastix inside"}
    changes = [
        f"{words} {getattr(older, name)} became {getattr(newer, name)}"
        for name, words in names.items()
        if getattr(older, name) != getattr(newer, name)
    ]
    return f"; {', '.join(changes)}" if changes else "; threader, work units and elastix's own version stayed"
