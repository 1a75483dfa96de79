"""What a condition has measured so far: the bridge between its raw file and a session that runs."""

from __future__ import annotations

import statistics
from pathlib import Path

from repro import stats
from repro.measure.agreement import Apart
from repro.measure.store import RawFile, read_lines
from repro.model import (
    AgreementLine,
    BlockLine,
    ConditionLine,
    Estimate,
    Line,
    Measurement,
    SessionLine,
    Side,
)


class ConditionLog:
    """The lines of one key in a raw file, and the file itself to add to."""

    def __init__(self, file: Path, key: str, sides: frozenset[Side]) -> None:
        """Read what earlier sessions left. A block of which one of these sides was not run is not whole."""
        self._sides = sides
        self._measured: dict[str, list[Measurement]] = {}
        self._agreements: list[AgreementLine] = []
        self.whole: dict[int, str] = {}
        """Blocks that are whole -> the life that they were measured in."""
        self.opened = False
        self._raw = RawFile(file)  # first: it cuts off a torn line, which then must not count
        for line in read_lines(file):
            if not isinstance(line, SessionLine) and getattr(line, "key", None) == key:
                self._count(line)

    def _count(self, line: Line) -> None:
        match line:
            case Measurement(phase="measure"):
                self._measured.setdefault(line.life, []).append(line)
            case AgreementLine():
                self._agreements.append(line)
            case BlockLine() if self._sides <= {one.side for one in self._measured.get(line.life, ())}:
                self.whole.setdefault(line.block, line.life)

    def open(self, session: SessionLine, condition: ConditionLine) -> None:
        """Write what stands before the first line of a session."""
        self._raw.append(session)
        self._raw.append(condition)
        self.opened = True

    def add(self, line: Measurement | AgreementLine | BlockLine) -> None:
        """Keep a line; it is on disk when this returns."""
        self._raw.append(line)
        self._count(line)

    def close(self) -> None:
        """Close the raw file."""
        self._raw.close()

    def block_logs(self) -> list[float]:
        """The log ratio of each whole block that has one."""
        return [statistics.median(rounds) for rounds in self._rounds().values() if rounds]

    def estimate(self) -> Estimate | None:
        """The ratio so far."""
        return stats.estimate(self._rounds())

    def _rounds(self) -> dict[int, list[float]]:
        """Log ratios of the complete rounds of each whole block."""
        found: dict[int, list[float]] = {}
        for block, life in sorted(self.whole.items()):
            seconds: dict[int, dict[Side, float]] = {}
            for one in self._measured.get(life, ()):
                if one.status == "ok" and one.wall_s:
                    seconds.setdefault(one.round, {})[one.side] = one.wall_s
            logs = [stats.round_log_ratio(by_side) for by_side in seconds.values()]
            found[block] = [one for one in logs if one is not None]
        return found

    def medians_s(self) -> dict[Side, float]:
        """Median seconds of each arm over its trials in whole blocks."""
        seconds: dict[Side, list[float]] = {}
        for one in (one for life in self.whole.values() for one in self._measured.get(life, ())):
            if one.status == "ok" and one.wall_s is not None:
                seconds.setdefault(one.side, []).append(one.wall_s)
        return {side: statistics.median(values) for side, values in seconds.items()}

    def apart(self, digests: tuple[str, str], session: str) -> Apart | None:
        """What was found of these two results; None where nobody compared them, or an earlier session could not."""
        for line in self._agreements:
            if line.digests == digests and (line.session == session or not line.problem):
                return Apart(line.mean_px, line.max_px, line.problem)
        return None
