"""What a row of the comparison says in words: status, verdict, and whatever a reader has to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from repro.interval import MIN_ROUNDS
from repro.measure.measurement import TOLERANCE_PX
from repro.model import is_api_only
from repro.results.trials_table import Setup
from repro.stats import verdict
from repro.wording import version_key

Row = Mapping[str, Any]
Said = Mapping[str, str | None]
"""What the trials of a path said, by the names of SAID; different answers joined by " | "."""
SAID = (
    *("threads", "log_threads", "threader", "default_threads", "work_units"),
    *("itk", "itk_elastix", "elastix", "python", "cli_source"),
)
"""What a trial says of itself that should be the same in all of a path's trials."""
_ASKED_AT_LEAST = 3
"""Rounds that were asked for where the session line is lost."""
SAME_PX = 1e-6
"""Up to this distance two results are the same: what elastix's six digits after the point can tell."""
DRIFT_P = 0.01
OTHER_SAMPLES = "explained by other random samples at each call of one process"
"""Of results that disagree though both paths did as much work."""
ITK_MAX_THREADS = 128
"""Most threads, and work units of all threaders but TBB, of ITK as the releases build it."""
_REMARKS = 3
_PATHS = {"cli": "the executable", "api": "the API"}


def floors(rows: Iterable[Row]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The noise floor of each machine, pair and lock: the hull of the intervals of a path against itself."""
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for row in rows:
        if row["arm_0"] == row["arm_1"] and row["ratio_low"] is not None:
            place = (row["machine"], row["pair"], row["lock"])
            low, high = found.get(place, (row["ratio_low"], row["ratio_high"]))
            found[place] = min(low, row["ratio_low"]), max(high, row["ratio_high"])
    return found


def judged(row: Row, setup: Setup | None, floor: tuple[float, float] | None) -> dict[str, Any]:
    """The cells of comparison.csv that follow from the others: what took effect, verdict, status and note."""
    said = {path: {name: row[f"{path}_said_{name}"] or None for name in SAID} for path in _PATHS}
    cells = {**_in_effect(row, said["cli"], said["api"]), **_by_path(row)}
    problems = _problems({**row, **cells}, said, setup)
    known = row["ratio_low"] is not None
    asked = setup.condition.get("api") if setup and row["arm_1"] == "api" else None
    texts = {name: value for name, value in asked.items() if isinstance(value, str)} if isinstance(asked, dict) else {}
    return {
        "api_threads_by": texts.get("threads_by"),
        "api_threader_asked": texts.get("threader"),
        **cells,
        "floor_low": floor[0] if floor else None,
        "floor_high": floor[1] if floor else None,
        "verdict": verdict(row["ratio_low"], row["ratio_high"], floor, row["rounds"]) if known else None,
        "status": _status(row, setup),
        "note": "; ".join(problems),
    }


def _in_effect(row: Row, cli: Said, api: Said) -> dict[str, Any]:
    """What the trials themselves report; a number is empty where nothing is known or trials differ."""
    return {
        "python": api["python"] or row.get("session_python"),
        "itk_elastix": api["itk_elastix"],
        "itk": api["itk"] or cli["itk"],
        "elastix": cli["elastix"] or api["elastix"],
        "cli_itk": cli["itk"],
        "api_elastix": api["elastix"],
        "cli_source": cli["cli_source"],
        "threads": _whole(cli["threads"] or api["threads"]),
        "machine_threads": _whole(row["machine_threads"]),
        "jobs": _whole(row["jobs"]),
        "registrations": _whole(row["registrations"]),
        "threader": api["threader"],
        "work_units": _work_units(api),
        "api_threads": _threads(api),
        "cli_threads": _threads(cli),
        "cli_work_units": _work_units(cli),
        "transform": row["transform"] or None,
        "strategy": row["strategy"] or None,
        "measures": row["measures"] or None,
        "arms": " ".join(arm for arm in (row["arm_0"], row["arm_1"]) if arm),
    }


def _whole(text: str | None) -> int | None:
    # As many digits as a column holds, times the work units of a thread.
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text) else None


def _threads(said: Said) -> int | None:
    """Threads in effect: ITK's default where the path reports it, else what elastix.log says."""
    return _whole(said["default_threads"] or said["log_threads"])


def _work_units(said: Mapping[str, str | None]) -> int | None:
    """Work units of the metric, each with a joint histogram of its own.

    As many as the threads that elastix was told, or, told none, as many as ITK gives a filter
    (SuperElastix/elastix, Core/ComponentBaseClasses/elxMetricBase.hxx, BeforeEachResolutionBase). All threaders
    but TBB stop at ITK_MAX_THREADS: measured, the executable gives the same coefficients for 128, 256, 512 and
    1024 threads, the API with TBB other ones for each.
    """
    told = _whole(said["log_threads"])
    if told and said["threader"] != "TBB":
        told = min(told, ITK_MAX_THREADS)
    return told or _whole(said["work_units"])


def _by_path(row: Row) -> dict[str, Any]:
    """Columns of the arms under the names of their paths."""
    cells: dict[str, Any] = {"drift_per_round": row["drift"], "drift_p": row["drift_p"]}
    for arm in (1, 0):
        if row[f"arm_{arm}"]:
            cells[f"{row[f'arm_{arm}']}_drift_per_round"] = row[f"drift_{arm}"]
            cells[f"{row[f'arm_{arm}']}_drift_p"] = row[f"drift_{arm}_p"]
    return cells | {f"{path}_results": row[f"{path}_results"] or None for path in _PATHS}


def _status(row: Row, setup: Setup | None) -> str:
    if _disagree(row):
        return "disagree"
    if row["failed"]:
        return "timeout" if row["timeouts"] == row["failed"] else "failed"
    # bench may stop from MIN_ROUNDS on; with fewer it was interrupted, unless fewer were asked for.
    asked = setup.rounds if setup and setup.rounds else _ASKED_AT_LEAST
    return "partial" if _done(row) < min(asked, MIN_ROUNDS) else "ok"


def _done(row: Row) -> int:
    """Complete rounds: of a release without an executable those of the API alone."""
    return int(row["api_good"] if is_api_only(row["pair"]) else row["rounds"])


def _disagree(row: Row) -> bool:
    return row["agreement_px"] is not None and row["agreement_px"] > TOLERANCE_PX


def _problems(row: Row, said: Mapping[str, Said], setup: Setup | None) -> Iterator[str]:
    """Whatever a reader of the row has to know, the gravest first."""
    yield from _failures(row, setup)
    yield from _agreement(row)
    condition = setup.condition if setup else {}
    for path in _PATHS:
        settings = condition.get(path, {})
        yield from _unheeded(row, path, said[path], settings, condition.get("machine_threads"))
        if (row[f"{path}_results"] or 0) > 1:
            yield f"{_PATHS[path]} is not deterministic: {row[f'{path}_results']} different results"
    yield from (
        f"{name} differs between trials of {_PATHS[path]}: {value}"
        for path in _PATHS
        for name, value in said[path].items()
        if value and " | " in value
    )
    if row["drift_p"] is not None and row["drift_p"] < DRIFT_P:
        yield f"the ratio drifts by {row['drift_per_round']:+.2%} a round (p = {row['drift_p']:.1g})"
    if row["position_seen"]:
        yield f"going second in a round costs {row['position_effect'] - 1:+.1%}, which was taken out of the ratio"
    if row["arm_0"] == row["arm_1"] and row["rounds"] >= MIN_ROUNDS and not row["ratio_low"] <= 1 <= row["ratio_high"]:
        yield "a path against itself does not give 1: one such interval in twenty, or something disturbs the rounds"
    if row["disturbed_rounds"]:
        yield f"other processes disturbed {_rounds(len(row['disturbed_rounds'].split()))}"
    if row["split"]:
        yield f"{_rounds(row['split'])} {'is' if row['split'] == 1 else 'are'} made of two sessions"
    yield from row["remarks"][:_REMARKS]
    if len(row["remarks"]) > _REMARKS:
        yield f"{len(row['remarks']) - _REMARKS} other remarks in trials.csv"


def _failures(row: Row, setup: Setup | None) -> Iterator[str]:
    if row["failed"]:
        reason = " | ".join((row["first_failure"] or "").split("\n")).strip()
        yield f"{row['failed']} of {row['trials']} trials failed" + (f", the first: {reason}" if reason else "")
    if not (row["arm_0"] or row["arm_1"]):
        yield "neither path ran"
    elif not ((row["arm_0"] and row["arm_1"]) or is_api_only(row["pair"])):
        yield f"only {_PATHS[row['arm_0'] or row['arm_1']]} ran"
    elif _status({**row, "agreement_px": None, "failed": 0}, setup) == "partial":
        yield f"only {_rounds(_done(row))} complete"


def _rounds(count: int) -> str:
    return f"{count} round" if count == 1 else f"{count} rounds"


def _agreement(row: Row) -> Iterator[str]:
    if row["uncompared"]:
        yield f"the results of {_rounds(row['uncompared'])} were not compared"
    if not _disagree(row):
        return
    apart = f"the two results are up to {row['agreement_px']:.3g} px apart (tolerance {TOLERANCE_PX} px)"
    cli, api = row["cli_work_units"], row["work_units"]
    if row["arm_0"] == row["arm_1"]:
        yield f"{apart} in a path against itself"
    elif cli is None or api is None:
        yield f"{apart}; whether the metric had equally many work units is not known"
    elif cli != api:
        yield f"{apart}, explained by unequal work units of the metric: cli {cli}, api {api}"
    elif (row["api_results"] or 0) > 1 and row["warmup_px"] is not None and row["warmup_px"] <= SAME_PX:
        yield apart + _restless(row["api_elastix"])
    else:
        yield f"{apart} though the metric had {cli} work units on both paths"


def _restless(elastix: str | None) -> str:
    """Why a worker whose first result is the executable's gives others later; docs/method.md has the proof."""
    if elastix and version_key(elastix) < version_key("5.3"):
        return f", {OTHER_SAMPLES} (first call: as the executable)"
    return ": the API gives other results at each call of one process, its first is the executable's"


def _unheeded(
    row: Row, path: str, said: Said, settings: Mapping[str, Any], machine_threads: int | None
) -> Iterator[str]:
    """Requests that had no effect."""
    asked, by, name = said["threads"], settings.get("threads_by"), _PATHS[path]
    ran = f"{name} ran with {row[f'{path}_threads'] or 'unknown'} threads"
    ran += f", {said['work_units']} work units" if said["work_units"] else ""
    if by == "parameter" and said["log_threads"] == "unspecified":
        yield f"NumberOfThreads was not honoured: elastix.log says 'unspecified', {ran}"
    elif by in ("option", "method") and asked and said["log_threads"] and said["log_threads"] != asked:
        yield f"{asked} threads were asked for and not honoured: elastix.log says '{said['log_threads']}', {ran}"
    threader = settings.get("threader")
    if threader and said["threader"] and said["threader"] != threader:
        yield f"the threader {threader} was asked for, {name} ran with {said['threader']}"
    found = said["default_threads"] if by not in ("option", "method") else None
    if machine_threads and found and found != str(machine_threads):
        yield f"{name} was to find a machine of {machine_threads} threads, but found {found}"
