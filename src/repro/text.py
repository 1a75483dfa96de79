"""Text for people: figures, lists, harmless lines, the command to type, and what must not leave the machine.

The same functions serve the terminal, the page, the Markdown and the raw lines.
"""

from __future__ import annotations

import datetime
import getpass
import math
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from repro.model import Estimate
from repro.paths import ROOT

UNKNOWN = "\N{EN DASH}"
"""Shown where a figure is not known; never 0."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that no page may hold or that turn the reading direction of what follows them."""
_SHORTEST = 3
"""Shorter user and host names ("me", "vm") are parts of ordinary words."""


def command(words: str) -> str:
    """The command as it is typed here: `pixi run fetch` inside pixi, else `python3 tasks/run.py fetch`."""
    venv = Path(sys.prefix).is_relative_to(ROOT / ".venv")
    if not venv and os.environ.get("PIXI_PROJECT_ROOT"):
        return f"pixi run {words}"
    return f"{'py' if os.name == 'nt' else 'python3'} tasks/run.py {words}"


def utc_now() -> str:
    """The time as `2026-12-01T09:30:00.123456+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


# ---- figures


def ratio(value: float | None) -> str:
    """A ratio, or seconds without their unit, with three significant digits: 10.9, 1.02, 0.083."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.2e}"
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 9.995 else 2 if size >= 0.0995 else 3}f}"


seconds = ratio


def duration(seconds: float | None) -> str:
    """`3 min 05 s`, `45 s`, `2 h 10 min`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 100:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def mebibytes(value: float | None) -> str:
    """Bytes as MiB."""
    return UNKNOWN if value is None else f"{value / 2**20:,.0f} MiB"


def estimate(found: Estimate | None) -> str:
    """`10.9 [10.4, 11.3]`; of one block `10.9`."""
    if found is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return ratio(found.value)
    return f"{ratio(found.value)} [{ratio(found.low)}, {ratio(found.high)}]"


# ---- words


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 machine`, `2 machines`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def line(value: object, longest: int = 400) -> str:
    """One line of harmless text: no control characters, no line breaks, not longer than a cell should be."""
    words = "" if value is None else " ".join(_CONTROL.sub(" ", str(value)).split())
    if not words:
        return UNKNOWN
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def printable(text: str) -> str:
    """The text without what could steer a terminal or turn its reading direction; names come out of foreign files."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


# ---- what must not leave the machine


def scrub(text: str) -> str:
    """The text without the checkout's and home's folders, user and host names.

    Failure notes quote the last lines of logs, and logs name the files that they read and the host that they ran on.
    """
    for pattern, word in _replacements():
        text = pattern.sub(word, text)
    return text


@cache
def _replacements() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(private_patterns(ROOT, Path.home(), _user(), socket.gethostname()))


def private_patterns(root: Path, home: Path, user: str, host: str) -> Iterator[tuple[re.Pattern[str], str]]:
    """What is replaced by what, the checkout before the home around it; Windows writes its paths with either slash."""
    flags = re.IGNORECASE if os.name == "nt" or sys.platform == "darwin" else 0
    for path, word in ((root, "<checkout>"), (home, "~")):
        if len(path.parts) > 1:
            either = r"[/\\]+".join(re.escape(part) for part in re.split(r"[/\\]", str(path)) if part)
            yield re.compile(("/" if str(path).startswith("/") else "") + either, flags), word
    for name, word in ((host, "<host>"), (user, "<user>")):
        for part in (name, name.split(".")[0]):
            if len(part) >= _SHORTEST and part not in ("root", "localhost"):
                yield re.compile(rf"(?<![\w-]){re.escape(part)}(?![\w-])"), word
    # A path of anybody's home, as tracebacks of wheels carry their builder's.
    yield re.compile(r"(/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s:]+"), r"\1<user>"


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # ImportError: Windows without USERNAME has no module pwd
        return ""
