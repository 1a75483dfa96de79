"""What each system can do, and how it names programs, paths and processes; what the others do is tried here too."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from repro.system import platforms, processes

SYSTEMS = ("linux", "darwin", "win32")


def test_only_linux_forks_what_has_loaded_itk() -> None:
    assert [platforms.can_fork_loaded(name) for name in SYSTEMS] == [True, False, False]


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
    assert [platforms.executable_name("elastix", name) for name in SYSTEMS] == ["elastix", "elastix", "elastix.exe"]
    libraries = [platforms.library_path_variable(name) for name in SYSTEMS]
    assert libraries == ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH"]


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
    processes.speak_utf8(stream)
    stream.write("±→█")
    stream.flush()
    assert raw.getvalue().decode() == "±→█"
    processes.speak_utf8(io.StringIO())


def test_libraries_are_told_to_the_loader_where_a_release_has_them_beside(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    program = tmp_path / "bin" / "elastix"
    assert platforms.libraries_beside(program, "linux") == tmp_path / "lib"
    assert platforms.libraries_beside(program, "darwin") == tmp_path / "lib"
    assert platforms.libraries_beside(program, "win32") is None
    assert platforms.libraries_beside(tmp_path / "elastix", "linux") is None


def test_programs_lie_where_each_system_has_them() -> None:
    prefix = Path("prefix")
    python = [platforms.python_of(prefix, name).as_posix() for name in SYSTEMS]
    assert python == ["prefix/bin/python", "prefix/bin/python", "prefix/python.exe"]
    assert [platforms.venv_programs(prefix, name).name for name in SYSTEMS] == ["bin", "bin", "Scripts"]


def venv(folder: Path, home: Path) -> Path:
    """The interpreter of a venv as Windows has it."""
    (folder / "Scripts").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n", encoding="utf-8")
    (folder / "Scripts" / "python.exe").touch()
    return folder / "Scripts" / "python.exe"


def test_on_windows_the_interpreter_behind_a_venv_is_started(tmp_path: Path) -> None:
    base = tmp_path / "Python 3.14" / "python.exe"
    base.parent.mkdir()
    base.touch()
    python = venv(tmp_path / "venv", base.parent)
    assert platforms.base_interpreter(python, "win32") == base
    assert platforms.base_interpreter(str(base), "win32") == base
    assert platforms.base_interpreter(python, "linux") == python


def test_a_venv_whose_base_is_gone_keeps_its_own_interpreter(tmp_path: Path) -> None:
    python = venv(tmp_path / "venv", tmp_path / "gone")
    assert platforms.base_interpreter(python, "win32") == python


def test_pipes_are_passed_as_descriptors_on_posix() -> None:
    names, options = processes.pass_pipes((5, 7), "linux")
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
    names, options = processes.pass_pipes((5, 7), "win32")
    assert names == ["1005", "1007"]
    assert inherited == {1005: True, 1007: True}
    assert options["creationflags"] == 0x08000200
    assert options["startupinfo"] == {"lpAttributeList": {"handle_list": [1005, 1007]}}


def test_killing_a_session_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    processes.kill_session(process.pid)
    processes.kill_session(process.pid, "win32")


def test_a_session_is_killed_where_there_are_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda leader, _: killed.append(leader), raising=False)
    for number, name in enumerate(SYSTEMS, 1000):
        processes.kill_session(number, name)
    assert killed == ([] if sys.platform == "win32" else [1000, 1001])


def test_only_linux_has_ties_between_processes() -> None:
    assert [processes.ending_with_us(system=name) for name in ("darwin", "win32")] == [None, None]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with file.open("a+b") as first, file.open("a+b") as second:
        assert processes.try_lock(first.fileno())
        assert not processes.try_lock(second.fileno())
    with file.open("a+b") as third:
        assert processes.try_lock(third.fileno())
