"""What on this machine would disturb a measurement or stop it, and what to do about it.

``checks`` is pure: a fingerprint of any machine in, findings out. Nothing is changed on the
machine; the tool only says.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repro import layout
from repro.builds import config, installed, wheels
from repro.errors import FetchError, UnavailableError
from repro.model import Pair
from repro.system.load import DISTURBED_CORES

Level = Literal["ok", "warn", "bad"]
"""``ok``: nothing to do; ``warn``: measurements are noisier or mean less; ``bad``: they fail or mislead."""
Facts = Mapping[str, Any]

OLDEST_PYTHON = (3, 11)
PAIR_BYTES = 2 << 30
"""Disk that one more pair takes: 1.6 GB of wheels (measured) and its executable."""
WORKER_BYTES = 2 << 30
"""Memory for one warm worker (0.85 GiB resident, measured) with the launcher and room to breathe."""
_GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv", "xen", "mach", "queryperformancecounter", "timebase")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    """What was found."""
    why: str = ""
    """What it does to a measurement."""
    cure: str = ""
    """What a person can do."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the checkout has to work with."""

    python: tuple[int, int]
    uv: bool
    free_bytes: int
    pairs: Mapping[str, str]
    """Pair -> why it cannot be run yet; empty where it is fetched."""
    unavailable: Mapping[str, str]
    """Pair -> why it can never be run on this platform."""


def look_around(platform: str, root: Path = layout.ROOT) -> Setup:
    """The setup of this checkout."""
    pairs = config.load_pairs()
    unavailable = {name: pair.unavailable[platform] for name, pair in pairs.items() if platform in pair.unavailable}
    return Setup(
        python=(sys.version_info.major, sys.version_info.minor),
        uv=_has_uv(),
        free_bytes=shutil.disk_usage(root).free,
        pairs={name: _why_not(pair) for name, pair in pairs.items() if name not in unavailable},
        unavailable=unavailable,
    )


def checks(fingerprint: Facts, setup: Setup | None = None) -> list[Finding]:
    """Everything worth saying of the machine and, where given, of the setup; worst first."""
    findings = [finding for check in _MACHINE_CHECKS for finding in check(fingerprint)]
    if setup is not None:
        findings += [finding for check in _SETUP_CHECKS for finding in check(setup)]
    return sorted(findings, key=lambda finding: ("bad", "warn", "ok").index(finding.level))


def warnings(fingerprint: Facts) -> list[str]:
    """What bench says before it starts: whatever would disturb it, with what to do."""
    return [f"{one.what}: {one.why}; do: {one.cure}" for one in checks(fingerprint) if one.level != "ok"]


def _cores(facts: Facts) -> Iterator[Finding]:
    physical, logical, usable = (facts.get(f"{kind}_cores") for kind in ("physical", "logical", "usable"))
    yield Finding("ok", f"{facts.get('cpu')}, {physical} physical and {logical} logical cores")
    if isinstance(usable, int) and isinstance(logical, int) and usable < logical:
        yield Finding(
            "warn",
            f"this process may run on {usable} of {logical} cores",
            "ITK may start a thread for every core of the machine, so that threads share cores",
            f"start without the restriction (taskset, cpuset, SLURM), or give --threads {usable}",
        )
    limit = facts.get("cgroup_cpu_cores")
    reach = usable if isinstance(usable, int) else logical
    if isinstance(limit, int | float) and isinstance(reach, int) and limit < reach:
        yield Finding(
            "warn",
            f"a control group limits this process to the CPU time of {limit:g} cores",
            "threads are stopped for the rest of each period, and times jump",
            f"raise the limit (docker --cpus, SLURM, CI runner), or give --threads {max(1, int(limit))}",
        )
    if "efficiency" in str(facts.get("core_kinds")):
        yield Finding(
            "warn",
            f"cores differ: {facts.get('core_kinds')}",
            "which kind a thread runs on decides its time, and the system chooses anew in every trial",
            "give more rounds; on Linux start under `taskset -c` with the performance cores",
        )


def _frequency(facts: Facts) -> Iterator[Finding]:
    governor, driver = str(facts.get("governor", "unknown")), str(facts.get("frequency_driver", ""))
    if governor not in ("unknown", "performance"):
        # These two drivers let the processor choose, and call that "powersave".
        gentle = driver.startswith(("intel_pstate", "amd-pstate-epp", "amd_pstate_epp"))
        yield Finding(
            "warn",
            f"the frequency governor is {governor}" + (f" ({driver})" if driver else ""),
            "the clock follows the load"
            + (", quickly with this driver" if gentle else ", so that short trials run slow"),
            "sudo cpupower frequency-set -g performance",
        )
    if facts.get("turbo") == "on":
        yield Finding("ok", "turbo is on", "seconds depend on temperature and on busy cores; paired ratios do so less")
    if facts.get("power_source") == "battery":
        yield Finding("warn", "it runs on battery", "the processor is slowed to save power", "plug it in")
    if facts.get("power_plan") in ("power saver", "low power mode", "low-power", "quiet"):
        cures = {
            "Windows": "powercfg /setactive SCHEME_MIN",
            "macOS": "switch low power mode off in System Settings, Battery",
        }
        yield Finding(
            "warn",
            f"the power plan is {facts['power_plan']}",
            "the processor is slowed to save power",
            cures.get(str(facts.get("os")), "powerprofilesctl set performance"),
        )


def _company(facts: Facts) -> Iterator[Finding]:
    load, cores = facts.get("load_1m"), facts.get("logical_cores")
    if isinstance(load, int | float) and load > DISTURBED_CORES:
        share = f" of {cores}" if isinstance(cores, int) else ""
        yield Finding(
            "warn",
            f"the load was {load:g} cores{share} in the last minute",
            "other programs take cores, caches and clock from the trials",
            "end them, or wait; rounds that were disturbed are flagged",
        )
    machine = facts.get("virtualization")
    if machine not in ("none", "unknown", None):
        yield Finding(
            "warn",
            f"this is a virtual machine ({machine})",
            "others on the same host take time that is not seen from here",
            "prefer a machine of your own; look at the noise floor (experiment aa) before any ratio",
        )
    yield from _priority(str(facts.get("priority")))
    if facts.get("translated") == "on":
        yield Finding(
            "bad",
            "this Python runs translated by Rosetta",
            "every second measured would be that of an emulator",
            "use an arm64 Python (pixi installs one)",
        )


def _priority(priority: str) -> Iterator[Finding]:
    lowered = {"idle", "below normal", *map(str, range(1, 20))}
    if priority in lowered:
        named = f"niceness {priority}" if priority.isdigit() else f"priority class {priority}"
        yield Finding(
            "warn",
            f"this process runs at lowered priority ({named})",
            "both paths inherit it, and whatever else wants a core goes before them",
            "start from a shell without nice, renice or a background queue (on Windows: start /normal)",
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    limit = facts.get("cgroup_memory_bytes")
    available = min((n for n in (facts.get("memory_available_bytes"), limit) if isinstance(n, int)), default=None)
    if available is not None and available < WORKER_BYTES:
        yield Finding(
            "bad",
            f"{available / 2**30:.1f} GiB of memory are free",
            "a warm worker needs about 1 GiB; below that the system swaps or ends it",
            "close programs, or raise the limit of the container",
        )
    swapped, memory = facts.get("swap_used_bytes"), facts.get("memory_bytes")
    if isinstance(swapped, int) and isinstance(memory, int) and swapped > memory // 20:
        yield Finding(
            "warn",
            f"{swapped / 2**30:.1f} GiB are swapped out",
            "a page that comes back from disk costs milliseconds",
            "close programs; swap empties when they end",
        )


def _time(facts: Facts) -> Iterator[Finding]:
    clock = str(facts.get("clock_source", "unknown"))
    if clock != "unknown" and not clock.lower().startswith(_GOOD_CLOCKS):
        yield Finding(
            "warn",
            f"the clock source is {clock}",
            "reading the time is slow, and ITK reads it in every iteration",
            "see why the kernel gave up the processor's counter: journalctl -k | grep -i clocksource",
        )
    if "--with-pydebug" in facts.get("python_options", ()):
        yield Finding("bad", "this Python is a debug build", "everything in it is slow", "use a release build")


def _environment(facts: Facts) -> Iterator[Finding]:
    if removed := facts.get("environment_removed"):
        names = ", ".join(removed)
        yield Finding("ok", f"kept from the children: {names}", "these variables would have decided how they run")


def _paths(facts: Facts) -> Iterator[Finding]:
    if facts.get("long_paths") == "off":
        yield Finding(
            "warn",
            "paths end at 260 characters",
            "files deep inside the wheels may not be found",
            "keep the checkout in a short folder such as C:\\repro, or switch LongPathsEnabled on",
        )


def _python(setup: Setup) -> Iterator[Finding]:
    version, oldest = (".".join(map(str, numbers)) for numbers in (setup.python, OLDEST_PYTHON))
    if setup.python < OLDEST_PYTHON:
        yield Finding(
            "bad", f"this is Python {version}", f"itk-elastix needs {oldest}", "use pixi run, or a newer python3"
        )
    if not setup.uv:
        yield Finding(
            "bad", "uv is not found", "it installs the wheels", "start with tasks/run.py or pixi run, or install uv"
        )


def _pairs(setup: Setup) -> Iterator[Finding]:
    for name, reason in setup.unavailable.items():
        yield Finding("ok", f"{name} cannot be had here", reason)
    for name, reason in setup.pairs.items():
        if reason:
            yield Finding("warn", f"{name} is not ready", reason, f"python -m repro fetch {name}")
        else:
            yield Finding("ok", f"{name} is fetched")


def _disk(setup: Setup) -> Iterator[Finding]:
    needed = PAIR_BYTES * sum(1 for reason in setup.pairs.values() if reason)
    if needed > setup.free_bytes:
        yield Finding(
            "bad",
            f"{setup.free_bytes / 2**30:.1f} GiB of disk are free",
            f"the pairs that are not fetched take about {needed / 2**30:.0f} GiB",
            "make room, or fetch fewer pairs",
        )


_MACHINE_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    *(_cores, _frequency, _company, _memory, _time, _paths, _environment),
)
_SETUP_CHECKS: tuple[Callable[[Setup], Iterator[Finding]], ...] = (_python, _disk, _pairs)


def _has_uv() -> bool:
    try:
        wheels.find_uv()
    except FetchError:
        return False
    return True


def _why_not(pair: Pair) -> str:
    try:
        installed.load(pair)
    except UnavailableError as error:
        return str(error)
    return ""
