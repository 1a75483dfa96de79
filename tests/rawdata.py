"""Raw folders of made-up measurements, valid line by line, for the tests of merge and report."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.measure.measurement import Agreement, Measurement
from repro.model import SCHEMA, Condition, Inputs, Path_, Phase, Settings, Trial, digest, is_api_only
from repro.plan.order import order

PAIRS = ("0.21.0-5.2.0", "0.25.4-5.3.1")
INPUTS = Inputs(*(digest(name) * 2 for name in ("fixed", "moving", "params")))
SECONDS: dict[str, float] = {"cli": 2.0, "api": 20.0}
_NOBODY = Settings(None)


def conditions(experiment: str) -> tuple[Condition, ...]:
    """Conditions as the project's experiments have them: `posted`, `aa`, and one other of any name."""
    bspline = ("bspline.txt",)
    cli, api = Settings(2, "option"), Settings(2, "method")
    if experiment == "aa":
        return (
            Condition("cli-cli", bspline, "posted", cli, _NOBODY, arms=("cli", "cli")),
            Condition("api-api", bspline, "posted", _NOBODY, api, arms=("api", "api")),
        )
    if experiment == "versions":
        asked = {"posted": Settings(2, "parameter"), "threads": api}
        return tuple(Condition(name, bspline, "posted", cli, its, machine_threads=28) for name, its in asked.items())
    if experiment == "posted":
        return (Condition("posted", bspline, "posted", cli, Settings(2, "parameter")),)
    return (
        Condition("equal-threads", bspline, "posted", cli, api),
        Condition("machine-28", bspline, "posted", cli, Settings(2, "parameter"), machine_threads=28),
    )


def write_raw(
    folder: Path,
    *,
    machines: Sequence[str] = ("m1",),
    pairs: Sequence[str] = PAIRS[:1],
    experiments: Sequence[str] = ("posted", "aa"),
    rounds: int = 12,
    seed: int = 0,
    seconds: Mapping[str, float] = SECONDS,
    spread: float = 0.02,
    agreement_px: float | None = 1e-7,
    unavailable: Mapping[str, str] | None = None,
) -> Path:
    """Write <folder>/<machine>/<pair>/<experiment>.jsonl for every combination; returns the folder.

    `seconds` are a path's true seconds, scattered log-normally by `spread`; `unavailable` maps pairs
    to the reason why they get a session line and nothing else.
    """
    for machine in machines:
        for pair in (*pairs, *(unavailable or {})):
            for experiment in experiments:
                file = folder / machine / pair / f"{experiment}.jsonl"
                file.parent.mkdir(parents=True, exist_ok=True)
                reason = (unavailable or {}).get(pair, "")
                lines = [session_line(machine, pair, experiment, rounds, reason)]
                if not reason:
                    draw = random.Random(f"{seed}/{machine}/{pair}/{experiment}")
                    for condition in conditions(experiment):
                        lines += trial_lines(
                            machine, pair, experiment, condition, rounds, draw, seconds, spread, agreement_px
                        )
                with file.open("w", encoding="utf-8", newline="\n") as out:
                    out.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def session_line(machine: str, pair: str, experiment: str, rounds: int, reason: str = "") -> dict[str, Any]:
    """The line that a start of `bench` writes first."""
    return {
        "kind": "session",
        "schema": SCHEMA,
        "session": f"{machine}-{pair}-{experiment}",
        "machine": machine,
        "started_utc": "2026-09-01T08:00:00Z",
        "command": ["bench", pair],
        "pair": pair,
        "python": "3.11.7",
        "lock": digest([pair, "lock"]),
        "provenance": {},
        "fingerprint": {
            "os": "Linux",
            "os_version": "6.1",
            "arch": "x86_64",
            "platform": "linux-64",
            "cpu": f"Made-up processor of {machine}",
            "physical_cores": 2,
            "logical_cores": 4,
            "python": "3.11.7",
        },
        "experiment": {
            "name": experiment,
            "question": "How much slower?",
            "rounds": rounds,
            "conditions": {c.name: dataclasses.asdict(c) for c in conditions(experiment)},
        },
        "status": "unavailable" if reason else "ok",
        "note": reason,
    }


def trial_lines(
    machine: str,
    pair: str,
    experiment: str,
    condition: Condition,
    rounds: int,
    draw: random.Random,
    seconds: Mapping[str, float],
    spread: float,
    agreement_px: float | None,
) -> Iterator[dict[str, Any]]:
    """The lines of one condition: starts of the executable, the warm-up round, the rounds, each with its agreement."""
    first = order(0, condition.name, rounds)
    paths = ("api",) if is_api_only(pair) else ("cli", "api")
    if "cli" in condition.arms and "cli" in paths:
        for number in (1, 2, 3):
            yield _measurement(machine, pair, experiment, condition, 0, "cli", "start", number, 0, 0.08)
    for number in range(rounds + 1):
        phase: Phase = "measure" if number else "warmup"
        arms = (0, 1) if not number or first[number - 1] else (1, 0)
        for position, arm in enumerate(arms):
            path = condition.arms[arm]
            if path not in paths:
                continue
            wall = seconds[path] * math.exp(draw.gauss(0, spread)) * (1 if number else 1.2)
            yield _measurement(machine, pair, experiment, condition, arm, path, phase, number, position, wall)
        if agreement_px is not None and not is_api_only(pair):
            results = (digest("result"), digest("result"))
            at = (f"{machine}-{pair}-{experiment}", machine, pair, experiment, condition.name, number)
            names = ("session", "machine", "pair", "experiment", "condition", "round")
            values = {"mean_px": agreement_px / 4, "max_px": agreement_px, "digests": results}
            yield Agreement(**dict(zip(names, at, strict=True)), **values).line()  # type: ignore[arg-type]


def _measurement(
    machine: str,
    pair: str,
    experiment: str,
    condition: Condition,
    arm: int,
    path: Path_,
    phase: Phase,
    number: int,
    position: int,
    wall_s: float,
) -> dict[str, Any]:
    trial = Trial(pair, experiment, condition.name, arm, path, phase, number, position)
    itk_elastix, _, elastix = pair.partition("-")
    api, asked = path == "api", condition.settings(path)
    heeded = asked.threads_by in ("option", "method")
    found = condition.machine_threads or 4
    threads = asked.threads if heeded and asked.threads else found
    loading = api and phase == "warmup"
    ran = phase != "start"
    return Measurement(
        key=trial.key(condition, INPUTS, digest([pair, "lock"])),
        session=f"{machine}-{pair}-{experiment}",
        machine=machine,
        pair=pair,
        experiment=experiment,
        condition=condition.name,
        arm=arm,
        path=path,
        phase=phase,
        round=number,
        position=position,
        status="ok",
        started_utc=f"2026-09-01T08:{number // 60 % 60:02}:{number % 60:02}.{arm}Z",
        exit_status=0,
        wall_s=wall_s,
        load_s=21.0 if loading else None,
        load_parts_s={"interpreter": 0.1, "import_itk": 0.9, "read_images": 4.0, "registration_class": 16.0}
        if loading
        else None,
        resolutions_s=tuple(wall_s * part for part in (0.1, 0.15, 0.15, 0.15, 0.2, 0.2)) if ran else None,
        estimation_s=(0.01, 0.02, 0.02, 0.02, 0.03, 0.03) if ran else None,
        user_s=wall_s * 1.6,
        system_s=wall_s * 0.1,
        peak_bytes=900_000_000 if api else 60_000_000,
        voluntary_switches=1234,
        involuntary_switches=56,
        other_cores=0.02,
        stolen_cores=0.0,
        threads=asked.threads,
        machine_threads=condition.machine_threads,
        log_threads=(str(asked.threads) if heeded else "unspecified") if ran else None,
        threader="TBB" if api else None,
        default_threads=threads if api else None,
        maximum_threads=128 if api else None,
        work_units=threads * 16 if api else None,
        itk="5.4.5" if api else None,
        itk_elastix=itk_elastix if api else None,
        elastix=(elastix or "5.3.1") if ran else None,
        python="3.11.7" if api else None,
        cli_source=None if api else "debian trixie",
        final_metric=-1.23456 if ran else None,
        result_digest=digest("result") if ran else None,
        **dataclasses.asdict(INPUTS),
        transform="BSplineTransform",
        jobs=condition.jobs,
        strategy=condition.strategy,
    ).line()
