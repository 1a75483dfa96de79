"""Watching processes that a test has started; every wait is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def lives(pid: int) -> bool:
    """Whether a process of that number runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], patience_s: float = 30) -> bool:
    """Whether the condition comes true; the patience only bounds a failing test."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
