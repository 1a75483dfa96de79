"""What machine this is: the fingerprint that every session stores, and a short name for it.

Facts of the system come from ``system/hardware.py``, the rest from psutil and Python. What cannot be
known is the word "unknown". No host name, user name or folder is in it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from repro.layout import CACHE
from repro.system import SYSTEM, current_platform, environment, hardware
from repro.system.hardware import Probe

UNKNOWN = "unknown"
_SALT = "elastix comparison machine 1"
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


def fingerprint(system: str = SYSTEM, probe: Probe | None = None) -> dict[str, Any]:
    """Everything about this machine that a reader of a measurement may ask for.

    Ready for JSON; takes some tenths of a second at most, so it is for the start of a session.
    Sizes are bytes, ``max_mhz`` MHz. ``usable_cores`` are those this process may run on.
    """
    facts = _facts() | hardware.describe(system, probe or Probe(), psutil.cpu_count() or 1)
    return {key: facts.get(key, UNKNOWN) for key in _KEYS} | state()


def state() -> dict[str, Any]:
    """What changes from minute to minute: load, memory, swap, power. For both ends of a session."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    battery = _attempt(psutil, "sensors_battery")
    sources = {True: "mains", False: "battery"}
    load = _attempt(psutil, "getloadavg")
    mhz = _attempt(psutil, "cpu_freq")
    return {
        "load_1m": round(load[0], 2) if load else UNKNOWN,
        "memory_available_bytes": memory.available,
        "swap_used_bytes": swap.used,
        "power_source": "no battery" if battery is None else sources.get(battery.power_plugged, UNKNOWN),
        "battery_percent": UNKNOWN if battery is None else round(battery.percent),
        "current_mhz": round(mhz.current) if mhz and mhz.current else UNKNOWN,
    }


def physical_cores() -> int:
    """What "0 threads" means: the physical cores, or the logical ones where those are unknown."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def machine_id(system: str = SYSTEM, probe: Probe | None = None, cache: Path = CACHE) -> str:
    """A short name that stays with the machine, such as "linux-64-epyc-2c-1a2b3c4d".

    The last part digests the system's own identity of the machine together with its processor
    and a salt; it leads back to neither the host nor its owner. A machine without identity gets a
    random one, kept in the checkout's cache folder.
    """
    probe = probe or Probe()
    cpu = str(hardware.describe(system, probe, 0).get("cpu", "")) or platform.processor()
    cores = physical_cores()
    identity = hardware.unique_id(system, probe) or _random_identity(cache / "machine-id")
    content = "\n".join((_SALT, identity, cpu, platform.machine(), str(cores)))
    return f"{current_platform()}-{slug(cpu)}-{cores}c-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def slug(cpu: str) -> str:
    """The word by which people know a processor: "epyc", "i7-1165g7", "m2-pro", "5800x"."""
    words = (
        re.sub(r"\((?:R|TM|C)\)|@.*|\b\d+-core\b|\b\d+th gen\b|\bw/.*", " ", cpu, flags=re.IGNORECASE).lower().split()
    )
    dull = {
        "amd",
        "intel",
        "apple",
        "core",
        "cpu",
        "processor",
        "ryzen",
        "xeon",
        "with",
        "radeon",
        "graphics",
        "virtual",
    }
    telling = [word for word in words if word not in dull and re.search(r"[a-z]", word)]
    by_number = [word for word in telling if re.search(r"\d", word)]
    chosen = (by_number or telling or words or [UNKNOWN])[0]
    following = telling[telling.index(chosen) + 1 :] if by_number else []
    kind = [word for word in following if word in ("pro", "max", "ultra")]
    return re.sub(r"[^a-z0-9]+", "-", "-".join((chosen, *kind))).strip("-") or UNKNOWN


def compilers_of(file: Path) -> tuple[str, ...]:
    """Compilers whose names stand in a program or library, such as "GCC: (GNU) 12.1.1".

    Linkers of Linux keep them (ELF section .comment); empty where nothing is found.
    """
    pattern, found, rest = re.compile(rb"GCC: \([^)\0]{1,80}\) [0-9.]+|clang version [0-9.]+"), set(), b""
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                window = rest + chunk
                found |= {match.decode("ascii", errors="replace") for match in pattern.findall(window)}
                rest = window[-100:]
    except OSError:
        return ()
    # A name cut by the end of a chunk is found again, whole, in the next.
    return tuple(sorted(name for name in found if not any(other != name and other.startswith(name) for other in found)))


def _facts() -> dict[str, Any]:
    """What psutil and Python know on every system."""
    mhz = _attempt(psutil, "cpu_freq")
    affinity = _attempt(psutil.Process(), "cpu_affinity")
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    facts: Mapping[str, Any] = {
        "platform": current_platform(),
        "arch": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": platform.processor(),
        "physical_cores": physical,
        "logical_cores": logical,
        "smt": smt(physical, logical),
        "usable_cores": len(affinity) if affinity else None,
        "max_mhz": round(mhz.max) if mhz and mhz.max else None,
        "memory_bytes": psutil.virtual_memory().total,
        "swap_bytes": psutil.swap_memory().total,
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


def _attempt(owner: Any, name: str) -> Any:
    """What psutil's function says; None where this system has it not, or it fails here."""
    try:
        return getattr(owner, name)()
    except (AttributeError, OSError, NotImplementedError, RuntimeError, psutil.Error):
        return None


def _random_identity(file: Path) -> str:
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(secrets.token_hex(16), encoding="ascii")
        temporary.replace(file)
    return file.read_text(encoding="ascii")
