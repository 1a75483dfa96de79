"""What machine this is: the fingerprint that every session stores, its short name, and its identity.

Facts of the system come from ``hardware.py``, the rest from psutil and Python. What cannot be known is the word
"unknown", whatever keeps it from us. No host name, user name or folder is in it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import sysconfig
import time
from pathlib import Path
from typing import Any

import psutil

from repro.errors import ConfigError
from repro.paths import ROOT, shown
from repro.system import environment, hardware
from repro.system.hardware import HERE, Probe
from repro.system.platforms import SYSTEM, current_platform

UNKNOWN = "unknown"
ID_FILE = ROOT / ".machine-id"
"""A random number, made once. Git ignores it, and `clean` leaves it: with it the machine would lose its name."""
_SALT = "elastix comparison machine 2"
"""Part of every digest, so that ours cannot be matched with those of other programs."""

# Keys in the order in which people read them; a system that does not tell one says "unknown".
_KEYS = (
    *("platform", "arch", "os", "os_version", "kernel", "libc"),
    *("cpu", "physical_cores", "logical_cores", "usable_cores", "core_kinds", "smt", "max_mhz", "numa_nodes"),
    *("governor", "frequency_driver", "turbo", "power_plan", "translated"),
    *("virtualization", "container", "cgroup_cpu_cores", "cgroup_memory_bytes"),
    *("memory_bytes", "swap_bytes", "huge_pages", "clock_source", "clock_resolution_s", "priority", "long_paths"),
    *("python", "python_implementation", "python_build", "python_compiler", "python_options"),
    "environment_removed",
)


def fingerprint(system: str = SYSTEM, probe: Probe = HERE) -> dict[str, Any]:
    """Everything about this machine that a reader of a measurement may ask for.

    Ready for JSON; takes some tenths of a second at most, so it is for the start of a session.
    Sizes are bytes, ``max_mhz`` MHz. ``usable_cores`` are those this process may run on.
    """
    facts = _facts() | hardware.describe(system, probe, os.cpu_count() or 1)
    return {key: facts.get(key, UNKNOWN) for key in _KEYS} | state(system)


def state(system: str = SYSTEM) -> dict[str, Any]:
    """What changes from minute to minute: load, memory, swap, power. For both ends of a session."""
    memory, swap = _attempt(psutil, "virtual_memory"), _attempt(psutil, "swap_memory")
    # psutil makes up the load on Windows, from 0 on, beginning with the first question.
    load = None if system == "win32" else _attempt(psutil, "getloadavg")
    mhz = _attempt(psutil, "cpu_freq")
    return {
        "load_1m": round(load[0], 2) if load else UNKNOWN,
        "memory_available_bytes": memory.available if memory else UNKNOWN,
        "swap_used_bytes": swap.used if swap else UNKNOWN,
        **_power(),
        "current_mhz": round(mhz.current) if mhz and mhz.current else UNKNOWN,
    }


def _power() -> dict[str, Any]:
    try:
        battery = psutil.sensors_battery()
    except _ERRORS:
        return {"power_source": UNKNOWN, "battery_percent": UNKNOWN}
    if battery is None:
        return {"power_source": "no battery", "battery_percent": UNKNOWN}
    source = {True: "mains", False: "battery"}.get(battery.power_plugged, UNKNOWN)
    return {"power_source": source, "battery_percent": round(battery.percent)}


def physical_cores() -> int:
    """The physical cores, or the logical ones where those are unknown."""
    return _attempt(psutil, "cpu_count", logical=False) or os.cpu_count() or 1


def machine_name(system: str = SYSTEM, probe: Probe = HERE, id_file: Path = ID_FILE) -> str:
    """A short name that stays with the machine and this checkout, such as "linux-64-epyc-2c-1a2b3c4d".

    The last part digests the processor and ``identity``. Raises ConfigError as ``identity`` does.
    """
    cpu = str(hardware.describe(system, probe, 0).get("cpu", "")) or platform.processor()
    cores = physical_cores()
    told = _digest(identity(system, probe, id_file), cpu, platform.machine(), str(cores))
    return f"{current_platform()}-{slug(cpu)}-{cores}c-{told[:8]}"


def identity(system: str = SYSTEM, probe: Probe = HERE, id_file: Path = ID_FILE) -> str:
    """32 hex digits that tell this machine and checkout from all others, also from a clone of the machine.

    They digest the random number of ``ID_FILE`` and what the system itself tells machines apart by; neither leaves
    the machine, so that nobody else can make lines of this identity. Raises ConfigError where the file cannot be made.
    """
    try:
        if not id_file.is_file():
            temporary = id_file.with_name(f"{id_file.name}.{os.getpid()}")
            temporary.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
            temporary.replace(id_file)
        number = id_file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"{shown(id_file)}: cannot be made, and no machine has a name without it: {error.strerror}; "
            "measure from a checkout of your own"
        ) from error
    return _digest(number, hardware.unique_id(system, probe))[:32]


def slug(cpu: str) -> str:
    """The word by which people know a processor: "epyc", "i7-1165g7", "m2-pro", "5800x"."""
    told = re.sub(r"\((?:R|TM|C)\)|@.*|\b\d+-core\b|\b\d+th gen\b|\bw/.*", " ", cpu, flags=re.IGNORECASE)
    words = told.lower().split()
    telling = [word for word in words if word not in _DULL and re.search(r"[a-z]", word)]
    by_number = [word for word in telling if re.search(r"\d", word)]
    chosen = (by_number or telling or words or [UNKNOWN])[0]
    following = telling[telling.index(chosen) + 1 :] if by_number else []
    kind = [word for word in following if word in ("pro", "max", "ultra")]
    return re.sub(r"[^a-z0-9]+", "-", "-".join((chosen, *kind))).strip("-") or UNKNOWN


_DULL = ["amd", "intel", "apple", "core", "cpu", "processor", "ryzen", "xeon", "with", "radeon", "graphics", "virtual"]


def _facts() -> dict[str, Any]:
    """What psutil and Python know on every system."""
    mhz, memory, swap = (_attempt(psutil, name) for name in ("cpu_freq", "virtual_memory", "swap_memory"))
    affinity = _attempt(psutil.Process(), "cpu_affinity")
    physical, logical = _attempt(psutil, "cpu_count", logical=False), os.cpu_count()
    facts = {
        "platform": current_platform(),
        "arch": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": platform.processor(),
        "physical_cores": physical,
        "logical_cores": logical,
        "smt": smt(physical, logical),
        "usable_cores": len(affinity) if affinity else None,
        "max_mhz": round(mhz.max) if mhz and mhz.max else None,
        "memory_bytes": memory.total if memory else None,
        "swap_bytes": swap.total if swap else None,
        "clock_resolution_s": time.get_clock_info("perf_counter").resolution,
        "priority": hardware.priority(_attempt(psutil.Process(), "nice")),
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "python_build": " ".join(platform.python_build()),
        "python_compiler": platform.python_compiler(),
        "python_options": _python_options(),
        "environment_removed": environment.removed(),
    }
    return {key: value for key, value in facts.items() if value not in (None, "", " ")}


def smt(physical: int | None, logical: int | None) -> str | None:
    """Whether a core runs several threads, by the counts; Linux tells it itself (`hardware`)."""
    return ("on" if logical > physical else "off") if physical and logical else None


def _python_options() -> list[str]:
    """Options that decide the speed of this interpreter; the whole list would name folders."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    options = [name for name in ("--enable-optimizations", "--with-lto", "--with-pydebug") if name in arguments]
    return options + (["free-threaded"] if sysconfig.get_config_var("Py_GIL_DISABLED") else [])


_ERRORS = (AttributeError, OSError, NotImplementedError, RuntimeError, ValueError, psutil.Error)


def _attempt(owner: Any, name: str, **options: Any) -> Any:
    """What psutil's function says; None where this system has it not, or it fails here (as performance counters do)."""
    try:
        return getattr(owner, name)(**options)
    except _ERRORS:
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join((_SALT, *parts)).encode()).hexdigest()
