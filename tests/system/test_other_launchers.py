"""The launcher on a made-up Windows, on an interpreter that takes itself for one on macOS, and what processes use."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from repro.system import children, launcher, platforms, used, windows
from repro.system.children import Command, Launcher
from repro.system.environment import child_environment
from support.waiting import eventually, lives

pretended = pytest.mark.skipif(sys.platform == "win32", reason="test_children.py tries the real Windows there")


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


@pretended
def test_a_child_on_windows_is_held_before_it_runs_and_its_use_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel = Kernel32()
    system = Windows(monkeypatch, kernel)
    code = "import sys; print('hello'); sys.exit(3)"
    outcome = system.run(code, stdout=str(tmp_path / "out"), memory_limit_bytes=1 << 30)
    assert outcome.pop("wall_s") > 0
    assert outcome == {
        "exit_status": 3,
        "signal": None,
        "timed_out": False,
        "peak_bytes": 123_456,
        "user_s": 2.0,
        "system_s": 0.5,
        "voluntary_switches": None,
        "involuntary_switches": None,
    }
    assert (tmp_path / "out").read_text(encoding="utf-8").strip() == "hello"
    assert kernel.calls == ["create", "assign", "resume", "close"]
    assert system.flags == 0x4 | 0x200, "it shares the launcher's console: a host of its own would be timed"
    assert kernel.limits is not None
    assert kernel.limits.LimitFlags == 0x2000 | 0x100
    assert kernel.limits.ProcessMemoryLimit == 1 << 30
    system.close()
    assert system.host.next_request() is None


def test_the_job_structure_has_the_size_that_windows_wants() -> None:
    # JOBOBJECT_EXTENDED_LIMIT_INFORMATION: 144 bytes for 64-bit programs
    if ctypes.sizeof(ctypes.c_size_t) == 8:
        assert ctypes.sizeof(windows.ExtendedLimits) == 144


@pretended
def test_a_timeout_on_windows_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel32()
    system = Windows(monkeypatch, kernel)
    outcome = system.run("import time; time.sleep(300)", timeout_s=0.2)
    assert outcome["timed_out"]
    assert kernel.calls == ["create", "assign", "resume", "terminate", "close"]
    system.close()


@pretended
def test_the_end_of_the_parent_ends_the_job_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, resumed = Kernel32(), threading.Event()
    system = Windows(monkeypatch, kernel)
    monkeypatch.setattr(kernel, "NtResumeProcess", lambda _: resumed.set())
    outcomes: queue.Queue[dict[str, Any]] = queue.Queue()
    run = threading.Thread(target=lambda: outcomes.put(system.run("import time; time.sleep(300)")))
    run.start()
    assert resumed.wait(20)
    system.close()
    assert outcomes.get(timeout=20)
    run.join()


@pretended
def test_a_parent_that_dies_while_its_child_is_started_leaves_no_child_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel32()
    system = Windows(monkeypatch, kernel)
    system.send(argv=[sys.executable, "-c", "import time; time.sleep(300)"], env=dict(os.environ))
    request = system.host.next_request()
    assert request is not None
    system.close()
    assert system.host.next_request() is None, "the end of input was seen"
    assert eventually(lambda: system.host._ended)
    with pytest.raises(OSError, match="the parent is gone"):
        system.host.run(request, lambda *_: None)
    assert "resume" not in kernel.calls
    assert all(process.wait(20) != 0 for process in system.started)


@pretended
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
    assert used.of_rusage(told, "linux") == expected | {"peak_bytes": 2048 * 1024}
    assert used.of_rusage(told, "darwin") == expected | {"peak_bytes": 2048}


def test_what_was_read_from_the_disk_is_told_by_linux_alone(tmp_path: Path) -> None:
    io = tmp_path / "io"
    io.write_text("rchar: 12\nsyscr: 3\nread_bytes: 4096\ncancelled_write_bytes: 9\n")
    assert used.disk_bytes(str(io)) == 4096
    assert used.disk_bytes(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("name", "module", "tells"), [("win32", "windows", "of_windows_process"), ("darwin", "unix", "of_rusage")]
)
def test_the_launcher_takes_the_part_of_its_system(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, tells: str
) -> None:
    used = SimpleNamespace(of_windows_process="of_windows_process", of_rusage="of_rusage")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setitem(sys.modules, "used", used)
    for part in ("unix", "windows"):
        host = SimpleNamespace(Host=lambda control, used, part=part: (part, control, used))
        monkeypatch.setitem(sys.modules, part, host)
    monkeypatch.setattr(sys, "platform", name)
    assert launcher._host(5) == (module, 5, tells)


def test_the_launcher_takes_handles_on_windows_and_descriptors_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launcher._descriptors(["5", "7"]) == [5, 7]
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(open_osfhandle=lambda handle, flags: handle - 1000))
    monkeypatch.setattr(sys, "platform", "win32")
    assert launcher._descriptors(["1005", "1007"]) == [5, 7]


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Launcher]:
    """The real launcher, on an interpreter that takes itself for one on macOS."""
    pretending = tmp_path / "launcher.py"
    run = "exec(compile(open(__file__).read(), __file__, 'exec'))"
    pretending.write_text(f"import sys\nsys.platform = 'darwin'\n__file__ = {str(children.LAUNCHER)!r}\n{run}\n")
    monkeypatch.setattr(children, "LAUNCHER", pretending)
    with Launcher() as made:
        yield made


def shell(words: str, **more: object) -> Command:
    return Command(argv=("/bin/sh", "-c", words), env=child_environment({}), **more)  # type: ignore[arg-type]


posix = pytest.mark.skipif(platforms.SYSTEM == "win32", reason="macOS's part needs POSIX")


@posix
def test_as_on_macos_the_peak_is_counted_in_bytes_and_nothing_limits_it(macos: Launcher) -> None:
    code = "import sys; ballast = b'x' * (200 << 20)"
    argv = (sys.executable, "-I", "-S", "-c", code)
    outcome = macos.run(Command(argv=argv, env=child_environment({}), memory_limit_bytes=50 << 20))
    assert outcome.exit_status == 0
    assert outcome.peak_bytes is not None
    # Here the system counts KiB, which macOS's branch takes as they are.
    assert (200 << 10 if sys.platform == "linux" else 200 << 20) < outcome.peak_bytes < 400 << 20


@posix
@pytest.mark.parametrize("ending", ["wait", "exit 3"])
def test_as_on_macos_what_a_child_started_ends_with_it(macos: Launcher, tmp_path: Path, ending: str) -> None:
    pids = tmp_path / "pids"
    outcome = macos.run(shell(f"sleep 300 & echo $! >{pids}; {ending}", timeout_s=1.0))
    assert outcome.timed_out == (ending == "wait")
    assert outcome.exit_status == (None if ending == "wait" else 3)
    assert eventually(lambda: not lives(int(pids.read_text(encoding="utf-8"))))


@posix
def test_as_on_macos_a_limit_of_output_holds(macos: Launcher, tmp_path: Path) -> None:
    words = "dd if=/dev/zero bs=65536 count=64"
    outcome = macos.run(shell(words, stdout=tmp_path / "out", output_limit_bytes=1 << 20))
    assert outcome.exit_status != 0
    assert (tmp_path / "out").stat().st_size <= 1 << 20
