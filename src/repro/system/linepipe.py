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
_TURN_S = 0.5


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
        line = self._next(timeout_s)
        if not line:
            raise EndedError
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise GarbageError(repr(line[:200])[2:-1])
        return value

    def _next(self, timeout_s: float | None) -> bytes:
        """The next line, waited for in short turns.

        Ctrl-C may be delivered to a thread of a library (polars has some), and then it does not wake
        a main thread that waits for a queue; Python looks for it between two turns.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = _TURN_S if end is None else end - time.monotonic()
            try:
                return self._queue.get(timeout=max(0.0, min(_TURN_S, left)))
            except queue.Empty:
                if left <= 0:
                    raise

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
