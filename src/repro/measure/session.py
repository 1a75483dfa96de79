"""One start of bench: which pairs and conditions, checked and made ready, then run in turn."""

from __future__ import annotations

import dataclasses
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.builds import executables, installed
from repro.builds.installed import Installed
from repro.builds.interpreter import pair_interpreter
from repro.cli import doctor
from repro.errors import ConfigError, UnavailableError
from repro.layout import RESULTS
from repro.measure import loadarms, profiling, store
from repro.measure.arms import Limits
from repro.measure.bench import ConditionRun, Listener, Session, Stop
from repro.measure.kept import Kept
from repro.measure.makers import makers
from repro.measure.measurement import TOLERANCE_PX
from repro.measure.outcome import ConditionResult, Tally
from repro.model import SCHEMA, Condition, Experiment, Pair, digest
from repro.plan import images, plan
from repro.plan.experiments import CUSTOM_IMAGES, with_threads
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared, custom_images, prepare
from repro.scrub import clean_logs
from repro.system import machine
from repro.system.children import Launcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked bench to do."""

    pairs: Sequence[Pair]
    experiments: Sequence[Experiment]
    out: Path = RESULTS
    rounds: int | None = None
    threads: int | None = None
    fixed: Path | None = None
    moving: Path | None = None
    parameter_files: tuple[str, ...] = ()
    elastix: Path | None = None
    paths: frozenset[str] = frozenset({"cli", "api"})
    seed: int = 1
    precision: float = 0.03
    limits: Limits = field(default_factory=Limits)
    shard: tuple[int, int] = (1, 1)
    fresh: bool = False
    offline: bool = False
    profile: bool = False
    """Profile each path of each condition once, after its rounds."""
    command: tuple[str, ...] = ()


@dataclass
class Summary:
    """How a bench ended."""

    tally: Tally = field(default_factory=Tally)
    results: list[ConditionResult] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    """Pair -> why it could not be run."""
    wall_s: float = 0.0

    @property
    def disagree(self) -> bool:
        """Whether the results of any measured round are further apart than the tolerance."""
        rounds = (step for result in self.results for step in result.rounds if step.number)
        return any(step.apart_px is not None and step.apart_px > TOLERANCE_PX for step in rounds)


Work = list[tuple[Experiment, Prepared]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pair is run with."""

    installed: Installed
    interpreter: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything checked: what to run, and with what."""

    work: Work
    parts: Mapping[str, Parts | str]
    """Pair -> its parts, or why it cannot be run here."""


def ready(options: Options, say: Callable[[str], None]) -> Ready:
    """Every condition with its inputs read and checked, every pair with its parts.

    Raises ConfigError or FetchError on anything that the user gave and that cannot be used.
    """
    return Ready(_work(options, say), {pair.name: _parts(pair, options.elastix) for pair in options.pairs})


def _parts(pair: Pair, elastix: Path | None) -> Parts | str:
    try:
        parts = installed.load(pair)
        if elastix is not None and not pair.api_only:
            parts = _with_executable(parts, elastix)
        return Parts(parts, pair_interpreter(parts))
    except UnavailableError as error:
        return str(error).removeprefix(f"{pair.name}: ")


def _with_executable(parts: Installed, path: Path) -> Installed:
    """The pair with the executable that the user gave in place of the fetched one."""
    given = executables.from_path(path)
    executables.check_version(given, parts.pair.elastix)
    return dataclasses.replace(
        parts,
        elastix_command=given.command,
        elastix_env=given.environment,
        cli_source=given.source,
        lock=digest([parts.lock, dict(given.files)]),
        provenance={**parts.provenance, "given": dict(given.files)},
    )


def _work(options: Options, say: Callable[[str], None]) -> Work:
    chosen = [(experiment, condition) for experiment in options.experiments for condition in experiment.conditions]
    custom = _custom(options)
    sets: dict[str, ImageSet] = {CUSTOM_IMAGES: custom} if custom else {}
    work = []
    for experiment, condition in plan.shard(chosen, *options.shard):
        changed = _changed(condition, options, has_custom=custom is not None)
        if reason := loadarms.impossible(changed):
            say(f"{experiment.name}/{condition.name} is left out here: {reason}")
            continue
        if changed.images not in sets:
            sets[changed.images] = images.image_set(changed.images, offline=options.offline, say=say)
        work.append((experiment, prepare(changed, sets[changed.images], machine.physical_cores())))
    return work


def run(options: Options, checked: Ready, listener: Listener, stop: Stop) -> Summary:
    """Run the work for each pair, one pair after the other.

    A pair that cannot be had here is recorded as unavailable and the rest runs.
    """
    summary, start = Summary(), time.perf_counter()
    for words in profiling.missing(options.paths) if options.profile else ():
        listener.say(words)
    for words in doctor.warnings(machine.fingerprint()):
        listener.say(f"warning: {words}")
    name = machine.machine_id()
    folder = options.out / "raw" / name
    with store.locked(folder), store.named_errors(folder), clean_logs(folder):
        for pair in options.pairs:
            if stop.requested:
                break
            header = _header(options, pair, name)
            parts = checked.parts[pair.name]
            if isinstance(parts, str):
                listener.say(f"{pair.name} is unavailable: {parts}")
                summary.unavailable[pair.name] = parts
                _record_unavailable(folder / pair.name, header, parts)
            else:
                _run_pair(options, parts, checked.work, header, folder, listener, stop, summary)
    summary.wall_s = time.perf_counter() - start
    return summary


def _run_pair(
    options: Options,
    parts: Parts,
    work: Work,
    header: Mapping[str, Any],
    machine_folder: Path,
    listener: Listener,
    stop: Stop,
    summary: Summary,
) -> None:
    pair = parts.installed.pair
    folder = machine_folder / pair.name
    if options.fresh:
        for name in {experiment.name for experiment, _ in work}:
            store.set_aside(folder / f"{name}.jsonl")
    session = Session(
        name=header["session"],
        machine=header["machine"],
        machine_folder=machine_folder,
        pair=pair,
        lock=parts.installed.lock,
        cli_source=parts.installed.cli_source,
        seed=options.seed,
        rounds=options.rounds,
        precision=options.precision,
        paths=plan.paths_of(pair, options.paths),
    )
    common = {
        **header,
        "lock": parts.installed.lock,
        "provenance": dict(parts.installed.provenance),
        "executable_built_with": list(
            executables.built_with(parts.installed.elastix_command, parts.installed.elastix_env)
            if parts.installed.elastix_command
            else ()
        ),
        "wheels_built_with": [
            compiler
            for library in sorted((parts.installed.site_packages / "itk").glob("_ITKCommonPython.*"))
            for compiler in machine.compilers_of(library)
        ],
    }
    with Launcher() as launcher:
        for experiment, prepared in plan.for_pair(pair, work):
            if stop.requested:
                return
            raw = folder / f"{experiment.name}.jsonl"
            about = _about(experiment, work, options.rounds)
            kept = Kept(raw, {**common, "experiment": about}, lambda: _end(header))
            made = makers(parts.installed, prepared, launcher, folder, options.limits, parts.interpreter)
            run = ConditionRun(session, experiment, prepared, kept, made, listener, stop, summary.tally)
            summary.results.append(run.run())
            if options.profile and prepared.condition.measures == "registration" and not stop.requested:
                profiling.take(session, experiment, prepared.condition, made, listener.say)


def _custom(options: Options) -> ImageSet | None:
    if (options.fixed is None) != (options.moving is None):
        raise ConfigError("--fixed and --moving go together; give both")
    if options.fixed is None or options.moving is None:
        return None
    return custom_images(options.fixed, options.moving)


def _changed(condition: Condition, options: Options, *, has_custom: bool) -> Condition:
    if options.threads is not None:
        condition = with_threads(condition, options.threads)
    if options.parameter_files:
        condition = dataclasses.replace(condition, parameter_files=options.parameter_files)
    return dataclasses.replace(condition, images=CUSTOM_IMAGES) if has_custom else condition


def _header(options: Options, pair: Pair, name: str) -> dict[str, Any]:
    """The session line: everything that the measurements of this start have in common."""
    return {
        "kind": "session",
        "schema": SCHEMA,
        "session": uuid.uuid4().hex[:16],
        "machine": name,
        "started_utc": store.utc_now(),
        "command": list(options.command),
        "pair": pair.name,
        "itk_elastix": pair.itk_elastix,
        "elastix": pair.elastix,
        "python": sys.version.split()[0],
        "fingerprint": machine.fingerprint(),
        "seed": options.seed,
        "status": "ok",
        "note": "",
    }


def _end(header: Mapping[str, Any]) -> dict[str, Any]:
    """The line after a condition: what the machine was like then."""
    common = {name: header[name] for name in ("schema", "session", "machine", "pair")}
    return {"kind": "end", **common, "ended_utc": store.utc_now(), "state": machine.state()}


def _about(experiment: Experiment, work: Iterable[tuple[Experiment, Prepared]], rounds: int | None) -> dict[str, Any]:
    """What the session line of an experiment's raw file says of the experiment; ``rounds`` replace its own."""
    conditions = {
        prepared.condition.name: {
            **dataclasses.asdict(prepared.condition),
            "parameter_files": [Path(name).name for name in prepared.condition.parameter_files],  # no folder of a user
        }
        for other, prepared in work
        if other is experiment
    }
    return {
        "name": experiment.name,
        "question": experiment.question,
        "rounds": rounds or experiment.rounds,
        "own_rounds": {} if rounds else dict(experiment.own_rounds),
        "conditions": conditions,
    }


def _record_unavailable(folder: Path, header: Mapping[str, Any], reason: str) -> None:
    """One session line says why; it is not repeated on every run."""
    file = folder / "unavailable.jsonl"
    if any(line.get("note") == reason for line in store.read_lines(file)):
        return
    raw = store.RawFile(file)
    raw.append({**header, "status": "unavailable", "note": reason})
    raw.close()
