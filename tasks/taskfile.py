"""The tasks of pixi.toml as data, so that they are written once and run with or without pixi.

Only what the workspace uses is read: a task is one plain command, or other tasks in a row; a
dependency may name its environment and give arguments. Standard library only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT = "default"
# What would need a shell: each of our commands is one program with its arguments.
_SHELL = re.compile(r"[|&;<>$`%*?(){}\n]")
_SLOT = re.compile(r"{{\s*(\w+)\s*}}")


class TaskError(Exception):
    """A task cannot be run as it is written, or as it is called."""


@dataclass(frozen=True)
class Dependency:
    """A task that runs before another."""

    task: str
    environment: str | None
    """None: the task's own default environment."""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One task. Without ``slots``, arguments are added to the end of its command."""

    name: str
    command: str
    """Empty: only its dependencies run."""
    depends_on: tuple[Dependency, ...]
    slots: tuple[tuple[str, str], ...]
    """Name and default of each argument that the dependencies ask for."""
    environment: str
    description: str


@dataclass(frozen=True)
class Environment:
    """What an environment offers: tasks by name, and the variables that its activation sets."""

    tasks: Mapping[str, Task]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """One command to run, and where."""

    task: str
    environment: str
    command: tuple[str, ...]


def read_environments(manifest: Mapping[str, Any]) -> dict[str, Environment]:
    """The environments of a pixi.toml by name, `default` included."""
    features = manifest.get("feature", {})
    result = {}
    for name, listed in {DEFAULT: {}, **manifest.get("environments", {})}.items():
        tables = [features.get(feature, {}) for feature in listed.get("features", [])]
        if not listed.get("no-default-feature", False):
            tables.append(manifest)
        tasks: dict[str, Task] = {}
        variables: dict[str, str] = {}
        for table in reversed(tables):
            tasks |= {task: _task(task, value) for task, value in table.get("tasks", {}).items()}
            variables |= table.get("activation", {}).get("env", {})
        result[name] = Environment(tasks, variables)
    return result


def steps(environments: Mapping[str, Environment], name: str, arguments: Sequence[str] = ()) -> list[Step]:
    """The commands behind a task, in the order in which pixi runs them.

    Raises TaskError where a task or an environment does not exist or the arguments are too many.
    """
    task = _find(environments, name, None, "")
    return _steps(environments, Dependency(name, task.environment, tuple(arguments)), ())


def _steps(environments: Mapping[str, Environment], call: Dependency, above: tuple[str, ...]) -> list[Step]:
    task = _find(environments, call.task, call.environment, above[-1] if above else "")
    if task.name in above:
        raise TaskError(f"task {task.name!r} depends on itself: {' -> '.join((*above, task.name))}")
    values = dict(task.slots)
    if task.slots:
        if len(call.arguments) > len(task.slots):
            raise TaskError(f"task {task.name!r} takes at most {len(task.slots)} arguments, here {len(call.arguments)}")
        values |= dict(zip(values, call.arguments, strict=False))
    result = []
    for dependency in task.depends_on:
        given = tuple(_filled(argument, values) for argument in dependency.arguments)
        below = Dependency(dependency.task, dependency.environment, given)
        result += _steps(environments, below, (*above, task.name))
    if task.command:
        extra = () if task.slots else call.arguments
        result.append(Step(task.name, call.environment or task.environment, (*split(task.command), *extra)))
    return result


def split(command: str) -> list[str]:
    """The words of a command. Raises TaskError where it needs a shell."""
    if _SHELL.search(command):
        raise TaskError(f"a task is one plain command, without a shell's own characters: {command!r}")
    return shlex.split(command)


def _find(environments: Mapping[str, Environment], name: str, environment: str | None, parent: str) -> Task:
    where = environment or DEFAULT
    wanted = f"task {name!r} in environment {where!r}" + (f", which task {parent!r} needs" if parent else "")
    if where not in environments:
        raise TaskError(f"there is no {wanted}; environments: {', '.join(environments)}")
    tasks = environments[where].tasks
    if name not in tasks:
        known = ", ".join(task for task in tasks if not task.startswith("_"))
        raise TaskError(f"there is no {wanted}; tasks: {known}")
    return tasks[name]


def _filled(argument: str, values: Mapping[str, str]) -> str:
    try:
        return _SLOT.sub(lambda found: values[found.group(1)], argument)
    except KeyError as error:
        raise TaskError(f"the argument {argument!r} asks for {error}, which the task does not have") from error


def _task(name: str, value: Any) -> Task:
    table: Mapping[str, Any] = {"cmd": value} if isinstance(value, str) else value
    return Task(
        name=name,
        command=table.get("cmd", ""),
        depends_on=tuple(_dependency(entry) for entry in table.get("depends-on", [])),
        slots=tuple((slot["arg"], slot["default"]) for slot in table.get("args", [])),
        environment=table.get("default-environment", DEFAULT),
        description=table.get("description", ""),
    )


def _dependency(entry: Any) -> Dependency:
    if isinstance(entry, str):
        return Dependency(entry, None)
    return Dependency(entry["task"], entry.get("environment"), tuple(entry.get("args", [])))
