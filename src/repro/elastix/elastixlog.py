"""What an elastix.log says: versions, threads, times, final metric, errors.

Made for the logs of the executables 5.0.1, 5.2.0 and 5.3.1 and of itk-elastix 0.21.0 and 0.25.4.
Every line that is not known is skipped, so a truncated log, or one of several parameter files in
a row, gives what it holds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MAX_ERRORS = 20
"""Only the first errors are kept."""
MAX_ERROR_LENGTH = 400
"""Characters kept of one error."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log says; what it does not say is None or empty. Times are wall seconds, rounded by elastix."""

    elastix: str | None = None
    """Version of elastix, as "5.3.1"."""
    itk: str | None = None
    """Version of ITK; only the executables since 5.2 say it."""
    threads: str | None = None
    """What stands after ``-threads``: the number asked for, or "unspecified"."""
    resolutions_s: tuple[float, ...] = ()
    """Times of the resolutions, in order, over all parameter files in a row."""
    estimation_s: tuple[float, ...] = ()
    """Times of the optimizer's automatic parameter estimation, likewise; a part of resolutions_s."""
    final_metric: float | None = None
    """Of the last parameter file that came to its end; None where it is no finite number."""
    errors: tuple[str, ...] = ()
    """Errors and the descriptions of exceptions, in order, each once and on one line."""


# The quantifiers are bounded so that no line, however made, takes more than linear time.
_NUMBER = r"([-+]?\d{1,30}(?:\.\d{0,30})?(?:[eE][-+]?\d{1,3})?)"
_ELASTIX = re.compile(r"\s{0,9}elastix version:\s{0,9}(\S{1,40})", re.IGNORECASE)
_ITK = re.compile(r"\s{0,9}ITK version:\s{0,9}(\S{1,40})")
_THREADS = re.compile(r"-threads\s{1,9}(\d{1,9}|unspecified)", re.ASCII)
# Printed where a progress bar may have left its line open, hence looked for inside of lines.
_RESOLUTION = re.compile(rf"Time spent in resolution \d{{1,4}} \([\w ]{{0,60}}\):\s{{0,9}}{_NUMBER}", re.ASCII)
# As 1d2h3m4.56s, leading parts left out where they are zero.
_ESTIMATION = re.compile(
    r"Automatic parameter estimation took (?:(\d{1,6})d)?(?:(\d{1,2})h)?(?:(\d{1,2})m)?(\d{1,2}(?:\.\d{0,30})?)s",
    re.ASCII,
)
_METRIC = re.compile(rf"Final metric value\s{{0,9}}=\s{{0,9}}{_NUMBER}", re.ASCII)
_ERROR = re.compile(r"\s{0,9}(?:error|description)\b\s{0,9}:", re.IGNORECASE)
_ERROR_END = re.compile(r"\s*$|\s{0,9}(?:itk::|Errors occurred)")


def parse(text: str) -> LogFacts:
    """The facts of a log's text. Never raises, takes time in proportion to the text."""
    elastix = itk = threads = None
    resolutions: list[float] = []
    estimations: list[float] = []
    metric: float | None = None
    for line in text.split("\n"):
        if found := _RESOLUTION.search(line):
            resolutions += _finite(found[1])
        elif found := _ESTIMATION.search(line):
            days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
            estimations.append(((days * 24 + hours) * 60 + minutes) * 60 + float(found[4]))
        elif found := _METRIC.match(line):
            metric = next(iter(_finite(found[1])), None)
        elif found := _THREADS.match(line):
            threads = threads or found[1]
        elif found := _ELASTIX.match(line):
            elastix = elastix or found[1]
        elif found := _ITK.match(line):
            itk = itk or found[1]
    return LogFacts(elastix, itk, threads, tuple(resolutions), tuple(estimations), metric, _errors(text))


def _finite(number: str) -> list[float]:
    value = float(number)
    return [value] if math.isfinite(value) else []


def _errors(text: str) -> tuple[str, ...]:
    """Each error with the lines that belong to it: those up to an empty line or the next error.

    They often hold the message itself, under a line that only says "ERROR:".
    """
    errors: list[str] = []
    current: list[str] = []
    for line in [*text.split("\n"), ""]:
        starts = _ERROR.match(line) is not None
        if current and (starts or _ERROR_END.match(line)):
            error = " ".join(" ".join(current).split())[:MAX_ERROR_LENGTH]
            if error not in errors:
                errors.append(error)
            current = []
            if len(errors) == MAX_ERRORS:
                break
        if starts or current:
            current.append(line[:MAX_ERROR_LENGTH])
    return tuple(errors)
