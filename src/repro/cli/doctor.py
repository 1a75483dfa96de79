"""What on this machine would disturb a measurement or stop it, and what to do about it.

`checks` is pure: a fingerprint of any machine in, problems out. Nothing is changed on the machine. What a machine does
not tell is no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from repro import text
from repro.paths import ROOT

Level = Literal["ok", "warn", "bad"]
"""`ok`: nothing to do; `warn`: measurements are noisier or mean less; `bad`: they fail or mislead."""
Facts = Mapping[str, Any]

BUSY_CORES = 0.25
"""Cores kept busy by other programs from which rounds are flagged (docs/method.md)."""
BUILD_BYTES = 2 << 30
"""Disk that the wheels of one build take: 1.6 GB, measured."""
WORKER_BYTES = 2 << 30
"""Memory for one warm worker (0.85 GiB resident, measured) with room to breathe."""
_GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv", "xen", "mach", "queryperformancecounter", "timebase")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    level: Level
    what: str
    """What was found."""
    why: str = ""
    """What it does to a measurement."""
    cure: str = ""
    """What a person can do."""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.what, self.why, self.cure and f"do: {self.cure}")))


@dataclass(frozen=True, slots=True)
class Setup:
    """What the checkout has to work with."""

    pairs: Mapping[str, str] = field(default_factory=dict)
    """Pair -> why it cannot be run yet; empty where it is ready."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Pair -> why it can never be run on this platform."""
    free_bytes: int = 1 << 60
    root: Path = ROOT


def checks(fingerprint: Facts, setup: Setup) -> list[Check]:
    """Everything worth saying of the machine and of the setup; the worst first."""
    return sorted([*_setup(setup), *_machine(fingerprint)], key=lambda one: ("bad", "warn", "ok").index(one.level))


def disturbances(fingerprint: Facts) -> list[str]:
    """What `bench` says before it starts, a short line each."""
    return [one.what for one in _machine(fingerprint) if one.level != "ok"]


def _machine(facts: Facts) -> Iterator[Check]:
    for check in (_cores, _frequency, _company, _memory, _time, _environment):
        yield from check(facts)


def _cores(facts: Facts) -> Iterator[Check]:
    physical, logical, usable = (facts.get(f"{kind}_cores") for kind in ("physical", "logical", "usable"))
    yield Check("ok", f"{facts.get('cpu')}, {physical} physical and {logical} logical cores")
    if isinstance(usable, int) and isinstance(logical, int) and usable < logical:
        yield Check(
            "warn",
            f"this process may run on {usable} of {logical} cores",
            "ITK may start a thread for every core of the machine, so that threads share cores",
            f"start without the restriction (taskset, cpuset, SLURM), or give --threads {usable}",
        )
    limit = facts.get("cgroup_cpu_cores")
    reach = usable if isinstance(usable, int) else logical
    if isinstance(limit, int | float) and isinstance(reach, int) and limit < reach:
        yield Check(
            "warn",
            f"a control group limits this process to the CPU time of {limit:g} cores",
            "threads are stopped for the rest of each period, and times jump",
            f"raise the limit (docker --cpus, SLURM, CI runner), or give --threads {max(1, int(limit))}",
        )
    if "efficiency" in str(facts.get("core_kinds")):
        yield Check(
            "warn",
            f"cores differ: {facts.get('core_kinds')}",
            "which kind a thread runs on decides its time, and the system chooses anew in every trial",
            "give more blocks; on Linux start under `taskset -c` with the performance cores",
        )


def _frequency(facts: Facts) -> Iterator[Check]:
    governor, driver = str(facts.get("governor", "unknown")), str(facts.get("frequency_driver", ""))
    if governor not in ("unknown", "performance"):
        # These two drivers let the processor choose, and call that "powersave".
        gentle = driver.startswith(("intel_pstate", "amd-pstate-epp", "amd_pstate_epp"))
        yield Check(
            "warn",
            f"the frequency governor is {governor}" + (f" ({driver})" if driver else ""),
            "the clock follows the load, "
            + ("quickly with this driver" if gentle else "so that short trials run slow"),
            "sudo cpupower frequency-set -g performance",
        )
    if facts.get("turbo") == "on":
        yield Check("ok", "turbo is on", "seconds depend on temperature and on busy cores; paired ratios do so less")
    if facts.get("power_source") == "battery":
        yield Check("warn", "it runs on battery", "the processor is slowed to save power", "plug it in")
    if facts.get("power_plan") in ("power saver", "low power mode", "low-power", "quiet"):
        cures = {
            "Windows": "powercfg /setactive SCHEME_MIN",
            "macOS": "switch low power mode off in System Settings, Battery",
        }
        yield Check(
            "warn",
            f"the power plan is {facts['power_plan']}",
            "the processor is slowed to save power",
            cures.get(str(facts.get("os")), "powerprofilesctl set performance"),
        )


def _company(facts: Facts) -> Iterator[Check]:
    load, cores = facts.get("load_1m"), facts.get("logical_cores")
    if isinstance(load, int | float) and load > BUSY_CORES:
        share = f" of {cores}" if isinstance(cores, int) else ""
        yield Check(
            "warn",
            f"the load was {load:g} cores{share} in the last minute",
            "other programs take cores, caches and clock from the trials",
            "end them, or wait; rounds that were disturbed are flagged",
        )
    machine = facts.get("virtualization")
    if machine not in ("none", "unknown", None):
        yield Check(
            "warn",
            f"this is a virtual machine ({machine})",
            "others on the same host take time that is not seen from here",
            "prefer a machine of your own; look at the noise floor (experiment aa) before any ratio",
        )
    priority = str(facts.get("priority"))
    if priority in {"idle", "below normal", *map(str, range(1, 20))}:
        named = f"niceness {priority}" if priority.isdigit() else f"priority class {priority}"
        yield Check(
            "warn",
            f"this process runs at lowered priority ({named})",
            "every arm inherits it, and whatever else wants a core goes before them",
            "start from a shell without nice, renice or a background queue (on Windows: start /normal)",
        )
    if facts.get("translated") == "on":
        yield Check(
            "bad",
            "this Python runs translated by Rosetta",
            "every second measured would be that of an emulator",
            "use an arm64 Python (pixi installs one)",
        )


def _memory(facts: Facts) -> Iterator[Check]:
    limit = facts.get("cgroup_memory_bytes")
    available = min((n for n in (facts.get("memory_available_bytes"), limit) if isinstance(n, int)), default=None)
    if available is not None and available < WORKER_BYTES:
        yield Check(
            "bad",
            f"{available / 2**30:.1f} GiB of memory are free",
            "a warm worker needs about 1 GiB; below that the system swaps or ends it",
            "close programs, or raise the limit of the container",
        )
    swapped, memory = facts.get("swap_used_bytes"), facts.get("memory_bytes")
    if isinstance(swapped, int) and isinstance(memory, int) and swapped > memory // 20:
        yield Check(
            "warn",
            f"{swapped / 2**30:.1f} GiB are swapped out",
            "a page that comes back from disk costs milliseconds",
            "close programs; swap empties when they end",
        )


def _time(facts: Facts) -> Iterator[Check]:
    clock = str(facts.get("clock_source", "unknown"))
    if clock != "unknown" and not clock.lower().startswith(_GOOD_CLOCKS):
        yield Check(
            "warn",
            f"the clock source is {clock}",
            "reading the time is slow, and ITK reads it in every iteration",
            "see why the kernel gave up the processor's counter: journalctl -k | grep -i clocksource",
        )
    if "--with-pydebug" in facts.get("python_options", ()):
        yield Check("bad", "this Python is a debug build", "everything in it is slow", "use a release build")


def _environment(facts: Facts) -> Iterator[Check]:
    removed = facts.get("environment_removed")
    if isinstance(removed, list | tuple) and removed:
        names = text.listed(map(str, removed))
        yield Check("ok", f"kept from the children: {names}", "these variables would have decided how they run")
    if facts.get("long_paths") == "off":
        yield Check(
            "warn",
            "paths end at 260 characters",
            "files deep inside the wheels may not be found",
            "keep the checkout in a short folder such as C:\\repro, or switch LongPathsEnabled on",
        )


def _setup(setup: Setup) -> Iterator[Check]:
    if not str(setup.root).isascii():
        yield Check(
            "warn",
            "the checkout's folder has letters outside of ASCII in its name",
            "on Windows ITK cannot open such paths (ITK 4388); workers are started inside the folder to avoid them",
            "keep the checkout, and images of your own, in a folder of plain letters such as C:\\repro",
        )
    missing = sum(map(bool, setup.pairs.values()))
    if BUILD_BYTES * missing > setup.free_bytes:
        yield Check(
            "bad",
            f"{setup.free_bytes / 2**30:.1f} GiB of disk are free",
            f"the pairs that are not fetched take about {BUILD_BYTES * missing / 2**30:.0f} GiB",
            "make room, or fetch fewer pairs",
        )
    for name, reason in setup.unavailable.items():
        yield Check("ok", f"{name} is not for this platform", reason)
    for name, reason in setup.pairs.items():
        if reason:
            yield Check("ok", f"{name} is not fetched", cure=text.command(f"fetch {name}"))
        else:
            yield Check("ok", f"{name} is ready")
