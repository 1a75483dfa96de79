"""experiments.toml: named lists of conditions, each list answering one question."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from repro import files
from repro.errors import ConfigError
from repro.model import (
    SIDES,
    Arm,
    BatchCondition,
    Build,
    Condition,
    Path_,
    Registration,
    RegistrationCondition,
    Settings,
    Side,
    Strategy,
    Threader,
    Threads,
    ThreadsBy,
)
from repro.paths import EXPERIMENTS_TOML, shown

MOST_THREADS = 4_096
MOST_JOBS = 1_024
DEFAULT_BLOCKS, DEFAULT_ROUNDS = 6, 2
SHORTENING = ("NumberOfResolutions", "MaximumNumberOfIterations")
"""Parameters by which an experiment makes our own files shorter."""

Builds = Literal["pairs", "releases", "newest"]
"""``pairs``: each pair; ``releases``: every api build against the newest pair's cli; ``newest``: the newest pair."""


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """A condition whose builds are still open."""

    name: str
    paths: tuple[Path_, Path_]
    """Of the base and of the other."""
    settings: Mapping[Path_, Settings]
    own_settings: Mapping[Side, Settings]
    """Of an arm alone, in place of its path's."""
    registration: Registration
    machine_threads: int | None
    strategy: Strategy | None
    """None: one registration a trial."""
    jobs: int | Literal["cores"]
    registrations: int | Literal["jobs"]
    blocks: int
    """At most."""
    rounds: int
    """In a block."""

    def between(self, base: Build, other: Build) -> Condition:
        """The condition with these builds; a build of another path than planned gets the settings of its own path."""
        arms = {
            side: Arm(build, self._settings(side, build.path)) for side, build in zip(SIDES, (base, other), strict=True)
        }
        if self.strategy is None:
            return RegistrationCondition(
                self.name, arms["base"], arms["other"], self.registration, self.machine_threads
            )
        return BatchCondition(
            self.name,
            arms["base"],
            arms["other"],
            self.registration,
            self.strategy,
            self.jobs,
            self.registrations,
            self.machine_threads,
        )

    def _settings(self, side: Side, path: Path_) -> Settings:
        if side in self.own_settings and path == self.paths[SIDES.index(side)]:
            return self.own_settings[side]
        return self.settings.get(path, Settings(by="option" if path == "cli" else "method"))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question, and the conditions that answer it."""

    name: str
    question: str
    conditions: tuple[ConditionSpec, ...]
    builds: Builds

    def with_threads(self, threads: Threads) -> Experiment:
        """Every condition with another number of threads asked for, wherever any is asked for."""

        def told(settings: Mapping[Any, Settings]) -> dict[Any, Settings]:
            return {
                key: one if one.threads == "default" else dataclasses.replace(one, threads=threads)
                for key, one in settings.items()
            }

        conditions = (
            dataclasses.replace(one, settings=told(one.settings), own_settings=told(one.own_settings))
            for one in self.conditions
        )
        return dataclasses.replace(self, conditions=tuple(conditions))

    def with_files(self, parameter_files: Sequence[str] = (), images: str = "") -> tuple[Experiment, str]:
        """The experiment on the user's parameter files and images (names as raw lines have them), and what to say.

        A parameter file given by the user keeps its own iterations and resolutions. What else a condition changes, such
        as the number of bins, is what it is about: it is put over the user's file, and said.
        """
        conditions, left_out, put_over = [], set(), set()
        for one in self.conditions:
            kept = tuple(pair for pair in one.registration.overrides if pair[0] not in SHORTENING)
            registration = dataclasses.replace(one.registration, images=images or one.registration.images)
            if parameter_files:
                left_out |= set(registration.overrides) - set(kept)
                put_over |= {f"{name} {value} ({one.name})" for name, value in kept}
                registration = dataclasses.replace(registration, parameter_files=tuple(parameter_files), overrides=kept)
            conditions.append(dataclasses.replace(one, registration=registration))
        notes = []
        if left_out:
            words = ", ".join(sorted({name for name, _ in left_out}))
            notes.append(f"{self.name}: {words} are those of your parameter file")
        if put_over:
            notes.append(f"{self.name} puts over your parameter file: {', '.join(sorted(put_over))}")
        return dataclasses.replace(self, conditions=tuple(conditions)), "; ".join(notes)

    def with_jobs(self, jobs: Sequence[int], cores: int) -> Experiment:
        """Batches with these numbers of jobs; none given: the experiment's own, up to twice the physical cores."""
        if jobs:
            made = [other for one in self.conditions for other in _with_jobs(one, jobs)]
            conditions = tuple({one.name: one for one in made}.values())
        else:
            conditions = tuple(one for one in self.conditions if one.jobs == "cores" or one.jobs <= 2 * cores)
        return dataclasses.replace(self, conditions=conditions)


def load_experiments(file: Path = EXPERIMENTS_TOML) -> dict[str, Experiment]:
    """Every experiment by name, in the order of the file. Raises ConfigError naming file and key."""
    tables = files.read_toml(file, _File).experiment
    return {name: _experiment(name, table, f"{shown(file)}: experiment {name!r}") for name, table in tables.items()}


def choose(known: Mapping[str, Experiment], names: Iterable[str], file: Path = EXPERIMENTS_TOML) -> list[Experiment]:
    """The experiments of these names. Raises ConfigError on an unknown one."""
    chosen = []
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown experiment {name!r}; {shown(file)} has: {', '.join(known)}")
        chosen.append(known[name])
    return chosen


# ---- the file, as pydantic reads it ---------------------------------------------------------------------------------


def _number_or(most: int, *words: str) -> BeforeValidator:
    """A whole number from 1 to ``most``, or one of the words."""

    def check(value: Any) -> Any:
        if value in words or (type(value) is int and 1 <= value <= most):
            return value
        choices = "".join(f", or {word!r}" for word in words)
        raise ValueError(f"must be a whole number from 1 to {most}{choices}")

    return BeforeValidator(check)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,59}$")]
"""Of experiments and conditions: they become names of files."""
_Count = Annotated[int, _number_or(1_000)]
_Threads = Annotated[Threads, _number_or(MOST_THREADS, "cores", "share", "default")]


@dataclass(frozen=True)
class _Settings(files.Strict):
    threads: _Threads = "default"
    by: ThreadsBy | None = None
    threader: Threader | None = None


@dataclass(frozen=True, kw_only=True)
class _Arm(_Settings):
    path: Path_


def _arm(value: Any) -> Any:
    """The name of a path stands for an arm without settings of its own."""
    return {"path": value} if isinstance(value, str) else value


def _jobs(value: Any) -> Any:
    numbers = value if isinstance(value, list) and value else [value]
    if value == "cores" or all(type(number) is int and 1 <= number <= MOST_JOBS for number in numbers):
        return value
    raise ValueError(f"must be a whole number from 1 to {MOST_JOBS}, a list of them, or 'cores'")


def _as_text(value: Any) -> Any:
    """A number may stand without quotes."""
    return str(value) if type(value) in (int, float) else value


@dataclass(frozen=True, kw_only=True)
class _Shared(files.Strict):
    """Keys of an experiment that hold for all its conditions, and of a condition."""

    parameter_files: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)] | None = None
    images: str | None = None
    base: Annotated[_Arm, BeforeValidator(_arm)] | None = None
    other: Annotated[_Arm, BeforeValidator(_arm)] | None = None
    cli: _Settings | None = None
    api: _Settings | None = None
    sitk: _Settings | None = None
    overrides: dict[str, Annotated[str, BeforeValidator(_as_text)]] = field(default_factory=dict)
    pixels: Literal["float", "double"] | None = None
    machine_threads: Annotated[int, _number_or(MOST_THREADS)] | None = None
    strategy: Strategy | None = None
    jobs: Annotated[int | Literal["cores"] | tuple[int, ...], BeforeValidator(_jobs)] | None = None
    registrations: Annotated[int | Literal["jobs"], _number_or(100_000, "jobs")] | None = None
    blocks: _Count | None = None
    rounds: _Count | None = None


@dataclass(frozen=True, kw_only=True)
class _Condition(_Shared):
    name: Name


@dataclass(frozen=True, kw_only=True)
class _Experiment(_Shared):
    question: Annotated[str, Field(min_length=1)]
    builds: Builds = "pairs"
    condition: Annotated[tuple[_Condition, ...], Field(min_length=1)]


@dataclass(frozen=True)
class _File(files.Strict):
    experiment: dict[Name, _Experiment]


def _experiment(name: str, table: _Experiment, where: str) -> Experiment:
    conditions = [made for one in table.condition for made in _conditions(one, table, where)]
    names = [one.name for one in conditions]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: two conditions have the same name; give each its own: {', '.join(names)}")
    return Experiment(name, table.question, tuple(conditions), table.builds)


def _conditions(own: _Condition, table: _Experiment, where: str) -> list[ConditionSpec]:
    """One condition, or one for each number in a list of jobs."""
    where = f"{where}, condition {own.name!r}"

    def chosen(key: str) -> Any:
        value = getattr(own, key)
        return getattr(table, key) if value is None else value

    parameter_files, image_set, jobs = chosen("parameter_files"), chosen("images"), chosen("jobs")
    if not (parameter_files and image_set):
        raise ConfigError(f"{where}: 'parameter_files' and 'images' say what is registered; give both")
    arms: dict[Side, _Arm] = {"base": chosen("base") or _Arm(path="cli"), "other": chosen("other") or _Arm(path="api")}
    with_own: dict[Side, _Arm] = {side: arm for side, arm in arms.items() if arm != _Arm(path=arm.path)}
    by_path: dict[Path_, _Settings] = {path: chosen(path) for path in ("cli", "api", "sitk") if chosen(path)}
    strategy, numbers = chosen("strategy"), jobs if isinstance(jobs, tuple) else ()
    if strategy is None and (jobs is not None or chosen("registrations") is not None):
        raise ConfigError(f"{where}: 'jobs' and 'registrations' need a 'strategy'; give one, or leave them out")
    spec = ConditionSpec(
        name=own.name,
        paths=(arms["base"].path, arms["other"].path),
        settings={path: _settings(path, settings, where) for path, settings in by_path.items()},
        own_settings={side: _settings(arm.path, arm, where) for side, arm in with_own.items()},
        registration=Registration(
            parameter_files,
            image_set,
            tuple((table.overrides | own.overrides).items()),
            chosen("pixels") or "float",
        ),
        machine_threads=chosen("machine_threads"),
        strategy=strategy,
        jobs=numbers[0] if numbers else jobs or 1,
        registrations=chosen("registrations") or "jobs",
        blocks=chosen("blocks") or DEFAULT_BLOCKS,
        rounds=chosen("rounds") or DEFAULT_ROUNDS,
    )
    return _with_jobs(spec, numbers) if numbers else [spec]


def _with_jobs(spec: ConditionSpec, jobs: Iterable[int]) -> list[ConditionSpec]:
    """The condition once for each number of jobs, which ends its name; one without a strategy as it is."""
    if spec.strategy is None:
        return [spec]
    name = spec.name.removesuffix(f"-{spec.jobs}")
    return [dataclasses.replace(spec, name=f"{name}-{number}", jobs=number) for number in jobs]


def _settings(path: Path_, given: _Settings, where: str) -> Settings:
    ways: tuple[ThreadsBy, ...] = ("option",) if path == "cli" else ("method", "parameter")
    by = given.by or ways[0]
    if by not in ways:
        raise ConfigError(f"{where}: a {path} arm is asked for threads by {' or '.join(ways)}, not by {by!r}")
    return Settings(given.threads, by, given.threader)
