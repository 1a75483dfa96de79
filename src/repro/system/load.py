"""How busy other processes kept the machine while a trial ran.

Two snapshots of the system's counters, taken before and after the timed part, and the CPU seconds
of our own: nothing runs while something is measured. A snapshot takes some tens of microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

DISTURBED_CORES = 0.25
"""Above this many cores kept busy by others, a round is flagged (docs/method.md). The counters
of Linux tick 100 times a second, so that a trial of one second is known to about 0.02 cores."""


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


@dataclass(frozen=True, slots=True)
class Load:
    """Cores kept busy by others, on average over a span."""

    other_cores: float
    stolen_cores: float


def snapshot() -> Snapshot:
    """The counters now."""
    times = psutil.cpu_times()._asdict()
    # Not the sum of all: Linux counts guest seconds within user, Windows interrupts within system.
    linux_only = (times.get(name, 0.0) for name in ("nice", "irq", "softirq"))
    busy_s = times["user"] + times["system"] + sum(linux_only)
    return Snapshot(time.perf_counter(), busy_s, times.get("steal", 0.0), time.process_time())


def between(before: Snapshot, after: Snapshot, children_s: float | None) -> Load | None:
    """The load by others between two snapshots.

    ``children_s`` are the user and system seconds that our children used in between; None where
    they are unknown, and then so is the load.
    """
    span_s = after.at_s - before.at_s
    if children_s is None or span_s <= 0:
        return None
    other_s = after.busy_s - before.busy_s - (after.own_s - before.own_s) - children_s
    return Load(max(0.0, other_s / span_s), max(0.0, (after.stolen_s - before.stolen_s) / span_s))


def by_others(before: Snapshot, after: Snapshot, measured: Mapping[str, Any]) -> dict[str, float]:
    """The load by others in a trial, as fields of its measurement; none where the child's own share is not known whole.

    ``measured`` are the fields that are known. Where a worker loaded ahead of what wall_s times, its CPU seconds
    of then are not in them.
    """
    user_s, system_s = measured.get("user_s"), measured.get("system_s")
    if user_s is None or system_s is None or measured.get("load_s", measured["wall_s"]) != measured["wall_s"]:
        return {}
    others = between(before, after, user_s + system_s)
    return {} if others is None else {"other_cores": others.other_cores, "stolen_cores": others.stolen_cores}
