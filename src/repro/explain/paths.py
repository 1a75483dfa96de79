"""The ways to register side by side: seconds, first result and memory, for one job, many, and a long-lived program."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repro.explain.advice import AS_GOOD
from repro.explain.measured import Measured, asked
from repro.model import Finding, Subject
from repro.results.columns import Row, TrialRow
from repro.results.tables import Tables

Figures = dict[str, Any]
EXPERIMENT = "paths"
_FIGURES = ("one_s", "first_s", "bytes", "overrides", "many_s", "jobs", "many_bytes", "many_overrides")


class Way(enum.StrEnum):
    """How a user registers, the simplest first."""

    EXECUTABLE = "executable"
    POSTED = "itk-elastix as posted"
    CURED = "itk-elastix cured"
    POOL = "ElastixPool"
    SIMPLEITK = "SimpleITK"


class Use(enum.StrEnum):
    """What for; each is a figure of the finding `way`."""

    ONE = "first_s"
    """One job: from nothing to its result."""
    MANY = "many_s"
    """Many jobs: seconds a registration, side by side."""
    LONG = "one_s"
    """A program that stays: seconds a registration once it is loaded."""


def find(measured: Measured, tables: Tables) -> Iterator[Finding]:
    """`way` for each way that was measured, then `pick` for each use; of the newest pair, on each machine.

    Figures of one use are of the same work; those of many jobs may be of a shorter registration than those of one.
    """
    memory = _memory(tables.trials)
    loads = {(one.machine, one.build): one.first_object_s for one in tables.builds}
    newest: dict[str, tuple[Subject, dict[Way, Figures]]] = {}
    for (machine, pair), rows in measured.pairs():
        its = [row for row in rows if row.base_path == "cli" and row.base_median_s and row.other_median_s]
        found = _one_job([row for row in its if not _is_batch(row)], loads)
        for way, figures in _many_jobs([row for row in its if _is_batch(row)], memory).items():
            found[way] = {**found.get(way, {}), **figures}
        if len(found) > 1:
            newest[machine] = Subject(machine, pair), found
    for about, ways in newest.values():
        for way in Way:
            if way in ways:
                yield Finding("way", about, {"way": way, **dict.fromkeys(_FIGURES), **ways[way]})
        for use in Use:
            known = {way: figure for way in Way if (figure := ways.get(way, {}).get(use) or 0.0) > 0}
            if len(known) > 1:
                least = min(known.values())
                picked = next(way for way, figure in known.items() if figure <= least * AS_GOOD)
                figures = {"use": use.name.lower(), "way": picked, "seconds": known[picked]}
                yield Finding("pick", about, figures)


def _one_job(rows: Sequence[Row], loads: Mapping[tuple[str, str], float | None]) -> dict[Way, Figures]:
    """One registration after another: of the experiment that has the most ways with the same threads seen.

    The worker that measures loads by the names of the wheels' files, as the pool does; a program of a user's takes what
    `inspect` found.
    """
    by_group: dict[tuple[object, ...], dict[Way, Figures]] = defaultdict(dict)
    for row in sorted(rows, key=lambda one: asked(one.other_asked).by != "method"):
        found, way = by_group[row.experiment, row.machine_threads, *_work(row)], _way(row)
        if way is None or asked(row.base_asked).threads == "default":
            continue
        base_s, other_s = row.base_median_s, row.other_median_s or 0.0
        base = {"one_s": base_s, "first_s": base_s, "bytes": row.base_peak_bytes, "overrides": row.overrides}
        found.setdefault(Way.EXECUTABLE, base)
        load = row.other_load_s if way is Way.POOL else loads.get((row.machine, row.other or ""))
        first = None if load is None else load + other_s
        other = {"one_s": other_s, "first_s": first, "bytes": row.other_peak_bytes, "overrides": row.overrides}
        found.setdefault(way, other)
    most = max(by_group.items(), key=lambda one: (one[0][0] == EXPERIMENT, len(one[1])), default=None)
    return dict(most[1]) if most else {}


def _memory(trials: Sequence[TrialRow]) -> Mapping[tuple[str, ...], int]:
    """Memory of all processes of a batch together, by condition and side."""
    found: dict[tuple[str, ...], int] = {}
    for trial in trials:
        if trial.tree_peak_bytes is not None:
            place = (trial.machine, trial.comparison, trial.experiment, trial.condition, trial.side)
            found[place] = max(trial.tree_peak_bytes, found.get(place, 0))
    return found


def _many_jobs(rows: Sequence[Row], memory: Mapping[tuple[str, ...], int]) -> dict[Way, Figures]:
    """Several at a time: of each way the number of jobs with the fewest seconds a registration."""
    most = Counter(map(_work, rows)).most_common(1)
    found: dict[Way, Figures] = {}
    for row in rows:
        if _work(row) != most[0][0]:
            continue
        arms = ("base", Way.EXECUTABLE, row.base_median_s), ("other", _way(row), row.other_median_s)
        for side, way, wall in arms:
            each = (wall or 0.0) / (row.registrations or row.jobs or 1)
            if way and (way not in found or each < found[way]["many_s"]):
                used = memory.get((row.machine, row.comparison, row.experiment, row.condition, side))
                found[way] = {"many_s": each, "jobs": row.jobs, "many_bytes": used, "many_overrides": row.overrides}
    return found


def _work(row: Row) -> tuple[str | None, str | None, str | None]:
    """What a registration of the row has to do."""
    return row.transform, row.size_px, row.overrides


def _is_batch(row: Row) -> bool:
    """Whether a trial is more than one registration."""
    return bool(row.strategy) and (row.jobs, row.registrations) != (1, 1)


def _way(row: Row) -> Way | None:
    settings = asked(row.other_asked)
    if row.other_path == "sitk":
        return Way.SIMPLEITK
    if row.other_path != "api":
        return None
    if row.strategy:
        return {"pool": Way.POOL, "threads": Way.CURED}.get(row.strategy)
    if settings.threader:
        return None
    return Way.CURED if settings.by == "method" and settings.threads != "default" else Way.POSTED
