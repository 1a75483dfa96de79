"""What must hold of pixi.toml, pixi.lock and the requirement files; each function lists what does not.

pixi refuses a lock that does not satisfy its manifest (``--locked``), and pip a requirement file
that is not hashed throughout; these rules say so before anyone clones the workspace.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rattler import LockFile, MatchSpec, RepoDataRecord

from repro.model import PLATFORMS, Pair
from taskfile import DEFAULT, TaskError, read_environments, split, steps

CHANNEL = "https://conda.anaconda.org/conda-forge/"
TASKS = ("bench-all", "fetch", "bench", "merge", "report", "test", "lint", "lock", "pairs", "doctor")
_FAMILIES = {"linux": ("unix", "linux"), "osx": ("unix", "osx"), "win": ("win",)}
# The same project under another name: conda's, and the one of the wheel.
_WHEEL_NAMES = {"matplotlib-base": "matplotlib"}
# What the private venv is made with, or what there is no wheel of.
_NO_WHEELS = ("python", "actionlint")
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

Asked = dict[tuple[str, str], dict[str, str]]
"""(environment, platform) -> package -> version spec."""


def asked(manifest: Mapping[str, Any]) -> Asked:
    """What the manifest asks for, in each environment on each platform."""
    features, result = manifest["feature"], {}
    for name, listed in {DEFAULT: {}, **manifest["environments"]}.items():
        tables = [features[feature] for feature in listed.get("features", [])]
        tables += [] if listed.get("no-default-feature") else [manifest]
        for platform in manifest["workspace"]["platforms"]:
            specs: dict[str, str] = {}
            for table in tables:
                specs |= _dependencies(table, platform)
            result[name, platform] = specs
    return result


def _dependencies(table: Mapping[str, Any], platform: str) -> dict[str, str]:
    specs = dict(table.get("dependencies", {}))
    for target in (*_FAMILIES[platform.split("-")[0]], platform):
        specs |= table.get("target", {}).get(target, {}).get("dependencies", {})
    return specs


def lock_problems(manifest: Mapping[str, Any], lock_file: Path) -> list[str]:
    """Why ``pixi install --locked`` would refuse the lock, or should."""
    lock = LockFile.from_path(lock_file)
    locked, wanted, problems = dict(lock.environments()), asked(manifest), []
    names = {environment for environment, _ in wanted}
    problems += [f"environment {name} is locked, but the manifest has none" for name in sorted(set(locked) - names)]
    problems += [f"environment {name} is not locked" for name in sorted(names - set(locked))]
    for name, environment in locked.items():
        channels = [str(channel) for channel in environment.channels()]
        if channels != [CHANNEL]:
            problems.append(f"environment {name}: channels {channels}, not {[CHANNEL]}")
        platforms = {platform.name: platform for platform in environment.platforms()}
        for platform in sorted(set(platforms) - set(PLATFORMS)):
            problems.append(f"{name} on {platform}: locked, but not a platform of the workspace")
        for platform in PLATFORMS:
            specs = wanted.get((name, platform))
            if specs is None:
                continue
            found = platform in platforms and environment.conda_repodata_records_for_platform(platforms[platform])
            problems += [f"{name} on {platform}: {problem}" for problem in _solve_problems(specs, found or [])]
    return problems


def _solve_problems(specs: Mapping[str, str], records: Sequence[RepoDataRecord]) -> Iterator[str]:
    """What is wrong with one environment on one platform."""
    if not records:
        yield "nothing is locked"
        return
    by_name = {record.name.normalized: record for record in records}
    if len(by_name) < len(records):
        yield "a package is locked twice"
    queue = [(f"{name} {version}", "pixi.toml") for name, version in specs.items()]
    reached: set[str] = set()
    while queue:
        text, origin = queue.pop()
        spec = MatchSpec(text)
        assert spec.name is not None
        name = spec.name.normalized
        if name.startswith("__"):  # the platform itself: __glibc, __osx, ...
            continue
        record = by_name.get(name)
        if record is None or not spec.matches(record):
            yield f"{origin} needs {text}, locked is {record.version if record else 'none'}"
        elif name not in reached:
            reached.add(name)
            queue += [(dependency, name) for dependency in record.depends]
    for name, record in by_name.items():
        if name not in reached:
            yield f"{name} is locked, but nothing needs it"
        if not record.sha256:
            yield f"{name} has no sha256"
        if not record.url.startswith(CHANNEL):
            yield f"{name} comes from {record.url}, not from {CHANNEL}"


def workspace_problems(manifest: Mapping[str, Any], pairs: Iterable[Pair]) -> list[str]:
    """Where pixi.toml, its tasks and pairs.toml do not fit each other."""
    problems: list[str] = []
    pairs, workspace = list(pairs), manifest["workspace"]
    if tuple(workspace["platforms"]) != PLATFORMS:
        problems.append(f"workspace.platforms must be {list(PLATFORMS)}")
    if workspace["channels"] != ["conda-forge"]:
        problems.append("workspace.channels must be ['conda-forge']")
    for table in (manifest, *manifest["feature"].values()):
        if "pypi-dependencies" in table:
            problems.append("pypi-dependencies: itk-elastix comes from the wheel locks, the rest from conda-forge")
    if any("solve-group" in listed for listed in manifest["environments"].values()):
        problems.append("solve-groups are not used: each pair is solved for itself")
    problems += _pair_problems(manifest, pairs)
    problems += _task_problems(manifest)
    problems += _chain_problems(manifest, [pair.environment for pair in pairs])
    return problems


def _pair_problems(manifest: Mapping[str, Any], pairs: Sequence[Pair]) -> Iterator[str]:
    environments, specs = read_environments(manifest), asked(manifest)
    for name in sorted(set(environments) - {DEFAULT} - {pair.environment for pair in pairs}):
        yield f"environment {name} belongs to no pair of pairs.toml"
    for pair in pairs:
        name = pair.environment
        if name not in environments:
            yield f"pair {pair.name} has no environment {name}"
            continue
        if not manifest["environments"][name].get("no-default-feature"):
            yield f"environment {name} must have no-default-feature = true"
        if environments[name].variables.get("REPRO_PAIR") != pair.name:
            yield f"environment {name} must set REPRO_PAIR to {pair.name}"
        for platform in manifest["workspace"]["platforms"]:
            if specs[name, platform].get("python") != f"{pair.python}.*":
                yield f"environment {name} on {platform} must ask for python {pair.python}.*, as pairs.toml says"
    for name, environment in environments.items():
        if environment.variables.get("PYTHONPATH") != "src":
            yield f"environment {name} must set PYTHONPATH to src"


def _task_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    environments = read_environments(manifest)
    yield from (f"there is no task {name}" for name in TASKS if name not in environments[DEFAULT].tasks)
    for name, task in environments[DEFAULT].tasks.items():
        try:
            split(task.command)
            steps(environments, name)
        except TaskError as error:
            yield str(error)
        for dependency in task.depends_on:
            environment = dependency.environment or DEFAULT
            if environment in environments and dependency.task not in environments[environment].tasks:
                yield f"task {name} needs task {dependency.task} in environment {environment}, which has none"
    tables = [manifest, *manifest["feature"].values()]
    for table in tables[1:]:
        for name, value in table.get("tasks", {}).items():
            if isinstance(value, str) or "default-environment" not in value:
                yield f"task {name} is in several environments, so it needs a default-environment"


def _chain_problems(manifest: Mapping[str, Any], environments: Sequence[str]) -> Iterator[str]:
    """bench-all fetches, measures each pair in its environment in order, merges, reports."""
    measured = [("bench", name) for name in environments]
    expected = [("fetch", DEFAULT), *measured, ("merge", DEFAULT), ("report", DEFAULT)]
    chain = manifest.get("tasks", {}).get("bench-all", {}).get("depends-on", [])
    found = [(entry.get("task"), entry.get("environment")) for entry in chain]
    if found != expected:
        yield f"bench-all must run {expected}, runs {found}"


def requirements_problems(text: str) -> list[str]:
    """Why a requirement file is not hash-locked, or names a place to download from."""
    problems = []
    for name, entry in entries(text).items():
        if not _HASH.search(entry):
            problems.append(f"{name} has no sha256")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#") and re.search(r"://|--(extra-)?index|--find-links|^-[ief]\b| @ ", line):
            problems.append(f"line {number} names a place to download from")
        elif line and not line.startswith(("#", " ")) and not _PINNED.match(line):
            problems.append(f"line {number} is not pinned: {line}")
    return problems


def entries(text: str) -> dict[str, str]:
    """Every pinned entry of a requirement file with its hashes, by "name==version"."""
    result: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if pinned := _PINNED.match(line):
            current = f"{pinned[1].lower()}=={pinned[2]}"
        result[current] = result.get(current, "") + line + "\n"
    return result


def wheels_problems(folder: Path, pairs: Iterable[Pair]) -> list[str]:
    """Which wheel locks are missing, not hashed throughout, of another version, or of no pair or release."""
    problems, pairs = [], [pair for pair in pairs if not pair.wheels_of]
    for name in sorted({path.stem for path in folder.glob("*.txt")} - {pair.name for pair in pairs}):
        problems.append(f"params/wheels/{name}.txt belongs to no pair of pairs.toml")
    for pair in pairs:
        file = folder / f"{pair.name}.txt"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        found = requirements_problems(text)
        if f"itk-elastix=={pair.itk_elastix}" not in entries(text):
            found.append(
                f"itk-elastix {pair.itk_elastix} is not in it; make it with tasks/lock.py --wheels {pair.name}"
            )
        problems += [f"params/wheels/{pair.name}.txt: {problem}" for problem in found]
    return problems


def tools_problems(manifest: Mapping[str, Any], asked_text: str, locked_text: str) -> list[str]:
    """Where params/tools.in, params/tools.txt and the default environment do not fit each other."""
    lines = [line for line in asked_text.splitlines() if line and not line.startswith("#")]
    wheels = {name: ">" + bounds for name, _, bounds in (line.partition(">") for line in lines)}
    here = asked(manifest)[DEFAULT, PLATFORMS[0]]
    conda = {_WHEEL_NAMES.get(name, name): spec for name, spec in here.items() if name not in _NO_WHEELS}
    problems = [
        f"{name}: pixi.toml asks for {conda.get(name)}, params/tools.in for {wheels.get(name)}"
        for name in sorted(conda.keys() | wheels.keys())
        if conda.get(name) != wheels.get(name)
    ]
    for name, spec in wheels.items():
        versions = [key.partition("==")[2] for key in entries(locked_text) if key.startswith(f"{name}==")]
        if not versions:
            problems.append(f"{name} is not in params/tools.txt")
        problems += [
            f"{name}: {version} in params/tools.txt is not {spec}" for version in versions if not _within(version, spec)
        ]
    return problems


def _within(version: str, spec: str) -> bool:
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", text))

    low, high = spec.removeprefix(">=").split(",<")
    return numbers(low) <= numbers(version) < numbers(high)


def read_manifest(file: Path) -> dict[str, Any]:
    """The pixi.toml."""
    return tomllib.loads(file.read_text(encoding="utf-8"))
