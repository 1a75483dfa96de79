"""The launcher's part on Linux and macOS: children in sessions of their own.

A child leads its own session; whatever of its tree is left when it ends, is killed. On Linux this process is the tree's
reaper, so that daemonised descendants are found too, and the child dies with this process even if that is killed by
SIGKILL. Standard library only; imported by ``launcher.py`` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

assert sys.platform != "win32"  # what follows is not even type-checked there

import resource  # noqa: E402

Message = dict[str, Any]

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36


class Host:
    """Starts, watches and ends children on Linux and macOS.

    One thread: a signal wakes ``select`` through a pipe, so that the end of a child is seen at once, without polling,
    and forking is safe.
    """

    def __init__(self, control: int, used: Callable[[Any], Message]) -> None:
        """Take over the control pipe and the signals of this process; ``used`` is ``used.of_rusage``."""
        self.used = used
        self.control = control
        self.buffer = b""
        self.closed = False
        self.wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.prctl = _prctl()
        if self.prctl:
            self.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def next_request(self) -> Message | None:
        """The next request; None where the parent is gone or this process is told to end."""
        while b"\n" not in self.buffer:
            if self.closed:
                return None
            self._listen(None)
        line, _, self.buffer = self.buffer.partition(b"\n")
        request: Message = json.loads(line)
        return request

    def run(self, request: Message, started: Callable[[int, float], None]) -> Message:
        """Start the child, wait for its end or end it, and say how it went."""
        opened: list[Any] = []
        try:
            streams = [_stream(request.get(name), mode, opened) for name, mode in _STREAMS]
            start = time.perf_counter()
            process = subprocess.Popen(
                request["argv"],
                env=request["env"],
                cwd=request.get("cwd"),
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                start_new_session=True,
                preexec_fn=self._prepare(request),  # noqa: PLW1509 - this process has one thread
            )
        finally:
            for file in opened:
                file.close()
        started(process.pid, start)
        timeout_s = request.get("timeout_s")
        timed_out, status, rusage = self._wait(process.pid, None if timeout_s is None else start + timeout_s)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        self._sweep(process.pid)
        return {
            "exit_status": process.returncode if process.returncode >= 0 else None,
            "signal": -process.returncode if process.returncode < 0 else None,
            "timed_out": timed_out,
            "wall_s": wall_s,
            **self.used(rusage),
        }

    def _wait(self, pid: int, deadline: float | None) -> tuple[bool, int, resource.struct_rusage]:
        """Whether it timed out, its status and what it used, once it has ended."""
        timed_out = killed = False
        while True:
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                return timed_out, status, used
            left = None if deadline is None else max(0.0, deadline - time.perf_counter())
            if not killed and (self.closed or left == 0):
                timed_out, killed = not self.closed, True
                _kill_group(pid)
            self._listen(None if killed else left)

    def _listen(self, timeout_s: float | None) -> None:
        """Wait for a signal or for the parent, at most so long."""
        pipes = [self.wake] if self.closed else [self.wake, self.control]
        ready, _, _ = select.select(pipes, [], [], timeout_s)
        if self.wake in ready and any(number != signal.SIGCHLD for number in os.read(self.wake, 4096)):
            self.closed = True
        if self.control in ready:
            chunk = os.read(self.control, 65536)
            self.buffer += chunk
            self.closed = self.closed or not chunk

    def _prepare(self, request: Message) -> Callable[[], None] | None:
        """What the child does between fork and exec: limits, and dying with us."""
        wanted = (
            (request.get("memory_limit_bytes"), _MEMORY_LIMIT),
            (request.get("output_limit_bytes"), _FILE_LIMIT),
        )
        limits = [(kind, _within(kind, limit)) for limit, kind in wanted if limit and kind is not None]
        prctl, parent = self.prctl, os.getpid()
        if not (limits or prctl):
            return None

        def prepare() -> None:
            if prctl:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:  # it died before the line above
                    os._exit(1)
            for kind, limit in limits:
                resource.setrlimit(kind, (limit, limit))

        return prepare

    def _sweep(self, pid: int) -> None:
        """End what is left of the tree: the child's session and, on Linux, all descendants."""
        _kill_group(pid)
        while children := _children():
            for child in children:
                os.kill(child, signal.SIGKILL)
            for child in children:
                os.waitpid(child, 0)


# RLIMIT_DATA counts what a process can write to, since Linux 4.7; RLIMIT_AS would also count libraries and reserved
# address space. macOS enforces neither.
_MEMORY_LIMIT = resource.RLIMIT_DATA if sys.platform == "linux" else None
_FILE_LIMIT = resource.RLIMIT_FSIZE
_STREAMS = (("stdin", "rb"), ("stdout", "wb"), ("stderr", "ab"))


def _within(kind: int, limit: int) -> int:
    """The limit, or the one that we are under ourselves: a child cannot be given more."""
    ours = resource.getrlimit(kind)[1]
    return limit if ours == resource.RLIM_INFINITY else min(limit, ours)


def _stream(wanted: str | None, mode: str, opened: list[Any]) -> Any:
    if wanted == "inherit":
        return None
    if wanted is None:
        return subprocess.DEVNULL
    opened.append(open(wanted, mode))  # noqa: SIM115, PTH123 - closed by the caller
    return opened[-1]


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none left; macOS says EPERM of zombies
        os.killpg(pid, signal.SIGKILL)


def _children() -> list[int]:
    """Processes that this one has to reap; empty where the system does not tell."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function
