from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.cli import doctor
from repro.cli.doctor import Check, Setup, checks
from repro.system import machine

GIB = 1 << 30
QUIET: dict[str, Any] = {
    "os": "Linux",
    "cpu": "A Processor",
    "physical_cores": 8,
    "logical_cores": 16,
    "usable_cores": 16,
    "core_kinds": "equal",
    "governor": "performance",
    "frequency_driver": "acpi-cpufreq",
    "turbo": "off",
    "power_plan": "unknown",
    "power_source": "no battery",
    "virtualization": "none",
    "translated": "unknown",
    "cgroup_cpu_cores": "none",
    "cgroup_memory_bytes": "none",
    "memory_bytes": 32 * GIB,
    "memory_available_bytes": 30 * GIB,
    "swap_used_bytes": 0,
    "load_1m": 0.05,
    "clock_source": "tsc",
    "python_options": ["--enable-optimizations"],
    "priority": "0",
    "environment_removed": [],
}
READY = Setup(pairs={"1-2": ""}, root=Path("/home/repro"))


def troubles(facts: dict[str, Any], setup: Setup = READY) -> list[Check]:
    return [one for one in checks(facts, setup) if one.level != "ok"]


def test_a_quiet_machine_has_no_trouble() -> None:
    assert not troubles(QUIET)
    assert any("8 physical and 16 logical" in one.what for one in checks(QUIET, READY))


@pytest.mark.parametrize(
    ("changed", "level", "what", "cure"),
    [
        ({"usable_cores": 4}, "warn", "4 of 16 cores", "--threads 4"),
        ({"cgroup_cpu_cores": 1.5}, "warn", "CPU time of 1.5 cores", "--threads 1"),
        ({"core_kinds": "6 performance, 4 efficiency"}, "warn", "cores differ", "taskset"),
        ({"governor": "powersave"}, "warn", "governor is powersave", "cpupower"),
        ({"power_source": "battery"}, "warn", "battery", "plug"),
        ({"os": "Windows", "power_plan": "power saver"}, "warn", "power saver", "powercfg"),
        ({"os": "macOS", "power_plan": "low power mode"}, "warn", "low power mode", "Settings"),
        ({"os": "Linux", "power_plan": "low-power"}, "warn", "low-power", "powerprofilesctl"),
        ({"priority": "10"}, "warn", "lowered priority (niceness 10)", "without nice"),
        ({"os": "Windows", "priority": "below normal"}, "warn", "priority class below normal", "start /normal"),
        ({"load_1m": 3.5}, "warn", "3.5 cores of 16", "wait"),
        ({"virtualization": "kvm"}, "warn", "virtual machine (kvm)", "noise floor"),
        ({"translated": "on"}, "bad", "Rosetta", "arm64"),
        ({"memory_available_bytes": GIB}, "bad", "1.0 GiB of memory", "close"),
        ({"cgroup_memory_bytes": GIB // 2}, "bad", "0.5 GiB of memory", "limit"),
        ({"swap_used_bytes": 4 * GIB}, "warn", "4.0 GiB are swapped", "close"),
        ({"clock_source": "hpet"}, "warn", "clock source is hpet", "journalctl"),
        ({"long_paths": "off"}, "warn", "260 characters", "short folder"),
        ({"python_options": ["--with-pydebug"]}, "bad", "debug build", "release"),
    ],
)
def test_each_trouble_is_said_once_with_its_cure(changed: dict[str, Any], level: str, what: str, cure: str) -> None:
    (found,) = troubles(QUIET | changed)
    assert found.level == level
    assert what in found.what
    assert cure in found.cure
    assert found.why


def test_powersave_of_a_driver_that_lets_the_processor_choose_is_put_mildly() -> None:
    (found,) = troubles(QUIET | {"governor": "powersave", "frequency_driver": "intel_pstate"})
    assert "quickly" in found.why


def test_a_folder_with_letters_outside_of_ascii_is_warned_of() -> None:
    (found,) = troubles(QUIET, Setup(root=Path("/home/José/repro")))
    assert "outside of ASCII" in found.what
    assert found.cure


def test_disk_is_counted_for_the_pairs_that_are_missing_only() -> None:
    missing = {"1-2": "not fetched", "3-4": "not fetched"}
    (found,) = troubles(QUIET, Setup(free_bytes=3 * GIB, pairs=missing))
    assert "disk" in found.what
    assert not troubles(QUIET, Setup(free_bytes=3 * GIB, pairs=dict.fromkeys(missing, "")))


def test_pairs_that_are_not_fetched_or_not_for_this_platform_are_said_but_no_trouble() -> None:
    setup = Setup(pairs={"1-2": "not fetched"}, unavailable={"3-4": "no wheels for osx-64"})
    assert not troubles(QUIET, setup)
    said = [str(one) for one in checks(QUIET, setup)]
    assert any(words.startswith("1-2 is not fetched; do: ") for words in said)
    assert "3-4 is not for this platform; no wheels for osx-64" in said


@pytest.mark.parametrize("priority", ["0", "-5", "normal", "high", "unknown", "None"])
def test_a_priority_that_is_not_lowered_is_no_trouble(priority: str) -> None:
    assert not troubles(QUIET | {"priority": priority})


def test_bench_is_told_in_short_what_would_disturb_it() -> None:
    assert doctor.disturbances(QUIET) == []
    assert doctor.disturbances(QUIET | {"priority": "19"}) == ["this process runs at lowered priority (niceness 19)"]


def test_the_worst_comes_first() -> None:
    levels = [one.level for one in checks(QUIET | {"load_1m": 3, "translated": "on"}, READY)]
    assert levels == sorted(levels, key=["bad", "warn", "ok"].index)


@given(st.dictionaries(st.sampled_from(sorted(QUIET)), st.just("unknown")))
def test_the_unknown_is_no_trouble(unknown: dict[str, str]) -> None:
    assert not troubles(QUIET | unknown)


def test_a_machine_that_tells_nothing_is_no_error() -> None:
    assert not troubles({})


def test_the_real_machine_is_judged() -> None:
    assert checks(machine.fingerprint(), READY)
