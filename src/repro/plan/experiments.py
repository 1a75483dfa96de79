"""Read experiments.toml: named lists of conditions, each answering one question."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from repro.builds.config import Table, read_toml
from repro.errors import ConfigError
from repro.layout import EXPERIMENTS_TOML, PARAMETER_FILES, shown
from repro.model import (
    FROM_NOTHING,
    SHARE,
    STRATEGIES,
    THREADERS,
    Cache,
    Condition,
    Experiment,
    LoadBy,
    Loading,
    Measures,
    Path_,
    Settings,
    ThreadsBy,
)

CUSTOM_IMAGES = "custom"
MOST_ROUNDS = 10_000
MOST_TRIALS = 100
"""Of an arm in a round."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}")
"""Names of experiments and conditions: they become names of files."""
_SHARED = (
    *("parameter_files", "images", "cli", "api", "overrides", "machine_threads", "arms"),
    *("measures", "loading", "jobs", "strategy", "registrations"),
)


def load_experiments(file: Path = EXPERIMENTS_TOML) -> dict[str, Experiment]:
    """Every experiment by name, in the order of the file.

    Raises ConfigError naming file, line and key.
    """
    root = read_toml(file)
    root.only("experiment")
    tables = root.table("experiment")
    return {name: _experiment(tables.table(name), name) for name in tables.values}


def choose(known: Mapping[str, Experiment], names: Iterable[str], file: Path = EXPERIMENTS_TOML) -> list[Experiment]:
    """The experiments of these names. Raises ConfigError on an unknown one."""
    chosen = []
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown experiment {name!r}; {shown(file)} has: {', '.join(known)}")
        chosen.append(known[name])
    return chosen


def parameter_path(name: str) -> Path:
    """A parameter file by its name in params/elastix, or by its path. Raises ConfigError."""
    for path in (PARAMETER_FILES / name, Path(name)):
        if path.is_file():
            return path.resolve()
    raise ConfigError(f"no parameter file {name!r}, neither in {shown(PARAMETER_FILES)} nor as a path; check the name")


def with_threads(condition: Condition, threads: int) -> Condition:
    """The condition with another number of threads asked for, wherever it asks for any."""

    def changed(settings: Settings) -> Settings:
        return settings if settings.threads is None else dataclasses.replace(settings, threads=threads)

    return dataclasses.replace(condition, cli=changed(condition.cli), api=changed(condition.api))


def fitted(experiment: Experiment, jobs: Sequence[int], cores: int) -> Experiment:
    """The experiment with these jobs in its strategies' conditions; none: its own, up to twice the physical cores."""
    conditions = list(experiment.conditions)
    if jobs and all(one.strategy and one.measures == "registration" for one in conditions):
        conditions = [other for one in conditions for other in _with_jobs(one, jobs)]
        conditions = list({one.name: one for one in conditions}.values())
    elif not jobs:
        conditions = [one for one in conditions if one.jobs <= 2 * cores]
    return dataclasses.replace(experiment, conditions=tuple(conditions))


def _with_jobs(condition: Condition, jobs: Iterable[int]) -> list[Condition]:
    """The condition once for each number of jobs, which ends its name."""
    name = condition.name.removesuffix(f"-{condition.jobs}")
    return [dataclasses.replace(condition, name=f"{name}-{number}", jobs=number) for number in jobs]


def _experiment(table: Table, name: str) -> Experiment:
    table.only("question", "rounds", "trials", "releases", "condition", *_SHARED)
    if not _NAME.fullmatch(name):
        raise table.fail(None, f"{name!r} must be letters, digits and . _ + - only, at most 60 of them")
    listed = table.get("condition", list)
    conditions: list[Condition] = []
    own_rounds: dict[str, int] = {}
    for number, entry in enumerate(listed):
        if not isinstance(entry, dict):
            raise table.fail("condition", f"entry {number + 1} must be a table: write [[experiment.{name}.condition]]")
        merged = {key: table.values[key] for key in _SHARED if key in table.values} | entry
        own = table.nth("condition", number, merged)
        made = _conditions(own)
        conditions += made
        if "rounds" in entry:
            own_rounds |= dict.fromkeys((condition.name for condition in made), _rounds(own))
    names = [condition.name for condition in conditions]
    if not names or len(set(names)) != len(names):
        raise table.fail("condition", f"needs at least one condition, each with a name of its own; found {names}")
    return Experiment(
        name,
        question=table.get("question", str),
        conditions=tuple(conditions),
        rounds=_rounds(table),
        own_rounds=own_rounds,
        trials=_count(table, "trials", 1, least=1, most=MOST_TRIALS),
        releases=table.get("releases", bool, False),
    )


def _rounds(table: Table) -> int:
    return _count(table, "rounds", 10, least=1, most=MOST_ROUNDS)


def _conditions(table: Table) -> list[Condition]:
    """One condition, or one for each number in a list of jobs."""
    jobs = table.values.get("jobs", 1)
    numbers = jobs if isinstance(jobs, list) else [jobs]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise table.fail("jobs", f"{jobs!r} must be a whole number from 0, or a list of them")
    condition = dataclasses.replace(_condition(table), jobs=numbers[0])
    return [condition] if not isinstance(jobs, list) else _with_jobs(condition, numbers)


def _condition(table: Table) -> Condition:
    table.only("name", "rounds", *_SHARED)
    name = table.get("name", str)
    if not _NAME.fullmatch(name):
        raise table.fail("name", f"{name!r} must be letters, digits and . _ + - only, at most 60 of them")
    machine_threads = table.get("machine_threads", int, -1)
    if machine_threads == 0 or machine_threads < -1:
        raise table.fail("machine_threads", f"{machine_threads} must be at least 1")
    overrides = table.table("overrides", optional=True)
    arms = table.texts("arms") or ("cli", "api")
    if len(arms) != 2 or not set(arms) <= {"cli", "api"}:
        raise table.fail("arms", 'must be two of "cli" and "api"')
    measures = _one_of(table, "measures", Measures, "registration")
    return Condition(
        name=name,
        parameter_files=table.texts("parameter_files"),
        images=table.get("images", str),
        cli=_settings(table.table("cli", optional=True), "option"),
        api=_settings(table.table("api", optional=True), "method"),
        overrides=tuple((key, overrides.get(key, str)) for key in overrides.values),
        machine_threads=None if machine_threads == -1 else machine_threads,
        arms=cast("tuple[Path_, Path_]", arms),
        strategy=_strategy(table, measures),
        measures=measures,
        loading=_loading(table.table("loading", optional=True)) if measures == "loading" else None,
        registrations=_count(table, "registrations", 0, least=1),
    )


def _loading(table: Table) -> Loading:
    table.only("by", "cache", "bytecode")
    by, cache = _one_of(table, "by", LoadBy, "posted"), _one_of(table, "cache", Cache, "warm")
    return Loading(by, cache, table.get("bytecode", bool, True))


def _strategy(table: Table, measures: Measures) -> str:
    strategy = table.get("strategy", str, "")
    known = FROM_NOTHING if measures == "first-result" else ("", *(STRATEGIES if measures == "registration" else ()))
    if strategy not in known:
        raise table.fail("strategy", f"{strategy!r} must be one of {', '.join(filter(None, known))}")
    if measures == "first-result" and strategy != "recipe" and table.get("jobs", int, 1) != 1:
        raise table.fail("jobs", f"{strategy!r} does one job at a time; leave it out")
    return strategy


def _one_of(table: Table, key: str, words: Any, default: str) -> Any:
    """The text under the key, which is one of a Literal's words."""
    word = table.get(key, str, default)
    if word not in get_args(words):
        raise table.fail(key, f"{word!r} must be one of {', '.join(filter(None, get_args(words)))}")
    return word


def _count(table: Table, key: str, default: int, *, least: int, most: int | None = None) -> int:
    count = table.get(key, int, default)
    if key in table.values and (count < least or (most is not None and count > most)):
        raise table.fail(key, f"{count} must be at least {least}{f' and at most {most}' if most else ''}")
    return count


def _settings(table: Table, by_default: ThreadsBy) -> Settings:
    table.only("threads", "by", "threader")
    share = table.values.get("threads") == "share"
    threads = SHARE if share else table.get("threads", int, -1)
    if threads < -1 and not share:
        raise table.fail("threads", f"{threads} must be at least 0, which stands for the physical cores")
    asked = share or threads >= 0
    by = _one_of(table, "by", ThreadsBy, by_default if asked else "none")
    threader = table.get("threader", str, "")
    if threader and threader not in THREADERS:
        raise table.fail("threader", f"{threader!r} must be one of {', '.join(THREADERS)}")
    return Settings(threads if asked else None, by, threader or None)
