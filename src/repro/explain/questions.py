"""The four questions of the post, and two that follow from them, answered by what was measured."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import islice

from repro.explain.ladder import MOST_PLACES, Rungs, rungs_of
from repro.explain.measured import MATTERS, Measured, asked, is_posted, is_single, is_told, overrides, subject
from repro.model import Estimate, Finding
from repro.results.columns import Row


class Answer(enum.StrEnum):
    """What a factor says to a question."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    """Its interval reaches both."""
    UNKNOWN = "unknown"
    """It has no interval."""


def find(measured: Measured) -> Iterator[Finding]:
    """`threader`, `same_units`, `memory`, `peaks`, `seen_threads`, `jacobian` and `untold`, by machine and pair."""
    for _, rows in islice(measured.pairs(), MOST_PLACES):
        ladders = {experiment: rungs_of(rows, experiment) for experiment in ("causes", "causes-own")}
        yield from _threader(measured, ladders["causes"])
        yield from _same_units(rows)
        yield from _memory(measured, ladders["causes"])
        yield from _seen_threads(measured, rows, ladders)
        yield from _jacobian(measured, rows)
        yield from _untold(rows)


def answer(factor: Estimate | None) -> Answer:
    """Yes from MATTERS on, no below it, and neither where the interval reaches both."""
    if factor is None or factor.low is None or factor.high is None or factor.interval != "interval":
        return Answer.UNKNOWN
    return Answer.YES if factor.low > MATTERS else Answer.NO if factor.high < MATTERS else Answer.UNCLEAR


def _factor(measured: Measured, kind: str, first: Row, second: Row, **more: str | int | None) -> Finding:
    factor, verdict = measured.factor(first, second)
    return Finding(kind, subject(second), {"answer": answer(factor), "factor": factor, "verdict": verdict, **more})


def _threader(measured: Measured, rungs: Rungs) -> Iterator[Finding]:
    """Does another threader change the ratio, and by more than the number of work units that it makes?"""
    for told in (frozenset[str](), frozenset({"threads"})):
        for threader in ("pool", "platform"):
            first, second = rungs.get(told), rungs.get(told | {threader})
            if first and second:
                units = {"units_before": first.other_work_units, "units": second.other_work_units}
                more = {"threader": threader.capitalize(), "told": "yes" if told else "no", **units}
                yield _factor(measured, "threader", first, second, **more)


def _same_units(rows: Sequence[Row]) -> Iterator[Finding]:
    """Is the executable as slow as the API once its metric has as many work units?"""
    for row in rows:
        units = row.base_work_units
        if row.experiment == "work-units" and is_single(row) and units and units == row.other_work_units:
            yield Finding("same_units", subject(row), {"units": units, "ratio": row.estimate, "verdict": row.verdict})


def _memory(measured: Measured, rungs: Rungs) -> Iterator[Finding]:
    """Does a smaller joint histogram change the ratio? It is less memory and less to add up alike."""
    posted, bins = rungs.get(frozenset()), rungs.get(frozenset({"bins"}))
    if posted and bins:
        asked_for = overrides(bins).get("NumberOfHistogramBins", "")
        yield _factor(measured, "memory", posted, bins, bins=asked_for, units=posted.other_work_units)
    if posted and posted.base_peak_bytes and posted.other_peak_bytes:
        peaks = {"base_bytes": posted.base_peak_bytes, "other_bytes": posted.other_peak_bytes}
        yield Finding("peaks", subject(posted), peaks)


def _seen_threads(measured: Measured, rows: Sequence[Row], ladders: dict[str, Rungs]) -> Iterator[Finding]:
    """Does the ratio depend on how many threads ITK finds, and still once the API is told a number?"""
    for told in (False, True):
        key = frozenset({"threads"}) if told else frozenset[str]()
        many, own = ladders["causes"].get(key), ladders["causes-own"].get(key)
        if not (many and own):
            chosen = [row for row in rows if row.experiment.startswith("posted") and not overrides(row)]
            chosen = [row for row in chosen if (is_told(row) if told else is_posted(row)) and is_single(row)]
            many = next((row for row in chosen if row.machine_threads), None)
            own = next((row for row in chosen if not row.machine_threads), None)
        if many and own and many.overrides == own.overrides:
            found = {"threads": many.machine_threads, "own": own.other_threads}
            yield _factor(measured, "seen_threads", many, own, told="yes" if told else "no", **found)


def _jacobian(measured: Measured, rows: Sequence[Row]) -> Iterator[Finding]:
    """Is an affine transform in the same file not slowed down, and the B-spline still with few bins?"""
    its = {row.condition: row for row in rows if row.experiment == "transforms" and is_single(row)}
    bspline, affine = its.get("bspline"), its.get("affine-128-bins")
    if affine:
        slow = answer(bspline.estimate) if bspline else Answer.UNKNOWN
        without = {Answer.YES: Answer.NO, Answer.NO: Answer.YES if slow is Answer.YES else Answer.UNCLEAR}
        yield Finding(
            "jacobian",
            subject(affine),
            {
                "answer": without.get(one := answer(affine.estimate), one),
                "ratio": affine.estimate,
                "verdict": affine.verdict,
                "bspline": bspline.estimate if bspline else None,
                "bspline_verdict": bspline.verdict if bspline else None,
            },
        )
    for first, second in (("bspline", "bspline-32-bins"), ("affine-128-bins", "affine-32-bins")):
        if first in its and second in its:
            which = first.partition("-")[0]
            bins = overrides(its[second]).get("NumberOfHistogramBins", "")
            yield _factor(measured, "fewer_bins", its[first], its[second], transform=which, bins=bins)


def _untold(rows: Sequence[Row]) -> Iterator[Finding]:
    """The executable without `-threads` against itself with it."""
    for row in rows:
        if (row.base_path, row.other_path) == ("cli", "cli") and row.ratio and not row.strategy:
            told, untold = asked(row.base_asked), asked(row.other_asked)
            if untold.threads == "default" and told.threads != "default":
                seen = row.machine_threads or row.logical_cores
                figures = {"threads": seen, "told": row.base_threads, "ratio": row.estimate, "verdict": row.verdict}
                yield Finding("untold", subject(row), figures)
