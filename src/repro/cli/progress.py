"""What is shown while it measures: one line a condition, with a bar, the time left and the last result."""

from __future__ import annotations

import time
from collections.abc import Sequence
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


class Terminal:
    """The listener of a session. Where there is no terminal it prints one line a finished condition."""

    def __init__(self, console: Console, work: Sequence[Work], costs: Costs) -> None:
        self._console = console
        self._costs = costs
        self._waiting = list(work)
        self._of = len(work)
        self._started = time.monotonic()
        self._timed = False
        self._before = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[result]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def condition_started(self, work: Work, blocks: int) -> None:
        """Its line appears."""
        self._waiting = [one for one in self._waiting if one is not work]
        self._started, self._before = time.monotonic(), blocks
        self._task = self._progress.add_task(
            self._name(work), total=work.blocks, completed=blocks, result=self._left(work, blocks)
        )

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
        if self._task is not None:
            said = "  ".join(filter(None, (text.estimate(estimate), self._left(work, blocks))))
            self._progress.update(self._task, completed=blocks, result=said)

    def condition_finished(self, result: ConditionResult) -> None:
        """Its line keeps the result."""
        work = result.work
        medians = ", ".join(
            f"{work.builds[side].name} {text.seconds(value)} s"
            for side in SIDES
            if (value := result.medians_s.get(side)) is not None
        )
        said = f"{text.estimate(result.estimate)} ({medians})" if medians else "not measured"
        if self._task is not None:
            self._progress.update(self._task, total=max(result.blocks, 1), completed=result.blocks, result=said)
        if not self._console.is_terminal:
            left = self._left_s()
            more = f"; {text.duration(left)} left" if left else ""
            self.say(f"[{self._of - len(self._waiting)}/{self._of}] {self._name(work)}: {said}{more}")

    def say(self, words: str) -> None:
        """A line of its own, above the bars; once."""
        if self._console.is_terminal:
            if tables.first_time(words):
                self._console.print(text.printable(words), markup=False, highlight=False, soft_wrap=True)
        else:
            tables.say(words)

    def _name(self, work: Work) -> str:
        return f"{work.comparison.name} {work.experiment_name}/{work.prepared.condition.name}"

    def _left(self, work: Work, blocks: int) -> str:
        """Of this condition and of all that follow."""
        rest, own = self._left_s(), self._expected_s(work)
        if new := blocks - self._before:
            own = (time.monotonic() - self._started) / new * work.blocks
        if own is None or rest is None:
            return ""
        return f"{text.duration(rest + own * (work.blocks - blocks) / work.blocks)} left"

    def _left_s(self) -> float | None:
        """Seconds of the conditions that have not begun; None where one is not known."""
        seconds = [self._expected_s(one) for one in self._waiting]
        return None if None in seconds else sum(filter(None, seconds))

    def _expected_s(self, work: Work) -> float | None:
        paths = [work.builds[side].build.path for side in SIDES]
        return self._costs.estimate_s(_place(work), paths, work.blocks, work.rounds)


def _place(work: Work) -> tuple[str, str, str]:
    return work.comparison.name, work.experiment_name, work.prepared.condition.name
