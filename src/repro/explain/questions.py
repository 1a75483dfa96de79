"""The four questions of the post, answered from measurements that could have said the opposite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repro.explain.ladder import Estimate, quotient
from repro.explain.measured import Measured, Place, said

Logs = Sequence[float]
MATTERS = 1.1
"""A factor below this is no cause worth a sentence."""
_HISTOGRAM_BYTES = 8
"""A bin of the joint histogram is a double."""


def answers(measured: Measured) -> Iterator[str]:
    """One paragraph a question, with a line for each machine and pair that measured something."""
    for question, expectation, experiments, answer in (
        (
            "Is it the thread pool?",
            "Then another threader changes the ratio, and not only by the number of work units that it makes.",
            ("causes", "causes-orders", "work-units"),
            _threader,
        ),
        (
            "Is it memory or the cache?",
            "Then a smaller joint histogram changes the ratio. It is less memory and less to add up alike: a yes does "
            "not tell the two apart.",
            ("causes",),
            _memory,
        ),
        (
            "Is it the global default of threads?",
            "Then the ratio depends on how many threads ITK finds, and no more once it is told a number.",
            ("causes", "causes-own"),
            _default,
        ),
        (
            "Is it the B-spline's Jacobian?",
            "Then an affine transform in the same file is not slowed down, and the B-spline is with few bins, too.",
            ("transforms",),
            _jacobian,
        ),
    ):
        lines = [
            f"* {place[1]} on {place[0]}: {said_so}" for place in measured.rows for said_so in answer(measured, place)
        ]
        yield f"**{question}** {expectation}"
        yield ""
        options = " ".join(f"--experiment {name}" for name in experiments)
        yield from lines or [f"Not measured: `bench {options}` does, then `merge`."]
        yield ""


def _verdict(factor: Estimate, yes: str, no: str, unclear: str = "Not clear") -> str:
    """What a factor says: yes from `MATTERS` on, no below it, and neither where its interval reaches both."""
    if factor.low is None or factor.high is None:
        return "Not known yet"
    return yes if factor.low > MATTERS else no if factor.high < MATTERS else unclear


def _threader(measured: Measured, place: Place) -> Iterator[str]:
    posted, floor = _logs(measured, place, "causes", "posted"), measured.floor(place, "causes", "posted")
    for experiment, name in (("causes", "pool"), ("causes-orders", "platform")):
        other = _logs(measured, place, experiment, name)
        if posted and other:
            rows = (("causes", "posted"), (experiment, name))
            units = [_cell(measured, place, *row, "work_units") or "an unknown number of" for row in rows]
            factor = quotient(posted, other, floor)
            changes = _verdict(factor, "It changes the ratio", "It does not change the ratio")
            yield (
                f"{changes}. {name.capitalize()} instead of the default threader divides the ratio by {said(factor)} "
                f"({units[0]} work units become {units[1]})."
            )
    told, both = _logs(measured, place, "causes", "threads"), _logs(measured, place, "causes-orders", "threads+pool")
    if told and both:
        factor = quotient(told, both, floor)
        only = _verdict(factor, "Yes, not by its work units alone", "No, only by the work units that it makes")
        yield f"{only}. Told its threads, and with them its work units, Pool divides the ratio by {said(factor)}."
    elif posted:
        yield f"Whether it is more than its work units was not measured: `bench {place[1]} --experiment causes-orders`."
    for name in ("32-each", "128-each"):
        ratio = measured.ratio(place, "work-units", name)
        units = [_cell(measured, place, "work-units", name, f"{path}work_units") for path in ("cli_", "")]
        if ratio and units[0] and units[0] == units[1]:
            yield f"With {units[0]} work units on both paths, the API's under TBB: a ratio of {said(ratio)}."


def _memory(measured: Measured, place: Place) -> Iterator[str]:
    posted, bins = _logs(measured, place, "causes", "posted"), _logs(measured, place, "causes", "bins")
    if posted and bins:
        units = _cell(measured, place, "causes", "posted", "work_units")
        megabytes = [int(units) * count**2 * _HISTOGRAM_BYTES / 1e6 for count in (128, 32)] if units else None
        size = f", {megabytes[0]:.1f} MB of histograms become {megabytes[1]:.1f} MB" if megabytes else ""
        factor = quotient(posted, bins, measured.floor(place, "causes", "bins"))
        yes = _verdict(factor, "Yes, it goes with the size of the histograms", "No")
        yield f"{yes}. 32 bins instead of 128{size}: the ratio is divided by {said(factor)}."
    peaks = [_cell(measured, place, "causes", "posted", f"{path}_peak_bytes") for path in ("cli", "api")]
    if all(peaks):
        cli, api = (int(peak) / 2**20 for peak in peaks)
        yield f"Peak memory: executable {cli:.0f} MiB, API {api:.0f} MiB (the loaded itk modules included)."


def _default(measured: Measured, place: Place) -> Iterator[str]:
    ladder = (("causes", "posted"), ("causes-own", "posted"))
    alone = (("posted-28", "as-posted"), ("posted", "as-posted"))
    measured_both = all(_logs(measured, place, *row) for row in ladder)
    for rows, words, told in (
        (ladder if measured_both else alone, ("Yes", "No"), "as posted"),
        (
            (("causes", "threads"), ("causes-own", "threads")),
            (
                "It still does once told a number",
                "No more once told a number",
                "Not clear whether it still does once told a number",
            ),
            "told its threads by SetNumberOfThreads",
        ),
    ):
        many, own = (_logs(measured, place, *row) for row in rows)
        if many and own and _same_inputs(measured, place, *rows):
            # What ITK finds is what it runs with where it is told nothing.
            posted = [(experiment, "as-posted" if rows is alone else "posted") for experiment, _ in rows]
            found = [_cell(measured, place, *row, "api_threads") for row in posted]
            factor = quotient(many, own, measured.floor(place, *rows[0]))
            yield (
                f"{_verdict(factor, *words)}. With {found[0]} threads found instead of {found[1]}, {told}, the "
                f"ratio is multiplied by {said(factor)}."
            )
    if _logs(measured, place, "causes", "posted") and not measured_both:
        yield f"Whether it still does once told a number was not measured: `bench {place[1]} --experiment causes-own`."


def _jacobian(measured: Measured, place: Place) -> Iterator[str]:
    bspline, affine = (measured.ratio(place, "transforms", name) for name in ("bspline", "affine-128-bins"))
    if affine:
        slow = bspline is not None and bspline.low is not None and bspline.low > MATTERS
        without = "Yes, without it nothing is slow" if slow else "Not clear, the B-spline itself is not seen to be slow"
        yield (
            f"{_verdict(affine, 'No, it is slow without it', without)}. The posted file with "
            f"an affine transform instead, its 128 bins kept: a ratio of {said(affine)}."
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


def _same_inputs(measured: Measured, place: Place, *rows: tuple[str, str]) -> bool:
    names = ("fixed_sha256", "moving_sha256", "params_sha256")
    return len({tuple(_cell(measured, place, *row, name) for name in names) for row in rows}) == 1


def _logs(measured: Measured, place: Place, experiment: str, condition: str) -> Logs:
    return measured.rounds.get(place, {}).get(experiment, {}).get(condition, ())


def _cell(measured: Measured, place: Place, experiment: str, condition: str, column: str) -> str:
    return measured.rows.get(place, {}).get((experiment, condition), {}).get(column, "")
