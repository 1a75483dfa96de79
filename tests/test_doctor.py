"""What is said of made-up machines and setups."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.cli import doctor
from repro.cli.doctor import Finding, Setup, checks
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
READY = Setup(python=(3, 11), uv=True, free_bytes=100 * GIB, pairs={"1-2": ""}, unavailable={})


def troubles(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_a_quiet_machine_has_no_trouble() -> None:
    assert not troubles(checks(QUIET, READY))
    assert any("8 physical and 16 logical" in finding.what for finding in checks(QUIET))


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
    (finding,) = troubles(checks(QUIET | changed, READY))
    assert finding.level == level
    assert what in finding.what
    assert cure in finding.cure
    assert finding.why


def test_powersave_of_a_driver_that_lets_the_processor_choose_is_put_mildly() -> None:
    (finding,) = troubles(checks(QUIET | {"governor": "powersave", "frequency_driver": "intel_pstate"}))
    assert "quickly" in finding.why


@pytest.mark.parametrize(
    ("setup", "level", "what"),
    [
        (Setup((3, 10), True, 100 * GIB, {"1-2": ""}, {}), "bad", "Python 3.10"),
        (Setup((3, 11), False, 100 * GIB, {"1-2": ""}, {}), "bad", "uv is not found"),
        (Setup((3, 11), True, 100 * GIB, {"1-2": "not fetched"}, {}), "warn", "1-2 is not ready"),
    ],
)
def test_what_is_missing_is_said(setup: Setup, level: str, what: str) -> None:
    (finding,) = troubles(checks(QUIET, setup))
    assert finding.level == level
    assert what in finding.what
    assert finding.cure


def test_disk_is_counted_for_the_pairs_that_are_missing_only() -> None:
    missing = {"1-2": "not fetched", "3-4": "not fetched"}
    short = Setup((3, 11), True, 3 * GIB, missing, {})
    assert any(finding.level == "bad" and "disk" in finding.what for finding in checks(QUIET, short))
    fetched = Setup((3, 11), True, 3 * GIB, {"1-2": "", "3-4": ""}, {})
    assert not troubles(checks(QUIET, fetched))


def test_a_pair_that_cannot_be_had_is_said_but_no_trouble() -> None:
    findings = checks(QUIET, Setup((3, 11), True, GIB, {}, {"1-2": "no wheels for osx-64"}))
    assert not troubles(findings)
    assert any(finding.why == "no wheels for osx-64" for finding in findings)


@pytest.mark.parametrize("priority", ["0", "-5", "normal", "high", "unknown", "None"])
def test_a_priority_that_is_not_lowered_is_no_trouble(priority: str) -> None:
    assert not troubles(checks(QUIET | {"priority": priority}))


def test_bench_is_told_what_would_disturb_it() -> None:
    assert doctor.warnings(QUIET) == []
    (words,) = doctor.warnings(QUIET | {"priority": "19"})
    assert words.startswith("this process runs at lowered priority (niceness 19): both paths inherit it")
    assert "; do: start from a shell without nice" in words


def test_the_worst_comes_first() -> None:
    levels = [finding.level for finding in checks(QUIET | {"load_1m": 3, "translated": "on"}, READY)]
    assert levels == sorted(levels, key=["bad", "warn", "ok"].index)


@given(st.dictionaries(st.sampled_from(sorted(QUIET)), st.just("unknown")))
def test_the_unknown_is_no_trouble(unknown: dict[str, str]) -> None:
    assert not troubles(checks(QUIET | unknown))


def test_a_machine_that_tells_nothing_is_no_error() -> None:
    assert not troubles(checks({}))


def test_the_real_machine_and_checkout_are_judged() -> None:
    setup = doctor.look_around("linux-64")
    assert setup.free_bytes > 0
    assert setup.pairs
    assert checks(machine.fingerprint(), setup)
