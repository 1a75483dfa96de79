"""The fingerprint on made-up machines of every system, and the name that leads to nobody."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ConfigError
from repro.system import hardware, machine
from repro.system.hardware import Probe

UBUNTU = {
    "/etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7-1165G7 @ 2.80GHz\nflags\t\t: fpu vme sse\n",
    "/sys/devices/system/cpu/smt/active": "1\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "intel_pstate\n",
    "/sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/proc/self/cgroup": "0::/user.slice/job\n",
    "/sys/fs/cgroup/user.slice/job/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/user.slice/job/memory.max": "max\n",
    "/sys/fs/cgroup/user.slice/memory.max": "4294967296\n",
}
MAC = {
    "sysctl kern.osrelease": "kern.osrelease: 24.1.0\n",
    "sysctl machdep.cpu.brand_string": "machdep.cpu.brand_string: Apple M2 Pro\n",
    "sysctl hw.perflevel0.physicalcpu": "hw.perflevel0.physicalcpu: 6\n",
    "sysctl hw.perflevel1.physicalcpu": "hw.perflevel1.physicalcpu: 4\n",
    "sysctl kern.hv_vmm_present": "kern.hv_vmm_present: 0\n",
    "sysctl -n sysctl.proc_translated": "0\n",
    "sw_vers -productVersion": "15.1\n",
    "pmset -g": "Currently in use:\n standby 1\n lowpowermode         1\n",
    "ioreg -rd1 -c IOPlatformExpertDevice": '  "IOPlatformUUID" = "AAAA-BBBB"\n',
}
VERSION = r"reg query HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion /v"
WINDOWS = {
    f"{VERSION} ProductName": "\r\nHKEY_LOCAL_MACHINE\\...\r\n    ProductName    REG_SZ    Windows Server 2025\r\n\r\n",
    f"{VERSION} CurrentBuild": "    CurrentBuild    REG_SZ    26100\r\n",
    r"reg query HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor\0 /v ProcessorNameString": (
        "    ProcessorNameString    REG_SZ    AMD EPYC 7763 64-Core Processor                \r\n"
    ),
    r"reg query HKLM\HARDWARE\DESCRIPTION\System\BIOS /v SystemProductName": (
        "    SystemProductName    REG_SZ    Virtual Machine\r\n"
    ),
    r"reg query HKLM\SOFTWARE\Microsoft\Cryptography /v MachineGuid": "    MachineGuid    REG_SZ    cccc-dddd\r\n",
    r"reg query HKLM\SYSTEM\CurrentControlSet\Control\FileSystem /v LongPathsEnabled": (
        "    LongPathsEnabled    REG_DWORD    0x0\r\n"
    ),
    "powercfg /getactivescheme": "GUID: a1841308-3541-4fab-bc81-f71556f20b4a  (Énergie)\r\n",
}


def probe(told: Mapping[str, str]) -> Probe:
    """A machine of which only this is known."""
    return Probe(
        read=lambda path: told.get(path, ""),
        run=lambda argv: told.get(" ".join(argv), ""),
        exists=lambda path: path in told,
    )


def test_a_linux_machine() -> None:
    facts = machine.fingerprint("linux", probe(UBUNTU))
    expected = {
        "os": "Linux",
        "os_version": "Ubuntu 24.04.1 LTS",
        "kernel": "6.8.0-45-generic",
        "cpu": "Intel(R) Core(TM) i7-1165G7 @ 2.80GHz",
        "smt": "on",
        "turbo": "on",
        "frequency_driver": "intel_pstate",
        "virtualization": "none",
        "container": "none",
        "clock_source": "tsc",
        "huge_pages": "madvise",
        "cgroup_cpu_cores": 1.5,
        "cgroup_memory_bytes": 4 << 30,
        "power_plan": "unknown",
    }
    assert {key: facts[key] for key in expected} == expected


def test_governors_that_differ_between_cores_are_all_named() -> None:
    assert hardware.linux(probe(UBUNTU), 2)["governor"] == "performance, powersave"


@pytest.mark.parametrize(
    ("told", "virtualization"),
    [
        ({"systemd-detect-virt --vm": "kvm\n"}, "kvm"),
        ({"systemd-detect-virt --vm": "none\n"}, "none"),
        ({"/proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2"}, "wsl"),
        ({"/proc/cpuinfo": "flags\t: fpu hypervisor lm\n"}, "hypervisor"),
        ({"/proc/cpuinfo": "flags\t: hypervisor\n", "/sys/class/dmi/id/product_name": "VMware7,1\n"}, "VMware7,1"),
        ({"/sys/class/dmi/id/product_name": "KVM Virtual Machine\n"}, "KVM Virtual Machine"),
        ({"/proc/cpuinfo": "Features\t: fp asimd\n"}, ""),
    ],
)
def test_virtualization_on_linux(told: Mapping[str, str], virtualization: str) -> None:
    assert hardware.linux(probe(told), 1)["virtualization"] == virtualization


def test_containers_on_linux() -> None:
    assert hardware.linux(probe({"/.dockerenv": ""}), 1)["container"] == "docker"
    assert hardware.linux(probe({"systemd-detect-virt --container": "lxc\n"}), 1)["container"] == "lxc"


def test_limits_of_version_1_control_groups() -> None:
    told = {
        "/proc/self/cgroup": "4:memory:/job\n1:cpu,cpuacct:/job\n",
        "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1073741824\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "50000\n",
        "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert hardware.cgroup_limits(probe(told)) == {"cgroup_cpu_cores": 0.5, "cgroup_memory_bytes": 1 << 30}


def test_no_control_groups_are_unknown_not_unlimited() -> None:
    assert hardware.cgroup_limits(probe({})) == {}
    assert machine.fingerprint("linux", probe({}))["cgroup_cpu_cores"] == "unknown"


def test_a_mac() -> None:
    facts = machine.fingerprint("darwin", probe(MAC))
    expected = {
        "os": "macOS",
        "os_version": "15.1",
        "kernel": "24.1.0",
        "cpu": "Apple M2 Pro",
        "core_kinds": "6 performance, 4 efficiency",
        "virtualization": "none",
        "translated": "off",
        "power_plan": "low power mode",
        "governor": "unknown",
    }
    assert {key: facts[key] for key in expected} == expected


def test_several_threads_a_core_are_told_by_the_counts() -> None:
    assert [machine.smt(*cores) for cores in ((4, 8), (4, 4), (None, 8), (4, None))] == ["on", "off", None, None]


def test_a_windows_machine() -> None:
    facts = machine.fingerprint("win32", probe(WINDOWS))
    expected = {
        "os": "Windows",
        "os_version": "Windows Server 2025 build 26100",
        "cpu": "AMD EPYC 7763 64-Core Processor",
        "virtualization": "Virtual Machine",
        "power_plan": "power saver",
        "long_paths": "off",
        "turbo": "unknown",
    }
    assert {key: facts[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("product", "build", "name"),
    [
        ("Windows 10 Pro", "26100", "Windows 11 Pro build 26100"),
        ("Windows 10 Pro", "19045", "Windows 10 Pro build 19045"),
        ("Windows Server 2025", "26100", "Windows Server 2025 build 26100"),
    ],
)
def test_windows_11_is_told_by_its_build(product: str, build: str, name: str) -> None:
    told = {
        f"{VERSION} ProductName": f"    ProductName    REG_SZ    {product}\r\n",
        f"{VERSION} CurrentBuild": f"    CurrentBuild    REG_SZ    {build}\r\n",
    }
    assert hardware.windows(probe(told))["os_version"] == name


def test_windows_is_not_said_to_be_idle_before_anybody_looked() -> None:
    assert machine.state("win32")["load_1m"] == "unknown"


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("swap_memory", ("swap_bytes", "swap_used_bytes")),
        ("virtual_memory", ("memory_bytes", "memory_available_bytes")),
        ("cpu_freq", ("max_mhz", "current_mhz")),
        ("getloadavg", ("load_1m",)),
        ("sensors_battery", ("power_source", "battery_percent")),
        ("cpu_count", ("physical_cores", "smt")),
    ],
)
def test_what_psutil_fails_to_tell_is_unknown(
    monkeypatch: pytest.MonkeyPatch, name: str, keys: tuple[str, ...]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("PdhAddEnglishCounterW failed: performance counters are off")

    monkeypatch.setattr(psutil, name, fails, raising=False)
    facts = machine.fingerprint("haiku", probe({}))
    assert {key: facts[key] for key in keys} == dict.fromkeys(keys, "unknown")
    assert machine.physical_cores() >= 1


@pytest.mark.parametrize("system", ["linux", "darwin", "win32", "haiku"])
def test_an_unreadable_machine_is_unknown_and_nothing_else_fails(system: str) -> None:
    facts = machine.fingerprint(system, probe({}))
    assert facts["os_version"] == "unknown"
    assert facts["turbo"] == "unknown"
    json.dumps(facts, allow_nan=False)


@given(st.text(max_size=300))
def test_nonsense_from_the_system_never_raises(nonsense: str) -> None:
    whatever = Probe(read=lambda _: nonsense, run=lambda _: nonsense, exists=lambda _: True)
    for system in ("linux", "darwin", "win32"):
        json.dumps(hardware.describe(system, whatever, 2))
        hardware.unique_id(system, whatever)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine.slug(nonsense))


def test_the_real_fingerprint_is_whole_and_names_nobody() -> None:
    facts = machine.fingerprint()
    assert facts["os"] == {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}[sys.platform]
    assert facts["logical_cores"] >= facts["usable_cores"] >= 1
    assert facts["memory_bytes"] > facts["memory_available_bytes"] > 0
    assert all(value not in (None, "") for value in facts.values())
    assert set(machine.state()) < set(facts)
    text = json.dumps(facts)
    private = {str(Path.home()), str(Path.cwd()), sys.prefix, os.path.expandvars("$HOME")}
    for word in (getpass.getuser(), socket.gethostname(), platform.node()):
        assert not re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text)
    assert not any(path in text for path in private if len(path) > 1)


def test_a_priority_is_named_as_its_system_names_it() -> None:
    assert [hardware.priority(nice, "linux") for nice in (0, 10, -5)] == ["0", "10", "-5"]
    assert [hardware.priority(nice, "win32") for nice in (32, 16384, 99)] == ["normal", "below normal", None]
    assert hardware.priority(None, "darwin") is None


def test_the_name_stays_and_differs_between_machines(tmp_path: Path) -> None:
    file = tmp_path / ".machine-id"
    name = machine.machine_name("linux", probe(UBUNTU), file)
    assert re.fullmatch(r"[a-z0-9]+-[a-z0-9]+-i7-1165g7-\d+c-[0-9a-f]{8}", name)
    upgraded = UBUNTU | {"/etc/os-release": 'PRETTY_NAME="Ubuntu 26.04"', "/proc/sys/kernel/osrelease": "7.0"}
    assert machine.machine_name("linux", probe(upgraded), file) == name
    twin = UBUNTU | {"/etc/machine-id": "fedcba9876543210fedcba9876543210\n"}
    assert machine.machine_name("linux", probe(twin), file) != name


def test_clones_of_one_machine_have_names_and_identities_of_their_own(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "two")]
    names = {machine.machine_name("linux", probe(UBUNTU), file) for file in files * 2}
    identities = {machine.identity("linux", probe(UBUNTU), file) for file in files * 2}
    assert len(names) == len(identities) == 2


def test_machines_that_share_a_checkout_have_identities_of_their_own(tmp_path: Path) -> None:
    other = UBUNTU | {"/etc/machine-id": "fedcba9876543210fedcba9876543210\n"}
    assert len({machine.identity("linux", probe(told), tmp_path / "id") for told in (UBUNTU, other)}) == 2


def test_neither_name_nor_identity_shows_what_it_was_made_of(tmp_path: Path) -> None:
    file = tmp_path / "id"
    shown = machine.machine_name("linux", probe(UBUNTU), file) + machine.identity("linux", probe(UBUNTU), file)
    for secret in (file.read_text(encoding="utf-8").strip(), UBUNTU["/etc/machine-id"].strip()):
        assert len(secret) == 32
        assert secret[:8] not in shown


@pytest.mark.parametrize(("system", "told"), [("darwin", MAC), ("win32", WINDOWS), ("linux", UBUNTU)])
def test_the_identity_uses_what_the_system_tells_machines_apart_by(
    system: str, told: Mapping[str, str], tmp_path: Path
) -> None:
    number = hardware.unique_id(system, probe(told))
    assert number in ("AAAA-BBBB", "cccc-dddd", UBUNTU["/etc/machine-id"].strip())
    other = {key: value.replace(number, "other") for key, value in told.items()}
    assert len({machine.identity(system, probe(facts), tmp_path / "id") for facts in (told, other)}) == 2


def test_a_checkout_that_cannot_be_written_to_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)\.machine-id: cannot be made.*a checkout of your own"):
        machine.identity(id_file=tmp_path / "missing" / ".machine-id")


@pytest.mark.parametrize(
    ("cpu", "word"),
    [
        ("AMD EPYC", "epyc"),
        ("AMD EPYC 7763 64-Core Processor", "epyc"),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "i7-1165g7"),
        ("Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "8370c"),
        ("AMD Ryzen 7 5800X 8-Core Processor", "5800x"),
        ("Apple M2 Pro", "m2-pro"),
        ("Apple M1 (Virtual)", "m1"),
        ("Neoverse-N1", "neoverse-n1"),
        ("", "unknown"),
    ],
)
def test_the_word_for_a_processor(cpu: str, word: str) -> None:
    assert machine.slug(cpu) == word


def test_programs_that_are_not_there_or_fail_tell_nothing() -> None:
    real = Probe()
    assert real.run(["no-such-program-anywhere"]) == ""
    assert real.read("/no/such/file") == ""
    assert real.run([sys.executable, "-c", "print('said'); raise SystemExit(1)"]).strip() == "said"
