"""The branches of all systems, and the Windows launcher on a made-up Windows."""

from __future__ import annotations

import ctypes
import io
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from repro import system as platforms
from repro.system import used, windows


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "linux-64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("darwin", "x86_64", "osx-64"),
        ("darwin", "arm64", "osx-arm64"),
        ("win32", "AMD64", "win-64"),
        ("linux", "riscv64", "linux-riscv64"),
    ],
)
def test_platforms_have_condas_names(system: str, machine: str, name: str) -> None:
    assert platforms.current_platform(system, machine) == name


def test_programs_and_libraries_are_named_as_each_system_does() -> None:
    assert [platforms.executable_name("elastix", system) for system in ("linux", "darwin", "win32")] == [
        "elastix",
        "elastix",
        "elastix.exe",
    ]
    assert [platforms.library_path_variable(system) for system in ("linux", "darwin", "win32")] == [
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "PATH",
    ]


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("C:\\a\\b", "\\\\?\\C:\\a\\b"),
        ("\\\\server\\share\\a", "\\\\?\\UNC\\server\\share\\a"),
        ("\\\\?\\C:\\a", "\\\\?\\C:\\a"),
        ("a\\b", "a\\b"),
    ],
)
def test_long_paths_on_windows(path: str, long: str) -> None:
    assert platforms.long_path(PureWindowsPath(path), "win32") == long  # type: ignore[arg-type]


def test_paths_elsewhere_stay_as_they_are() -> None:
    assert platforms.long_path(Path("/a/b"), "linux") == str(Path("/a/b"))


def test_a_stream_with_a_code_page_takes_any_character() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    platforms.speak_utf8(stream)
    stream.write("±→█")
    stream.flush()
    assert raw.getvalue().decode() == "±→█"
    platforms.speak_utf8(io.StringIO())


def test_pipes_are_passed_as_descriptors_on_posix() -> None:
    names, options = platforms.pass_pipes((5, 7), "linux")
    assert names == ["5", "7"]
    assert options == {"pass_fds": (5, 7), "start_new_session": True}


def test_pipes_are_passed_as_handles_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited: dict[int, bool] = {}

    class Msvcrt:
        @staticmethod
        def get_osfhandle(descriptor: int) -> int:
            return descriptor + 1000

    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt)
    monkeypatch.setattr(os, "set_handle_inheritable", inherited.__setitem__, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "STARTUPINFO", lambda **options: options, raising=False)
    names, options = platforms.pass_pipes((5, 7), "win32")
    assert names == ["1005", "1007"]
    assert inherited == {1005: True, 1007: True}
    assert options["creationflags"] == 0x08000200
    assert options["startupinfo"] == {"lpAttributeList": {"handle_list": [1005, 1007]}}


def test_killing_a_session_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    platforms.kill_session(process.pid)
    platforms.kill_session(process.pid, "win32")


class Kernel32:
    """A Windows that has one job at a time and does with real processes what a job would."""

    def __init__(self, *, refuses: str = "") -> None:
        self.refuses = refuses
        self.calls: list[str] = []
        self.limits: windows.ExtendedLimits | None = None
        self.held: list[int] = []

        def create(*_: object) -> int:
            self.calls.append("create")
            return 77

        self.CreateJobObjectW = create  # a function: ctypes' have attributes such as restype, methods not

    def SetInformationJobObject(self, job: Any, kind: int, limits: Any, size: int) -> int:  # noqa: N802
        assert (job.value, kind, size) == (77, 9, ctypes.sizeof(windows.ExtendedLimits))
        self.limits = limits._obj
        return int(self.refuses != "limits")

    def AssignProcessToJobObject(self, job: Any, process: Any) -> int:  # noqa: N802
        self.calls.append("assign")
        self.held.append(process.value)
        return int(self.refuses != "assign")

    def TerminateJobObject(self, job: Any, status: int) -> int:  # noqa: N802
        self.calls.append("terminate")
        for pid in self.held:
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()
        return 1

    def CloseHandle(self, job: Any) -> int:  # noqa: N802
        self.calls.append("close")
        return 1

    def GetLastError(self) -> int:  # noqa: N802
        return 5

    def NtResumeProcess(self, process: Any) -> int:  # noqa: N802
        self.calls.append("resume")
        return 0

    def GetProcessTimes(self, process: Any, created: Any, ended: Any, system: Any, user: Any) -> int:  # noqa: N802
        system._obj.value, user._obj.value = 5_000_000, 20_000_000
        return 1

    def K32GetProcessMemoryInfo(self, process: Any, counters: Any, size: int) -> int:  # noqa: N802
        assert size == (72 if ctypes.sizeof(ctypes.c_size_t) == 8 else 40)
        counters._obj.PeakWorkingSetSize = 123_456
        return int(self.refuses != "memory")


class Windows:
    """A ``windows.Host`` with its pipe, on processes of this system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kernel: Kernel32) -> None:
        real = subprocess.Popen
        self.started: list[subprocess.Popen[bytes]] = []

        def start(argv: list[str], creationflags: int, **options: Any) -> Any:
            self.flags = creationflags
            process = real(argv, **options)
            vars(process)["_handle"] = process.pid
            self.started.append(process)
            return process

        monkeypatch.setattr(subprocess, "Popen", start)
        read, self.control = os.pipe()
        self.host = windows.Host(read, used.of_windows_process, kernel, kernel)

    def send(self, **request: Any) -> None:
        os.write(self.control, json.dumps(request).encode() + b"\n")

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        self.send(argv=[sys.executable, "-c", code], env=dict(os.environ), **options)
        request = self.host.next_request()
        assert request is not None
        return self.host.run(request, lambda *_: None)

    def close(self) -> None:
        os.close(self.control)


def test_a_child_on_windows_is_held_before_it_runs_and_its_use_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel = Kernel32()
    system = Windows(monkeypatch, kernel)
    code = "import sys; print('hello'); sys.exit(3)"
    outcome = system.run(code, stdout=str(tmp_path / "out"), memory_limit_bytes=1 << 30, affinity=[0, 2])
    assert outcome.pop("wall_s") > 0
    assert outcome == {
        "exit_status": 3,
        "signal": None,
        "timed_out": False,
        "stopped": False,
        "peak_bytes": 123_456,
        "user_s": 2.0,
        "system_s": 0.5,
        "voluntary_switches": None,
        "involuntary_switches": None,
    }
    assert (tmp_path / "out").read_text().strip() == "hello"
    assert kernel.calls == ["create", "assign", "resume", "close"]
    assert system.flags == 0x4 | 0x200 | 0x08000000
    assert kernel.limits is not None
    assert kernel.limits.LimitFlags == 0x2000 | 0x100 | 0x10
    assert (kernel.limits.ProcessMemoryLimit, kernel.limits.Affinity) == (1 << 30, 0b101)
    system.close()
    assert system.host.next_request() is None


def test_the_job_structure_has_the_size_that_windows_wants() -> None:
    # JOBOBJECT_EXTENDED_LIMIT_INFORMATION: 144 bytes for 64-bit programs
    if ctypes.sizeof(ctypes.c_size_t) == 8:
        assert ctypes.sizeof(windows.ExtendedLimits) == 144


def test_a_timeout_on_windows_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel32()
    system = Windows(monkeypatch, kernel)
    outcome = system.run("import time; time.sleep(300)", timeout_s=0.2)
    assert outcome["timed_out"]
    assert kernel.calls == ["create", "assign", "resume", "terminate", "close"]
    system.close()


@pytest.mark.parametrize("stop", ["told", "parent gone"])
def test_stop_and_the_end_of_the_parent_end_the_job_on_windows(monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    kernel, resumed = Kernel32(), threading.Event()
    system = Windows(monkeypatch, kernel)
    monkeypatch.setattr(kernel, "NtResumeProcess", lambda _: resumed.set())
    outcomes: queue.Queue[dict[str, Any]] = queue.Queue()
    run = threading.Thread(target=lambda: outcomes.put(system.run("import time; time.sleep(300)")))
    run.start()
    assert resumed.wait(20)
    if stop == "told":
        system.send(stop=True)
    else:
        system.close()
    assert outcomes.get(timeout=20)["stopped"]
    run.join()


@pytest.mark.parametrize("refuses", ["limits", "assign"])
def test_a_refused_job_is_an_error_and_leaves_no_child(monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    kernel = Kernel32(refuses=refuses)
    system = Windows(monkeypatch, kernel)
    with pytest.raises(OSError, match="Windows error 5"):
        system.run("import time; time.sleep(300)")
    assert "resume" not in kernel.calls
    assert len(system.started) == (1 if refuses == "assign" else 0)
    assert all(process.wait(20) != 0 for process in system.started)
    system.close()


def test_what_windows_does_not_tell_is_unknown() -> None:
    assert used.of_windows_process(1, Kernel32(refuses="memory"))["peak_bytes"] is None


def test_this_process_knows_what_it_has_used(tmp_path: Path) -> None:
    before = used.usage()
    ballast = bytearray(b"x" * (20 << 20))
    sum(i * i for i in range(1_000_000))
    after, peak = used.usage(), used.peak_bytes()
    assert after["user_s"] is not None
    assert before["user_s"] is not None
    assert after["user_s"] > before["user_s"]
    assert peak is not None
    assert len(ballast) < peak < psutil.virtual_memory().total


def test_on_linux_the_peak_is_that_of_the_program_that_runs_now(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n")
    assert used.peak_bytes(str(status), "linux") == 2 << 20
    assert used.peak_bytes(str(tmp_path / "none"), "linux") is None
    status.write_text("Name:\tx\n")
    assert used.peak_bytes(str(status), "linux") is None


def test_the_unit_of_the_peak_is_that_of_the_system() -> None:
    told = SimpleNamespace(ru_utime=1.5, ru_stime=0.5, ru_nvcsw=3, ru_nivcsw=4, ru_maxrss=2048)
    expected = {"user_s": 1.5, "system_s": 0.5, "voluntary_switches": 3, "involuntary_switches": 4}
    assert used.of_rusage(told, "linux") == {"usage": expected, "peak_bytes": 2048 * 1024}
    assert used.of_rusage(told, "darwin") == {"usage": expected, "peak_bytes": 2048}


def test_libraries_are_told_to_the_loader_where_a_release_has_them_beside(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    program = tmp_path / "bin" / "elastix"
    assert platforms.libraries_beside(program, "linux") == tmp_path / "lib"
    assert platforms.libraries_beside(program, "darwin") == tmp_path / "lib"
    assert platforms.libraries_beside(program, "win32") is None
    assert platforms.libraries_beside(tmp_path / "elastix", "linux") is None
