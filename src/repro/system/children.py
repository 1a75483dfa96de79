"""The processes that trials run in, as the parent sees them.

``Launcher`` runs commands to their end and times them; ``LineChild`` keeps one process alive and speaks with it line by
line. Both start it through the small process of ``launcher.py`` (see there why) and leave nothing behind: a
child's tree ends with it, with its timeout, and with us.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from repro.errors import TrialError
from repro.system.environment import child_environment
from repro.system.platforms import base_interpreter
from repro.system.processes import kill_session, pass_pipes

OUTPUT_LIMIT_BYTES = 4 << 30
"""Size that any one file a child writes may reach: one that floods its log must not fill the disk. Not on Windows."""
LINE_LIMIT_BYTES = 1 << 20
"""A longer line from a child is garbage."""
LAUNCHER = Path(__file__).with_name("launcher.py")
_START_S = 30.0
"""The launcher has a process running within this; far more than even a loaded machine needs."""
_KILL_S = 10.0
"""A killed tree is gone within this, or the launcher itself is killed."""
_CLOSE_S = 5.0
_TURN_S = 0.5
_WAITING_LINES = 8
_TAIL_BYTES, _TAIL_LINES = 4000, 15


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended, and what it used; None: the platform does not tell."""

    exit_status: int | None
    """None where a signal ended it."""
    signal: int | None
    timed_out: bool
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
        return f"ended by {_signal_name(self.signal)}" if self.signal else f"ended with status {self.exit_status}"


class Launcher:
    """Runs commands one at a time, each as its own session or job, and times them; for several, use as many launchers.

    The small process behind it is started when first needed and replaced when it dies.
    """

    def __init__(self) -> None:
        self._process: LauncherProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, command: Command) -> Outcome:
        """Run the command to its end, or to its timeout.

        Raises TrialError where it cannot be started or the launcher dies. When an exception arrives, also
        KeyboardInterrupt, the command's processes are gone.
        """
        if self._process is None or self._process.closed or self._process.process.poll() is not None:
            self.close()
            self._process = LauncherProcess()
        process = self._process
        try:
            process.start(dataclasses.asdict(command))
            outcome = Outcome(**process.outcome(None if command.timeout_s is None else command.timeout_s + _KILL_S))
            if process.closed:
                raise TrialError(f"{command.argv[0]} was stopped, as its launcher was")
            return outcome
        except RefusedError as error:
            raise TrialError(f"{command.argv[0]} could not be started: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """Process number of the running command."""
        return process.child if (process := self._process) else None

    def close(self) -> None:
        """End the running command, if any, and the small process; from any thread. ``run`` then raises TrialError."""
        process, self._process = self._process, None
        if process is not None:
            process.close()


class LineChild:
    """A process that answers one line of JSON with one line of JSON. After any TrialError it is gone, with its tree."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stderr_file: Path,
        cwd: Path | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        """Start it; its stderr is appended to the file. Raises TrialError where that fails."""
        self._stderr_file = stderr_file
        command = Command(argv=argv, env=env, cwd=cwd, memory_limit_bytes=memory_limit_bytes)
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), "inherit")
        with stderr_file.open("ab") as log:
            self._launcher = LauncherProcess(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._launcher.process.stdin
        assert self._launcher.process.stdout
        self._requests = self._launcher.process.stdin
        self._answers = Lines(self._launcher.process.stdout)
        try:
            self.pid, self.started = self._launcher.start({**dataclasses.asdict(command), **streams, "once": True})
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
        """The answer to the request. Raises TrialError where it is an error, late or none, or the child is gone."""
        if not self._answers.empty():
            self.read(0)  # raises where that is the end of the child
            raise self._failure("it wrote without being asked")
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except (OSError, ValueError):
            raise self._failure("it is gone", gone=True) from None
        answer = self.read(timeout_s)
        if "error" in answer:
            raise self._failure(f"{request['op']} failed: {answer['error']}")
        return answer

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
        import psutil  # tasks/run.py starts what makes its venv by this module, and has the standard library alone

        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except (psutil.Error, OSError):
            return None

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Let it end by itself (its stdin ends), and kill it where it does not in time."""
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._launcher.process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it and its tree, now."""
        with contextlib.suppress(OSError):
            self._requests.close()
        self._launcher.close()
        self._answers.close()

    def _failure(self, what: str, *, gone: bool = False, timed_out: bool = False) -> TrialError:
        """Kill the child and say what it did, how it ended, and what it last said."""
        how = ""
        if gone:
            with contextlib.suppress(TrialError):  # the launcher is gone with it
                how = f", {Outcome(**self._launcher.outcome(_KILL_S)).how}"
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


# ---- the parent's end of launcher.py


class RefusedError(TrialError):
    """The launcher is well but could not start the command."""


class LauncherProcess:
    """A process of ``launcher.py`` with its two pipes."""

    def __init__(self, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.DEVNULL, stderr: Any = None) -> None:
        """Start it; the streams are those that a child can inherit."""
        control_read, control_write = os.pipe()
        answer_read, answer_write = os.pipe()
        self._control = control_write
        self.child: int | None = None
        """Process number of the child, from its start until its outcome was read."""
        self.closed = False
        self._writing = threading.Lock()
        try:
            names, options = pass_pipes((control_read, answer_write))
            self.process = subprocess.Popen(
                [str(base_interpreter(sys.executable)), "-I", "-S", str(LAUNCHER), *names],
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

    def start(self, request: Mapping[str, Any]) -> tuple[int, float]:
        """Start what is requested: its process number, and ``perf_counter`` just before, which all processes share.

        Raises RefusedError where the command cannot be started, TrialError where the launcher fails.
        """
        self.child = None
        data = json.dumps(request, default=str).encode() + b"\n"  # paths as text
        # Where the launcher is gone, what is read next says so.
        with self._writing, contextlib.suppress(OSError):
            while data and not self.closed:
                data = data[os.write(self._control, data) :]
        answer = self._receive(_START_S, {"pid", "start"})
        self.child = int(answer["pid"])
        return self.child, float(answer["start"])

    def outcome(self, timeout_s: float | None) -> dict[str, Any]:
        """How the command ended, as the launcher says it. Raises TrialError where it does not."""
        answer = self._receive(timeout_s, {"exit_status", "signal", "wall_s"})
        self.child = None
        return answer

    def close(self) -> None:
        """End the process with its child: it does so itself when its control pipe ends."""
        with self._writing:
            if self.closed:
                return
            self.closed = True
            os.close(self._control)
        try:
            self.process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.child is not None and self.process.returncode != 0:  # it died before its child
            kill_session(self.child)
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


# ---- JSON objects from a pipe whose writer may die, hang, flood or write nonsense


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
        # In short turns: Ctrl-C may be delivered to a thread of a library, and then it does not wake a main thread that
        # waits for a queue; Python looks for it between two turns.
        end = math.inf if timeout_s is None else time.monotonic() + timeout_s
        line = None
        while line is None:
            left = end - time.monotonic()
            try:
                line = self._queue.get(timeout=max(0.0, min(_TURN_S, left)))
            except queue.Empty:
                if left <= 0:
                    raise
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
        """Give the pipe back, as soon as its other end is closed; who waits for a line hears of the end."""
        self._closing = True
        deadline = time.monotonic() + _CLOSE_S
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            self._thread.join(0.01)
            if time.monotonic() > deadline:  # a stranger holds the other end: leave it to the thread
                return
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(b"")
        self._stream.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (line := self._stream.readline(LINE_LIMIT_BYTES + 1)) and not self._closing:
                self._queue.put(line)
        self._queue.put(b"")
