"""The tables of the terminal, as rows of text; nothing here prints."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import interval
from repro.cli.doctor import Finding
from repro.measure.outcome import ConditionResult
from repro.measure.session import Summary
from repro.stats import verdict
from repro.wording import verdict_words


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: title, heads, rows and a closing remark."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""


def posted(result: ConditionResult) -> Rows:
    """The table of the post: a line per run, the warm-up marked, then the steady state.

    The post's steady state is the mean over runs 2 and later; the ratio of the comparison is
    another figure (the median of the rounds' ratios), see docs/method.md.
    """
    names = {"cli": "CLI (s)", "api": "itk-API (s)"}
    rows, measured = [], []
    for step in result.rounds:
        seconds = (_seconds(step.lines[0]), _seconds(step.lines[1]))
        if seconds == (None, None):
            continue
        mark = "" if step.number else "*"
        rows.append((f"{mark}{step.number + 1}", *(_text(value) for value in seconds), _ratio(*seconds)))
        if step.number:
            measured.append(seconds)
    return Rows(
        title=f"{result.pair} {result.experiment}/{result.condition.name}",
        heads=("Run", *(names[path] for path in result.condition.arms), "ratio"),
        rows=tuple(rows),
        remark=_steady_state(result, measured),
    )


def _steady_state(result: ConditionResult, measured: Sequence[tuple[float | None, float | None]]) -> str:
    means = []
    for arm in (0, 1):
        values = [seconds[arm] for seconds in measured if seconds[arm] is not None]
        means.append(statistics.fmean(value for value in values if value is not None) if values else None)
    if not measured:
        return "* warm-up; no measured run"
    names = {"cli": "CLI", "api": "itk-API"}
    said = ", ".join(
        f"{names[path]} {_text(mean)} s" for path, mean in zip(result.condition.arms, means, strict=True) if mean
    )
    apart = [step.apart_px for step in result.rounds if step.apart_px is not None]
    agreement = f"; results at most {max(apart):.2g} px apart" if apart else ""
    return f"* warm-up. Steady-state average over runs 2+: {said}; ratio {_ratio(means[0], means[1])}{agreement}"


def _seconds(line: Mapping[str, Any] | None) -> float | None:
    return None if line is None else float(line["wall_s"])


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ratio(first: float | None, second: float | None) -> str:
    return "-" if first is None or second is None else f"{second / first:.2f}x"


def ratios(results: Sequence[ConditionResult]) -> Rows:
    """The end of bench in short: of each condition the medians and the ratio as `merge` makes it."""
    measured = [(result, complete) for result in results if (complete := _complete(result))]
    return Rows(
        title="Ratios of this run: the second path over the first, in the API's case above 1 it is slower",
        heads=(
            "pair",
            "experiment/condition",
            "paths",
            "medians (s)",
            "ratio",
            "rounds",
            "verdict",
            "apart (px)",
        ),
        rows=tuple(_ratio_row(result, complete) for result, complete in measured),
        remark="merge says what is a difference, with the noise floor; explain says why" if measured else "",
    )


def _complete(result: ConditionResult) -> list[tuple[float, float]]:
    """Seconds of both arms of every round that has both, without the warm-up."""
    rounds = [[_seconds(line) for line in step.lines] for step in result.rounds if step.number]
    return [(first, second) for first, second in rounds if first and second]


def _ratio_row(result: ConditionResult, complete: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    logs = [math.log(second / first) for first, second in complete]
    low, high = interval.interval(logs)
    middle = math.exp(statistics.median(logs))
    ends = f" [{math.exp(low):.3g}, {math.exp(high):.3g}]" if len(logs) > 1 else ""
    apart = [step.apart_px for step in result.rounds if step.apart_px is not None]
    return (
        result.pair,
        f"{result.experiment}/{result.condition.name}",
        " ".join(result.condition.arms),
        " ".join(f"{statistics.median(arm):.3g}" for arm in zip(*complete, strict=True)),
        f"{middle:.3g}{ends}",
        f"{len(logs)}, {'95%' if len(logs) >= interval.MIN_ROUNDS else 'range'}" if ends else "1",
        _unless_noise(math.exp(low), math.exp(high), len(logs)),
        f"{max(apart):.2g}" if apart else "",
    )


def _unless_noise(low: float, high: float, rounds: int) -> str:
    """What can be said before `merge` has put the noise floor beside the ratio."""
    found = verdict(low, high, None, rounds)
    return f"{found} unless noise" if found in ("slower", "faster") else verdict_words(found)


def comparison(file: Path) -> Rows:
    """The rows of comparison.csv in short: medians, ratio with its interval, what it means."""
    with file.open(newline="", encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    several = len({row["machine"] for row in listed}) > 1
    heads = (
        "pair",
        "experiment/condition",
        "CLI (s)",
        "API (s)",
        "ratio",
        "noise floor",
        "verdict",
        "status",
    )
    rows = []
    for row in listed:
        cells = (
            row["pair"],
            "/".join(filter(None, (row["experiment"], row["condition"]))),
            _short(row["cli_median_s"]),
            _short(row["api_median_s"]),
            f"{_short(row['ratio'])} {_interval(row, 'ratio')}".strip(),
            _interval(row, "floor"),
            verdict_words(row["verdict"]) if row["ratio"] else "",
            row["status"],
        )
        rows.append((row["machine"], *cells) if several else cells)
    return Rows(
        title="Medians of the rounds; the ratio is API over CLI, above 1 the API is slower",
        heads=("machine", *heads) if several else heads,
        rows=tuple(rows),
    )


def _interval(row: Mapping[str, str], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"[{_short(low)}, {_short(high)}]" if low else ""


def _short(text: str) -> str:
    return f"{float(text):.3g}" if text else ""


def closing(summary: Summary) -> str:
    """What bench did, in a line or two: trials, how much of the time was spent in them."""
    tally = summary.tally
    said = [f"{len(tally.measurements)} trials run, {tally.failed} failed, {tally.skipped} measured before"]
    if tally.measurements:
        loading = sum(measurement.load_s or 0.0 for measurement in tally.measurements)
        said.append(
            f"{summary.wall_s:.0f} s, {tally.busy_s / summary.wall_s:.0%} of it inside trials "
            f"(loading {loading:.0f} s included)"
        )
    said += [f"unavailable: {pair}: {reason}" for pair, reason in summary.unavailable.items()]
    return "\n".join(said)


def mapping(title: str, facts: Mapping[str, Any]) -> Rows:
    """Names and values, a row each."""
    return Rows(title, ("what", "value"), tuple((name, _said(value)) for name, value in facts.items()))


def findings(found: Sequence[Finding]) -> str:
    """What doctor found, the worst first, a line each."""
    order = {"bad": 0, "warn": 1, "ok": 2}
    lines = []
    for finding in sorted(found, key=lambda one: order[one.level]):
        tail = "".join(f"; {more}" for more in (finding.why, finding.cure and f"do: {finding.cure}") if more)
        lines.append(f"{finding.level:>4}  {finding.what}{tail}")
    return "\n".join(lines)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
