"""pixi.toml, its lock, pairs.toml, the tasks and the requirement files hold each other."""

import ast
import copy
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lockrules
import taskfile
from repro import layout
from repro.builds.config import load_pairs, load_releases
from repro.model import PLATFORMS, Pair

ROOT = layout.ROOT
LOCK = ROOT / "pixi.lock"
HOST = "https://conda.anaconda.org/conda-forge/"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return lockrules.read_manifest(ROOT / "pixi.toml")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(load_pairs().values())


# The lock


def test_the_lock_satisfies_the_manifest(manifest: Manifest) -> None:
    assert lockrules.lock_problems(manifest, LOCK) == []


def test_every_environment_is_asked_for_on_every_platform(manifest: Manifest) -> None:
    asked = lockrules.asked(manifest)
    assert set(asked) == {(name, platform) for name in manifest["environments"] for platform in PLATFORMS}
    assert all({"python", "psutil", "typer", "uv"} <= set(specs) for specs in asked.values())


def _section(text: str, environment: str, platform: str) -> tuple[int, int]:
    """Where the packages of an environment on a platform stand in the lock."""
    start = text.index(f"      {platform}:\n", text.index(f"\n  {environment}:\n"))
    end = re.compile(r"^(?!      - )", re.MULTILINE).search(text, text.index("\n", start) + 1)
    assert end is not None
    return start, end.start()


def _line_of(text: str, package: str, start: int = 0, end: int | None = None) -> str:
    found = re.search(rf"^ *- conda: \S+/{re.escape(package)}-[^/]+\n", text[start:end], re.MULTILINE)
    assert found is not None, package
    return found[0]


def _without(package: str, environment: str, platform: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        start, end = _section(text, environment, platform)
        return text[:start] + text[start:end].replace(_line_of(text, package, start, end), "") + text[end:]

    return change


def _with_one_more(package: str, environment: str, platform: str) -> Callable[[str], str]:
    """Put a package of the default environment into another one."""

    def change(text: str) -> str:
        line = _line_of(text, package, *_section(text, "default", platform))
        start, _ = _section(text, environment, platform)
        body = text.index("\n", start) + 1
        return text[:body] + line + text[body:]

    return change


def _elsewhere(package: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        url = _line_of(text, package).split()[-1]
        return text.replace(url, url.replace(HOST, "https://packages.example.org/conda-forge/"))

    return change


def _unhashed(package: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        start = text.index(_line_of(text, package, text.index("\npackages:\n")).strip(), text.index("\npackages:\n"))
        return text[:start] + re.sub(r"  sha256: \w+\n", "", text[start:], count=1)

    return change


def _no_platform(environment: str, platform: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        start, end = _section(text, environment, platform)
        return text[:start] + text[end:]

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_without("uv", "pair-0-21-0-5-2-0", "win-64"), "pair-0-21-0-5-2-0 on win-64: pixi.toml needs uv"),
        (_without("libopenblas", "default", "linux-64"), "default on linux-64: "),
        (_with_one_more("polars", "pair-0-25-4-5-3-1", "osx-64"), "on osx-64: polars is locked, but nothing needs it"),
        (_elsewhere("tzdata"), "tzdata comes from https://packages.example.org/"),
        (_unhashed("tzdata"), "tzdata has no sha256"),
        (_no_platform("default", "osx-arm64"), "default on osx-arm64: nothing is locked"),
        (lambda text: text.replace("\n  pair-0-25-0-5-3-0:\n", "\n  other:\n"), "environment other is locked"),
        (lambda text: text.replace(f"    - url: {HOST}", "    - url: https://example.org/", 1), "channels"),
    ],
    ids=["removed", "dependency removed", "superfluous", "url", "unhashed", "no platform", "renamed", "channel"],
)
def test_a_lock_that_does_not_fit_is_found_out(
    manifest: Manifest, tmp_path: Path, change: Callable[[str], str], problem: str
) -> None:
    text = LOCK.read_text(encoding="utf-8")
    changed = tmp_path / "pixi.lock"
    changed.write_text(change(text), encoding="utf-8")
    problems = lockrules.lock_problems(manifest, changed)
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    ("spec", "problem"),
    [({"pandas": "*"}, "needs pandas *, locked is none"), ({"numpy": ">=3"}, "needs numpy >=3, locked is 2.")],
)
def test_a_manifest_that_asks_for_more_is_found_out(manifest: Manifest, spec: dict[str, str], problem: str) -> None:
    more = copy.deepcopy(manifest)
    more["feature"]["core"]["dependencies"] |= spec
    problems = lockrules.lock_problems(more, LOCK)
    assert len([one for one in problems if problem in one]) == len(lockrules.asked(manifest))


# The workspace


def test_pairs_environments_and_tasks_fit(manifest: Manifest, pairs: list[Pair]) -> None:
    assert lockrules.workspace_problems(manifest, pairs) == []


def _chain(manifest: Manifest) -> list[Any]:
    chain: list[Any] = manifest["tasks"]["bench-all"]["depends-on"]
    return chain


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["environments"].pop("pair-0-25-0-5-3-0"), "pair 0.25.0-5.3.0 has no environment"),
        (lambda m: m["environments"].update(extra={"features": ["core"]}), "environment extra belongs to no pair"),
        (lambda m: m["environments"]["pair-0-21-0-5-2-0"].pop("no-default-feature"), "no-default-feature"),
        (lambda m: m["feature"]["py311"]["dependencies"].update(python="3.12.*"), "must ask for python 3.11.*"),
        (lambda m: m["feature"]["pair-0-25-4-5-3-1"]["activation"]["env"].clear(), "must set REPRO_PAIR"),
        (lambda m: m["feature"]["core"]["activation"]["env"].pop("PYTHONPATH"), "must set PYTHONPATH"),
        (lambda m: _chain(m).pop(1), "bench-all must run"),
        (lambda m: _chain(m).insert(1, _chain(m).pop(2)), "bench-all must run"),
        (lambda m: _chain(m)[1].update(environment="pair-unknown"), "there is no task 'bench' in environment"),
        (lambda m: _chain(m)[2].update(task="merge"), "needs task merge in environment pair-0-25-0-5-3-0"),
        (lambda m: _chain(m)[1]["args"].append("{{ e }}"), "asks for 'e'"),
        (lambda m: m["feature"]["core"]["tasks"]["bench"].pop("default-environment"), "needs a default-environment"),
        (lambda m: m["tasks"].pop("doctor"), "there is no task doctor"),
        (lambda m: m["tasks"]["pairs"].update(cmd="echo $HOME"), "without a shell's own characters"),
        (lambda m: m["workspace"]["platforms"].pop(), "workspace.platforms"),
        (lambda m: m["workspace"].update(channels=["other"]), "workspace.channels"),
        (lambda m: m["feature"]["core"].update({"pypi-dependencies": {"itk": "*"}}), "pypi-dependencies"),
        (lambda m: m["environments"]["default"].update({"solve-group": "all"}), "solve-groups"),
    ],
)
def test_a_workspace_that_does_not_fit_is_found_out(
    manifest: Manifest, pairs: list[Pair], change: Callable[[Manifest], Any], problem: str
) -> None:
    changed = copy.deepcopy(manifest)
    change(changed)
    problems = lockrules.workspace_problems(changed, pairs)
    assert any(problem in one for one in problems), problems


def test_a_pair_without_place_in_the_workspace_is_found_out(manifest: Manifest, pairs: list[Pair]) -> None:
    problems = lockrules.workspace_problems(manifest, pairs[:-1])
    assert any("environment pair-0-25-4-5-3-1 belongs to no pair" in one for one in problems)


def test_bench_all_fetches_measures_each_pair_in_its_environment_merges_and_reports(
    manifest: Manifest, pairs: list[Pair]
) -> None:
    environments = taskfile.read_environments(manifest)
    steps = taskfile.steps(environments, "bench-all", ["--quick", "--threads", "4"])
    assert [(step.task, step.environment) for step in steps] == [
        ("fetch", "default"),
        *(("bench", pair.environment) for pair in pairs),
        ("merge", "default"),
        ("report", "default"),
    ]
    assert all(step.command[4] == "--defer-exit" for step in steps[:-1])
    assert "--defer-exit" not in steps[-1].command
    assert all({"--quick", "--threads", "4"} <= set(step.command) for step in steps if step.task == "bench")


# The requirement files


def test_the_tools_fit_the_default_environment(manifest: Manifest) -> None:
    asked, locked = (layout.PARAMS / "tools.in").read_text(), (layout.PARAMS / "tools.txt").read_text()
    assert lockrules.tools_problems(manifest, asked, locked) == []
    assert lockrules.requirements_problems(locked) == []
    assert "uv" in lockrules.tools_problems(manifest, asked.replace("uv>=0.12", "uv>=0.99"), locked)[0]
    assert lockrules.tools_problems(manifest, asked, re.sub(r"(?m)^uv==\S+", "uv==0.1.0", locked)) != []
    assert lockrules.tools_problems(manifest, asked, re.sub(r"(?m)^uv==", "vu==", locked)) != []


def test_every_pair_has_a_hash_locked_wheel_set(pairs: list[Pair], tmp_path: Path) -> None:
    releases = load_releases().values()
    assert lockrules.wheels_problems(layout.WHEEL_LOCKS, [*pairs, *releases]) == []
    # A release needs no environment of its own, and bench-all leaves it out.
    assert {release.environment for release in releases} <= {pair.environment for pair in pairs}
    problems = lockrules.wheels_problems(tmp_path, pairs[:1])
    assert problems == [
        "params/wheels/0.21.0-5.2.0.txt: itk-elastix 0.21.0 is not in it; "
        "make it with tasks/lock.py --wheels 0.21.0-5.2.0"
    ]
    (tmp_path / "left-over.txt").write_text("")
    assert "left-over.txt belongs to no pair" in lockrules.wheels_problems(tmp_path, [])[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("six==1.17.0\n", "six==1.17.0 has no sha256"),
        ("six>=1.17\n    --hash=sha256:" + "0" * 64 + "\n", "line 1 is not pinned"),
        ("--index-url https://example.org/simple\n", "line 1 names a place"),
        ("six @ https://example.org/six.whl\n", "line 1 names a place"),
        ("six==1.17.0 --hash=md5:" + "0" * 32 + "\n", "six==1.17.0 has no sha256"),
    ],
)
def test_a_requirement_file_that_is_not_locked_is_found_out(text: str, problem: str) -> None:
    assert any(problem in one for one in lockrules.requirements_problems(text))


def test_every_library_that_the_package_imports_is_declared(manifest: Manifest) -> None:
    """In pixi's environments, and in pyproject.toml; only what merge and report need may be in tools."""
    names = {"yaml": "pyyaml", "matplotlib": "matplotlib-base"}
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules = [node.module]
            imported |= {module.split(".")[0] for module in modules}
    # itk comes with a pair; the worker alone imports it.
    third_party = imported - sys.stdlib_module_names - {"repro", "itk"}
    declared = lockrules.asked(manifest)["default", PLATFORMS[0]]
    assert {names.get(name, name) for name in third_party} <= set(declared)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert third_party <= set(project["dependencies"])


def test_actions_in_workflows_are_pinned_to_a_version() -> None:
    files = list((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for file in files for line in re.findall(r"uses: *(\S+)", file.read_text(encoding="utf-8"))]
    assert used
    assert [action for action in used if not re.search(r"@v\d+(\.\d+)*$", action)] == []


def test_go_builds_the_actionlint_that_pixi_has(manifest: Manifest) -> None:
    module = (ROOT / "params" / "actionlint" / "go.mod").read_text(encoding="utf-8")
    version = re.search(r"github.com/rhysd/actionlint v(\S+)", module)
    assert version is not None
    assert manifest["feature"]["tools"]["dependencies"]["actionlint"].startswith(f">={version[1]},")
