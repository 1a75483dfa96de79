"""The facts of ``machine`` that Linux, macOS and Windows tell each in its own way.

One function a system, all with the same keys where the system knows the thing; a key that is missing is unknown. Files
and programs are read through a ``Probe``, so that tests can make up machines. Nothing here names the host, the user or
a folder of theirs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from repro.system.environment import child_environment
from repro.system.platforms import SYSTEM

_PROGRAM_TIMEOUT_S = 5.0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def _run(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            env=child_environment({"LC_ALL": "C"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PROGRAM_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Probe:
    """Where facts come from."""

    read: Callable[[str], str] = _read
    """Text of a file; empty where it cannot be read."""
    run: Callable[[Sequence[str]], str] = _run
    """What a program prints, whatever its exit status; empty where it is not there or hangs."""
    exists: Callable[[str], bool] = lambda path: Path(path).exists()


HERE = Probe()
"""This machine."""


def describe(system: str, probe: Probe, logical_cores: int) -> dict[str, Any]:
    """Facts that only this system knows how to tell; an unknown system tells none."""
    facts: dict[str, Any] = {}
    if system == "linux":
        facts = linux(probe, logical_cores)
    elif system == "darwin":
        facts = macos(probe)
    elif system == "win32":
        facts = windows(probe)
    return {key: value for key, value in facts.items() if value not in ("", None)}


def unique_id(system: str, probe: Probe) -> str:
    """What the system tells machines apart by; empty where there is none. Never stored: ``machine`` digests it."""
    if system == "linux":
        return probe.read("/etc/machine-id").strip() or probe.read("/var/lib/dbus/machine-id").strip()
    if system == "darwin":
        return _search(r'"IOPlatformUUID" = "([^"]+)"', probe.run(["ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]))
    if system == "win32":
        return _registry(probe, r"HKLM\SOFTWARE\Microsoft\Cryptography", "MachineGuid")
    return ""


_PRIORITIES = {64: "idle", 16384: "below normal", 32: "normal", 32768: "above normal", 128: "high", 256: "realtime"}
"""Priority classes of Windows (winbase.h, *_PRIORITY_CLASS)."""


def priority(nice: int | None, system: str = SYSTEM) -> str | None:
    """Niceness, from "-20" to "19", or on Windows the name of the priority class; both paths inherit it."""
    if nice is None:
        return None
    return _PRIORITIES.get(int(nice)) if system == "win32" else str(int(nice))


def linux(probe: Probe, logical_cores: int) -> dict[str, Any]:
    """Facts from /proc, /sys and the control groups."""
    cpus = "/sys/devices/system/cpu"
    cpuinfo, kernel = probe.read("/proc/cpuinfo"), probe.read("/proc/sys/kernel/osrelease").strip()
    per_cpu = {
        name: sorted({probe.read(f"{cpus}/cpu{cpu}/cpufreq/{name}").strip() for cpu in range(logical_cores)} - {""})
        for name in ("scaling_governor", "scaling_driver")
    }
    performance, efficiency = probe.read("/sys/devices/cpu_core/cpus"), probe.read("/sys/devices/cpu_atom/cpus")
    return {
        "os": "Linux",
        "os_version": _search(r'^PRETTY_NAME="?([^"\n]+)', probe.read("/etc/os-release")),
        "kernel": kernel,
        "cpu": _search(r"^model name\s*: (.+)$", cpuinfo) or _search(r"^Model name:\s*(.+)$", probe.run(["lscpu"])),
        "core_kinds": "performance and efficiency" if performance and efficiency else "equal",
        "smt": _on_off(probe.read(f"{cpus}/smt/active")),
        "governor": ", ".join(per_cpu["scaling_governor"]),
        "frequency_driver": ", ".join(per_cpu["scaling_driver"]),
        "turbo": _on_off(probe.read(f"{cpus}/cpufreq/boost"))
        or _on_off(probe.read(f"{cpus}/intel_pstate/no_turbo"), on="0", off="1"),
        "power_plan": probe.read("/sys/firmware/acpi/platform_profile").strip(),
        "virtualization": _linux_virtualization(probe, cpuinfo, kernel),
        "container": _linux_container(probe),
        "clock_source": probe.read("/sys/devices/system/clocksource/clocksource0/current_clocksource").strip(),
        "huge_pages": _search(r"\[(\w+)\]", probe.read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "numa_nodes": probe.read("/sys/devices/system/node/online").strip(),
        **cgroup_limits(probe),
    }


def _linux_virtualization(probe: Probe, cpuinfo: str, kernel: str) -> str:
    if "microsoft" in kernel.lower():
        return "wsl"
    detected = probe.run(["systemd-detect-virt", "--vm"]).strip()
    product = probe.read("/sys/class/dmi/id/product_name").strip()
    if detected not in ("", "none"):
        return detected
    # The processor says that it runs below a hypervisor: on x86 a flag, elsewhere only the product.
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return product or "hypervisor"
    if re.search(r"virtual|kvm|qemu|vmware|bochs|xen|ec2", product, re.IGNORECASE):
        return product
    return "none" if detected == "none" or re.search(r"^flags\s*:", cpuinfo, re.MULTILINE) else ""


def _linux_container(probe: Probe) -> str:
    detected = probe.run(["systemd-detect-virt", "--container"]).strip()
    if detected:
        return detected
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    return next((name for mark, name in marks.items() if probe.exists(mark)), "none")


def cgroup_limits(probe: Probe) -> dict[str, Any]:
    """The smallest limits of this process's control groups and all above them; "none" where there is no limit.

    ``cgroup_cpu_cores`` are CPU seconds a second. Both versions: Linux' cgroup-v2.rst and cgroup-v1/{memory,cpu}.
    """
    cores: list[float] = []
    memory: list[int] = []
    hierarchies = probe.read("/proc/self/cgroup").splitlines()
    for line in hierarchies:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        below = PurePosixPath(path or "/")
        for group in (str(step).rstrip("/") for step in (below, *below.parents)):
            if number == "0":
                texts = probe.read(f"/sys/fs/cgroup{group}/cpu.max"), probe.read(f"/sys/fs/cgroup{group}/memory.max")
            else:
                texts = _v1_limits(probe, controllers.split(","), group)
            quota = re.fullmatch(r"(\d+) (\d+)", texts[0].strip())
            if quota and int(quota[2]):
                cores.append(int(quota[1]) / int(quota[2]))
            if texts[1].strip().isdecimal() and int(texts[1]) < _V1_UNLIMITED:
                memory.append(int(texts[1]))
    if not hierarchies:
        return {}
    return {"cgroup_cpu_cores": min(cores, default="none"), "cgroup_memory_bytes": min(memory, default="none")}


_V1_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the largest multiple of a page


def _v1_limits(probe: Probe, controllers: Sequence[str], group: str) -> tuple[str, str]:
    if "cpu" in controllers:
        folders = [f"/sys/fs/cgroup/{name}{group}" for name in ("cpu", "cpu,cpuacct")]
        parts = [
            [probe.read(f"{folder}/cpu.cfs_{part}_us").strip() for part in ("quota", "period")] for folder in folders
        ]
        return next((" ".join(both) for both in parts if all(both)), ""), ""
    if "memory" in controllers:
        return "", probe.read(f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")
    return "", ""


_CORES = ("hw.perflevel0.physicalcpu", "hw.perflevel1.physicalcpu")


def macos(probe: Probe) -> dict[str, Any]:
    """Facts from sysctl, sw_vers and pmset."""
    names = ("kern.osrelease", "machdep.cpu.brand_string", "kern.hv_vmm_present", *_CORES)
    told = dict(
        line.split(": ", 1) for name in names for line in probe.run(["sysctl", name]).splitlines() if ": " in line
    )
    performance, efficiency = (told.get(name) for name in _CORES)
    return {
        "os": "macOS",
        "os_version": probe.run(["sw_vers", "-productVersion"]).strip(),
        "kernel": told.get("kern.osrelease"),
        "cpu": told.get("machdep.cpu.brand_string"),
        "core_kinds": f"{performance} performance, {efficiency} efficiency" if performance and efficiency else "equal",
        "virtualization": {"0": "none", "1": "hypervisor"}.get(told.get("kern.hv_vmm_present", "")),
        "container": "none",
        "translated": _on_off(probe.run(["sysctl", "-n", "sysctl.proc_translated"])) or "off",
        "power_plan": {"1": "low power mode", "0": "normal"}.get(
            _search(r"^\s*(?:lowpowermode|powermode)\s+(\d)", probe.run(["pmset", "-g"]))
        ),
        "clock_source": "mach_absolute_time",
        "cgroup_cpu_cores": "none",
        "cgroup_memory_bytes": "none",
    }


_WINDOWS_11 = 22000
"""Its first build; the registry goes on to call it Windows 10."""
# winnt.h: GUID_TYPICAL_POWER_SAVINGS, GUID_MIN_POWER_SAVINGS, GUID_MAX_POWER_SAVINGS
_POWER_PLANS = {
    "381b4222-f694-41f0-9685-ff5bb260df2e": "balanced",
    "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c": "high performance",
    "a1841308-3541-4fab-bc81-f71556f20b4a": "power saver",
}


def windows(probe: Probe) -> dict[str, Any]:
    """Facts from the registry and powercfg."""
    version = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
    description = r"HKLM\HARDWARE\DESCRIPTION\System"
    product = _registry(probe, rf"{description}\BIOS", "SystemProductName")
    virtual = re.search(r"virtual|vmware|kvm|qemu|hvm", product, re.IGNORECASE)
    scheme = _search(
        r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", probe.run(["powercfg", "/getactivescheme"]).lower()
    )
    name, build = _registry(probe, version, "ProductName"), _registry(probe, version, "CurrentBuild")
    if build.isdecimal() and int(build) >= _WINDOWS_11:
        name = name.replace("Windows 10", "Windows 11")
    return {
        "os": "Windows",
        "os_version": f"{name} build {build}" if build else "",
        "kernel": build,
        "cpu": _registry(probe, rf"{description}\CentralProcessor\0", "ProcessorNameString"),
        "virtualization": product if virtual or not product else "none",
        "container": "none",
        "power_plan": _POWER_PLANS.get(scheme, "custom" if scheme else ""),
        "long_paths": {"0x1": "on", "0x0": "off"}.get(
            _registry(probe, r"HKLM\SYSTEM\CurrentControlSet\Control\FileSystem", "LongPathsEnabled")
        ),
        "clock_source": "QueryPerformanceCounter",
        "cgroup_cpu_cores": "none",
        "cgroup_memory_bytes": "none",
    }


def _registry(probe: Probe, key: str, value: str) -> str:
    """One text value, as reg.exe prints it: name, type and data in columns."""
    return _search(rf"^\s*{re.escape(value)}\s+REG_\w+\s+(.+)$", probe.run(["reg", "query", key, "/v", value]))


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


def _on_off(text: str, on: str = "1", off: str = "0") -> str:
    return {on: "on", off: "off"}.get(text.strip(), "")
