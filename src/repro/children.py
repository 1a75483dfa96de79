"""The processes that trials run in, as the parent sees them.

``Launcher`` runs commands to their end and times them; ``LineChild`` keeps one process alive and
speaks with it line by line. Both start it through the small process of ``launcher.py`` (see there
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
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from repro import platforms
from repro.environment import child_environment
from repro.errors import TrialError

LAUNCHER = Path(__file__).with_name("launcher.py")
LINE_LIMIT_BYTES = 1 << 20
"""A longer line on a pipe is garbage."""
OUTPUT_LIMIT_BYTES = 4 << 30
"""Default size that any one file a child writes may reach, where the platform can bound it: a
child that floods its log must not fill the disk."""
_START_S = 30.0
"""The launcher has a process running within this; far more than even a loaded machine needs."""
_KILL_S = 10.0
"""A killed tree is gone within this, or the launcher itself is killed."""
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
        self._thin: _Thin | None = None
        self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, command: Command) -> Outcome:
        """Run the command to its end, or to its timeout.

        Raises TrialError where it cannot be started or the launcher dies; whatever the exception,
        also KeyboardInterrupt, the command's processes are gone when it arrives.
        """
        if self._thin is None or not self._thin.alive:
            self.close()
            self._thin = _Thin()
        self._running = True
        try:
            self._thin.start(command.request())
            return self._thin.outcome(None if command.timeout_s is None else command.timeout_s + _KILL_S)
        except _RefusedError as error:
            raise TrialError(f"{command.argv[0]} could not be started: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._running = False

    def stop(self) -> None:
        """End the running command, if any; ``run`` then returns. For other threads and signal handlers."""
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
            self._thin = _Thin(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._thin.process.stdin is not None
        assert self._thin.process.stdout is not None
        self._requests = self._thin.process.stdin
        self._answers = _Lines(self._thin.process.stdout)
        try:
            self.pid = self._thin.start({**command.request(), **streams, "once": True})
        except BaseException as error:
            self.kill()
            if isinstance(error, _RefusedError):
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
            raise self._failure("it wrote without being asked")
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except (OSError, ValueError):
            raise self._failure("it is gone") from None
        return self.read(timeout_s)

    def read(self, timeout_s: float | None) -> dict[str, Any]:
        """The next line that the child writes. Raises TrialError as ``ask`` does."""
        try:
            return self._answers.get(timeout_s)
        except queue.Empty:
            raise self._failure(f"it did not answer within {timeout_s:.0f} s", timed_out=True) from None
        except _EndedError:
            raise self._failure("it is gone") from None
        except _GarbageError as error:
            raise self._failure(f"it wrote garbage on its pipe: {error}") from None
        except BaseException:  # Ctrl-C: the answer would be taken for that of the next request
            self.kill()
            raise

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

    def _failure(self, what: str, *, timed_out: bool = False) -> TrialError:
        """Kill the child and say what it did, how it ended, and what it last said."""
        ended = None
        if not timed_out:
            # The reason of its death arrives in a moment; a child that lives gets no time.
            with contextlib.suppress(TrialError):
                ended = self._thin.outcome(1.0)
        self.kill()
        how = f", {ended.how}" if ended else ""
        tail = tail_of(self._stderr_file)
        return TrialError(
            f"process {self.pid}: {what}{how}" + (f"; its last lines:\n{tail}" if tail else ""), timed_out=timed_out
        )


def tail_of(file: Path) -> str:
    """The last lines of a text file that may be huge, binary, or not there."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-_TAIL_LINES:])


class _RefusedError(TrialError):
    """The launcher is well but could not start the command."""


class _EndedError(Exception):
    """The other end of a pipe was closed."""


class _GarbageError(Exception):
    """A line that is no JSON object."""


class _Thin:
    """A process of ``launcher.py`` with its two pipes."""

    def __init__(self, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.DEVNULL, stderr: Any = None) -> None:
        control_read, control_write = os.pipe()
        answer_read, answer_write = os.pipe()
        self._control = control_write
        self._lock = threading.Lock()
        self._child: int | None = None
        self._closed = False
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
        self._answers = _Lines(os.fdopen(answer_read, "rb"))

    @property
    def alive(self) -> bool:
        return not self._closed and self.process.poll() is None

    def start(self, request: Mapping[str, Any]) -> int:
        """Send the request; the number of the process that it started."""
        self._child = None
        self.send(request)
        self._child = int(self._receive(_START_S)["pid"])
        return self._child

    def outcome(self, timeout_s: float | None) -> Outcome:
        answer = Outcome(**self._receive(timeout_s))
        self._child = None
        return answer

    def send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            try:
                while data and not self._closed:
                    data = data[os.write(self._control, data) :]
            except OSError:
                pass  # it is gone, and what is read next says so

    def close(self) -> None:
        """End the process with its child: it does so itself when its control pipe ends."""
        if self._closed:
            return
        with self._lock:
            self._closed = True
            os.close(self._control)
        try:
            self.process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._child is not None:
            platforms.kill_session(self._child)
        self._answers.close()

    def _receive(self, timeout_s: float | None) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout_s)
        except queue.Empty:
            raise TrialError(f"the launcher did not answer within {timeout_s} s") from None
        except _EndedError:
            raise TrialError("the launcher was ended from outside; the trial is lost") from None
        except _GarbageError as error:
            raise TrialError(f"something else than the launcher wrote on its pipe: {error}") from None
        if "error" in answer:
            raise _RefusedError(answer["error"])
        return answer


class _Lines:
    """JSON objects from a pipe, read on a thread: Windows can wait for a pipe in no other way."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        # Bounded, so that a flood stops at the writer and not in our memory.
        self._queue: queue.Queue[bytes] = queue.Queue(maxsize=8)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def empty(self) -> bool:
        return self._queue.empty()

    def get(self, timeout_s: float | None) -> dict[str, Any]:
        """The next object. Raises queue.Empty, _EndedError or _GarbageError."""
        line = self._queue.get(timeout=timeout_s)
        if not line:
            raise _EndedError
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise _GarbageError(repr(line[:200])[2:-1])
        return value

    def close(self) -> None:
        """Give the pipe back; its other end must be closed."""
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
            self._thread.join(0.01)
        self._stream.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := self._stream.readline(LINE_LIMIT_BYTES + 1):
                self._queue.put(line)
        self._queue.put(b"")


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"
