"""The launcher's part on Windows: children in job objects.

A job object holds a child with everything it starts, bounds its memory, and ends it all when the last handle to the job
is closed - also when this process is terminated, so nothing survives. Standard library only; imported by
``launcher.py`` alone. The libraries of Windows are arguments, so that tests on other systems can follow the calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

CREATE_SUSPENDED = 0x4  # processthreadsapi.h
CREATE_NEW_PROCESS_GROUP = 0x200
EXTENDED_LIMIT_INFORMATION = 9  # JOBOBJECTINFOCLASS of winnt.h
LIMIT_PROCESS_MEMORY = 0x100
LIMIT_KILL_ON_JOB_CLOSE = 0x2000
_DWORD, _SIZE, _U64 = ctypes.c_uint32, ctypes.c_size_t, ctypes.c_uint64


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h, its inner structures laid out flat."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", _DWORD),
        ("MinimumWorkingSetSize", _SIZE),
        ("MaximumWorkingSetSize", _SIZE),
        ("ActiveProcessLimit", _DWORD),
        ("Affinity", _SIZE),
        ("PriorityClass", _DWORD),
        ("SchedulingClass", _DWORD),
        ("IoCounters", _U64 * 6),
        ("ProcessMemoryLimit", _SIZE),
        ("JobMemoryLimit", _SIZE),
        ("PeakProcessMemoryUsed", _SIZE),
        ("PeakJobMemoryUsed", _SIZE),
    )


class Job:
    """A job object; closing it ends every process in it."""

    def __init__(self, kernel32: Any, memory_limit_bytes: int | None) -> None:
        """Make the job. Raises OSError where Windows refuses."""
        self._kernel32 = kernel32
        kernel32.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(kernel32.CreateJobObjectW(None, None))
        limits = ExtendedLimits(LimitFlags=LIMIT_KILL_ON_JOB_CLOSE)
        if memory_limit_bytes:
            limits.LimitFlags |= LIMIT_PROCESS_MEMORY
            limits.ProcessMemoryLimit = memory_limit_bytes
        self._check(
            kernel32.SetInformationJobObject(
                self._handle, EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
            )
        )

    def hold(self, process: int) -> None:
        """Put a process that has not run yet into the job. Raises OSError where Windows refuses."""
        self._check(self._kernel32.AssignProcessToJobObject(self._handle, ctypes.c_void_p(process)))

    def terminate(self) -> None:
        """End every process in the job, at once."""
        self._kernel32.TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        """End every process in the job and give the job back."""
        self._kernel32.CloseHandle(self._handle)

    def _check(self, result: int) -> None:
        if not result:
            raise OSError(f"a job object was refused, Windows error {self._kernel32.GetLastError()}")


class Host:
    """Starts, watches and ends children on Windows; the counterpart of ``unix.Host``."""

    def __init__(
        self, control: int, used: Callable[[int, Any], dict[str, Any]], kernel32: Any = None, ntdll: Any = None
    ) -> None:
        """Read requests from the control pipe, on a thread: Windows cannot wait for a pipe and a process at once.

        ``used`` is ``used.of_windows_process``.
        """
        self._used = used
        self._kernel32 = kernel32 or vars(ctypes)["WinDLL"]("kernel32")
        self._ntdll = ntdll or vars(ctypes)["WinDLL"]("ntdll")
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._ended = False
        """Whether the parent is gone."""
        threading.Thread(target=self._read, args=(control,), daemon=True).start()

    def next_request(self) -> dict[str, Any] | None:
        """The next request; None where the parent is gone."""
        return self._requests.get()

    def run(self, request: dict[str, Any], started: Callable[[int, float], None]) -> dict[str, Any]:
        """Start the child, wait for its end or end it, and say how it went."""
        with contextlib.ExitStack() as cleanup:
            streams = [_stream(request.get(name), number, cleanup) for number, name in enumerate(_STREAMS)]
            job = Job(self._kernel32, request.get("memory_limit_bytes"))
            cleanup.callback(self._forget, job)
            start = time.perf_counter()
            process = subprocess.Popen(
                request["argv"],
                env=request["env"],
                cwd=request.get("cwd"),
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                # It shares the console without window of this process: one of its own would be started with it, timed.
                creationflags=CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP,
            )
            cleanup.callback(process.kill)
            handle = int(vars(process)["_handle"])
            job.hold(handle)
            with self._lock:  # the parent may have gone before there was a job to end
                if self._ended:
                    raise OSError("the parent is gone")
                self._job = job
            self._ntdll.NtResumeProcess(ctypes.c_void_p(handle))
            started(process.pid, start)
            timed_out = False
            try:
                process.wait(request.get("timeout_s"))
            except subprocess.TimeoutExpired:
                timed_out = True
                job.terminate()
                process.wait()
            return {
                "exit_status": process.returncode,
                "signal": None,
                "timed_out": timed_out,
                "wall_s": time.perf_counter() - start,
                **self._used(handle, self._kernel32),
            }

    def _read(self, control: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(control, "rb") as pipe:
            for line in pipe:
                self._requests.put(json.loads(line))
        self._requests.put(None)
        with self._lock:
            self._ended = True
            if self._job:
                self._job.terminate()

    def _forget(self, job: Job) -> None:
        with self._lock:
            self._job = None
            job.close()


_STREAMS = ("stdin", "stdout", "stderr")
_MODES = ("rb", "wb", "ab")


def _stream(wanted: str | None, number: int, cleanup: contextlib.ExitStack) -> Any:
    if wanted == "inherit":
        return number  # named, since Windows hands on no standard stream by itself
    if wanted is None:
        return subprocess.DEVNULL
    return cleanup.enter_context(open(wanted, _MODES[number]))  # noqa: PTH123 - pathlib would make this process bigger
