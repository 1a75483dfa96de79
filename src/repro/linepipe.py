"""JSON objects from a pipe whose writer may die, hang, flood or write nonsense."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from typing import IO, Any

LINE_LIMIT_BYTES = 1 << 20
"""A longer line is garbage."""
_WAITING_LINES = 8
_CLOSE_S = 5.0


class EndedError(Exception):
    """The other end of a pipe was closed."""


class GarbageError(Exception):
    """A line that is no JSON object."""


class Lines:
    """Reads on a thread of its own: Windows can wait for a pipe in no other way."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Start reading the stream, which this object owns from now on."""
        self._stream = stream
        # Bounded, so that a flood stops at the writer and not in our memory.
        self._queue: queue.Queue[bytes] = queue.Queue(maxsize=_WAITING_LINES)
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def empty(self) -> bool:
        """Whether nothing has come that was not yet taken."""
        return self._queue.empty()

    def get(self, timeout_s: float | None) -> dict[str, Any]:
        """The next object. Raises queue.Empty, EndedError or GarbageError."""
        # A wait without an end is not woken by Ctrl-C once polars is loaded; one with an end is.
        line = self._queue.get(timeout=threading.TIMEOUT_MAX if timeout_s is None else timeout_s)
        if not line:
            raise EndedError
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise GarbageError(repr(line[:200])[2:-1])
        return value

    def close(self) -> None:
        """Give the pipe back, as soon as its other end is closed."""
        self._closing = True
        deadline = time.monotonic() + _CLOSE_S
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            self._thread.join(0.01)
            if time.monotonic() > deadline:  # a stranger holds the other end: leave it to the thread
                return
        self._stream.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (line := self._stream.readline(LINE_LIMIT_BYTES + 1)) and not self._closing:
                self._queue.put(line)
        self._queue.put(b"")
