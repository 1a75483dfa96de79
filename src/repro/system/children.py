"""The processes that trials run in, as the parent sees them.

``Launcher`` runs commands to their end and times them; ``LineChild`` keeps one process alive and
speaks with it line by line. Both start it through the small process of ``system/launcher.py`` (see there
why) and leave nothing behind: a child's tree ends with it, with its timeout, and with us.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from repro.errors import TrialError
from repro.system.linepipe import EndedError, GarbageError, Lines
from repro.system.thin import KILL_S, RefusedError, Thin

OUTPUT_LIMIT_BYTES = 4 << 30
"""Default size that any one file a child writes may reach, where the platform can bound it: a
child that floods its log must not fill the disk."""
_TAIL_BYTES = 4000
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to run to its end."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    stdout: Path | None = None
    """File to write; None: thrown away."""
    stderr: Path | None = None
    """File to append to; None: thrown away."""
    timeout_s: float | None = None
    memory_limit_bytes: int | None = None
    """Writable memory of each process of the child; macOS cannot bound it."""
    output_limit_bytes: int | None = OUTPUT_LIMIT_BYTES
    affinity: Sequence[int] | None = None
    """CPUs to run on; None: those of this process. macOS cannot bind."""

    def request(self) -> dict[str, Any]:
        """The command as the launcher reads it."""
        paths = {name: None if (path := getattr(self, name)) is None else str(path) for name in _PATHS}
        return dataclasses.asdict(self) | paths | {"argv": [str(word) for word in self.argv], "env": dict(self.env)}


_PATHS = ("cwd", "stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended, and what it used; None: the platform does not tell."""

    exit_status: int | None
    """None where a signal ended it."""
    signal: int | None
    timed_out: bool
    stopped: bool
    """Ended because ``Launcher.stop`` was called."""
    wall_s: float
    """From just before it was started until its end was seen."""
    user_s: float | None
    system_s: float | None
    peak_bytes: int | None
    """Largest resident size; at least that of the launcher it was forked from, about 9 MB."""
    voluntary_switches: int | None
    involuntary_switches: int | None

    @property
    def how(self) -> str:
        """The end in words."""
        if self.timed_out:
            return f"stopped at its timeout after {self.wall_s:.1f} s"
        if self.stopped:
            return f"stopped after {self.wall_s:.1f} s"
        return f"ended by {_signal_name(self.signal)}" if self.signal else f"ended with status {self.exit_status}"


class Launcher:
    """Runs commands one at a time, each as its own session or job, and times them.

    The small process behind it is started when first needed and replaced when it dies. For
    commands side by side, use as many launchers.
    """

    def __init__(self) -> None:
        self._thin: Thin | None = None
        self._running = False
        self._stop_wanted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, command: Command) -> Outcome:
        """Run the command to its end, or to its timeout.

        Raises TrialError where it cannot be started or the launcher dies; whatever the exception,
        also KeyboardInterrupt, the command's processes are gone when it arrives.
        """
        self._stop_wanted = False
        if self._thin is None or not self._thin.alive:
            self.close()
            self._thin = Thin()
        try:
            self._thin.start(command.request())
            self._running = True
            if self._stop_wanted:
                self.stop()
            return Outcome(**self._thin.outcome(None if command.timeout_s is None else command.timeout_s + KILL_S))
        except RefusedError as error:
            raise TrialError(f"{command.argv[0]} could not be started: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._running = False

    @property
    def pid(self) -> int | None:
        """Process number of the running command."""
        return self._thin.child if self._running and self._thin is not None else None

    def stop(self) -> None:
        """End the running command, if any; ``run`` then returns. For other threads and signal handlers."""
        self._stop_wanted = True
        if self._running and self._thin is not None:
            self._thin.send({"stop": True})

    def close(self) -> None:
        """End the running command, if any, and the small process."""
        if self._thin is not None:
            self._thin.close()
            self._thin = None


class LineChild:
    """A process that lives on and answers one line of JSON with one line of JSON.

    After any TrialError it is gone, with its whole tree.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stderr_file: Path,
        cwd: Path | None = None,
        memory_limit_bytes: int | None = None,
        affinity: Sequence[int] | None = None,
    ) -> None:
        """Start it; its stderr is appended to the file. Raises TrialError where that fails."""
        self._stderr_file = stderr_file
        command = Command(argv=argv, env=env, cwd=cwd, memory_limit_bytes=memory_limit_bytes, affinity=affinity)
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), "inherit")
        with stderr_file.open("ab") as log:
            self._thin = Thin(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._thin.process.stdin is not None
        assert self._thin.process.stdout is not None
        self._requests = self._thin.process.stdin
        self._answers = Lines(self._thin.process.stdout)
        try:
            self.pid, self.started = self._thin.start({**command.request(), **streams, "once": True})
            """Its process number, and ``time.perf_counter()`` just before it was started."""
        except BaseException as error:
            self.kill()
            if isinstance(error, RefusedError):
                raise TrialError(f"{argv[0]} could not be started: {error}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill() if error else self.close()

    def ask(self, request: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        """Send the request and wait for its answer.

        Raises TrialError where the child dies, does not answer in time, or writes anything else.
        """
        if not self._answers.empty():
            self.read(0)  # raises where that is the end of the child
            raise self._failure("it wrote without being asked")
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except (OSError, ValueError):
            raise self._failure("it is gone", gone=True) from None
        return self.read(timeout_s)

    def read(self, timeout_s: float | None) -> dict[str, Any]:
        """The next line that the child writes. Raises TrialError as ``ask`` does."""
        try:
            return self._answers.get(timeout_s)
        except queue.Empty:
            raise self._failure(f"it did not answer within {timeout_s:.0f} s", timed_out=True) from None
        except EndedError:
            raise self._failure("it is gone", gone=True) from None
        except GarbageError as error:
            raise self._failure(f"it wrote garbage on its pipe: {error}") from None
        except BaseException:  # Ctrl-C: the answer would be taken for that of the next request
            self.kill()
            raise

    def resident_bytes(self) -> int | None:
        """Its resident memory now; None where it is gone, or the system does not tell."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except (psutil.Error, OSError):
            return None

    def close(self, timeout_s: float = 5.0) -> None:
        """Let it end by itself (its stdin ends), and kill it where it does not in time."""
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._thin.process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it and its tree, now."""
        with contextlib.suppress(OSError):
            self._requests.close()
        self._thin.close()
        self._answers.close()

    def _failure(self, what: str, *, gone: bool = False, timed_out: bool = False) -> TrialError:
        """Kill the child and say what it did, how it ended, and what it last said."""
        how = ""
        if gone:
            with contextlib.suppress(TrialError):  # the launcher is gone with it
                how = f", {Outcome(**self._thin.outcome(KILL_S)).how}"
        self.kill()
        tail = tail_of(self._stderr_file)
        words = f"process {self.pid}: {what}{how}" + (f"; its last lines:\n{tail}" if tail else "")
        return TrialError(words, timed_out=timed_out)


def tail_of(file: Path) -> str:
    """The last lines of a text file that may be huge, binary, or not there."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-_TAIL_LINES:])


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"
