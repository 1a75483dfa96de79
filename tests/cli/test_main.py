"""What a person at the command line gets: statuses, messages, options. Nothing is measured or fetched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repro import text
from repro.cli import main, options, tables
from repro.errors import ConfigError, TrialError
from repro.paths import ROOT


@dataclass
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


Repro = Callable[..., Done]


@pytest.fixture
def repro(capsys: pytest.CaptureFixture[str]) -> Repro:
    """Run a command line in this process."""

    def run(*arguments: str) -> Done:
        status = main.run(arguments)
        return Done(status, *capsys.readouterr())

    return run


def started(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "repro", *arguments]
    settings: dict[str, Any] = {"text": True, "encoding": "utf-8", "timeout": 60, **more}
    return subprocess.run(command, env=environment, check=False, **settings)


def test_help_names_every_command_and_the_exit_statuses(repro: Repro) -> None:
    done = repro("--help")
    assert done.status == 0
    named = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert named >= {"bench-all", "fetch", "bench", "compare", "inspect", "exec", "plan", "merge", "report", "explain"}
    assert named >= {"pack", "doctor", "pairs", "build", "pair"}
    assert "130 interrupted" in " ".join(done.stdout.split())


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from repro.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'numpy', 'scipy', 'pydantic', 'pooch', 'requests', 'matplotlib', 'jinja2', 'psutil', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("bench nope", "unknown pair 'nope'; params/builds.toml has: 0.21.0-5.2.0"),
        ("bench --experiment nope", "unknown experiment 'nope'"),
        ("bench-all --experiment nope", "unknown experiment 'nope'"),
        ("bench --fixed a.tif", "--fixed and --moving go together"),
        ("bench --fixed-mask a.tif", "--fixed and --moving go together"),
        ("bench --fixed no.tif --moving no.tif", "--fixed no.tif: does not exist"),
        ("bench --params no.txt", "--params no.txt: there is no such file"),
        ("bench --no-cli --no-itk", "leave nothing to run"),
        ("bench --runs 3 --blocks 2", "--runs is one block"),
        ("bench --experiments no.toml", "no.toml: cannot be read"),
        ("bench --bogus", "No such option: --bogus"),
        ("bench-all --bogus", "No such option: --bogus"),
        ("bench-all extra", "unexpected extra argument"),
        ("nope", "No such command"),
        ("fetch nope", "nope: no build of this name"),
        ("merge no-such-folder", "no-such-folder: no such folder"),
        ("pair add 1.0.0 2.0.0 --as-of yesterday", "'yesterday' is not a date"),
        ("compare a/b.whl api:0.25.4", "a/b.whl: there is no such file"),
        ("compare api:0.25.4 api:0.25.3 --fail-if slower", "'slower' is no threshold"),
        ("compare api:0.25.4 api:0.25.3 --markdown no/such/folder/x.md", "no file can be written there"),
        (f"compare api:0.25.4 api:0.25.3 --json {os.curdir}", "no file can be written there"),
        (f"compare api:0.25.4 api:0.25.3 --markdown {os.devnull}", "no file can be written there"),
        ("compare 0.25.1-5.3.1 cli:5.3.1", "is a pair; name one of its builds: cli:5.3.1 or api:0.25.1"),
        ("compare api:0.25.4 api:0.25.3 --experiment nope", "unknown experiment 'nope'"),
        ("exec nope/nope -- true", "nope/nope: there is no such file"),
    ],
)
def test_bad_input_is_refused_at_once_with_what_where_and_what_next(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: str, said: str
) -> None:
    monkeypatch.setenv("REPRO_CWD", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = repro(*arguments.split())
    assert done.status == 2
    assert said in " ".join(done.stderr.split()).replace("\\", "/")


@pytest.mark.parametrize(
    "option", ["--blocks", "--rounds", "--runs", "--jobs", "--threads", "--seed", "--memory-limit"]
)
@pytest.mark.parametrize("value", ["-1", "1e3", "nan", "100000000000", "", "inf"])
def test_every_whole_number_has_bounds(repro: Repro, option: str, value: str) -> None:
    done = repro("bench", option, value)
    assert done.status == 2
    assert "is not a whole number from" in done.stderr


@pytest.mark.parametrize("option", ["--timeout", "--precision"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0", "1e9", "many"])
def test_every_number_has_bounds(repro: Repro, option: str, value: str) -> None:
    done = repro("bench", option, value)
    assert done.status == 2
    assert "is not a number from" in done.stderr


@pytest.mark.parametrize(
    ("words", "value"), [("slower:5%", 0.05), ("slower:0.5%", 0.005), ("faster:10%", -0.1), (None, None)]
)
def test_a_threshold_is_read(words: str | None, value: float | None) -> None:
    assert options.threshold(words) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    "words", ["", "slower", "slower:", "slower:5", "slower:nan%", "faster:100%", "slower:-5%", "x:5%"]
)
def test_a_threshold_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="slower:5%"):
        options.threshold(words)


def test_a_separator_before_options_is_accepted(repro: Repro) -> None:
    assert "unknown experiment 'nope'" in repro("bench-all", "--", "--experiment", "nope").stderr
    assert repro("bench-all", "--", "--bogus").status == 2


def test_a_typing_error_in_an_option_is_found_before_anything_is_fetched(
    repro: Repro, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("repro.cli.work.get_build", lambda name, *_: fetched.append(name))
    for arguments in (("bench-all", "--experimnt", "aa"), ("bench-all", "--experiment", "no"), ("bench", "0.9-9.9")):
        assert repro(*arguments).status == 2
    assert fetched == []


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("what; cure"), 2, "error: what; cure"),
        (TrialError("a trial"), 1, "error: a trial"),
        (KeyboardInterrupt(), 130, "the same command goes on"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/theirs/x"),
            2,
            "/theirs/x: Permission denied; this account",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 2, "make room"),
        (OSError(errno.EIO, "Input/output error"), 2, "Input/output error"),
        (MemoryError(), 2, "not enough memory"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_an_error_becomes_a_message_and_a_status(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("typer.main.get_command", fail)
    done = repro("pairs")
    assert done.status == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_without_a_file_is_not_called_a_problem_of_writing(
    repro: Repro, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "performance counters are off")

    monkeypatch.setattr("typer.main.get_command", fail)
    assert "written" not in repro("doctor").stderr


@pytest.mark.skipif(os.name == "nt", reason="descriptors are closed by a shell")
def test_a_closed_standard_error_does_not_get_in_the_way() -> None:
    done = started("pairs", stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
    assert done.returncode == 0
    assert "0.25.4-5.3.1" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
@pytest.mark.parametrize("arguments", [("pairs",), ("--help",), ("doctor", "--json")])
def test_an_output_that_is_full_is_said(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = started(*arguments, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this device")
def test_messages_that_cannot_be_written_leave_the_status_as_it_is() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        assert started("bench", "nope", stdout=subprocess.DEVNULL, stderr=full).returncode == 2


def test_the_command_works_from_any_folder(tmp_path: Path) -> None:
    assert started("pairs", cwd=tmp_path, stdout=subprocess.PIPE).returncode == 0


def test_a_thing_is_said_once_a_run(repro: Repro, capsys: pytest.CaptureFixture[str]) -> None:
    tables.forget_said()
    for _ in range(3):
        tables.say("the same\x1b[2J notice")
    assert capsys.readouterr().err == "the same\\x1b[2J notice\n"


def test_a_hint_names_a_command_that_works_here(repro: Repro) -> None:
    program = text.command("").strip()
    assert repro("--help").stdout.startswith(f"Usage: {program} ")
