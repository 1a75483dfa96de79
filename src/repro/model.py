"""The words of the project as data: pair, condition, experiment, trial, measurement.

Everything here is frozen and pure. Units are in the names: ``_s`` seconds, ``_bytes``,
``_px`` pixels. docs/design.md defines the words.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Path_ = Literal["cli", "api"]
"""``cli``: the executable in a subprocess; ``api``: ElastixRegistrationMethod in a worker."""
Phase = Literal["start", "warmup", "measure"]
Status = Literal["ok", "failed", "timeout", "unavailable"]
ThreadsBy = Literal["option", "parameter", "method", "none"]
"""How a path is asked for threads: the executable's ``-threads`` option; the parameter map's
``NumberOfThreads`` entry, as posted; ``SetNumberOfThreads(n)``; or not at all."""
Measures = Literal["registration", "loading", "first-result"]
"""What a trial's seconds are: one registration; getting ready to register, from nothing; from
nothing to the last of several results."""
LoadBy = Literal["posted", "class-first", "gc-off", "modules", "recipe", "fork"]
"""A way to load itk-elastix; loadways.py says what each does."""
Cache = Literal["warm", "cold"]
"""What of the pair is in the file cache when a trial starts: all of it, or nothing."""

SCHEMA = 1
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
THREADERS = ("Platform", "Pool", "TBB")
FROM_NOTHING = ("interpreters", "worker", "recipe")
"""Strategies of ``first-result``: a fresh interpreter for each registration, one worker that loads as
posted and stays, the pool of recipe.py."""
STRATEGIES = ("threads", "spawned", "forked", "recipe")
"""How one Python program runs registrations side by side; ``batchworker.py`` has them."""
SHARE = -1
"""As a number of threads: the physical cores over the registrations side by side, at least 1."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of a GitHub release. ``sha256`` is empty where nobody has pinned it yet."""

    name: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Executable:
    """Where an elastix release can be had."""

    version: str
    tag: str
    archives: Mapping[str, Archive] = field(default_factory=dict)
    """Platform -> archive of the GitHub release."""
    debian_suites: tuple[str, ...] = ()
    """Debian suites whose package is this version, in the order to try; empty: none known."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One itk-elastix version with one elastix version, or, API-only, with none."""

    name: str
    itk_elastix: str
    executable: Executable | None
    """None: an API-only entry, an itk-elastix release that no executable is put beside."""
    python: str
    """Python of the pair's pixi environment, as "3.11"."""
    as_of: datetime.date
    """The wheels are resolved as of this day."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Platform -> why the pair cannot be had there."""
    also: tuple[str, ...] = ()
    """Packages that its wheels import and do not declare; locked with them."""
    environment_of: str = ""
    """The pair whose pixi environment an API-only entry is measured in."""
    wheels_of: str = ""
    """The pair whose wheel lock an API-only entry has, where it is of a pair's release."""

    @property
    def api_only(self) -> bool:
        """Whether only the API path can run."""
        return self.executable is None

    @property
    def elastix(self) -> str:
        """The elastix version of the pair; empty for an API-only entry."""
        return self.executable.version if self.executable else ""

    @property
    def environment(self) -> str:
        """Name of the pixi environment it is measured in (dots are not allowed there)."""
        return "pair-" + (self.environment_of or self.name).replace(".", "-")


def is_api_only(name: str) -> bool:
    """Whether the name of a pair is that of an API-only entry: an itk-elastix version alone."""
    return "-" not in name


@dataclass(frozen=True, slots=True)
class Settings:
    """What one path is asked to do about threads."""

    threads: int | None = 0
    """Threads asked for; 0: the physical cores; SHARE: those over the jobs; None: not asked for."""
    threads_by: ThreadsBy = "none"
    threader: str | None = None
    """Platform, Pool or TBB; None: the default of the path."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How the API is loaded where loading is what a condition measures."""

    by: LoadBy = "posted"
    cache: Cache = "warm"
    bytecode: bool = True
    """As fetch compiled it; False: every module is compiled anew, the standard library's too."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Everything that decides a registration besides the pair and the path."""

    name: str
    parameter_files: tuple[str, ...]
    """File names in params/elastix, or paths; more than one are run in a row."""
    images: str
    """Name of an image set of data/images.toml, or "custom" for files given by the user."""
    cli: Settings
    api: Settings
    overrides: tuple[tuple[str, str], ...] = ()
    """Parameters replaced in every parameter file: (name, value as elastix writes it)."""
    machine_threads: int | None = None
    """Threads that ITK is made to believe the machine has; None: what it finds."""
    jobs: int = 1
    """Registrations side by side; 0: the physical cores."""
    registrations: int = 0
    """Registrations of a trial; 0: as many as jobs. A warm-up of ``first-result`` does one."""
    strategy: str = ""
    """How the api path runs its jobs: one of STRATEGIES, warm, or of FROM_NOTHING, as measured; empty: one after
    the other, in one worker."""
    measures: Measures = "registration"
    loading: Loading | None = None
    """Where loading is measured: how."""
    arms: tuple[Path_, Path_] = ("cli", "api")
    """The two paths of a round; the ratio is the second over the first. The noise floor is
    measured with twice the same path."""

    def settings(self, path: Path_) -> Settings:
        """What the given path is asked to do about threads."""
        return self.cli if path == "cli" else self.api


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named list of conditions that answers one question."""

    name: str
    question: str
    conditions: tuple[Condition, ...]
    rounds: int = 10
    """At most, for every condition without an entry in `own_rounds`."""
    own_rounds: Mapping[str, int] = field(default_factory=dict)
    """Condition -> rounds at most, for those whose trials are long."""
    trials: int = 1
    """Trials of each arm in a round; the round's time of an arm is their geometric mean."""
    releases: bool = False
    """Whether it is about every itk-elastix release, API-only entries included."""

    def rounds_of(self, condition: str) -> int:
        """Rounds at most of the condition of this name."""
        return self.own_rounds.get(condition, self.rounds)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files that a trial reads, as digests: ratios never mix them."""

    fixed_sha256: str
    moving_sha256: str
    params_sha256: str
    """Of the parameter files as they are given to elastix, overrides applied."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one arm under one condition of one pair, in one round."""

    pair: str
    experiment: str
    condition: str
    arm: int
    """0 or 1: which of the condition's arms."""
    path: Path_
    phase: Phase
    round: int
    """From 1; the warm-up round is 0."""
    position: int
    """From 0: its place in the round."""
    repeat: int = 0
    """From 0: which of its arm's trials in the round."""

    def key(self, condition: Condition, inputs: Inputs, lock: str) -> str:
        """Digest that a rerun recognises: the trial, what it reads and what is installed.

        The position is left out: it says when in its round the trial ran, not what ran. So is the repeat of
        an arm's first trial, which keeps what was measured when a round had no other.
        """
        left_out = {"position"} if self.repeat else {"position", "repeat"}
        identity = {k: v for k, v in dataclasses.asdict(self).items() if k not in left_out}
        content = [SCHEMA, identity, dataclasses.asdict(condition), dataclasses.asdict(inputs), lock]
        return digest(content)


def digest(content: Any) -> str:
    """First 32 hex digits of the SHA-256 of the content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
