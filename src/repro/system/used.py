"""What processes have used: CPU seconds, memory, context switches, reading from the disk.

Standard library only and nothing of the project: a worker and the launcher import this file alone. What a system does
not tell is None, never 0.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

Usage = dict[str, float | int | None]
_FILETIME_PER_S = 10_000_000  # a FILETIME counts units of 100 ns


def usage() -> Usage:
    """CPU seconds and context switches of this process so far, all its threads included.

    Keys: ``user_s``, ``system_s``, ``voluntary_switches``, ``involuntary_switches``.
    """
    return {name: value for name, value in _of_this_process().items() if name != "peak_bytes"}


def peak_bytes(status: str = "/proc/self/status", system: str = sys.platform) -> int | None:
    """Largest resident size of this process so far, in bytes.

    Linux: VmHWM, that of the program that runs now; ``ru_maxrss`` would start from the peak of what launched it.
    """
    if system in ("win32", "darwin"):
        peak: int | None = _of_this_process()["peak_bytes"]
        return peak
    kilobytes = _told(status, "VmHWM")
    return None if kilobytes is None else kilobytes * 1024


def disk_bytes(io: str = "/proc/self/io") -> int | None:
    """Bytes that this process has had read from the disk; None where the system does not tell."""
    return _told(io, "read_bytes")


def _told(file: str, name: str) -> int | None:
    """The number after the name in a file of Linux's /proc (proc(5): memory is in kB); None where there is none."""
    try:
        with open(file, encoding="ascii", errors="replace") as lines:  # noqa: PTH123 - pathlib would make the launcher bigger
            return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
    except OSError:  # gone, not ours, or another system
        return None


def of_rusage(used: Any, system: str = sys.platform) -> dict[str, Any]:
    """What ``getrusage`` and ``wait4`` say on Linux and macOS: the keys of ``usage()``, and ``peak_bytes``."""
    return {
        "user_s": used.ru_utime,
        "system_s": used.ru_stime,
        "voluntary_switches": used.ru_nvcsw,
        "involuntary_switches": used.ru_nivcsw,
        "peak_bytes": used.ru_maxrss * (1 if system == "darwin" else 1024),  # getrusage(2): bytes on macOS, else KiB
    }


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
        ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


def of_windows_process(handle: int, kernel32: Any = None) -> dict[str, Any]:
    """The same of any Windows process, also an ended one whose handle is still open.

    ``peak_bytes`` is the peak of its working set. Windows does not count context switches per process.
    """
    kernel32 = kernel32 or vars(ctypes)["WinDLL"]("kernel32")
    process = ctypes.c_void_p(handle)
    created, ended, system, user = (ctypes.c_uint64() for _ in range(4))
    timed = kernel32.GetProcessTimes(process, *(ctypes.byref(value) for value in (created, ended, system, user)))
    counters = _MemoryCounters(cb=ctypes.sizeof(_MemoryCounters))
    counted = kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
    return {
        "user_s": user.value / _FILETIME_PER_S if timed else None,
        "system_s": system.value / _FILETIME_PER_S if timed else None,
        "voluntary_switches": None,
        "involuntary_switches": None,
        "peak_bytes": counters.PeakWorkingSetSize if counted else None,
    }


def _of_this_process() -> dict[str, Any]:
    if sys.platform == "win32":
        return of_windows_process(-1)  # what GetCurrentProcess returns: a handle that always means the caller
    import resource

    return of_rusage(resource.getrusage(resource.RUSAGE_SELF))
