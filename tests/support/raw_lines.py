"""Results folders of made-up measurements, line by line as `measure` writes them, for results, explain and report.

The seconds follow a simple law, so that there is something to find: 1.9 s and a part that grows with work units x
bins^2, a third of it from itk-elastix 0.25.4 on. ``ratios`` puts the true ratio of a condition in its place.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.model import (
    AgreementLine,
    Arm,
    BatchCondition,
    BlockLine,
    Build,
    Comparison,
    Condition,
    ConditionLine,
    Inputs,
    InspectionLine,
    Line,
    Measurement,
    Path_,
    Registration,
    RegistrationCondition,
    SessionLine,
    Settings,
    Side,
    Strategy,
    UnavailableLine,
    condition_key,
    digest,
    read_line,
    write_line,
)

MACHINE = "linux-64-made-up-2c-1a2b3c4d"
PAIRS = ("0.21.0-5.2.0", "0.25.1-5.3.1", "0.25.4-5.3.1")
CORES = 2
TOLD = Settings("cores", "option")
POSTED = Settings("cores", "parameter")
CURED = Settings("cores", "method")
_UNITS_A_THREAD = {"TBB": 16, "Pool": 4, "Platform": 1}


@dataclass(frozen=True)
class Spec:
    """A condition without its builds."""

    name: str
    other: Settings = POSTED
    base: Settings = TOLD
    paths: tuple[Path_, Path_] = ("cli", "api")
    machine_threads: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    strategy: Strategy | None = None
    jobs: int = 2
    registrations: int = 2


def _seen_28(*specs: Spec, **overrides: str) -> tuple[Spec, ...]:
    return tuple(
        dataclasses.replace(one, machine_threads=28, overrides={**overrides, **one.overrides}) for one in specs
    )


_LADDER = (
    Spec("posted"),
    Spec("threads", CURED),
    Spec("pool", Settings("cores", "parameter", "Pool")),
    Spec("bins", overrides={"NumberOfHistogramBins": "32"}),
    Spec("threads+pool", Settings("cores", "method", "Pool")),
    Spec("threads+pool+bins", Settings("cores", "method", "Pool"), overrides={"NumberOfHistogramBins": "32"}),
)
EXPERIMENTS: dict[str, tuple[Spec, ...]] = {
    "posted": (Spec("as-posted"),),
    "posted-28": _seen_28(Spec("as-posted")),
    "told": (Spec("told", CURED),),
    "aa": (
        Spec("cli", TOLD, paths=("cli", "cli")),
        Spec("api", CURED, CURED, paths=("api", "api")),
        *_seen_28(Spec("cli-28", TOLD, paths=("cli", "cli")), Spec("api-28", POSTED, POSTED, paths=("api", "api"))),
    ),
    "causes": _seen_28(*_LADDER, MaximumNumberOfIterations="50"),
    "causes-own": _LADDER,
    "sitk": (Spec("sitk", CURED, paths=("cli", "sitk")),),
    "untold": _seen_28(Spec("untold", Settings(), paths=("cli", "cli"))),
    "parallel": (
        Spec("pool", Settings(1, "method", "Pool"), Settings(1, "option"), strategy="pool"),
        Spec("threads", Settings(1, "method", "Pool"), Settings(1, "option"), strategy="threads"),
    ),
}
"""Experiments of ours, in short."""


def build(path: Path_, version: str, content: str = "") -> Build:
    """A build; another content is another build of the same version."""
    return Build(path, version, digest([path, version, content]))


def comparison(name: str) -> Comparison:
    """Of the name of a pair, or of two builds: `api:0.25.3 api:0.25.4`."""
    if ":" in name:
        base, other = (one.split(":") for one in name.split())
        return Comparison(name, build(base[0], base[1]), build(other[0], other[1]))  # type: ignore[arg-type]
    api, _, cli = name.partition("-")
    return Comparison(name, build("cli", cli), build("api", api))


def condition(spec: Spec, builds: Comparison) -> Condition:
    """The condition of this comparison."""
    mine = ":" in builds.name
    by_path = {builds.base.path: builds.base, builds.other.path: builds.other, "sitk": build("sitk", "3.0.0a1.post183")}
    base, other = (
        (Arm(builds.base, spec.base), Arm(builds.other, spec.other))
        if mine
        else (Arm(by_path[spec.paths[0]], spec.base), Arm(by_path[spec.paths[1]], spec.other))
    )
    registration = Registration(("posted-bspline.txt",), "posted", tuple(sorted(spec.overrides.items())))
    if spec.strategy:
        return BatchCondition(
            spec.name, base, other, registration, spec.strategy, spec.jobs, spec.registrations, spec.machine_threads
        )
    return RegistrationCondition(spec.name, base, other, registration, spec.machine_threads)


def inputs(its: Condition) -> Inputs:
    """Digests of what the condition reads."""
    return Inputs(
        digest("fixed") * 2,
        digest("moving") * 2,
        digest([its.registration.parameter_files, its.registration.overrides]) * 2,
        size_px=(256, 254),
        transform="BSplineTransform",
    )


def write_raw(
    folder: Path,
    *,
    machines: Sequence[str] = (MACHINE,),
    comparisons: Sequence[str] = PAIRS[-1:],
    experiments: Sequence[str] | Mapping[str, Sequence[Spec]] = ("posted", "posted-28", "aa"),
    blocks: int = 8,
    rounds: int = 2,
    ratios: Mapping[str, float] | None = None,
    between: float = 0.01,
    within: float = 0.01,
    agreement_px: float | None = 1e-7,
    unavailable: Mapping[str, str] | None = None,
    inspect: bool = False,
    transforms: bool = False,
    seed: int = 0,
    identity: str = "",
) -> Path:
    """Write <folder>/raw/<machine>/<experiment>/<comparison>.jsonl for every combination; returns the folder.

    ``ratios`` are true ratios by condition or experiment, in place of the law's; ``between`` and ``within`` are
    standard deviations of log ratios from block to block and from round to round. ``agreement_px`` None: nothing is
    compared. ``unavailable`` maps comparisons to why they can't be had. ``transforms`` writes the results' files, too.
    """
    specs = experiments if isinstance(experiments, Mapping) else {name: EXPERIMENTS[name] for name in experiments}
    for machine in machines:
        here = folder / "raw" / machine
        mine = identity or digest(["identity", machine])
        for name in comparisons:
            for experiment, its in specs.items():
                draw = random.Random(f"{seed}/{machine}/{name}/{experiment}")
                lines: list[Line] = [session_line(machine, name, experiment, mine)]
                for spec in its:
                    ratio = (ratios or {}).get(spec.name, (ratios or {}).get(experiment))
                    lines += condition_lines(
                        machine, name, experiment, spec, draw, blocks, rounds, ratio, between, within, agreement_px
                    )
                write_lines(here / experiment / f"{file_name(name)}.jsonl", lines)
        for name, reason in (unavailable or {}).items():
            session = session_line(machine, name, "posted", mine)
            gone = UnavailableLine(session=session.session, comparison=name, reason=reason)
            write_lines(here / "posted" / f"{file_name(name)}.jsonl", [session, gone])
        if inspect:
            builds = sorted({one for name in comparisons for one in _builds(name)})
            write_lines(here / "inspect.jsonl", [inspection(machine, mine, one) for one in builds])
        if transforms:
            file = here / "transforms" / digest("result") / "TransformParameters.0.txt"
            file.parent.mkdir(parents=True)
            file.write_text('(Transform "BSplineTransform")\n(TransformParameters 0.5)\n', encoding="utf-8")
    return folder


def session_line(machine: str, name: str, experiment: str, identity: str = "") -> SessionLine:
    """The line that a start of a command writes first."""
    return SessionLine(
        session=f"{machine}-{name}-{experiment}",
        machine=machine,
        identity=identity or digest(["identity", machine]),
        started_utc="2026-12-01T08:00:00.000000+00:00",
        command=("bench", name, "--experiment", experiment),
        comparison=name,
        builds={one.name: {"digest": one.digest, "source": "made up"} for one in _builds(name)},
        fingerprint={
            "os": "Linux",
            "os_version": "6.1",
            "platform": "linux-64",
            "cpu": f"Made-up processor of {machine}",
            "physical_cores": CORES,
            "logical_cores": 2 * CORES,
        },
        seed=1,
        harness="0.1.0, Python 3.11.7",
    )


def _builds(name: str) -> tuple[Build, ...]:
    found = comparison(name)
    return found.base, found.other


def condition_lines(
    machine: str,
    name: str,
    experiment: str,
    spec: Spec,
    draw: random.Random,
    blocks: int = 8,
    rounds: int = 2,
    ratio: float | None = None,
    between: float = 0.01,
    within: float = 0.01,
    agreement_px: float | None = 1e-7,
) -> Iterator[Line]:
    """The lines of one condition: its own, then block by block the warm-up and the rounds, each with its agreement."""
    its = condition(spec, comparison(name))
    session, read = f"{machine}-{name}-{experiment}", inputs(its)
    key = condition_key(its, read)
    yield ConditionLine(
        session=session,
        key=key,
        experiment=experiment,
        question="How much slower?",
        comparison=name,
        condition=its,
        inputs=read,
        blocks=blocks,
        rounds=rounds,
    )
    base_s = seconds(its, "base")
    true = {"base": base_s, "other": base_s * ratio if ratio else seconds(its, "other")}
    for block in range(1, blocks + 1):
        luck, life = draw.gauss(0, between), digest([machine, key, experiment, block])[:12]
        for number in range(rounds + 1):
            sides: tuple[Side, ...] = ("base", "other") if draw.random() < 0.5 else ("other", "base")
            for position, side in enumerate(sides):
                noise = draw.gauss(0, within / math.sqrt(2)) + (luck if side == "other" else 0.0)
                yield measurement(its, side, session, key, life, block, number, position, true[side] * math.exp(noise))
            if agreement_px is not None:
                yield AgreementLine(
                    session=session,
                    key=key,
                    life=life,
                    block=block,
                    round=number,
                    digests=(digest("result"), digest("result")),
                    mean_px=agreement_px / 4,
                    max_px=agreement_px,
                )
        yield BlockLine(
            session=session,
            key=key,
            life=life,
            block=block,
            environment_bytes=100 * block,
            folder_length=40 + block,
            ended_utc=f"2026-12-01T08:{block % 60:02}:59.000000+00:00",
        )


def seconds(its: Condition, side: Side) -> float:
    """Seconds of an arm by the law of the module; a batch runs two at a time."""
    arm, bins = its.arm(side), int(dict(its.registration.overrides).get("NumberOfHistogramBins", "128"))
    fast = 0.3 if arm.build.path != "api" or arm.build.version >= "0.25.4" else 1.0
    units = told(its, side) or threads(its, side) * _UNITS_A_THREAD[threader(its, side)]
    one = 1.9 + (fast if arm.build.path == "api" else 1.0) * 18.0 * (bins / 128) ** 2 / 448 * units
    return one * (its.registrations / 2 if isinstance(its, BatchCondition) and its.registrations != "jobs" else 1)


def told(its: Condition, side: Side) -> int | None:
    """Threads that elastix is told; None: none."""
    asked = its.arm(side).settings
    if asked.threads == "default" or asked.by == "parameter":
        return None
    return asked.threads if isinstance(asked.threads, int) else CORES


def threads(its: Condition, side: Side) -> int:
    """Threads in effect."""
    return told(its, side) or its.machine_threads or 2 * CORES


def threader(its: Condition, side: Side) -> str:
    """ITK's multi-threader in effect."""
    arm = its.arm(side)
    return arm.settings.threader or ("TBB" if arm.build.path == "api" else "Pool")


def measurement(
    its: Condition,
    side: Side,
    session: str,
    key: str,
    life: str,
    block: int,
    number: int,
    position: int,
    wall_s: float,
) -> Measurement:
    """One good trial."""
    arm = its.arm(side)
    python = arm.build.path != "cli"
    asked = arm.settings.threads
    log_threads = told(its, side)
    said = {
        "cli": {"elastix": arm.build.version},
        "api": {"itk_elastix": arm.build.version, "itk": "5.4.7", "elastix": "5.3.1", "python": "3.11.7"},
        "sitk": {"simpleitk": arm.build.version, "python": "3.11.7"},
    }[arm.build.path]
    batch = isinstance(its, BatchCondition)
    return Measurement(
        session=session,
        key=key,
        life=life,
        block=block,
        round=number,
        side=side,
        position=position,
        phase="measure" if number else "warmup",
        status="ok",
        started_utc=f"2026-12-01T08:{block % 60:02}:{number % 29 * 2 + position:02}.000000+00:00",
        exit_status=0,
        wall_s=wall_s,
        load_s=8.5 if python and not number else None,
        resolutions_s=tuple(wall_s * part for part in (0.1, 0.15, 0.15, 0.15, 0.2, 0.2)),
        user_s=wall_s * 1.6,
        system_s=wall_s * 0.1,
        peak_bytes=900_000_000 if python else 60_000_000,
        voluntary_switches=1234,
        involuntary_switches=56,
        other_cores=0.02,
        stolen_cores=0.0,
        threads=None if asked == "default" else asked if isinstance(asked, int) else CORES,
        log_threads="unspecified" if log_threads is None else str(log_threads),
        threader=threader(its, side) if python else None,
        default_threads=threads(its, side) if python else None,
        maximum_threads=128 if python else None,
        work_units=threads(its, side) * _UNITS_A_THREAD[threader(its, side)] if python else None,
        said=said,
        final_metric=-1.23456,
        result_digest=digest("result"),
        jobs=its.jobs if isinstance(its, BatchCondition) and its.jobs != "cores" else 1,
        registrations=its.registrations if isinstance(its, BatchCondition) and its.registrations != "jobs" else 1,
        first_s=wall_s / 2 if batch else None,
        results=1 if batch else None,
        tree_peak_bytes=(1800 if python else 120) << 20 if batch and not number else None,
    )


def inspection(machine: str, identity: str, one: Build) -> InspectionLine:
    """What a build does."""
    api = one.path == "api"
    return InspectionLine(
        machine=machine,
        identity=identity,
        started_utc="2026-12-01T07:00:00.000000+00:00",
        build=one,
        source="made up",
        itk="5.4.7",
        elastix="5.3.1" if api else one.version,
        python="3.11.7" if api else None,
        default_threader="TBB" if api else "Pool",
        threads_2=2,
        work_units_2=32 if api else 8,
        threads_28=28,
        work_units_28=448 if api else 112,
        parameter_honoured=False,
        method_honoured=True if api else None,
        option_honoured=None if api else True,
        environment_honoured=True,
        lock_ticks=1 if api else None,
        lock_ticks_expected=1300 if api else None,
        import_s=0.9 if api else None,
        import_modules=30 if api else None,
        first_object_s=7.5 if api else 0.08,
        first_object_modules=56 if api else None,
        resident_bytes=338 << 20 if api else None,
        later_calls_same=True if api else None,
        transformix_reads=False if api else None,
    )


# ---- files


def file_name(name: str) -> str:
    """Name of a comparison as a file's."""
    return name.replace(":", "_").replace(" ", "_")


def write_lines(file: Path, lines: Iterable[Line]) -> None:
    """Write the lines in place of the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{write_line(line)}\n" for line in lines), encoding="utf-8", newline="\n")


def read_lines(file: Path) -> list[Line]:
    """The lines of a file of ours."""
    return [read_line(text) for text in file.read_bytes().splitlines()]


def raw_file(folder: Path, experiment: str = "posted", name: str = PAIRS[-1], machine: str = MACHINE) -> Path:
    """The raw file of a comparison."""
    return folder / "raw" / machine / experiment / f"{file_name(name)}.jsonl"


def replaced(line: Any, **fields: object) -> Any:
    """The line with other fields, of whatever kind it is."""
    return dataclasses.replace(line, **fields)


def change(file: Path, which: Callable[[Measurement], bool] = lambda one: True, **fields: object) -> None:
    """Replace fields of the measurements that are meant."""
    write_lines(
        file,
        (
            replaced(line, **fields) if isinstance(line, Measurement) and which(line) else line
            for line in read_lines(file)
        ),
    )
