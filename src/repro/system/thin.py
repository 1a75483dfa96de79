"""The parent's end of the small process in ``system/launcher.py``."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro import system as platforms
from repro.errors import TrialError
from repro.system.environment import child_environment
from repro.system.linepipe import EndedError, GarbageError, Lines

LAUNCHER = Path(platforms.__file__).with_name("launcher.py")
_START_S = 30.0
"""The launcher has a process running within this; far more than even a loaded machine needs."""
KILL_S = 10.0
"""A killed tree is gone within this, or the launcher itself is killed."""


class RefusedError(TrialError):
    """The launcher is well but could not start the command."""


class Thin:
    """A process of ``system/launcher.py`` with its two pipes."""

    def __init__(self, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.DEVNULL, stderr: Any = None) -> None:
        """Start it; the streams are those that a child can inherit."""
        control_read, control_write = os.pipe()
        answer_read, answer_write = os.pipe()
        self._control = control_write
        self.child: int | None = None
        """Process number of the child, from its start until its outcome was read."""
        self._closed = False
        self._sending = threading.RLock()  # a signal handler may send while its own thread does
        try:
            names, options = platforms.pass_pipes((control_read, answer_write))
            self.process = subprocess.Popen(
                [platforms.thin_python(), "-I", "-S", str(LAUNCHER), *names],
                env=child_environment({}),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL if stderr is None else stderr,
                **options,
            )
        except BaseException:
            os.close(control_write)
            os.close(answer_read)
            raise
        finally:
            os.close(control_read)
            os.close(answer_write)
        self._answers = Lines(os.fdopen(answer_read, "rb"))

    @property
    def alive(self) -> bool:
        """Whether it can take a request."""
        return not self._closed and self.process.poll() is None

    def start(self, request: Mapping[str, Any]) -> tuple[int, float]:
        """Send the request; the number of the process it started, and ``perf_counter`` just before.

        The counter is the system's, the same in every process. Raises RefusedError where the
        command cannot be started, TrialError where the launcher fails.
        """
        self.child = None
        self.send(request)
        answer = self._receive(_START_S, {"pid", "start"})
        self.child = int(answer["pid"])
        return self.child, float(answer["start"])

    def outcome(self, timeout_s: float | None) -> dict[str, Any]:
        """How the command ended, as the launcher says it. Raises TrialError where it does not."""
        answer = self._receive(timeout_s, {"exit_status", "signal", "wall_s"})
        self.child = None
        return answer

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one line; where the launcher is gone, what is read next says so."""
        data = json.dumps(message).encode() + b"\n"
        with self._sending, contextlib.suppress(OSError):
            while data and not self._closed:
                data = data[os.write(self._control, data) :]

    def close(self) -> None:
        """End the process with its child: it does so itself when its control pipe ends."""
        with self._sending:
            if self._closed:
                return
            self._closed = True
            os.close(self._control)
        try:
            self.process.wait(KILL_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.child is not None and self.process.returncode != 0:  # it died before its child
            platforms.kill_session(self.child)
        self._answers.close()

    def _receive(self, timeout_s: float | None, expected: set[str]) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout_s)
        except queue.Empty:
            raise TrialError(f"the launcher did not answer within {timeout_s} s") from None
        except EndedError:
            raise TrialError("the launcher was ended from outside; the trial is lost") from None
        except GarbageError as error:
            raise TrialError(f"something else than the launcher wrote on its pipe: {error}") from None
        if "error" in answer:
            raise RefusedError(answer["error"])
        if not expected <= answer.keys():
            raise TrialError(f"something else than the launcher wrote on its pipe: {str(answer)[:200]}")
        return answer
