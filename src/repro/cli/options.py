"""The options that commands share, and how their values are read."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from repro import layout
from repro.builds.config import load_pairs, load_releases
from repro.errors import ConfigError, UnavailableError
from repro.model import Experiment, Pair
from repro.plan.experiments import choose, fitted, load_experiments

DEFAULT_EXPERIMENTS = ("posted", "aa", "causes")
QUICK_EXPERIMENTS = ("posted",)
QUICK_ROUNDS = 3


def _pairs_from(incomplete: str) -> list[str]:
    """For shell completion."""
    return [name for name in load_pairs() if name.startswith(incomplete)]


def _experiments_from(incomplete: str) -> list[str]:
    """For shell completion."""
    return [name for name in load_experiments() if name.startswith(incomplete)]


_PAIRS = typer.Argument(metavar="[PAIR]...", help="Pairs; none: all of them.", autocompletion=_pairs_from)
PairNames = Annotated[list[str] | None, _PAIRS]
Results = Annotated[Path, typer.Argument(metavar="[DIR]", help="Results folder.", show_default="results")]
Releases = Annotated[bool, typer.Option("--releases", help="The API-only releases of itk-elastix too.")]
Out = Annotated[Path, typer.Option(help="Results folder.", show_default="results")]
Offline = Annotated[bool, typer.Option("--offline", help="Never open a connection; say what is missing.")]
ExperimentsFile = Annotated[
    Path | None, typer.Option("--experiments", metavar="FILE", help="Your own experiments instead of the project's.")
]
_EXPERIMENTS = typer.Option("--experiment", help="Experiment; may be repeated.", autocompletion=_experiments_from)
Experiments = Annotated[list[str] | None, _EXPERIMENTS]
Rounds = Annotated[int | None, typer.Option(min=1, help="Most rounds a condition; default: the experiment's.")]
Shard = Annotated[str, typer.Option(metavar="I/N", help="Only part I of N of the conditions.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Seed = Annotated[int, typer.Option(help="Seed of the order within the rounds.")]
Quick = Annotated[bool, typer.Option("--quick", help=f"{QUICK_ROUNDS} rounds of the posted experiment, no more.")]
Profile = Annotated[
    bool, typer.Option("--profile", help="An extra, untimed trial a path under py-spy or perf, where they are.")
]
Runs = Annotated[int | None, typer.Option(min=1, help="As posted: the same as --rounds.")]
Precision = Annotated[float, typer.Option(help="Stop at this relative half width of the interval.")]
Threads = Annotated[int | None, typer.Option(min=0, help="Threads asked for; 0 = physical cores.")]
Jobs = Annotated[list[int] | None, typer.Option(min=1, help="Registrations side by side, of a strategy; repeatable.")]
Fixed = Annotated[Path | None, typer.Option(help="Fixed image instead of the experiment's.")]
Moving = Annotated[Path | None, typer.Option(help="Moving image instead of the experiment's.")]
Params = Annotated[list[str] | None, typer.Option(help="Parameter file; repeat to run several in a row.")]
Elastix = Annotated[Path | None, typer.Option(help="Use this elastix executable.")]
NoCli = Annotated[bool, typer.Option("--no-cli", help="Leave the executable out.")]
NoItk = Annotated[bool, typer.Option("--no-itk", help="Leave the Python API out.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds after which a trial is stopped.")]
MemoryLimit = Annotated[int | None, typer.Option(min=64, help="MiB a process may use, where bounded.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget these pairs' measurements and start over.")]
# One step of pixi's bench-all: the last step gives the status, because pixi stops at the first
# one that fails and the other pairs' results would never be merged.
DeferExit = Annotated[bool, typer.Option("--defer-exit", hidden=True)]


def chosen_pairs(names: list[str] | None, *, environment: bool = False) -> list[Pair]:
    """Pairs by name; none: the pair of the pixi environment (if asked for), else all.

    A name may be that of an API-only release. Raises ConfigError on an unknown one.
    """
    pairs = load_pairs()
    known = pairs | load_releases()
    if not names and environment and os.environ.get("REPRO_PAIR"):
        names = [os.environ["REPRO_PAIR"]]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"unknown pair {name!r}; {layout.shown(layout.PAIRS_TOML)} has: {', '.join(known)}")
    return [known[name] for name in names or pairs]


def chosen_releases() -> list[Pair]:
    """The API-only releases, but for those that a fetched pair holds."""
    held = {pair.itk_elastix for pair in load_pairs().values() if _is_fetched(pair)}
    return [release for version, release in load_releases().items() if version not in held]


def chosen_for(experiments: Iterable[Experiment], names: list[str] | None, *, environment: bool = False) -> list[Pair]:
    """The pairs that these experiments are run with: where one of them is about all releases, those too."""
    pairs = chosen_pairs(names, environment=environment)
    of_one = names or (environment and os.environ.get("REPRO_PAIR"))
    everything = not of_one and any(experiment.releases for experiment in experiments)
    return pairs + (chosen_releases() if everything else [])


def _is_fetched(pair: Pair) -> bool:
    from repro.builds import installed

    try:
        installed.load(pair)
    except UnavailableError:
        return False
    return True


def chosen_experiments(
    names: list[str] | None, *, jobs: list[int] | None = None, quick: bool = False, file: Path | None = None
) -> list[Experiment]:
    """Experiments by name, fitted to this machine; none: those of the main job, or all of the user's own file.

    Raises ConfigError on an unknown one, or a file that cannot be used.
    """
    from repro.system.machine import physical_cores

    if file is not None:
        own = load_experiments(file)
        chosen = choose(own, names or own, file)
    else:
        chosen = choose(load_experiments(), names or (QUICK_EXPERIMENTS if quick else DEFAULT_EXPERIMENTS))
    return [fitted(experiment, jobs or (), physical_cores()) for experiment in chosen]


def parse_shard(text: str) -> tuple[int, int]:
    """ "2/4" as (2, 4). Raises ConfigError."""
    index, _, of = text.partition("/")
    if not (index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
        raise ConfigError(f"--shard {text!r} must be I/N with I from 1 to N, as 2/4")
    return int(index), int(of)


def without_folders(argument: str) -> str:
    """An argument as the results may keep it: folders name users and homes."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if {"/", "\\"} & set(value) else argument


def parse_date(text: str) -> datetime.date:
    """ "2026-08-22" as a date. Raises ConfigError."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--as-of {text!r} is not a date; write it as 2026-08-22") from error
