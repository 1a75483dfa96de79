"""pairs, fetch, exec, inspect, build add and doctor. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repro.builds import fetch, given, installed
from repro.builds.catalogue import CatalogueBuild, load_catalogue
from repro.cli import build_commands, main
from repro.errors import FetchError, UnavailableError
from repro.measure import inspect
from repro.model import Build, InspectionLine
from repro.plan import images
from support.made_up import build as made_up

Repro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repro(capsys: pytest.CaptureFixture[str]) -> Repro:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main.run(arguments)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the builds that are there."""
    names: set[str] = set()

    def load(name: str, **_: Any) -> object:
        if name in names:
            return object()
        raise UnavailableError(f"{name} is not fetched")

    monkeypatch.setattr(installed, "load", load)
    monkeypatch.setattr("repro.system.platforms.current_platform", lambda: "osx-64")
    monkeypatch.setattr(installed, "own_builds", list)
    return names


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> dict[str, FetchError | None]:
    """What was asked for, and how it goes."""
    found: dict[str, FetchError | None] = {}

    def get(build: CatalogueBuild, **_: Any) -> None:
        error = found.setdefault(build.name, None)
        if error:
            raise error

    monkeypatch.setattr(fetch, "fetch", get)
    monkeypatch.setattr(images, "provide", lambda *_, **__: None)
    return found


def test_pairs_are_ready_or_not_fetched_or_not_for_this_platform(repro: Repro, here: set[str]) -> None:
    here |= {"cli:5.2.0", "api:0.21.0"}
    status, out, err = repro("pairs")
    states = {line.split()[0]: line for line in out.splitlines() if line.strip()[:1] == "0"}
    assert status == 0
    assert states["0.21.0-5.2.0"].rstrip().endswith("ready")
    assert states["0.25.4-5.3.1"].rstrip().endswith("not for this platform")
    assert "0.25.4-5.3.1: " in err
    here.clear()
    _, out, err = repro("pairs")
    assert "not fetched" in out
    assert "tasks/run.py fetch" in out or "pixi run fetch" in out
    assert "0.21.0-5.2.0" not in err
    assert "0.21.0-5.2.0: cli:5.2.0 is not fetched" in repro("pairs", "-v")[2]
    assert {one["state"] for one in json.loads(repro("pairs", "--json", "--releases")[1])} == {
        "not fetched",
        "not for this platform",
    }


def test_what_verify_finds_is_status_2(repro: Repro, here: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    here.add("cli:5.2.0")
    monkeypatch.setattr(installed, "verify", lambda _: ["elastix: sha256 expected a, found b"])
    status, _, err = repro("pairs", "--verify")
    assert status == 2
    assert "elastix: sha256 expected a, found b" in err
    monkeypatch.setattr(installed, "verify", lambda _: [])
    assert repro("pairs", "--verify")[0] == 0


def test_fetch_takes_pairs_and_builds_each_once(repro: Repro, fetched: dict[str, FetchError | None]) -> None:
    assert repro("fetch", "0.25.1-5.3.1", "0.25.4-5.3.1", "api:0.25.3")[0] == 0
    assert list(fetched) == ["cli:5.3.1", "api:0.25.1", "api:0.25.4", "sitk:3.0.0a1.post183", "api:0.25.3"]


def test_without_names_what_this_platform_cannot_have_is_left_out(
    repro: Repro, here: set[str], fetched: dict[str, FetchError | None]
) -> None:
    assert repro("fetch")[0] == 0
    unavailable = {name for name, one in load_catalogue().builds.items() if "osx-64" in one.unavailable}
    assert not unavailable & set(fetched)
    assert unavailable


def test_a_named_build_that_cannot_be_had_is_status_2(repro: Repro, fetched: dict[str, FetchError | None]) -> None:
    fetched["api:0.25.4"] = UnavailableError("api:0.25.4 cannot be had on osx-64: no wheels")
    status, _, err = repro("fetch", "api:0.25.4")
    assert status == 2
    assert "not fetched: api:0.25.4: api:0.25.4 cannot be had on osx-64: no wheels" in err


def test_one_missing_network_is_one_line(repro: Repro, fetched: dict[str, FetchError | None]) -> None:
    names = [name for pair in load_catalogue().pairs.values() for name in (pair.cli, pair.api)]
    fetched.update({name: FetchError(f"{name}: github.com cannot be reached") for name in names})
    status, _, err = repro("fetch")
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith("not fetched: cli:5.2.0, api:0.21.0")
    assert "and api:0.25.4: github.com cannot be reached" in line
    assert len(repro("fetch", "-v")[2].splitlines()) == len(set(names))


def test_a_command_runs_with_the_build_s_programs_and_wheels(
    repro: Repro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = {"cli:5.3.1": made_up.cli(tmp_path), "api:0.25.4": made_up.api(tmp_path)}
    monkeypatch.setattr(given, "resolve", lambda name, **_: builds[name])
    ran: list[tuple[list[str], Mapping[str, str]]] = []

    def run_in(environment: Mapping[str, str], command: list[str]) -> int:
        ran.append((command, environment))
        return 7

    monkeypatch.setattr(build_commands, "run_in", run_in)
    for words in (["--", "python", "x.py", "--quick"], ["python", "x.py", "--quick"]):
        assert repro("exec", "0.25.4-5.3.1", *words)[0] == 7
    (command, environment), other = ran
    assert command == other[0] == ["python", "x.py", "--quick"]
    assert str(builds["api:0.25.4"].site_packages) in environment["PYTHONPATH"]
    assert str(builds["cli:5.3.1"].folder) in environment["PATH"]


def test_a_command_that_is_not_there_is_said(repro: Repro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "resolve", lambda *_, **__: made_up.cli(tmp_path))
    status, _, err = repro("exec", "cli:5.3.1", "--", "no-such-command")
    assert status == 2
    assert "no-such-command: there is no such command" in err
    assert repro("exec", "cli:5.3.1", "--")[0] == 2


@pytest.mark.skipif(os.name == "nt", reason="POSIX replaces the process")
def test_the_process_becomes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *words: became.append(words))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(returncode=0))
    build_commands.run_in({"PATH": str(Path(sys.executable).parent)}, [Path(sys.executable).name, "-c", "pass"])
    assert became[0][1][1:] == ["-c", "pass"]


def test_inspect_is_a_column_a_build_without_what_nobody_told(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def inspect_all(builds: Any, *_: Any) -> list[InspectionLine]:
        asked.extend(builds)
        return [
            InspectionLine(
                machine="m", identity="i", started_utc="now", build=Build("api", "0.25.4", "a" * 32),
                method_honoured=True, parameter_honoured=False, resident_bytes=1 << 30, problem=problem,
            )
        ]  # fmt: skip

    problem = ""
    monkeypatch.setattr(given, "resolve", lambda name, **_: SimpleNamespace(build=Build("api", name, "a" * 32)))
    monkeypatch.setattr(inspect, "inspect_all", inspect_all)
    status, out, _ = repro("inspect", "api:0.25.4")
    assert status == 0
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert "heeds SetNumberOfThreads yes" in said
    assert "heeds NumberOfThreads in the map no" in said
    assert "memory 1,024 MiB" in said
    assert "-threads" not in out
    problem = "the worker died"
    assert repro("inspect", "0.25.4-5.3.1")[0] == 1
    assert len(asked) == 1 + 3


def test_an_own_build_is_kept_under_its_name(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def keep(*words: str, **_: Any) -> object:
        kept.append(words)
        return SimpleNamespace(name="cli:5.3.2+ab")

    monkeypatch.setattr(given, "keep", keep)
    status, _, err = repro("build", "add", "elastix", "--as", "mine")
    assert status == 0
    assert kept == [("elastix", "mine")]
    assert "kept as mine: cli:5.3.2+ab" in err


def test_doctor_says_what_the_machine_is_and_is_json_for_scripts(repro: Repro) -> None:
    status, out, _ = repro("doctor")
    assert status in (0, 2)  # a tired machine may have too little memory
    assert "physical cores" in out
    found = json.loads(repro("doctor", "--json")[1])
    assert {"fingerprint", "checks"} == found.keys()
