"""The four questions of the post, answered from measurements that could have said the opposite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repro.ladder import Estimate, quotient
from repro.measured import Measured, Place, said

Logs = Sequence[float]
MATTERS = 1.1
"""A factor below this is no cause worth a sentence."""
_HISTOGRAM_BYTES = 8
"""A bin of the joint histogram is a double."""


def answers(measured: Measured) -> Iterator[str]:
    """One paragraph a question, with a line for each machine and pair that measured something."""
    for question, expectation, answer in (
        ("Is it the thread pool?", "Then another threader changes the ratio.", _threader),
        ("Is it memory or the cache?", "Then a smaller joint histogram changes the ratio.", _memory),
        (
            "Is it the global default of threads?",
            "Then the ratio depends on how many threads ITK finds, and no more once it is told a number.",
            _default,
        ),
        (
            "Is it the B-spline's Jacobian?",
            "Then an affine transform in the same file is not slowed down, and the B-spline is with few bins, too.",
            _jacobian,
        ),
    ):
        lines = [
            f"* {place[1]} on {place[0]}: {said_so}" for place in measured.rows for said_so in answer(measured, place)
        ]
        yield f"**{question}** {expectation}"
        yield ""
        yield from lines or ["Not measured yet."]
        yield ""


def _verdict(factor: Estimate, yes: str, no: str) -> str:
    """What a factor says: yes from `MATTERS` on, no below it, and neither where its interval reaches both."""
    if factor.low is None or factor.high is None:
        return "Not known yet"
    return yes if factor.low > MATTERS else no if factor.high < MATTERS else "Not clear"


def _threader(measured: Measured, place: Place) -> Iterator[str]:
    posted, floor = _logs(measured, place, "causes", "posted"), measured.floor(place, "causes", "posted")
    for experiment, name in (("causes", "pool"), ("causes-orders", "platform")):
        other = _logs(measured, place, experiment, name)
        if posted and other:
            rows = (("causes", "posted"), (experiment, name))
            units = [_cell(measured, place, *row, "work_units") for row in rows]
            factor = quotient(posted, other, floor)
            yield (
                f"{_verdict(factor, 'Yes', 'No')}. {name.capitalize()} instead of the default threader divides the "
                f"ratio by {said(factor)} ({units[0]} work units become {units[1]})."
            )
    told, both = _logs(measured, place, "causes", "threads"), _logs(measured, place, "causes-orders", "threads+pool")
    if told and both:
        factor = quotient(told, both, floor)
        only = _verdict(factor, "But not by its work units alone", "But only by the work units that it makes")
        yield f"{only}: told its threads, Pool divides the ratio by {said(factor)}."


def _memory(measured: Measured, place: Place) -> Iterator[str]:
    posted, bins = _logs(measured, place, "causes", "posted"), _logs(measured, place, "causes", "bins")
    if posted and bins:
        units = _cell(measured, place, "causes", "posted", "work_units")
        megabytes = [int(units) * count**2 * _HISTOGRAM_BYTES / 1e6 for count in (128, 32)] if units else None
        size = f", {megabytes[0]:.1f} MB of histograms become {megabytes[1]:.1f} MB" if megabytes else ""
        factor = quotient(posted, bins, measured.floor(place, "causes", "bins"))
        yield (
            f"{_verdict(factor, 'Yes, that of the histograms', 'No')}. 32 bins instead of 128{size}: the ratio is "
            f"divided by {said(factor)}."
        )
    peaks = [_cell(measured, place, "causes", "posted", f"{path}_peak_bytes") for path in ("cli", "api")]
    if all(peaks):
        cli, api = (int(peak) / 2**20 for peak in peaks)
        yield f"Peak memory: executable {cli:.0f} MiB, API {api:.0f} MiB (the loaded itk modules included)."


def _default(measured: Measured, place: Place) -> Iterator[str]:
    experiments = ("causes", "causes-own")
    for condition in ("posted", "threads"):
        many, own = (_logs(measured, place, experiment, condition) for experiment in experiments)
        if many and own:
            found = [_cell(measured, place, experiment, "posted", "api_threads") for experiment in experiments]
            factor = quotient(many, own, measured.floor(place, "causes", condition))
            yes, no = ("Yes", "No") if condition == "posted" else ("But not that alone", "And that alone")
            told = "as posted" if condition == "posted" else "told its threads by SetNumberOfThreads"
            yield (
                f"{_verdict(factor, yes, no)}. With {found[0]} threads found instead of {found[1]}, {told}, the "
                f"ratio is multiplied by {said(factor)}."
            )


def _jacobian(measured: Measured, place: Place) -> Iterator[str]:
    if ratio := measured.ratio(place, "transforms", "affine-128-bins"):
        yield (
            f"{_verdict(ratio, 'No, it is slow without it', 'Yes, without it nothing is slow')}. The posted file with "
            f"an affine transform instead, its 128 bins kept: a ratio of {said(ratio)}."
        )
    for first, second, words in (
        ("bspline", "affine-128-bins", "With 128 bins the B-spline's ratio over the affine transform's is {}."),
        ("bspline", "bspline-32-bins", "32 bins instead of 128 divide the B-spline's ratio by {}."),
        ("affine-128-bins", "affine-32-bins", "32 bins instead of 128 divide the affine transform's ratio by {}."),
    ):
        logs = [_logs(measured, place, "transforms", condition) for condition in (first, second)]
        if all(logs):
            floor = measured.floor(place, "transforms", first)
            yield words.format(said(quotient(logs[0], logs[1], floor)))


def _logs(measured: Measured, place: Place, experiment: str, condition: str) -> Logs:
    return measured.rounds.get(place, {}).get(experiment, {}).get(condition, ())


def _cell(measured: Measured, place: Place, experiment: str, condition: str, column: str) -> str:
    return measured.rows.get(place, {}).get((experiment, condition), {}).get(column, "")
