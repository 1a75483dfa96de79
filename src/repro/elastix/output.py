"""What a finished registration left in its output folder: elastix.log and the final transforms.

The log is read as the executables 5.0.1, 5.2.0 and 5.3.1 and itk-elastix 0.21.0 and 0.25.4 write it. Lines that are not
known are skipped, so a truncated log, or one of several parameter files in a row, gives what it holds.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from repro.elastix import transforms
from repro.errors import ConfigError, TrialError
from repro.system.children import tail_of

MAX_ERRORS = 20
"""Only the first errors are kept."""
MAX_ERROR_LENGTH = 400
"""Characters kept of one error."""

_FINAL = re.compile(r"TransformParameters\.(\d{1,9})\.(txt|toml)", re.ASCII)
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


def facts(folder: Path) -> dict[str, Any]:
    """What log and transforms say, as fields of a Measurement. Raises TrialError where no transform was written."""
    log = read_log(folder)
    said, written = parse_log(log), transform_files(folder)
    if not written:
        reason = "; ".join(parse_errors(log)) or tail_of(folder / "elastix.log") or "there is no elastix.log either"
        raise TrialError(f"elastix wrote no transform: {reason}", facts=said)
    try:
        return {**said, "result_digest": transforms.result_digest(written)}
    except ConfigError as error:  # cut short, as where the disk is full
        raise TrialError(f"elastix wrote a transform that cannot be read: {error}", facts=said) from error


def transform_files(folder: Path) -> list[Path]:
    """The final transforms, one a parameter file, in the order in which they ran.

    With WriteTransformParametersEachResolution or EachIteration elastix writes others beside them
    (TransformParameters.0.R0.txt), which are no part of the result.
    """
    found = {int(match[1]): file for file in folder.iterdir() if (match := _FINAL.fullmatch(file.name))}
    return [found[number] for number in sorted(found)]


def read_log(folder: Path) -> str:
    """The text of the folder's elastix.log; empty where there is none."""
    log = folder / "elastix.log"
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def errors(folder: Path) -> str:
    """What the folder's elastix.log says went wrong, in one line; empty where it says nothing of it."""
    return "; ".join(parse_errors(read_log(folder)))


def parse_log(text: str) -> dict[str, Any]:
    """The facts of a log's text as fields of a Measurement. Never raises, takes time in proportion to the text.

    Times are wall seconds, rounded by elastix. ``final_metric`` is that of the last parameter file that came to its
    end; None where it is no finite number.
    """
    said: dict[str, str] = {}
    threads: str | None = None
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
            said.setdefault("elastix", found[1])
        elif found := _ITK.match(line):  # only the executables since 5.2 say it
            said.setdefault("itk", found[1])
    return {
        "resolutions_s": tuple(resolutions),
        "estimation_s": tuple(estimations),
        "final_metric": metric,
        "log_threads": threads,
        "said": said,
    }


def parse_errors(text: str) -> list[str]:
    """Each error of a log with the lines that belong to it: those up to an empty line or the next error.

    They often hold the message itself, under a line that only says "ERROR:".
    """
    found: list[str] = []
    current: list[str] = []
    for line in [*text.split("\n"), ""]:
        starts = _ERROR.match(line) is not None
        if current and (starts or _ERROR_END.match(line)):
            error = " ".join(" ".join(current).split())[:MAX_ERROR_LENGTH]
            if error not in found:
                found.append(error)
            current = []
            if len(found) == MAX_ERRORS:
                break
        if starts or current:
            current.append(line[:MAX_ERROR_LENGTH])
    return found


def _finite(number: str) -> list[float]:
    value = float(number)
    return [value] if math.isfinite(value) else []
