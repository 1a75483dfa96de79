"""Adding a pair or a release: all files or none, comments kept, and the workspace fits afterwards."""

import datetime
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.builds import addition
from repro.builds.addition import add_pair
from repro.builds.catalogue import CatalogueBuild, Pair, load_catalogue
from repro.errors import ConfigError, FetchError, ReproError, StoreError
from repro.files import replacing
from repro.paths import BUILDS_TOML, PARAMS, ROOT

DAY = datetime.date(2026, 8, 22)
UNAVAILABLE = "itk-elastix 0.26.0 has no osx-64 wheels for Python 3.14"
ASKED = CatalogueBuild("api", "0.26.0", "3.14", DAY)


def _lock(build: CatalogueBuild) -> str:
    return f"# lock\nitk-elastix=={build.version} \\\n    --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that a pair is written into, as they are committed; uv finds its wheels for every platform but one."""
    missing = {"osx-64": UNAVAILABLE}
    monkeypatch.setattr(addition, "lock_wheels", _lock)
    monkeypatch.setattr(addition, "missing_wheels", lambda _, platform: missing.get(platform, ""))
    shutil.copytree(PARAMS, tmp_path / "params")
    shutil.copy(ROOT / "pixi.toml", tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def add(
    root: Path, api: str = "0.26.0", cli: str = "5.3.1", python: str = "3.14", **more: Any
) -> Pair | CatalogueBuild:
    return add_pair(api, cli, more.pop("as_of", DAY), python=python, root=root, **more)


@pytest.mark.parametrize(("cli", "python"), [("5.3.1", "3.14"), ("5.4.0", "3.14"), ("5.3.1", "3.12")])
def test_every_line_is_kept_and_the_pair_has_builds_a_lock_and_an_environment(
    workspace: Path, cli: str, python: str
) -> None:
    before = files(workspace)
    pair = add(workspace, cli=cli, python=python)
    known = load_catalogue(workspace / "params" / "builds.toml")
    assert list(known.pairs.values())[-1] == pair
    assert isinstance(pair, Pair)
    assert (pair.name, pair.python) == (f"0.26.0-{cli}", python)
    assert known.builds["api:0.26.0"].unavailable == {"osx-64": UNAVAILABLE}
    pixi = tomllib.loads((workspace / "pixi.toml").read_text(encoding="utf-8"))
    feature = "py" + python.replace(".", "")
    assert pixi["environments"][pair.environment]["features"] == [feature, "pair"]
    assert pixi["feature"][feature]["dependencies"]["python"] == f"{python}.*"
    assert {"task": "_ready", "environment": pair.environment} in pixi["tasks"]["bench-all"]["depends-on"]
    for name, content in files(workspace).items():
        if name in ("params/builds.toml", "pixi.toml"):
            after = iter(content.decode().splitlines())
            assert all(line in after for line in before[name].decode().splitlines()), name
        else:
            assert content == before.get(name, _lock(ASKED).encode())


def test_two_pairs_can_be_added_one_after_the_other(workspace: Path) -> None:
    add(workspace, "0.26.0", "5.4.0")
    add(workspace, "0.26.1", "5.4.0")
    assert list(load_catalogue(workspace / "params" / "builds.toml").pairs)[-2:] == ["0.26.0-5.4.0", "0.26.1-5.4.0"]


def test_a_release_is_added_with_its_wheels_alone_and_its_pair_later(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(workspace)
    build = add(workspace, cli="", python="3.11", also=("setuptools",))
    assert isinstance(build, CatalogueBuild)
    assert addition.requirements(build) == ("itk-elastix==0.26.0", "setuptools")
    assert (build.environment, dict(build.unavailable)) == ("pair-0-21-0-5-2-0", {"osx-64": UNAVAILABLE})
    changed = {name for name, content in files(workspace).items() if content != before.get(name)}
    assert changed == {"params/builds.toml", "params/wheels/api-0.26.0.txt"}
    monkeypatch.setattr(addition, "lock_wheels", lambda _: pytest.fail("locked again"))
    pair = add(workspace)
    assert isinstance(pair, Pair)
    assert pair.python == "3.11"


def test_a_new_elastix_is_named_by_the_convention_of_its_releases(workspace: Path) -> None:
    said: list[str] = []
    add(workspace, cli="5.4.0", say=said.append)
    assert load_catalogue(workspace / "params" / "builds.toml").builds["cli:5.4.0"].archives == {
        "linux-64": "elastix-5.4.0-ubuntu.zip",
        "osx-arm64": "elastix-5.4.0-macos.zip",
        "win-64": "elastix-5.4.0-windows.zip",
    }
    assert any("not pinned" in line for line in said)
    assert "lock, then " in said[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"api": "latest"}, "itk-elastix 'latest' is not a version"),
        ({"cli": "5"}, "elastix '5' is not a version"),
        ({"cli": "5.1.0"}, r"elastix 5\.1\.0 is new here"),
        ({"api": "0.25.4"}, r"has 0\.25\.4-5\.3\.1 already"),
        ({"api": "0.25.4", "cli": ""}, r"has 0\.25\.4 already"),
        ({"cli": "", "python": "3.12"}, "measured in a pair's environment; they have 3.11, 3.14"),
        ({"python": "3.10"}, "must be 3.11 or later"),
        ({"python": "3"}, "must be 3.11 or later"),
        ({"as_of": datetime.date(2999, 1, 1)}, "is to come"),
    ],
)
def test_a_pair_that_cannot_be_added_changes_nothing(workspace: Path, arguments: dict[str, Any], message: str) -> None:
    before = files(workspace)
    with pytest.raises(ConfigError, match=message):
        add(workspace, **arguments)
    assert files(workspace) == before


@pytest.mark.parametrize(
    ("step", "fails", "message"),
    [
        ("lock_wheels", FetchError("no wheel lock"), "no wheel lock"),
        ("missing_wheels", FetchError("no answer"), "no answer"),
        ("replacing", StoreError("no room"), "cannot be written: no room; nothing was changed"),
    ],
)
def test_what_fails_on_the_way_leaves_every_file_as_it_was(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, step: str, fails: ReproError, message: str
) -> None:
    def fail(asked: Any, *_: object) -> Any:
        if step == "replacing" and asked.name != "builds.toml":  # the last of them
            return replacing(asked)
        raise fails

    before = files(workspace)
    monkeypatch.setattr(addition, step, fail)
    with pytest.raises(ReproError, match=message):
        add(workspace)
    assert files(workspace) == before


def test_a_release_that_no_platform_has_changes_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(workspace)
    monkeypatch.setattr(addition, "missing_wheels", lambda *_: "it has none")
    with pytest.raises(ConfigError, match=r"no platform has the wheels .* it has none"):
        add(workspace)
    assert files(workspace) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("pair-0", "'pair-0"),
        lambda text: text.replace('{ task = "_ready", environment', '{ environment = "x", task = "_ready" }, { z'),
    ],
)
def test_a_layout_that_it_does_not_know_is_left_alone(workspace: Path, change: Callable[[str], str]) -> None:
    pixi = workspace / "pixi.toml"
    text = pixi.read_text(encoding="utf-8")
    pixi.write_text(change(text), encoding="utf-8")
    before = files(workspace)
    with pytest.raises((ReproError, tomllib.TOMLDecodeError)):
        add(workspace)
    assert files(workspace) == before


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_about_a_pair_comes_back(about: str) -> None:
    text = BUILDS_TOML.read_text(encoding="utf-8")
    new = addition._with_table(text, "pair", "1-1", {"about": about})
    assert tomllib.loads(new)["pair"]["1-1"]["about"] == about


def uv_says(monkeypatch: pytest.MonkeyPatch, status: int, stderr: str) -> list[tuple[list[str], Any]]:
    asked: list[tuple[list[str], Any]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append((command, options))
        return subprocess.CompletedProcess(command, status, "itk==5.4.7\n", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_the_lock_is_resolved_as_of_the_end_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = uv_says(monkeypatch, 0, "")
    text = addition.lock_wheels(ASKED)
    assert text.startswith("# Wheels of api 0.26.0 for every platform and Python 3.11 or later, as of 2026-08-22.\n")
    assert text.endswith("itk==5.4.7\n")
    ((command, options),) = asked
    assert {"--universal", "--generate-hashes", "--exclude-newer=2026-08-23T00:00:00Z"} <= set(command)
    assert options["input"] == "itk-elastix==0.26.0\n"
    uv_says(monkeypatch, 1, "no solution")
    with pytest.raises(FetchError, match=r"no wheel lock for itk-elastix==0\.26\.0 as of .*uv says: no solution"):
        addition.lock_wheels(ASKED)


def test_uv_is_asked_for_wheels_of_the_platform_and_its_words_are_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = uv_says(monkeypatch, 0, "")
    assert addition.missing_wheels(ASKED, "win-64") == ""
    assert {"--python-platform=x86_64-pc-windows-msvc", "--python-version=3.14"} <= set(asked[0][0])
    said = "  Because itk-core==5.4.6 has no wheels with a matching\n platform tag (e.g., `x`), we can conclude"
    uv_says(monkeypatch, 1, said)
    expected = "itk-core 5.4.6 has no linux-aarch64 wheels for Python 3.14"
    assert addition.missing_wheels(ASKED, "linux-aarch64") == expected
    uv_says(monkeypatch, 2, "no network")
    with pytest.raises(FetchError, match="cannot find out whether osx-64 has its wheels; uv says: no network"):
        addition.missing_wheels(ASKED, "osx-64")


def test_a_uv_that_hangs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("uv", 1)

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(FetchError, match="uv gave no wheels within"):
        addition.lock_wheels(ASKED)
