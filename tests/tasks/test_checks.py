"""tasks/test.py runs every check and hands on the first failure; tasks/debian.py makes a Python that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.tasks import TASKS, task

debian = task("debian")


def checks() -> dict[str, object]:
    """The names of tasks/test.py, whose own is that of a package of Python."""
    import runpy

    return runpy.run_path(str(TASKS / "test.py"))


def test_an_unknown_check_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    main = checks()["main"]
    assert main(["lnit"]) == 2  # type: ignore[operator]
    assert "there is no check 'lnit'; there are lint, unit and test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failing", "status", "last"),
    [
        ("", 0, "real"),
        ("lint", 1, "real"),  # a fault of style does not hide those that the tests find
        ("lock.py", 1, "lock.py"),  # nothing is run on a lock that does not fit
        ("fetch", 0, "real"),  # the tests of real builds say what is missing
        ("not real", 1, "real"),
        ("real", 1, "real"),
    ],
)
def test_every_check_runs_and_a_failure_is_the_status(failing: str, status: int, last: str) -> None:
    names, ran = checks(), []

    def run(*command: str) -> int:
        ran.append(command)
        return int(any(Path(word).name == failing for word in command))

    main = names["main"]
    main.__globals__.update(run=run, lint=lambda: int(failing == "lint"))  # type: ignore[attr-defined]
    assert main(["test"]) == status  # type: ignore[operator]
    assert last in [Path(word).name for word in ran[-1]]


def test_no_test_with_the_mark_is_no_failure() -> None:
    tests = checks()["tests"]
    tests.__globals__.update(run=lambda *command: 5)  # type: ignore[attr-defined]
    assert tests("real") == 0  # type: ignore[operator]


@pytest.mark.skipif(sys.platform == "win32", reason="Debian's")
def test_a_python_of_debian_is_started_by_its_own_loader_and_not_by_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64"):
        (tree / folder).mkdir(parents=True)
    # Whichever folder the disk lists first: this link leads nowhere in a tree of packages.
    (tree / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="utf-8")
    loader.chmod(0o755)
    monkeypatch.setattr(debian, "unpack", lambda package, folder, suite: tree)
    script = debian.python("3.14", tmp_path, "forky")
    (tmp_path / "python").symlink_to(script)
    said = subprocess.run([tmp_path / "python", "-c", "a b"], capture_output=True, encoding="utf-8", check=True).stdout
    program = f"{tmp_path}/python|{tree}/usr/bin/python3.14|"
    assert said == f"--library-path|{loader.parent}|--argv0|{program}-c|a b|"


@pytest.mark.parametrize("what", ["mirror", "keyring"])
def test_a_machine_that_is_no_debian_is_told_so(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], folder: Path) -> str:
        return "http://archive.example.org/ubuntu/\n" if what == "mirror" else "http://deb.example.org/debian\n"

    monkeypatch.setattr(debian, "_run", run)
    monkeypatch.setattr(debian, "KEYRINGS", () if what == "keyring" else (os.devnull, __file__))
    with pytest.raises(OSError, match="no mirror of Debian, or has no keyring"):
        debian.unpack("python3", tmp_path / "new", suite="forky")
