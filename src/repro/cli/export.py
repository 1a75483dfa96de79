"""What `compare` says, in four forms: table, Markdown, JSON, and the JSON of github-action-benchmark.

docs/compare.md documents the JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repro import stats, text
from repro.cli.tables import Table
from repro.model import Build, Status
from repro.results.columns import Row

SCHEMA = 1
_HEADS = ("condition", "base (s)", "other (s)", "ratio", "noise floor", "verdict", "apart (px)")
_MOST_ROWS = 25
"""Of the Markdown, which has to fit into a comment."""
_AS_IN_ROW = (
    *("condition", "base_median_s", "other_median_s", "ratio", "ratio_low", "ratio_high", "interval", "blocks"),
    *("floor_low", "floor_high", "verdict", "agreement_px", "status"),
)
"""Columns of comparison.csv that the JSON has, too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Two builds compared: a row a condition."""

    base: Build
    other: Build
    rows: Sequence[Row]
    """With the noise floor that was measured in the same call, and the verdict that follows."""
    threshold: float | None = None
    """0.05: fail where the other is slower by more than 5%; negative: faster."""

    @property
    def experiments(self) -> str:
        """Their names."""
        return text.listed(dict.fromkeys(row.experiment for row in self.rows))

    @property
    def machine(self) -> str:
        """Where it was measured."""
        return text.listed(dict.fromkeys(row.machine for row in self.rows))

    @property
    def beyond(self) -> list[Row]:
        """The rows whose interval lies beyond the threshold and beyond the floor."""
        return [row for row in self.rows if self.is_beyond(row)]

    def is_beyond(self, row: Row) -> bool:
        """Whether this row is one. Without a floor nothing is."""
        return (
            self.threshold is not None
            and row.floor is not None
            and stats.beyond(row.estimate, row.floor, self.threshold)
        )


def outcome(base: Build, other: Build, rows: Sequence[Row], threshold: float | None) -> Outcome:
    """The rows of the comparison; a build against itself is its own noise floor, whatever was measured before."""
    found = [row for row in rows if (row.base, row.other) == (base.name, other.name)]
    if base == other:
        found = [dataclasses.replace(row, floor_low=row.ratio_low, floor_high=row.ratio_high) for row in found]
        found = [dataclasses.replace(row, verdict=stats.verdict(row.estimate, row.floor)) for row in found]
    return Outcome(base, other, found, threshold)


def table(outcome: Outcome) -> Table:
    """One line a condition, and what the threshold says."""
    return Table(
        f"{outcome.other.name} against {outcome.base.name}",
        (*_HEADS, "note"),
        [(row.condition, *_figures(row), _note(row)) for row in outcome.rows],
        "\n".join((_legend(outcome), *_threshold_words(outcome))),
    )


def markdown(outcome: Outcome) -> str:
    """The same as a comment in a pull request: at most 40 lines."""
    lines = [
        f"### {_cell(outcome.other.name)} against {_cell(outcome.base.name)}",
        "",
        "| " + " | ".join(_HEADS) + " |",
        "|" + "---|" * len(_HEADS),
    ]
    for row in outcome.rows[:_MOST_ROWS]:
        lines.append("| " + " | ".join(map(_cell, (row.condition, *_figures(row)))) + " |")
    if (left := len(outcome.rows) - _MOST_ROWS) > 0:
        lines += ["", f"{text.counted(left, 'more condition')} in the JSON."]
    lines += [
        "",
        _legend(outcome),
        *_threshold_words(outcome),
        f"Experiment `{_cell(outcome.experiments)}` on {_cell(outcome.machine)}.",
    ]
    return "\n".join(lines) + "\n"


def document(outcome: Outcome) -> dict[str, Any]:
    """The same as data."""
    return {
        "schema": SCHEMA,
        "base": {"name": outcome.base.name, **dataclasses.asdict(outcome.base)},
        "other": {"name": outcome.other.name, **dataclasses.asdict(outcome.other)},
        "experiment": outcome.experiments,
        "machine": outcome.machine,
        "fail_if": outcome.threshold,
        "failed": bool(outcome.beyond),
        "conditions": [
            {
                **{name: getattr(row, name) for name in _AS_IN_ROW},
                "beyond": outcome.is_beyond(row),
                "reasons": [{"name": name, "figures": list(figures)} for name, figures in row.reasons],
            }
            for row in outcome.rows
        ],
    }


def benchmark(outcome: Outcome) -> list[dict[str, Any]]:
    """The same as github-action-benchmark's `customSmallerIsBetter` reads it.

    Names have no versions, so that a chart goes on over the builds of one project.
    """
    return [
        {
            "name": f"{row.experiment}/{row.condition}: other over base",
            "unit": "ratio",
            "value": row.ratio,
            "range": f"{row.ratio_low:.4g} to {row.ratio_high:.4g}" if row.ratio_low and row.ratio_high else "",
            "extra": f"{outcome.other.name} against {outcome.base.name}: {row.verdict}",
        }
        for row in outcome.rows
        if row.ratio is not None
    ]


def _figures(row: Row) -> tuple[str, ...]:
    floor = "" if row.floor is None else f"{text.ratio(row.floor[0])} to {text.ratio(row.floor[1])}"
    apart = text.UNKNOWN if row.agreement_px is None else f"{row.agreement_px:.2g}"
    medians = text.seconds(row.base_median_s), text.seconds(row.other_median_s)
    return *medians, text.estimate(row.estimate), floor, row.verdict or text.UNKNOWN, apart


def _note(row: Row) -> str:
    """The status, where it is not ok, with the names of its reasons."""
    if row.status is Status.OK:
        return ""
    return ": ".join(filter(None, (row.status, text.listed(name.replace("_", " ") for name, _ in row.reasons))))


def _legend(outcome: Outcome) -> str:
    return (
        f"Base: {outcome.base.name}. Other: {outcome.other.name}. Ratio: other over base, with its 95% interval from "
        "six blocks on, else the range; above 1 the other is slower. Noise floor: builds against themselves."
    )


def _threshold_words(outcome: Outcome) -> list[str]:
    if outcome.threshold is None:
        return []
    kind = f"{'slower' if outcome.threshold > 0 else 'faster'} by more than {abs(outcome.threshold) * 100:.4g}%"
    found = [row.condition for row in outcome.beyond]
    return [f"Fails: {kind} in {text.listed(found)}." if found else f"Passes: nothing is {kind} for certain."]


def _cell(words: str) -> str:
    return text.line(words, 120).replace("|", "\\|")
