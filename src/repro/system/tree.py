"""What all processes of a tree use together: CPU seconds, and memory with shared pages counted once.

What a system does not tell is None, never 0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

import psutil

from repro.system import used

_EVERY_S = 0.1


def processes(root: int) -> list[int]:
    """The process and its descendants; empty where it is gone."""
    try:
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def cpu_s(root: int) -> dict[int, tuple[float, float]]:
    """User and system CPU seconds so far of each process of the tree."""
    found = {}
    for pid in processes(root):
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        found[pid] = (times.user, times.system)
    return found


def used_s(
    before: dict[int, tuple[float, float]], after: dict[int, tuple[float, float]]
) -> tuple[float | None, float | None]:
    """User and system CPU seconds between two readings; unknown where a process ended between them."""
    if not before or not before.keys() <= after.keys():
        return None, None
    user_s, system_s = (
        sum(times[kind] - before.get(pid, (0.0, 0.0))[kind] for pid, times in after.items()) for kind in (0, 1)
    )
    return user_s, system_s


class Sampled:
    """Samples the memory of trees while its block runs.

    Reading a page table takes the process's time, so this is for trials whose time does not count.
    """

    def __init__(self, roots: Callable[[], Collection[int]]) -> None:
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            now = used.shared_once_bytes(pid for root in self._roots() for pid in processes(root))
            if now is not None:
                self.peak_bytes = max(now, self.peak_bytes or 0)
            if self._over.wait(_EVERY_S):
                return
