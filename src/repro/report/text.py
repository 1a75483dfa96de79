"""The first screen as lines of a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from repro.explain.find import find
from repro.report.first import First, first_screen
from repro.report.material import Table
from repro.report.sentences import verdict_words
from repro.results.tables import Tables
from repro.text import estimate

WIDTH, LONGEST = 100, 40
_BAR = 24
"""Characters of the longest bar of the ladder."""


def explain_lines(tables: Tables, report: str) -> list[str]:
    """The answer, its table, the ladder and what to do, in at most 40 lines; ``report`` says where the rest is."""
    first = first_screen(tables, find(tables))
    lines = [*_wrapped(first.title), "", *_table(first.table, most=12), "", *_ladder(first)]
    lines += [line for text in first.warnings[:3] for line in _wrapped(text)[:2]]
    if first.why:
        lines += _wrapped(f"Why: {first.why}")
    if first.do:
        lines += [*_wrapped(first.do), *(f"    {line}" for line in first.code)]
    lines += ["", *(_wrapped(first.note) if first.note else []), *_wrapped(first.where)]
    lines += _wrapped(f"The whole report: {report}")
    return lines[:LONGEST]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(table: Table, most: int) -> Iterator[str]:
    if not table.rows:
        return
    cells = [list(table.heads), *([f"{cell.text} {cell.small}".strip() for cell in row] for row in table.rows[:most])]
    widths = [max(len(row[n]) for row in cells) for n in range(len(table.heads))]
    for row in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    if table.note:
        yield from _wrapped(table.note)


def _ladder(first: First) -> list[str]:
    if not first.ladder_of or len(first.steps) < 2:
        return []
    width = max(len(label) for label, _, _ in first.steps)
    longest = max(math.log(max(one.value, 1.01)) for _, one, _ in first.steps)
    lines = [f"From posted to cured ({first.ladder_of}):"]
    for label, one, verdict in first.steps:
        bar = "#" * max(0, round(_BAR * math.log(max(one.value, 1.0)) / longest))
        said = f"  {label.ljust(width)}  {estimate(one)} {verdict_words(verdict)}"
        lines.append(f"{said.ljust(width + 36)}  {bar}".rstrip())
    return [*lines, ""]
