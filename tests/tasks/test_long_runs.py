"""Very many trials leave the parent as it was."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil

from repro.model import Measurement
from support.made_up import build as made_up


class Watch(made_up.Quiet):
    """Counts what this process holds after each trial."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[int, int]] = []

    def trial_finished(self, work: object, measurement: Measurement) -> None:
        count = "num_handles" if sys.platform == "win32" else "num_fds"
        self.held.append((getattr(psutil.Process(), count)(), threading.active_count()))


def test_many_trials_open_nothing_and_start_no_thread(tmp_path: Path) -> None:
    watch = Watch()
    summary = made_up.run(tmp_path / "out", made_up.works(tmp_path / "builds", blocks=2, rounds=25), watch)
    assert not summary.failed
    assert len(watch.held) == 2 * 2 * 26
    # The launcher and the worker are started by the first trials of their kind.
    assert max(watch.held[10:]) == watch.held[10]
