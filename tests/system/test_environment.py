"""Children get an allow-list and what the condition sets, on every system."""

from __future__ import annotations

import string
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.system.children import Command, Launcher
from repro.system.environment import child_environment, itk_environment, removed

SHELL = {
    "PATH": "/bin",
    "HOME": "/home/someone",
    "LANG": "en_US.UTF-8",
    "LC_ALL": "C",
    "AWS_SECRET_ACCESS_KEY": "x",
    "GITHUB_TOKEN": "x",
    "NSLOTS": "7",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "3",
    "ITK_AUTOLOAD_PATH": "/x",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LD_PRELOAD": "/evil.so",
    "PYTHONPATH": "/x",
    "DISPLAY": ":0",
}


def test_only_the_harmless_comes_through() -> None:
    assert child_environment({}, parent=SHELL, system="linux") == {
        "PATH": "/bin",
        "HOME": "/home/someone",
        "LANG": "en_US.UTF-8",
        "LC_ALL": "C",
    }


def test_what_would_have_decided_a_run_is_named_and_secrets_are_not() -> None:
    assert removed(SHELL, system="linux") == [
        "ITK_AUTOLOAD_PATH",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "LD_PRELOAD",
        "MKL_NUM_THREADS",
        "NSLOTS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PYTHONPATH",
    ]


def test_the_condition_sets_what_the_shell_may_not() -> None:
    environment = child_environment(itk_environment(28, "Pool"), parent=SHELL, system="linux")
    assert environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == "28"
    assert environment["ITK_GLOBAL_DEFAULT_THREADER"] == "Pool"
    assert "NSLOTS" not in environment


def test_no_wish_is_no_variable() -> None:
    assert itk_environment(None, None) == {}
    assert itk_environment(1, None) == {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


def test_windows_names_have_no_case_and_programs_find_their_system() -> None:
    parent = {"Path": r"C:\bin", "SystemRoot": r"C:\Windows", "omp_num_threads": "1", "Temp": "t", "USERNAME": "me"}
    assert set(child_environment({}, parent=parent, system="win32")) == {"PATH", "SYSTEMROOT", "TEMP"}
    assert removed(parent, system="win32") == ["OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("system", "parent", "variable", "value"),
    [
        ("linux", {"LD_LIBRARY_PATH": "/theirs"}, "LD_LIBRARY_PATH", "/ours"),
        ("darwin", {}, "DYLD_LIBRARY_PATH", "/ours"),
        ("win32", {"PATH": "/theirs"}, "PATH", "/ours;/theirs"),
        ("win32", {"Path": "/theirs"}, "PATH", "/ours;/theirs"),
    ],
)
def test_libraries_are_looked_for_in_the_pairs_folder_first(
    system: str, parent: dict[str, str], variable: str, value: str
) -> None:
    assert child_environment({}, "/ours", parent, system) == {variable: value}


@given(
    st.dictionaries(st.text(string.ascii_uppercase + "_", min_size=1), st.text()), st.sampled_from(["linux", "win32"])
)
def test_nothing_else_ever_comes_through(parent: dict[str, str], system: str) -> None:
    environment = child_environment({"X": "1"}, parent=parent, system=system)
    kept = {name: value for name, value in environment.items() if name != "X"}
    assert kept.items() <= parent.items()
    assert not set(removed(parent, system)) & set(kept)
    assert not any(name.startswith(("ITK_", "OMP_", "LD_", "PYTHON")) for name in kept)


@pytest.mark.skipif(sys.platform == "win32", reason="reads what /usr/bin/env prints")
def test_a_child_sees_exactly_this(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = child_environment(itk_environment(2, "Platform"), parent={"PATH": "/usr/bin:/bin", "NSLOTS": "9"})
    with Launcher() as launcher:
        launcher.run(Command(argv=["/usr/bin/env"], env=environment, stdout=out))
    assert dict(line.split("=", 1) for line in out.read_text(encoding="utf-8").splitlines()) == environment
