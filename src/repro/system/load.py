"""How busy the machine was while a trial ran: by others, and by the tree of a trial's own processes.

A snapshot of the system's counters is taken before and after the timed part, and the CPU seconds of our own
are taken away: nothing runs while something is measured. A snapshot takes some tens of microseconds.
What a system does not tell is None, never 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psutil

_EVERY_S = 0.1
_ERRORS = (psutil.Error, OSError, RuntimeError, AttributeError, NotImplementedError)
"""What psutil raises of a process that has ended, and of a counter that this system has not, or has switched off."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The system's counters at one moment, in seconds."""

    at_s: float
    busy_s: float
    """CPU seconds of all processes and the kernel, over all cores."""
    stolen_s: float
    """CPU seconds that the hypervisor gave to others although we had work."""
    own_s: float
    """CPU seconds of this process, its children not counted."""


def snapshot() -> Snapshot | None:
    """The counters now."""
    try:
        times = psutil.cpu_times()._asdict()
    except _ERRORS:
        return None
    # Not the sum of all: Linux counts guest seconds within user, Windows interrupts within system.
    linux_only = (times.get(name, 0.0) for name in ("nice", "irq", "softirq"))
    busy_s = times["user"] + times["system"] + sum(linux_only)
    return Snapshot(time.perf_counter(), busy_s, times.get("steal", 0.0), time.process_time())


def by_others(before: Snapshot | None, after: Snapshot | None, facts: Mapping[str, Any]) -> dict[str, float]:
    """Cores that others kept busy in a trial, on average, as fields of its measurement.

    None where the child's own share is not known whole: ``facts`` are the fields that are known, and where a worker
    loaded ahead of what wall_s times, its CPU seconds of then are not in them.
    """
    user_s, system_s = facts.get("user_s"), facts.get("system_s")
    if before is None or after is None or user_s is None or system_s is None:
        return {}
    if facts.get("load_s", facts["wall_s"]) != facts["wall_s"]:
        return {}
    span_s = after.at_s - before.at_s
    other_s = after.busy_s - before.busy_s - (after.own_s - before.own_s) - user_s - system_s
    stolen_s = after.stolen_s - before.stolen_s
    return {"other_cores": max(0.0, other_s / span_s), "stolen_cores": max(0.0, stolen_s / span_s)}


# ---- all processes of a tree together


def tree(root: int) -> list[int]:
    """Numbers of the process and its descendants; empty where it is gone."""
    try:
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    except _ERRORS:
        return []


def tree_cpu_s(root: int) -> dict[int, tuple[float, float]]:
    """User and system CPU seconds so far of each process of the tree, by its number."""
    found = {}
    for pid in tree(root):
        try:
            times = psutil.Process(pid).cpu_times()
        except _ERRORS:
            continue
        found[pid] = (times.user, times.system)
    return found


def used_s(
    before: Mapping[int, tuple[float, float]], after: Mapping[int, tuple[float, float]]
) -> tuple[float | None, float | None]:
    """User and system CPU seconds between two ``tree_cpu_s``; unknown where a process ended between them."""
    if not before or not before.keys() <= after.keys():
        return None, None
    user_s, system_s = (
        sum(times[kind] - before.get(pid, (0.0, 0.0))[kind] for pid, times in after.items()) for kind in (0, 1)
    )
    return user_s, system_s


def tree_memory(roots: Iterable[int]) -> int | None:
    """Bytes of the trees of these processes now, each shared page split among those that have it: Linux's PSS.

    A process that has just ended counts nothing; None where the system does not tell.
    """
    found = []
    for pid in (pid for root in roots for pid in tree(root)):
        try:
            found.append(int(psutil.Process(pid).memory_full_info().pss))
        except _ERRORS:
            continue
    return sum(found) if found else None


class TreeMemory:
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
            now = tree_memory(self._roots())
            if now is not None:
                self.peak_bytes = max(now, self.peak_bytes or 0)
            if self._over.wait(_EVERY_S):
                return
