"""What a condition has measured so far: the bridge between the raw file and a running bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repro.measure.measurement import Agreement, Measurement
from repro.measure.store import RawFile, read_lines


class Kept:
    """The measurements of one raw file that count, by key, and the file itself to add to."""

    def __init__(self, file: Path, header: Mapping[str, Any], ending: Callable[[], Mapping[str, Any]]) -> None:
        """Read what an earlier run left.

        ``header`` is this session's line, written ahead of its first measurement; ``ending`` gives
        the line that closes a file to which something was added.
        """
        self._header: Mapping[str, Any] | None = header
        self._ending = ending
        self._lines: dict[str, Mapping[str, Any]] = {}
        self._apart_px: dict[tuple[str, ...], float] = {}
        self._raw = RawFile(file)  # first: it cuts off a torn line, which then must not count
        for line in read_lines(file):
            match line:
                case {"kind": "measurement", "status": "ok", "key": str(key), "wall_s": int() | float()}:
                    self._lines.setdefault(key, line)
                case {"kind": "agreement", "keys": [str(first), str(second)], "max_px": int() | float() as max_px}:
                    self._apart_px[first, second] = max_px

    def line(self, key: str) -> Mapping[str, Any] | None:
        """The good measurement of a trial, or None where there is none yet."""
        return self._lines.get(key)

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement. One that is already there stays as it is."""
        if measurement.key in self._lines:
            return  # the warm-up of a resumed run, needed by the worker but measured before
        self._append(measurement.line())
        if measurement.status == "ok":
            self._lines[measurement.key] = measurement.line()

    def add_agreement(self, agreement: Agreement) -> None:
        """Keep the comparison of a round's two results."""
        self._append(agreement.line())
        self._apart_px[agreement.keys] = agreement.max_px

    def apart_px(self, keys: tuple[str, str]) -> float | None:
        """Largest distance of the results of two measurements; None where they were not compared."""
        return self._apart_px.get(keys)

    def close(self) -> None:
        """Close the raw file."""
        try:
            if self._header is None:
                self._raw.append(self._ending())
        finally:
            self._raw.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._header is not None:
            self._raw.append(self._header)
            self._header = None
        self._raw.append(line)
