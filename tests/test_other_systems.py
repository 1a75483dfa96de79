"""What other systems than this one would do, as far as it can be tried here.

test_platforms.py has the Windows launcher and the paths, test_machine.py the machines, test_environment.py the
variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from repro import system as platforms
from repro.builds import verify
from repro.system import filecache, forking, launcher, system, thin, used
from repro.system.children import Command, Launcher
from repro.system.environment import child_environment
from waiting import eventually, lives

SYSTEMS = ("linux", "darwin", "win32")


def test_each_system_says_what_it_can() -> None:
    def answers(question: str) -> list[bool]:
        return [getattr(platforms, question)(name) for name in SYSTEMS]

    assert answers("can_fork_loaded") == [True, False, False]
    assert answers("can_empty_file_cache") == [True, False, False]
    assert answers("can_pass_descriptors") == [True, True, False]
    assert answers("can_run_scripts") == [True, True, False]
    assert answers("ignores_case") == [False, False, True]
    assert answers("keeps_certificates") == [False, False, True]


def test_programs_lie_where_each_system_has_them() -> None:
    prefix = Path("prefix")
    python = [platforms.python_of(prefix, name).as_posix() for name in SYSTEMS]
    assert python == ["prefix/bin/python", "prefix/bin/python", "prefix/python.exe"]
    assert [platforms.venv_programs(prefix, name).name for name in SYSTEMS] == ["bin", "bin", "Scripts"]


def test_the_shell_of_the_person() -> None:
    assert platforms.users_shell({"SHELL": "/usr/bin/fish"}, "darwin") == "fish"
    assert platforms.users_shell({}, "linux") == "bash"
    assert platforms.users_shell({"SHELL": "/usr/bin/bash"}, "win32") == "powershell"


@pytest.mark.parametrize(
    ("name", "variable", "separator"),
    [("linux", "LD_LIBRARY_PATH", ":"), ("darwin", "DYLD_LIBRARY_PATH", ":"), ("win32", "PATH", ";")],
)
def test_an_executable_finds_its_own_libraries_first(name: str, variable: str, separator: str) -> None:
    parent = {"PATH": "programs", variable: "programs"} if name == "win32" else {variable: "strange"}
    environment = child_environment({variable: "others"}, "own", parent, name)
    assert environment[variable] == f"own{separator}others"


def test_the_base_python_is_named_for_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_base_executable", "C:\\Python\\python.exe", raising=False)
    assert platforms.thin_python() == "C:\\Python\\python.exe"
    monkeypatch.setattr(sys, "_base_executable", "")
    assert platforms.thin_python() == sys.executable


def test_only_linux_has_ties_between_processes() -> None:
    for name in ("darwin", "win32"):
        assert platforms.ending_with_us(system=name) is None
        platforms.adopt_orphans(name)


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("a+b") as first, file.open("a+b") as second:
        assert platforms.try_lock(first.fileno())
        assert not platforms.try_lock(second.fileno())
    with file.open("a+b") as third:
        assert platforms.try_lock(third.fileno())


def test_what_a_system_cannot_do_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError, match="Windows does not copy processes"):
        forking.fork(lambda: None)
    with pytest.raises(OSError, match="only Linux empties"):
        filecache.forget([tmp_path])


def test_files_deeper_than_windows_reaches_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "reached"
    file.write_bytes(b"")
    monkeypatch.setattr(platforms, "long_path", lambda path: str(file) if path == Path("deep") else "")
    assert verify._differs(Path("deep"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == []


def test_what_was_read_from_the_disk_is_told_by_linux_alone(tmp_path: Path) -> None:
    io = tmp_path / "io"
    io.write_text("rchar: 12\nsyscr: 3\nread_bytes: 4096\ncancelled_write_bytes: 9\n")
    assert used.disk_bytes(str(io)) == 4096
    assert used.disk_bytes(str(tmp_path / "none")) is None


# The launcher


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
    pretending.write_text(f"import sys\nsys.platform = 'darwin'\n__file__ = {str(thin.LAUNCHER)!r}\n{run}\n")
    monkeypatch.setattr(thin, "LAUNCHER", pretending)
    with Launcher() as made:
        yield made


def shell(words: str, **more: object) -> Command:
    return Command(argv=("/bin/sh", "-c", words), env=child_environment({}), **more)  # type: ignore[arg-type]


posix = pytest.mark.skipif(system.SYSTEM == "win32", reason="macOS's part needs POSIX")


@posix
def test_as_on_macos_the_peak_is_counted_in_bytes_and_nothing_limits_it(macos: Launcher) -> None:
    code = "import sys; ballast = b'x' * (200 << 20)"
    argv = (sys.executable, "-I", "-S", "-c", code)
    outcome = macos.run(Command(argv=argv, env=child_environment({}), memory_limit_bytes=50 << 20, affinity=[0]))
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
    assert eventually(lambda: not lives(int(pids.read_text())))


@posix
def test_as_on_macos_a_limit_of_output_holds(macos: Launcher, tmp_path: Path) -> None:
    words = "dd if=/dev/zero bs=65536 count=64"
    outcome = macos.run(shell(words, stdout=tmp_path / "out", output_limit_bytes=1 << 20))
    assert outcome.exit_status != 0
    assert (tmp_path / "out").stat().st_size <= 1 << 20


def test_a_session_is_killed_where_there_are_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda leader, _: killed.append(leader), raising=False)
    for number, name in enumerate(SYSTEMS, 1000):
        platforms.kill_session(number, name)
    assert killed == ([] if sys.platform == "win32" else [1000, 1001])
