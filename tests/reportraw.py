"""Raw folders of made-up measurements of the project's own experiments, for the tests of the report.

The seconds follow a simple law, so that the report has something to tell: 1.9 s and a part that grows with work
units x bins^2, which is smaller from itk-elastix 0.25.4 on.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rawdata
from repro.model import Condition, digest
from repro.plan.experiments import load_experiments
from repro.results.merge import merge

PAIRS = ("0.21.0-5.2.0", "0.25.1-5.3.1", "0.25.4-5.3.1")
EXPERIMENTS = ("posted", "posted-28", "aa", "causes", "causes-orders", "causes-own")
_UNITS_A_THREAD = {None: 16, "TBB": 16, "Pool": 4, "Platform": 1}


def made(
    folder: Path,
    *,
    machines: Sequence[str] = ("linux-64-epyc-2c-1a2b3c4d",),
    pairs: Sequence[str] = PAIRS,
    releases: Sequence[str] = (),
    experiments: Sequence[str] | Mapping[str, int] = EXPERIMENTS,
    rounds: int = 12,
    unavailable: bool = True,
) -> Path:
    """A results folder with raw lines and what `merge` makes of them; of an experiment there can be several copies."""
    known = load_experiments()
    copies = experiments if isinstance(experiments, Mapping) else dict.fromkeys(experiments, 1)
    for machine in machines:
        for pair in pairs:
            for name, copy in ((name, copy) for name, number in copies.items() for copy in range(number)):
                experiment = f"{name}-copy{copy}" if copy else name
                _write(folder, machine, pair, experiment, known[name].conditions, rounds)
        for release in (*releases, *(pairs if releases else ())):
            _write(folder, machine, release, "versions", known["versions"].conditions, 3)
        if unavailable:
            line = rawdata.session_line(
                machine, "0.25.0-5.3.0", "unavailable", rounds, "no executable of elastix 5.3.0 here"
            )
            file = folder / "raw" / machine / "0.25.0-5.3.0" / "unavailable.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    merge([folder / "raw"], folder)
    return folder


def _write(
    folder: Path, machine: str, pair: str, experiment: str, conditions: Sequence[Condition], rounds: int
) -> None:
    file = folder / "raw" / machine / pair / f"{experiment}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    session = rawdata.session_line(machine, pair, experiment, rounds)
    session["command"] = ["bench", pair, "--experiment", experiment]
    session["experiment"]["conditions"] = {one.name: dataclasses.asdict(one) for one in conditions}
    draw = random.Random(f"{machine}/{pair}/{experiment}")
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.write(json.dumps(session) + "\n")
        for condition in conditions:
            for line in _lines(machine, pair, experiment, condition, rounds, draw):
                out.write(json.dumps(line) + "\n")


def _lines(
    machine: str, pair: str, experiment: str, condition: Condition, rounds: int, draw: random.Random
) -> Iterator[dict[str, Any]]:
    told = condition.api.threads or 2 if condition.api.threads_by == "method" else None
    threads = told or condition.machine_threads or 2
    # elastix gives its metric as many work units as the threads that it is told.
    units = told or threads * _UNITS_A_THREAD[condition.api.threader]
    bins = int(dict(condition.overrides).get("NumberOfHistogramBins", "128"))
    fast = 0.3 if pair.startswith("0.25.4") else 1.0
    cost = 18.0 * (bins / 128) ** 2 / 448
    seconds = {"cli": 1.9 + cost * (condition.cli.threads or 2), "api": 1.9 + fast * cost * units}
    seconds, more = _of_kind(condition, seconds)
    spread, apart = 0.02, 1e-7 if threads == 2 else 0.08
    params = digest(["params", condition.overrides, condition.parameter_files]) * 2
    for line in rawdata.trial_lines(machine, pair, experiment, condition, rounds, draw, seconds, spread, apart):
        if line["kind"] == "measurement":
            line |= {"params_sha256": params, "key": digest([line["key"], experiment])}
            line["threads"] = None if line["threads"] is None else line["threads"] or 2
            if line["path"] == "api":
                threader = condition.api.threader or "TBB"
                line |= {"threader": threader, "default_threads": threads, "work_units": units}
            of_all = ("measures", "strategy", "jobs", "registrations")
            its = more[line["path"]]
            line.update({name: its[name] for name in of_all if name in its} if line["phase"] == "start" else its)
        # Of loading there is neither a start nor a result to compare.
        if condition.measures == "registration" or (line["kind"] != "agreement" and line["phase"] != "start"):
            yield line


def _of_kind(condition: Condition, seconds: dict[str, float]) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Seconds of what the condition measures, and what its lines say besides, of each path."""
    kind: dict[str, Any] = {"measures": condition.measures, "strategy": condition.strategy}
    if condition.measures == "loading":
        return {"cli": 0.08, "api": 3.0 if condition.name.startswith("recipe") else 20.0}, {"cli": kind, "api": kind}
    if not condition.strategy:
        return seconds, {"cli": {}, "api": {}}
    jobs = condition.jobs or 2
    number = condition.registrations or jobs
    each = {path: value / min(jobs, 2) for path, value in seconds.items()}
    start = {"cli": 0.0, "api": 20.0 if condition.measures == "first-result" else 0.0}
    kind |= {"jobs": jobs, "registrations": number}
    more = {
        path: {
            **kind,
            "first_s": start[path] + seconds[path],
            "results_s": [start[path] + seconds[path] + each[path] * n for n in range(number)],
            "tree_peak_bytes": (900 if path == "api" else 60) * jobs << 20,
        }
        for path in ("cli", "api")
    }
    return {path: start[path] + each[path] * number for path in each}, more
