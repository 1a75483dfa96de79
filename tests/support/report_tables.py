"""Made-up tables for the tests of explain and report: seconds by a simple law, so that there is something to tell.

A registration takes 1.9 s and a part that grows with work units x bins^2, smaller from itk-elastix 0.25.4 on.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from repro import stats
from repro.model import PATHS, Reason, SessionLine, Side, Status, digest
from repro.results.columns import BuildRow, Row, TrialRow, read_asked, write_reasons
from repro.results.tables import Tables

MACHINES = ("linux-64-epyc-2c-1a2b3c4d", "win-64-i7-8c-5e6f7a8b", "osx-arm64-m2-8c-9c0d1e2f")
PAIRS = ("0.21.0-5.2.0", "0.25.1-5.3.1", "0.25.4-5.3.1")
CORES = 2
_A_THREAD = {None: 16, "TBB": 16, "Pool": 4, "Platform": 1}
HALF = "MaximumNumberOfIterations=50"
_TENTH = "MaximumNumberOfIterations=10"
_BINS = "NumberOfHistogramBins=32"
POSTED, TOLD = "parameter:2", "method:2"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A condition, as comparison.csv has it."""

    experiment: str
    condition: str
    other: str = POSTED
    base: str = "option:2"
    paths: tuple[str, str] = ("cli", "api")
    machine_threads: int | None = None
    overrides: str = ""
    transform: str = "BSplineTransform"
    strategy: str | None = None
    jobs: int | None = None
    size_px: str = "256x254"


def _causes(experiment: str, seen: int | None, **settings: str) -> list[Case]:
    return [
        Case(experiment=experiment, condition=name, other=other.strip("!"), machine_threads=seen,
             overrides=HALF + (f"; {_BINS}" if "!" in other else ""),
             base="option:28" if "units" in name else "option:2")
        for name, other in settings.items()
    ]  # fmt: skip


QUICK = [
    Case(experiment="quick", condition="as-posted", overrides=_TENTH),
    Case(experiment="quick", condition="as-posted-28", overrides=_TENTH, machine_threads=28),
    Case(experiment="quick", condition="cured-28", overrides=_TENTH, machine_threads=28, other=TOLD),
]
MAIN = [
    Case(experiment="posted", condition="as-posted"),
    Case(experiment="posted-28", condition="as-posted", machine_threads=28),
    Case(experiment="aa", condition="cli-cli", other="option:2", paths=("cli", "cli"), machine_threads=28),
    Case(experiment="aa", condition="api-api", base=TOLD, other=TOLD, paths=("api", "api"), machine_threads=28),
    *_causes("causes", 28, posted=POSTED, threads=TOLD, pool=f"{POSTED}+Pool", bins=f"{POSTED}!"),
]
ORDERS = [
    *_causes("causes-orders", 28, **{
        "platform": f"{POSTED}+Platform", "platform+units": f"{POSTED}+Platform", "threads+pool": f"{TOLD}+Pool",
        "pool+bins": f"{POSTED}+Pool!", "threads+pool+bins": f"{TOLD}+Pool!",
    }),
    *_causes("causes-own", None, posted=POSTED, threads=TOLD, pool=f"{POSTED}+Pool", bins=f"{POSTED}!"),
]  # fmt: skip
MORE = [
    Case(experiment="work-units", condition="128-each", base="option:128", machine_threads=8),
    *(Case(experiment="transforms", condition=name, machine_threads=28, transform=transform, overrides=overrides)
      for name, transform, overrides in (
          ("bspline", "BSplineTransform", ""), ("bspline-32-bins", "BSplineTransform", _BINS),
          ("affine-128-bins", "AffineTransform", 'Transform="AffineTransform"'),
          ("affine-32-bins", "AffineTransform", f'Transform="AffineTransform"; {_BINS}'))),
    Case(experiment="untold", condition="own", base="option:2", other="default", paths=("cli", "cli")),
    Case(experiment="untold", condition="28", other="default", paths=("cli", "cli"), machine_threads=28),
    *(Case(experiment="scaling", condition=f"units-{n}", base=f"option:{n}", other=f"method:{n}", overrides=_TENTH)
      for n in (1, 4, 16, 64, 128, 256, 1024)),
    *(Case(experiment="parallel", condition=f"pool-{n}", base="option:1", other="method:1+Pool", strategy="pool",
           jobs=n) for n in (1, 2, 4)),
    Case(experiment="parallel", condition="threads-2", base="option:1", other="method:1", strategy="threads", jobs=2),
    *(Case(experiment="paths", condition=f"{path}-{name}", other=other, paths=("cli", path), machine_threads=28)
      for path in ("api", "sitk") for name, other in (("posted", POSTED), ("cured", TOLD))),
]  # fmt: skip
RELEASES = ("0.17.0", "0.19.1", "0.21.0", "0.23.0", "0.25.1", "0.25.4")


def made(
    machines: Sequence[str] = MACHINES[:1],
    pairs: Sequence[str] = PAIRS,
    cases: Sequence[Case] = tuple(MAIN),
    *,
    blocks: int = 8,
    rounds: int = 2,
    releases: Sequence[str] = (),
    unavailable: str = "",
    scale: float = 1.0,
) -> Tables:
    """Tables of every machine, pair and case; `scale` multiplies what the API takes more."""
    rows, trials = [], []
    for machine in machines:
        for pair in pairs:
            api, _, cli = pair.partition("-")
            versions = {"cli": cli, "api": api, "sitk": "3.0.0a1.post183"}
            for case in cases:
                row, its = condition(machine, pair, case, versions, blocks, rounds, scale)
                rows.append(row)
                trials += its
        for release in releases:
            versions = {"cli": "5.3.1", "api": release}
            for name, other in (("posted", POSTED), ("threads", TOLD)):
                case = Case(experiment="releases", condition=name, other=other, machine_threads=28, overrides=_TENTH)
                row, its = condition(machine, f"cli:5.3.1 api:{release}", case, versions, blocks, rounds, scale)
                rows.append(row)
                trials += its
        if unavailable:
            why = write_reasons([(Reason.UNAVAILABLE, (unavailable,))])
            rows.append(Row(machine=machine, comparison="0.25.0-5.3.0", status=Status.UNAVAILABLE, reason=why))
    return Tables(rows, trials, builds(machines, rows), [session(machine) for machine in machines])


def compared(base: str = "api:0.25.3", other: str = "api:0.25.4", blocks: int = 8) -> Tables:
    """Tables of `compare BASE OTHER`."""
    rows, trials = [], []
    paths = (base.partition(":")[0], other.partition(":")[0])
    names = {"api": (POSTED, TOLD), "cli": ("default", "option:2"), "sitk": ("default", TOLD)}
    for n, name in enumerate(("as-posted-28", "told-28")):
        case = Case(experiment="compare", condition=name, base=names[paths[0]][n], other=names[paths[1]][n],
                    paths=paths, machine_threads=28)  # fmt: skip
        row, its = condition(MACHINES[0], f"{base} {other}", case, {}, blocks, 2, 1.0, names=(base, other))
        rows.append(row)
        trials += its
    return Tables(rows, trials, [], [session(MACHINES[0])])


def condition(
    machine: str, comparison: str, case: Case, versions: dict[str, str], blocks: int, rounds: int, scale: float,
    names: tuple[str, str] = ("", ""),
) -> tuple[Row, list[TrialRow]]:  # fmt: skip
    """A row and its trials."""
    draw = random.Random(f"{machine}/{comparison}/{case.experiment}/{case.condition}")
    both = [name or f"{path}:{versions[path]}" for name, path in zip(names, case.paths, strict=True)]
    arms = [_arm(case, path, asked, build) for path, asked, build in
            zip(case.paths, (case.base, case.other), both, strict=True)]  # fmt: skip
    seconds = [1.0 + (_cost(case, arm, build) * (scale if n else 1.0))
               for n, (arm, build) in enumerate(zip(arms, both, strict=True))]  # fmt: skip
    key = digest([comparison, dataclasses.asdict(case)])
    registrations = case.jobs
    trials: list[TrialRow] = []
    logs: dict[int, list[float]] = {}
    for block in range(1, blocks + 1):
        luck = draw.gauss(0, 0.02)
        for number in range(rounds + 1):
            walls = [
                value * (registrations or 1) / min(case.jobs or 1, CORES) * math.exp(draw.gauss(0, 0.01) + luck * n)
                for n, value in enumerate(seconds)
            ]
            if number:
                logs.setdefault(block, []).append(math.log(walls[1] / walls[0]))
            sides: tuple[Side, Side] = ("base", "other")
            for position, side in enumerate(sides):
                python = not arms[position]["build"].startswith("cli")
                trials.append(
                    TrialRow(
                        machine=machine, comparison=comparison, experiment=case.experiment, condition=case.condition,
                        key=key, life=f"{key[:6]}-{block}", block=block, whole=True, round=number, side=side,
                        build=arms[position]["build"], position=position, phase="measure" if number else "warmup",
                        status="ok", wall_s=walls[position], load_s=8.0 if python and not number else None,
                        peak_bytes=900_000_000 if python else 60_000_000, threads=arms[position]["threads"],
                        first_s=walls[position] / 2 if case.jobs else None,
                        tree_peak_bytes=700_000_000 * (case.jobs or 1) if case.jobs and not number and python else None,
                        resolutions_s="0.2 0.3 0.4", started_utc=f"2026-12-01T08:{block:02}:{number:02}.{position}Z",
                        session=f"{machine}-1",
                    )
                )  # fmt: skip
    found = stats.estimate(logs)
    assert found
    floor = (0.97, 1.03)
    units = [arm["work_units"] for arm in arms]
    reasons: list[tuple[Reason, tuple[object, ...]]] = []
    if units[0] != units[1]:
        reasons.append((Reason.UNEQUAL_WORK_UNITS, tuple(units)))
    if case.other.startswith("parameter"):
        reasons.append((Reason.NOT_HONOURED, ("other", 2, "unspecified")))
    medians = [median(t.wall_s or 0 for t in trials if t.side == side and t.round) for side in ("base", "other")]
    row = Row(
        machine=machine, platform="linux-64", cpu="Made-up processor", physical_cores=CORES, logical_cores=2 * CORES,
        comparison=comparison, experiment=case.experiment, condition=case.condition, transform=case.transform,
        size_px=case.size_px, overrides=case.overrides or None, machine_threads=case.machine_threads,
        strategy=case.strategy, jobs=case.jobs, registrations=registrations,
        base=both[0], base_digest=digest(both[0])[:8], base_asked=case.base, base_median_s=medians[0],
        other=both[1], other_digest=digest(both[1])[:8], other_asked=case.other, other_median_s=medians[1],
        ratio=found.value, ratio_low=found.low, ratio_high=found.high, interval=found.interval, blocks=blocks,
        rounds=blocks * rounds, between_sd=found.between_sd, within_sd=found.within_sd, floor_low=floor[0],
        floor_high=floor[1], verdict=stats.verdict(found, floor),
        status=Status.EXPLAINED if units[0] != units[1] else Status.OK, reason=write_reasons(reasons) or None,
        agreement_px=0.0 if units[0] == units[1] else 0.4, agreement_mean_px=0.0,
        base_threads=arms[0]["threads"], base_threader=arms[0]["threader"], base_work_units=units[0],
        base_peak_bytes=60_000_000 if case.paths[0] == "cli" else 900_000_000,
        other_threads=arms[1]["threads"], other_threader=arms[1]["threader"], other_work_units=units[1],
        other_peak_bytes=60_000_000 if case.paths[1] == "cli" else 900_000_000,
        other_load_s=None if case.paths[1] == "cli" else 8.0, key=key,
    )  # fmt: skip
    return row, trials


def _arm(case: Case, path: str, asked: str, build: str) -> dict[str, Any]:
    settings = read_asked(asked)
    threader = settings.threader or ("TBB" if path == "api" else "Pool")
    heeded = settings.threads != "default" and settings.by != "parameter"
    threads = settings.threads if heeded else case.machine_threads or 2 * CORES
    units = threads if heeded or path == "sitk" else int(threads) * _A_THREAD[settings.threader or threader]
    return {"threads": threads, "threader": threader if path != "cli" else None, "work_units": units, "build": build}


def _cost(case: Case, arm: dict[str, Any], build: str) -> float:
    bins = 32 if _BINS in case.overrides else 128
    fast = 0.25 if build in ("api:0.25.4", "api:0.25.5") else 1.0
    return 0.9 + fast * 18.0 * (bins / 128) ** 2 * int(arm["work_units"]) / 448


def builds(machines: Iterable[str], rows: Iterable[Row]) -> list[BuildRow]:
    """What `inspect` found of the builds of these rows."""
    names = sorted({name for row in rows for name in (row.base, row.other) if name})
    assert all(name.split(":")[0] in PATHS for name in names)
    return [
        BuildRow(
            machine=machine, build=name, digest=digest(name), itk="5.4.5", elastix="5.3.1",
            default_threader=None if name.startswith("cli") else "TBB", threads_28=28, work_units_28=448,
            parameter_honoured=False, method_honoured=True, lock_ticks_expected=1300,
            lock_ticks=None if name.startswith("cli") else 1,
            import_s=0.9, first_object_s=8.0, resident_bytes=900_000_000,
        )
        for machine in machines for name in names
    ]  # fmt: skip


def session(machine: str) -> SessionLine:
    """A session line of the machine."""
    return SessionLine(
        session=f"{machine}-1", machine=machine, identity="i" * 32, started_utc="2026-12-01T08:00:00Z",
        command=("bench-all",), comparison="0.25.4-5.3.1", builds={}, seed=1, harness="2.0.0, Python 3.14.0",
        fingerprint={"os": "Linux", "os_version": "6.1", "cpu": "Made-up processor", "physical_cores": 2},
    )  # fmt: skip
