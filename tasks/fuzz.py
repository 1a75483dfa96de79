"""Feed every parser of ours with damaged and hostile input, for as long as asked.

    python tasks/fuzz.py [--seconds 600] [--seed 0] [PARSER...]

Each parser gets so many seconds. A result or a ReproError is what is wanted; anything else (another exception, an
input that takes longer than HANG_S, memory that grows by more than MEMORY_BYTES) is a finding: it is printed as the
smallest input that shows it, and the exit status is 1. docs/reliability.md quotes the lines that are printed.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import StopTest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT / "src"), str(ROOT / "tests")) if path not in sys.path]

from fuzztargets import Target, targets  # noqa: E402
from repro import system as platforms  # noqa: E402
from repro.errors import ReproError  # noqa: E402
from repro.system import used  # noqa: E402

HANG_S = 10.0
"""Far above what any of our parsers takes for inputs of this size, on a slow and busy machine too."""
MEMORY_BYTES = 1 << 30
_CHUNK = 500


class HangError(BaseException):
    """One input took too long."""


@dataclass(slots=True)
class Tally:
    """What a parser was given, and what it did with it."""

    results: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    grown_bytes: int = 0
    found: bool = False
    """Whether there was a finding."""


def fuzz(target: Target, seconds: float, first_seed: int = 0, examples: int | None = None) -> Tally:
    """Give the parser inputs until the time is over, or for so many examples; raise at the first finding."""
    end, tally, before = time.monotonic() + seconds, Tally(), used.peak_bytes() or 0
    for number in range(first_seed, first_seed + (1 << 30)):

        @seed(number)
        @settings(
            max_examples=examples or _CHUNK,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(target.inputs)
        def one(content: bytes) -> None:
            # A finding is made smaller however late it is.
            if tally.found or time.monotonic() < end:
                _give(target, content, tally)

        one()
        tally.grown_bytes = (used.peak_bytes() or 0) - before
        if tally.grown_bytes > MEMORY_BYTES:
            raise MemoryError(f"{target.name}: memory grew by {tally.grown_bytes / 2**20:.0f} MiB")
        if examples or time.monotonic() >= end:
            return tally
    raise AssertionError("the time is over before the seeds are")


def _give(target: Target, content: bytes, tally: Tally) -> None:
    start = time.perf_counter()
    with _bounded():
        found, tally.found = tally.found, True
        try:
            target.parse(content, target.folder)
            tally.results += 1
        except ReproError as error:
            tally.refused += 1
            if len(str(error)) < 10:
                raise AssertionError(f"the message says nothing: {error}") from error
        tally.found = found
    tally.slowest_s = max(tally.slowest_s, time.perf_counter() - start)


@contextmanager
def _bounded() -> Iterator[None]:
    """Raise HangError in an input that takes too long; where signals cannot, end with a traceback."""
    faulthandler.dump_traceback_later(3 * HANG_S, exit=True)
    platforms.alarm(HANG_S, _hangs)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        platforms.alarm(0, _hangs)


def _hangs() -> None:
    raise HangError(f"longer than {HANG_S:g} s")


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> int:
    """Fuzz the parsers named, or all; 1 where there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parsers", nargs="*", metavar="PARSER")
    parser.add_argument("--seconds", type=float, default=600, help="for each parser")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    findings: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        known = {target.name: target for target in targets(Path(folder))}
        if unknown := set(asked.parsers) - known.keys():
            parser.error(f"no parser {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        for name in asked.parsers or known:
            start = time.monotonic()
            try:
                tally = fuzz(known[name], asked.seconds, asked.seed)
            except (Exception, HangError) as error:
                if isinstance(error, StopTest):
                    raise
                say(f"{name}: FINDING\n{''.join(traceback.format_exception(error))}")
                findings[name] += 1
                continue
            say(
                f"{name}: {time.monotonic() - start:.0f} s, {tally.results:,} results, {tally.refused:,} refused, "
                f"slowest {tally.slowest_s * 1000:.0f} ms, memory +{tally.grown_bytes / 2**20:.0f} MiB"
            )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
