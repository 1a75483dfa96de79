"""From what was asked for to the work of a session: experiments, comparisons, builds and images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from repro import __version__, paths, text
from repro.builds.catalogue import Catalogue, load_catalogue
from repro.errors import ConfigError, FetchError, UnavailableError
from repro.model import SIDES, Comparison, Path_, Side
from repro.plan import experiments as known_experiments
from repro.plan import images
from repro.plan.experiments import ConditionSpec, Experiment
from repro.plan.images import CUSTOM

if TYPE_CHECKING:
    from repro.builds.installed import InstalledBuild
    from repro.measure.session import Work
    from repro.plan.images import ImageSet

DEFAULT = ("posted", "posted-28", "aa", "causes")
QUICK = ("quick",)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the options of bench, plan and compare ask for."""

    experiments: Sequence[str] = ()
    file: Path | None = None
    """Of the user's own experiments."""
    blocks: int | None = None
    rounds: int | None = None
    threads: int | None = None
    jobs: Sequence[int] = ()
    params: Sequence[str] = ()
    images: Mapping[str, Path | None] = field(default_factory=dict)
    """The user's: `fixed`, `moving`, and by the names of `images.EXTRAS` what goes with them."""
    elastix: Path | None = None
    sides: tuple[Side, ...] = SIDES
    """That are run; without one of them, only conditions of an executable against another path."""
    offline: bool = False

    @property
    def own_images(self) -> bool:
        """Whether the user gave images. Raises ConfigError where only one of them."""
        given = {name for name, file in self.images.items() if file is not None}
        if given and not {"fixed", "moving"} <= given:
            raise ConfigError("--fixed and --moving go together, and masks, points and transforms with them; give both")
        return bool(given)


@dataclass(frozen=True, slots=True)
class Planned:
    """One condition of one comparison, before any build is there."""

    comparison: str
    experiment: Experiment
    spec: ConditionSpec
    base: str
    """Name of its build."""
    other: str


def chosen_experiments(asked: Asked, default: Sequence[str], say: Say) -> list[Experiment]:
    """The experiments, changed as the options say. Raises ConfigError on what cannot be used."""
    from repro.plan.prepare import given_parameters
    from repro.system.machine import physical_cores

    file = asked.file or paths.EXPERIMENTS_TOML
    known = known_experiments.load_experiments(file)
    names = asked.experiments or (tuple(known) if asked.file else default)
    own_images, parameters = CUSTOM if asked.own_images else "", given_parameters(asked.params)
    chosen = []
    for experiment in known_experiments.choose(known, names, file):
        one, note = experiment.with_jobs(asked.jobs, physical_cores()).with_files(parameters, own_images)
        if note:
            say(note)
        told = one if asked.threads is None else one.with_threads(asked.threads or "cores")
        sizes = {name: size for name in ("blocks", "rounds") if (size := getattr(asked, name))}
        conditions = tuple(dataclasses.replace(spec, **sizes) for spec in told.conditions)
        chosen.append(dataclasses.replace(told, conditions=conditions))
    return chosen


def plan(
    catalogue: Catalogue, names: Sequence[str] | None, experiments: Sequence[Experiment], asked: Asked
) -> list[Planned]:
    """Every condition of these pairs that is to be measured; without names of all. Raises ConfigError."""
    for name in names or ():
        if name not in catalogue.pairs:
            raise ConfigError(
                f"unknown pair {name!r}; {paths.shown(paths.BUILDS_TOML)} has: {', '.join(catalogue.pairs)}"
            )
    pairs = [catalogue.pairs[name] for name in names or catalogue.pairs]
    newest = catalogue.newest_pair()
    planned: list[Planned] = []
    for pair in pairs:
        builds: dict[Path_, str] = {"cli": pair.cli, "api": pair.api, **({"sitk": pair.sitk} if pair.sitk else {})}
        for experiment in experiments:
            if experiment.builds == "pairs" or (experiment.builds == "newest" and (names or pair == newest)):
                planned += _conditions(pair.name, builds, experiment, asked.sides)
    for experiment in (one for one in experiments if one.builds == "releases"):
        for release in catalogue.releases():
            if not names or release.name in {pair.api for pair in pairs}:
                builds = {"cli": newest.cli, "api": release.name}
                planned += _conditions(f"{newest.cli} {release.name}", builds, experiment, asked.sides)
    return planned


def _conditions(
    comparison: str, builds: Mapping[Path_, str], experiment: Experiment, sides: Sequence[Side]
) -> Iterator[Planned]:
    """The conditions whose arms this comparison has."""
    for spec in experiment.conditions:
        base, other = spec.paths
        apart = base == "cli" and other != "cli"
        if base in builds and other in builds and (apart or len(sides) > 1):
            yield Planned(comparison, experiment, spec, builds[base], builds[other])


class Found:
    """Builds and image sets, each looked for once, when it is first asked for; builds that are missing are fetched."""

    def __init__(self, asked: Asked, say: Say) -> None:
        self.asked, self.say = asked, say
        self._builds: dict[str, InstalledBuild | FetchError] = {}
        self._images: dict[str, ImageSet] = {}

    def build(self, name: str) -> InstalledBuild:
        """The build of this name. Raises FetchError, the same one each time."""
        if name not in self._builds:
            try:
                self._builds[name] = get_build(name, self.asked.offline, self.say)
            except FetchError as error:
                self._builds[name] = error
        found = self._builds[name]
        if isinstance(found, FetchError):
            raise found
        return found

    def images(self, name: str) -> ImageSet:
        """The set of this name. Raises ConfigError or FetchError."""
        if name not in self._images:
            if name == CUSTOM:
                given = {key: file for key, file in self.asked.images.items() if file is not None}
                self._images[name] = images.custom(given.pop("fixed"), given.pop("moving"), given)
            else:
                self._images[name] = images.provide(name, offline=self.asked.offline, say=self.say)
        return self._images[name]


def get_build(name: str, offline: bool, say: Say) -> InstalledBuild:
    """The build of this name, fetched where it is missing. Raises FetchError."""
    from repro.builds import fetch, installed

    known = load_catalogue().builds
    try:
        return installed.load(name)
    except UnavailableError:
        if offline or name not in known:
            raise
        return fetch.fetch(known[name], say=say)


@dataclass(frozen=True, slots=True)
class Ready:
    """What can be measured, and why the rest cannot."""

    work: list[Work]
    unavailable: Mapping[str, FetchError]
    """Comparison -> reason."""


def make_ready(planned: Sequence[Planned], asked: Asked, say: Say) -> Ready:
    """Builds fetched, images found, parameter files written out, everything checked.

    Raises ConfigError or FetchError on what the user gave and that cannot be used.
    """
    from repro.builds import given

    found = Found(asked, say)
    if asked.own_images:
        found.images(CUSTOM)  # what is wrong with them is said before anything is fetched
    executable = given.resolve(str(asked.elastix), offline=asked.offline, say=say) if asked.elastix else None
    work: list[Work] = []
    unavailable: dict[str, FetchError] = {}
    lost: set[str] = set()
    for one in planned:
        if one.comparison in lost:
            continue  # a pair without one of its two builds is no pair: nothing more of it is fetched or measured
        try:
            names: dict[Side, str] = {"base": one.base, "other": one.other}
            arms = {
                side: executable if executable and name.startswith("cli:") else found.build(name)
                for side, name in names.items()
            }
        except FetchError as error:
            unavailable.setdefault(one.comparison, error)
            if "sitk" not in one.spec.paths:
                lost.add(one.comparison)
            continue
        name = f"{executable.name} {one.other}" if executable else one.comparison
        work.append(make_work(name, arms, one.experiment, one.spec, found))
    return Ready(work, unavailable)


def make_work(
    comparison: str, arms: Mapping[Side, InstalledBuild], experiment: Experiment, spec: ConditionSpec, found: Found
) -> Work:
    """One condition of two builds, ready to run."""
    from repro.measure.session import Work
    from repro.plan.prepare import prepare
    from repro.system.machine import physical_cores

    base, other = arms["base"].build, arms["other"].build
    prepared = prepare(spec.between(base, other), found.images(spec.registration.images), physical_cores())
    for note in prepared.notes:
        found.say(note)
    pair = Comparison(comparison, base, other)
    return Work(pair, arms, experiment.name, experiment.question, prepared, spec.blocks, spec.rounds)


def record_unavailable(unavailable: Mapping[str, FetchError], out: Path, seed: int) -> None:
    """Write down what this machine cannot have, each reason once, so that the tables can say it."""
    import sys
    import uuid

    from repro.measure import store
    from repro.measure.session import command_words
    from repro.model import SessionLine, UnavailableLine
    from repro.system import machine

    file = out / "raw" / machine.machine_name() / "unavailable.jsonl"
    known = {(line.comparison, line.reason) for line in store.read_lines(file) if isinstance(line, UnavailableLine)}
    found = {(comparison, text.scrub(str(error))) for comparison, error in unavailable.items()}
    for comparison, reason in sorted(found - known):
        session = SessionLine(
            session=uuid.uuid4().hex[:16],
            machine=machine.machine_name(),
            identity=machine.identity(),
            started_utc=text.utc_now(),
            command=command_words(sys.argv[1:]),
            comparison=comparison,
            builds={},
            fingerprint=machine.fingerprint(),
            seed=seed,
            harness=f"{__version__}, Python {sys.version.split()[0]}",
        )
        raw = store.RawFile(file)
        raw.append(session)
        raw.append(UnavailableLine(session=session.session, comparison=comparison, reason=reason))
        raw.close()
