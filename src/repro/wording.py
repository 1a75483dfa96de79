"""Figures and facts as people read them: the same words in the page, the Markdown and the tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

UNKNOWN = "\N{EN DASH}"
"""Shown where a figure is not known; never 0."""
TIMES = "\N{MULTIPLICATION SIGN}"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that no page may hold or that turn the reading direction of what follows them."""


def printable(text: str) -> str:
    """The text without what could steer a terminal or turn its reading direction; names come out of foreign files."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def finite(value: object) -> float | None:
    """The value where it is a finite number, be it written as text, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def ratio(value: float | None) -> str:
    """A ratio with three telling digits: 10.9, 1.02, 0.98."""
    return _digits(value)


def seconds(value: float | None) -> str:
    """Seconds with three telling digits and no unit: 21.9, 2.05, 0.083."""
    return _digits(value)


def _digits(value: float | None) -> str:
    number = finite(value)
    if number is None:
        return UNKNOWN
    size = abs(number)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{number:.2e}"
    if size >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.{1 if size >= 9.995 else 2 if size >= 0.0995 else 3}f}"


def interval(row: Mapping[str, Any]) -> str:
    """`10.9 [10.4, 11.3]`: a ratio with its interval or range, for a table that has a column for the verdict."""
    return reach(*(finite(row[name]) for name in ("ratio", "ratio_low", "ratio_high")))


def reach(value: float | None, low: float | None, high: float | None) -> str:
    """`10.9 [10.4, 11.3]`; without its ends `10.9`."""
    return (
        ratio(value)
        if value is None or low is None or high is None
        else f"{ratio(value)} [{ratio(low)}, {ratio(high)}]"
    )


def judged(row: Mapping[str, Any]) -> str:
    """`0.94 [0.91, 1.02] (no difference seen)`: the ratio of a row with what it says."""
    if finite(row["ratio"]) is None:
        return UNKNOWN
    return with_verdict(interval(row), row["verdict"], disagree=row["status"] == "disagree")


def with_verdict(figure: str, *verdicts: str | None, where: str = "on {}", disagree: bool = False) -> str:
    """`0.94 (no difference seen)`: wherever a ratio stands by itself it stands with its verdict, by this function.

    Of several ratios, `where` says which so many have another verdict: `0.84 to 1.1 (faster on 2 and slower on 1)`.
    A ratio of two results that are not the same is marked: `13.5 (slower; results disagree)`.
    """
    return f"{figure} ({verdicts_words(verdicts, where)}{'; results disagree' if disagree else ''})"


def verdicts_words(verdicts: Iterable[str | None], where: str = "on {}") -> str:
    """The verdict where all are the same, else `slower on 2 and faster on 1`."""
    number = Counter(map(verdict_words, verdicts)).most_common()
    return number[0][0] if len(number) == 1 else listed(f"{words} {where.format(n)}" for words, n in number)


def interval_words(row: Mapping[str, Any]) -> str:
    """`95% interval 10.4 to 11.3`, or that it is a range of few rounds."""
    if finite(row["ratio_low"]) is None or finite(row["ratio_high"]) is None:
        return "one round, no interval"
    ends = f"{ratio(finite(row['ratio_low']))} to {ratio(finite(row['ratio_high']))}"
    return f"95% interval {ends}" if row["interval"] == "interval" else f"range of {row['rounds']} rounds {ends}"


def floor_words(row: Mapping[str, Any]) -> str:
    """`noise floor 0.97 to 1.03`, or that it was not measured."""
    if finite(row["floor_low"]) is None or finite(row["floor_high"]) is None:
        return "noise floor not measured"
    return f"noise floor {ratio(row['floor_low'])} to {ratio(row['floor_high'])}"


def verdict_words(verdict: str | None) -> str:
    """What the ratio says of the API, in words; an unknown verdict is said, too."""
    return verdict or "too few rounds to say"


def mebibytes(value: float | None) -> str:
    """Bytes as MiB."""
    number = finite(value)
    return UNKNOWN if number is None else f"{number / 2**20:,.0f} MiB"


def text(value: object, longest: int = 400) -> str:
    """One line of harmless text: no control characters, no line breaks, not longer than a cell should be."""
    if value is None or value == "":
        return UNKNOWN
    line = " ".join(_CONTROL.sub(" ", str(value)).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def code(line: str) -> str:
    """A line of code or a command as one line of harmless text, indented as it was."""
    return " " * (len(line) - len(line.lstrip(" "))) + text(line, 4000)


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 machine`, `2 machines`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def version_key(version: object) -> tuple[tuple[int, str], ...]:
    """Sorts 0.9.1 before 0.21.0; parts without digits go last among equals."""
    return tuple(
        (int(digits) if digits else -1, rest)
        for digits, rest in re.findall(r"(\d{0,9})([^\d.]*)\.?", str(version)[:100])
    )
