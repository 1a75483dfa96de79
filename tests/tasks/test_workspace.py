"""pixi.toml, its lock, builds.toml and the requirement files hold each other."""

from __future__ import annotations

import ast
import copy
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from repro.model import PLATFORMS
from repro.paths import ROOT
from support.tasks import task

lock = task("lock")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return read("pixi.toml")


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


# ---- the environments


def test_each_pair_has_an_environment_with_its_python_alone(manifest: dict[str, Any]) -> None:
    builds = read("params/builds.toml")
    wanted = {}
    for name, pair in builds["pair"].items():
        wanted["pair-" + name.replace(".", "-")] = {"python": builds["api"][pair["api"]]["python"] + ".*"}
    found = {}
    for name, environment in manifest["environments"].items():
        assert environment["no-default-feature"]
        features = [manifest["feature"][feature] for feature in environment["features"]]
        found[name] = {key: value for one in features for key, value in one.get("dependencies", {}).items()}
        assert "pair" in environment["features"]
    assert found == wanted


def test_bench_all_makes_each_pairs_environment_ready_first(manifest: dict[str, Any]) -> None:
    needs = [(one["task"], one["environment"]) for one in manifest["tasks"]["bench-all"]["depends-on"]]
    assert needs == [("_ready", name) for name in manifest["environments"]]
    assert "args" not in manifest["tasks"]["bench-all"], "pixi would take the user's options for them"


def test_every_command_is_a_task_of_pixi(manifest: dict[str, Any]) -> None:
    from typer.main import get_command

    from repro.cli.main import app

    commands = vars(get_command(app))["commands"]
    assert {name: f"python -m repro {name}" for name in commands} == {
        name: value["cmd"] for name, value in manifest["tasks"].items() if value["cmd"].startswith("python -m repro")
    }


def test_modules_are_found_from_any_folder(manifest: dict[str, Any]) -> None:
    for target, root in (("unix", "$PIXI_PROJECT_ROOT/"), ("win", "%PIXI_PROJECT_ROOT%\\")):
        assert manifest["target"][target]["activation"]["env"]["PYTHONPATH"] == f"{root}src"


def test_the_lock_has_every_environment_on_every_platform(manifest: dict[str, Any]) -> None:
    text = (ROOT / "pixi.lock").read_text(encoding="utf-8")
    environments = text[text.index("\nenvironments:\n") : text.index("\npackages:\n")]
    parts = re.split(r"^  (\S+):$", environments, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(found) == {"default", *manifest["environments"]}
    for name, part in found.items():
        assert re.findall(r"^      (\S+):$", part, re.MULTILINE) == sorted(PLATFORMS), name
    assert len(set(re.findall(r"(?:conda|url): (https?://[^/]+/[^/]+/)", text))) == 1, "all come from one channel"


def test_every_library_that_the_package_imports_is_declared(manifest: dict[str, Any]) -> None:
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules = [node.module]
            imported |= {module.split(".")[0] for module in modules}
    # These come with a build, and only workers import them.
    third_party = imported - set(sys.stdlib_module_names) - {"repro", "itk", "SimpleITK", "elastix_pool"}
    third_party -= {file.stem for file in (ROOT / "src").rglob("*.py")}  # neighbours of scripts
    assert third_party <= {name.replace("matplotlib-base", "matplotlib") for name in manifest["dependencies"]}
    assert third_party <= set(read("pyproject.toml")["project"]["dependencies"])


# ---- the requirement files


def test_the_wheels_are_the_libraries_that_pixi_has(manifest: dict[str, Any]) -> None:
    asked, locked = lock.requirements(manifest), lock.TOOLS.read_text(encoding="utf-8")
    assert lock.tools_problems(asked, locked) == []
    more = copy.deepcopy(manifest)
    more["dependencies"] |= {"uv": ">=99", "pandas": "*"}
    problems = lock.tools_problems(lock.requirements(more), locked)
    assert [problem.partition(",")[0] for problem in problems] == [
        "pixi.toml asks for uv>=99",
        "pixi.toml asks for pandas",
    ]


def test_every_requirement_file_is_locked_by_hash() -> None:
    files = [lock.TOOLS, *(ROOT / "params" / "wheels").glob("*.txt")]
    assert len(files) > 1
    found = {file.name: lock.requirements_problems(file.read_text(encoding="utf-8")) for file in files}
    assert {name: problems for name, problems in found.items() if problems} == {}


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
    assert any(problem in one for one in lock.requirements_problems(text))


@pytest.mark.parametrize(
    ("variables", "program"), [({"PIXI_EXE": "/opt/pixi"}, "/opt/pixi"), ({}, "lock_workspace.py")]
)
def test_locking_takes_the_pixi_that_runs_it_else_the_solver_script(
    variables: dict[str, str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(command: Sequence[str], given: str = "") -> int:
        ran.append(" ".join(map(str, command)))
        return 0

    monkeypatch.setattr(lock, "_run", run)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PIXI_EXE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert lock.main(["--tool", "lock_workspace.py"]) == 0
    assert program in ran[0]
    assert "uv pip compile" in ran[1]
    assert "--exclude-newer=2026-08-22" in ran[1]


# ---- workflows


def test_actions_in_workflows_are_pinned_to_a_version() -> None:
    files = [*(ROOT / ".github" / "workflows").glob("*.yml"), *ROOT.glob("action.yml")]
    used = [line for file in files for line in re.findall(r"uses: *(\S+)", file.read_text(encoding="utf-8"))]
    assert used
    assert [action for action in used if not re.search(r"@v\d+(\.\d+)*$|^\./", action)] == []


def test_go_builds_the_actionlint_that_pixi_has(manifest: dict[str, Any]) -> None:
    module = Path(ROOT / "params" / "actionlint" / "go.mod").read_text(encoding="utf-8")
    version = re.search(r"github.com/rhysd/actionlint v(\S+)", module)
    assert version is not None
    assert manifest["dependencies"]["actionlint"].startswith(f">={version[1]},")
