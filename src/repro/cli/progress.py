"""What is shown while it measures: the time left, the condition whose turn it is, a line for each that is finished."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from repro import text
from repro.cli import tables
from repro.model import SIDES

if TYPE_CHECKING:
    from repro.measure.session import ConditionResult, Work
    from repro.model import Estimate, Measurement
    from repro.plan.cost import Costs


MINUTE_S = 60


@dataclass
class _Going:
    """A condition that is not finished."""

    work: Work
    left: int
    """Blocks, at most."""
    took_s: list[float] = field(default_factory=list)
    """Each block of this session."""
    ratio: str = ""
    """So far."""


class Terminal:
    """The listener of a session. Where there is no terminal it prints a line a finished condition and the time left."""

    def __init__(self, console: Console, work: Sequence[Work], costs: Costs) -> None:
        self._console = console
        self._costs = costs
        self._of = len(work)
        self._going = {id(one): _Going(one, one.blocks) for one in work}
        self._started = self._said = time.monotonic()
        self._timed = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[result]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._blocks = sum(one.blocks for one in work)
        self._total = self._progress.add_task("", total=self._blocks, result="")
        self._now: TaskID | None = None

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def block_started(self, work: Work, blocks: int) -> None:
        """The line below the total is that of the condition whose turn it is, with its ratio so far."""
        self._started = time.monotonic()
        going = self._going[id(work)]
        going.left = work.blocks - blocks
        if self._now is not None:
            self._progress.remove_task(self._now)
        self._now = self._progress.add_task(self._name(work), total=work.blocks, completed=blocks, result=going.ratio)
        self._show_total()

    def trial_finished(self, work: Work, measurement: Measurement) -> None:
        """A trial that failed is said at once, with what it said last."""
        if not self._timed and measurement.status == "ok" and measurement.wall_s:
            self._timed = True
            self._costs = self._costs.timed(_place(work), measurement.side, measurement.wall_s)
        if measurement.status != "ok":
            said = f"{measurement.status}: {text.line(measurement.note, 300)}"
            self.say(f"{self._name(work)}: {work.builds[measurement.side].name} {said}")

    def block_finished(self, work: Work, blocks: int, estimate: Estimate | None) -> None:
        """One step of the bar."""
        going = self._going[id(work)]
        going.left, going.ratio = work.blocks - blocks, text.estimate(estimate)
        going.took_s.append(time.monotonic() - self._started)
        if self._now is not None:
            self._progress.update(self._now, completed=blocks, result=going.ratio)
        self._show_total()

    def condition_finished(self, result: ConditionResult) -> None:
        """A line that stays."""
        work = result.work
        del self._going[id(work)]
        medians = ", ".join(
            f"{work.builds[side].name} {text.seconds(value)} s"
            for side in SIDES
            if (value := result.medians_s.get(side)) is not None
        )
        said = f"{text.estimate(result.estimate)} ({medians})" if medians else "not measured"
        self.say(f"[{self._of - len(self._going)}/{self._of}] {self._name(work)}: {said}")
        self._show_total()

    def pass_finished(self, left: int) -> None:
        """Without a terminal a long session says once a pass, and at most once a minute, how far it is."""
        if not self._console.is_terminal and left and time.monotonic() - self._said > MINUTE_S:
            said = f"{left} of {text.counted(self._of, 'condition')} need more blocks"
            self.say("; ".join(filter(None, (said, self._time_left()))))

    def say(self, words: str) -> None:
        """A line of its own, above the bars; once."""
        self._said = time.monotonic()
        if self._console.is_terminal:
            if tables.first_time(words):
                self._console.print(text.printable(words), markup=False, highlight=False, soft_wrap=True)
        else:
            tables.say(words)

    def _name(self, work: Work) -> str:
        return f"{work.comparison.name} {work.experiment_name}/{work.prepared.condition.name}"

    def _show_total(self) -> None:
        self._progress.update(
            self._total,
            description=f"{self._of - len(self._going)} of {text.counted(self._of, 'condition')}",
            completed=self._blocks - sum(one.left for one in self._going.values()),
            result=self._time_left(),
        )

    def _time_left(self) -> str:
        """At most, as a condition may need fewer blocks; empty where nothing is known of one."""
        seconds = 0.0
        for one in self._going.values():
            if one.took_s:
                seconds += one.left * statistics.mean(one.took_s)
                continue
            paths = [one.work.builds[side].build.path for side in SIDES]
            expected = self._costs.estimate_s(_place(one.work), paths, one.left, one.work.rounds)
            if expected is None:
                return ""
            seconds += expected
        return f"{text.duration(seconds)} left" if seconds else ""


def _place(work: Work) -> tuple[str, str, str]:
    return work.comparison.name, work.experiment_name, work.prepared.condition.name
