"""Adding a pair: all files or none, comments kept, and the workspace fits afterwards."""

import datetime
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lockrules
import parts
from repro import layout
from repro.builds import downloads, pairadd, wheels
from repro.builds.config import load_pairs, load_releases
from repro.errors import ConfigError, FetchError, ReproError
from repro.model import Archive, Executable, Pair

DAY = datetime.date(2026, 8, 22)
UNAVAILABLE = "itk-elastix 0.26.0 has no osx-64 wheels for Python 3.14"


def _lock(pair: Pair) -> str:
    return f"# lock\nitk-elastix=={pair.itk_elastix} \\\n    --hash=sha256:{'0' * 64}\n"


UV = pairadd.Uv(_lock, lambda pair, platform: UNAVAILABLE if platform == "osx-64" else "")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The files that a pair is written into, as they are committed."""
    shutil.copytree(layout.PARAMS, tmp_path / "params")
    shutil.copy(layout.ROOT / "pixi.toml", tmp_path)
    return tmp_path


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _add(root: Path, itk_elastix: str = "0.26.0", elastix: str = "5.3.1", python: str = "3.14", **more: Any) -> Pair:
    return pairadd.add_pair(itk_elastix, elastix, more.pop("as_of", DAY), python=python, root=root, uv=UV, **more)


@pytest.mark.parametrize(("elastix", "python"), [("5.3.1", "3.14"), ("5.4.0", "3.14"), ("5.3.1", "3.12")])
def test_the_workspace_fits_with_the_pair_and_keeps_every_line_that_it_had(
    workspace: Path, elastix: str, python: str
) -> None:
    before = _files(workspace)
    pair = _add(workspace, elastix=elastix, python=python)
    pairs = load_pairs(workspace / "params" / "pairs.toml")
    assert list(pairs.values())[-1] == pair
    assert dict(pair.unavailable) == {"osx-64": UNAVAILABLE}
    manifest = lockrules.read_manifest(workspace / "pixi.toml")
    assert lockrules.workspace_problems(manifest, pairs.values()) == []
    everything = [*pairs.values(), *load_releases(workspace / "params" / "pairs.toml").values()]
    assert lockrules.wheels_problems(workspace / "params" / "wheels", everything) == []
    changed = {"params/pairs.toml", "pixi.toml"}
    for name, content in _files(workspace).items():
        if name in changed:
            after = iter(content.decode().splitlines())
            assert all(line in after for line in before[name].decode().splitlines()), name
        else:
            assert content == before.get(name, _lock(pair).encode())


def test_two_pairs_can_be_added_one_after_the_other(workspace: Path) -> None:
    _add(workspace, "0.26.0", "5.4.0")
    _add(workspace, "0.26.1", "5.4.0")
    pairs = load_pairs(workspace / "params" / "pairs.toml")
    assert list(pairs)[-2:] == ["0.26.0-5.4.0", "0.26.1-5.4.0"]
    manifest = lockrules.read_manifest(workspace / "pixi.toml")
    assert lockrules.workspace_problems(manifest, pairs.values()) == []


def test_an_api_only_release_is_added_with_its_wheels_alone(workspace: Path) -> None:
    before = _files(workspace)
    release = _add(workspace, elastix="", python="3.11", also=("setuptools",))
    assert release.also == ("setuptools",)
    assert wheels.requirements(release) == "itk-elastix==0.26.0\nsetuptools\n"
    assert release == load_releases(workspace / "params" / "pairs.toml")["0.26.0"]
    assert (release.environment, dict(release.unavailable)) == ("pair-0-21-0-5-2-0", {"osx-64": UNAVAILABLE})
    changed = {name for name, content in _files(workspace).items() if content != before.get(name)}
    assert changed == {"params/pairs.toml", "params/wheels/0.26.0.txt"}
    pairs = load_pairs(workspace / "params" / "pairs.toml")
    everything = [*pairs.values(), *load_releases(workspace / "params" / "pairs.toml").values()]
    assert lockrules.wheels_problems(workspace / "params" / "wheels", everything) == []
    with pytest.raises(ConfigError, match="delete its table"):
        _add(workspace)


def test_a_new_elastix_is_named_by_the_convention_of_its_releases(workspace: Path) -> None:
    said: list[str] = []
    pair = _add(workspace, elastix="5.4.0", say=said.append)
    assert pair.executable is not None
    assert pair.executable.archives == {
        "linux-64": Archive("elastix-5.4.0-ubuntu.zip"),
        "osx-arm64": Archive("elastix-5.4.0-macos.zip"),
        "win-64": Archive("elastix-5.4.0-windows.zip"),
    }
    assert any("not pinned" in line for line in said)
    assert any("tasks/run.py lock" in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"itk_elastix": "latest"}, "itk-elastix 'latest' is not a version"),
        ({"elastix": "5"}, "elastix '5' is not a version"),
        ({"elastix": "5.1.0"}, "elastix 5.1.0 is new here"),
        ({"itk_elastix": "0.25.4"}, "has 0.25.4-5.3.1 already"),
        ({"itk_elastix": "0.25.4", "elastix": ""}, "has 0.25.4 already"),
        ({"elastix": "", "python": "3.12"}, "measured in the environment of a pair"),
        ({"also": ("setuptools",)}, "--also is for API-only releases"),
        ({"python": "3.10"}, "must be 3.11 or later"),
        ({"python": "python3"}, "must be 3.11 or later"),
        ({"as_of": datetime.date(2999, 1, 1)}, "is to come"),
    ],
)
def test_a_pair_that_cannot_be_added_changes_nothing(workspace: Path, arguments: dict[str, Any], message: str) -> None:
    before = _files(workspace)
    with pytest.raises(ConfigError, match=message):
        _add(workspace, **arguments)
    assert _files(workspace) == before


def _no_network(pair: Pair) -> str:
    raise FetchError("no network")


@pytest.mark.parametrize(
    "uv", [pairadd.Uv(_no_network, lambda pair, platform: ""), pairadd.Uv(_lock, lambda pair, platform: "no wheels")]
)
def test_a_pair_without_wheels_changes_nothing(workspace: Path, uv: pairadd.Uv) -> None:
    before = _files(workspace)
    with pytest.raises(ReproError, match=r"no network|no platform has the wheels"):
        pairadd.add_pair("0.26.0", "5.3.1", DAY, root=workspace, uv=uv)
    assert _files(workspace) == before


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_file_that_cannot_be_written_leaves_the_others_as_they_were(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    before = _files(workspace)
    written: list[Path] = []
    write = downloads.write_atomically

    def failing(file: Path, text: str) -> None:
        if len(written) == fails_at:
            raise PermissionError(13, "Permission denied", str(file))
        written.append(file)
        write(file, text)

    monkeypatch.setattr(downloads, "write_atomically", failing)
    with pytest.raises(ConfigError, match="Permission denied; nothing was changed"):
        _add(workspace)
    assert _files(workspace) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: re.sub(r'\{ (task = "bench"), (environment = \S+),', r"{ \2, \1,", text),
        lambda text: text.replace("REPRO_PAIR = ", '"REPRO_PAIR" = '),
        lambda text: re.sub(r"(?m)^(pair-\S+) = \{ (.*) \}$", r"[environments.\1]", text),
    ],
)
def test_a_layout_that_it_does_not_know_is_left_alone(workspace: Path, change: Callable[[str], str]) -> None:
    file = workspace / "pixi.toml"
    file.write_text(change(file.read_text()), newline="\n")
    before = _files(workspace)
    with pytest.raises(ConfigError, match="laid out in a way"):
        _add(workspace)
    assert _files(workspace) == before


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_any_text_about_a_pair_comes_back(about: str) -> None:
    text = '[pair."0.1-5.3"]\nabout = "x"\n[elastix."5.3"]\n'
    added = pairadd.with_entry(text, Pair("0.2-5.3", "0.2", Executable("5.3", "5.3"), "3.14", DAY), about)
    assert tomllib.loads(added)["pair"]["0.2-5.3"]["about"] == about


PAIR = Pair("0.26.0-5.3.1", "0.26.0", Executable("5.3.1", "5.3.1"), "3.14", DAY)


def test_uv_words_about_wheels_are_the_reason() -> None:
    said = (
        "error: No solution found when resolving dependencies\n  cause: Because itk-core==5.4.7 has no wheels with\n"
        "    a matching platform tag (e.g., `macosx_26_0_x86_64`) and itk==5.4.7 depends on ..."
    )
    assert pairadd.reason_of(said, PAIR, "osx-64") == "itk-core 5.4.7 has no osx-64 wheels for Python 3.14"


def test_other_words_of_uv_are_no_reason() -> None:
    with pytest.raises(FetchError, match="cannot find out whether osx-64 has its wheels; uv says: error: no route"):
        pairadd.reason_of("error: no route to host", PAIR, "osx-64")


def test_uv_is_asked_for_wheels_of_the_platform_as_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append((command[1:], options["input"]))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(wheels, "find_uv", lambda: Path("uv"))
    assert pairadd.missing_wheels(PAIR, "linux-aarch64") == ""
    ((command, text),) = asked
    assert text == "itk-elastix==0.26.0\n"
    assert {
        "--python-platform=aarch64-manylinux_2_28",
        "--python-version=3.14",
        "--only-binary=:all:",
        "--exclude-newer=2026-08-23T00:00:00Z",
    } <= set(command)


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for uv")
def test_a_uv_that_hangs_is_ended_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = parts.program(tmp_path / "uv", f"#!{sys.executable} -IS\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(wheels, "find_uv", lambda: hung)
    monkeypatch.setattr(pairadd, "_TIMEOUT_S", 0.2)
    with pytest.raises(FetchError, match=r"uv gave no wheels of osx-64 within 0\.2 s; try again"):
        pairadd.missing_wheels(PAIR, "osx-64")
