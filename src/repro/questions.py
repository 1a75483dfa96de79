"""The four questions of the post, answered from measurements that could have said the opposite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repro.ladder import quotient
from repro.measured import Measured, Place, said

Logs = Sequence[float]
_HISTOGRAM_BYTES = 8
"""A bin of the joint histogram is a double."""


def answers(measured: Measured) -> Iterator[str]:
    """One paragraph a question, with a line for each machine and pair that measured something."""
    for question, expectation, answer in (
        ("Is it the thread pool?", "Then another threader changes the ratio.", _threader),
        ("Is it memory or the cache?", "Then a smaller joint histogram changes the ratio.", _memory),
        ("Is it the global default of threads?", "Then the ratio depends on how many threads ITK finds.", _default),
        ("Is it the B-spline's Jacobian?", "Then an affine registration is fast whatever its bins.", _jacobian),
    ):
        lines = [
            f"* {place[1]} on {place[0]}: {said_so}" for place in measured.rows for said_so in answer(measured, place)
        ]
        yield f"**{question}** {expectation}"
        yield ""
        yield from lines or ["Not measured yet."]
        yield ""


def _threader(measured: Measured, place: Place) -> Iterator[str]:
    posted = _logs(measured, place, "causes", "posted")
    for experiment, name in (("causes", "pool"), ("causes-orders", "platform")):
        other = _logs(measured, place, experiment, name)
        if posted and other:
            rows = (("causes", "posted"), (experiment, name))
            units = [_cell(measured, place, *row, "work_units") for row in rows]
            yield (
                f"{name.capitalize()} instead of the default threader divides the ratio by "
                f"{said(quotient(posted, other))} ({units[0]} work units become {units[1]})."
            )


def _memory(measured: Measured, place: Place) -> Iterator[str]:
    posted, bins = _logs(measured, place, "causes", "posted"), _logs(measured, place, "causes", "bins")
    if posted and bins:
        units = _cell(measured, place, "causes", "posted", "work_units")
        megabytes = [int(units) * count**2 * _HISTOGRAM_BYTES / 1e6 for count in (128, 32)] if units else None
        size = f", {megabytes[0]:.1f} MB of histograms become {megabytes[1]:.1f} MB" if megabytes else ""
        yield f"32 bins instead of 128{size}: the ratio is divided by {said(quotient(posted, bins))}."
    peaks = [_cell(measured, place, "causes", "posted", f"{path}_peak_bytes") for path in ("cli", "api")]
    if all(peaks):
        cli, api = (int(peak) / 2**20 for peak in peaks)
        yield f"Peak memory: executable {cli:.0f} MiB, API {api:.0f} MiB (the loaded itk modules included)."


def _default(measured: Measured, place: Place) -> Iterator[str]:
    many, own = _logs(measured, place, "causes", "posted"), _logs(measured, place, "causes-own", "posted")
    if many and own:
        found = [_cell(measured, place, experiment, "posted", "api_threads") for experiment in ("causes", "causes-own")]
        yield (
            f"With {found[0]} threads found instead of {found[1]}, all else equal, the ratio is multiplied by "
            f"{said(quotient(many, own))}."
        )


def _jacobian(measured: Measured, place: Place) -> Iterator[str]:
    for first, second, words in (
        ("affine-128-bins", "affine", "An affine registration with 128 bins instead of 32 has a ratio that is"),
        ("bspline", "bspline-32-bins", "The B-spline with 128 bins instead of 32 has a ratio that is"),
        ("bspline", "affine-128-bins", "With 128 bins each, the B-spline has a ratio that is"),
    ):
        logs = [_logs(measured, place, "transforms", condition) for condition in (first, second)]
        if all(logs):
            other = f" that of {second}" if second == "affine-128-bins" else ""
            yield f"{words} {said(quotient(logs[0], logs[1]))} times{other or ' as large'}."


def _logs(measured: Measured, place: Place, experiment: str, condition: str) -> Logs:
    return measured.rounds.get(place, {}).get(experiment, {}).get(condition, ())


def _cell(measured: Measured, place: Place, experiment: str, condition: str, column: str) -> str:
    return measured.rows.get(place, {}).get((experiment, condition), {}).get(column, "")
