"""What bench shows while it runs: a progress bar, or plain lines where there is no terminal."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from repro.cli.tables import Rows
from repro.measure.measurement import Measurement
from repro.wording import printable

_FIGURE = re.compile(r"[-*\d.,x\[\] e+%]*")


class Terminal:
    """Bench's listener: one line or one step of the bar for each trial, with the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._expected = 0
        self._finished = 0
        self._busy: dict[str, list[float]] = defaultdict(list)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, left="")

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, trials: int) -> None:
        """So many more trials are to come."""
        self._expected += trials
        self._progress.update(self._task, total=self._expected)

    def finished(self, measurement: Measurement, busy_s: float) -> None:
        """Show a trial that is over and what is left."""
        self._finished += 1
        self._busy[measurement.path].append(busy_s)
        left = _duration(self._left_s())
        name = f"{measurement.pair} {measurement.experiment}/{measurement.condition}"
        self._progress.update(self._task, completed=self._finished, description=name, left=f"about {left} left")
        if measurement.status != "ok":
            self.say(f"{name} {measurement.path} round {measurement.round} {measurement.status}: {measurement.note}")
        elif not self._console.is_terminal:
            seconds = f"{measurement.wall_s:.3f} s" if measurement.wall_s is not None else "?"
            step = f"round {measurement.round}" if measurement.phase == "measure" else measurement.phase
            self.say(
                f"[{self._finished}/{self._expected}] {name} {measurement.path} {step}: {seconds}, about {left} left"
            )

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _left_s(self) -> float:
        """Seconds left, from the median trial so far; loading is a rare outlier and stays out."""
        every = [statistics.median(values) for values in self._busy.values()]
        return (self._expected - self._finished) * statistics.fmean(every)


def table(rows: Rows) -> Table:
    """Rows as a rich table; columns of figures are set to the right."""
    built = Table(title=_plain(rows.title), title_justify="left", box=SIMPLE_HEAD)
    for index, head in enumerate(rows.heads):
        figures = all(_FIGURE.fullmatch(row[index]) for row in rows.rows)
        built.add_column(head, justify="right" if figures and index else "left", overflow="fold")
    for row in rows.rows:
        built.add_row(*map(_plain, row))
    return built


def _plain(text: str) -> Text:
    """The text as it is: brackets in it are no markup."""
    return Text(printable(text))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
