"""report.md: the first screen as Markdown, at most 60 lines, for a forum post or a pull request's comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from repro.report.first import First
from repro.report.material import Table
from repro.report.sentences import judged
from repro.text import line, printable

_MOST_ROWS = 14
_ZERO_WIDTH = "\N{ZERO WIDTH SPACE}"
"""Keeps names of people, issues and addresses from becoming links."""


def document(first: First, ways: Table) -> str:
    """The sentence, the table, the ladder of the worst pair, what to do, machine and method.

    Of a comparison of builds it is under 40 lines.
    """
    lines = [f"**{escape(first.title)}**", ""]
    lines += [*table(first.table), ""]
    if first.ladder_of and len(first.steps) > 1:
        lines += [f"From posted to cured ({escape(first.ladder_of)}):", ""]
        lines += [f"* {escape(label)}: {judged(found, verdict)}" for label, found, verdict in first.steps]
        lines.append("")
    lines += [f"Why: {prose(first.why)}", ""] if first.why else []
    for warning in first.warnings[:2]:
        lines += [prose(warning), ""]
    if first.do:
        lines += [prose(first.do), ""]
    if first.code:
        lines += ["```python", *(printable(one) for one in first.code), "```", ""]
    lines += [*table(ways), ""] if ways.rows else []
    lines += [prose(first.note), ""] if first.note else []
    lines += [escape(first.where), "", "The rest is in report.html and comparison.csv beside this file."]
    return "\n".join(lines) + "\n"


def table(shown: Table) -> Iterator[str]:
    """A table; words under a figure stand behind it."""
    yield f"| {' | '.join(cell(head) for head in shown.heads)} |"
    yield f"|{'|'.join('---:' if n in shown.figures else '---' for n in range(len(shown.heads)))}|"
    for row in shown.rows[:_MOST_ROWS]:
        yield f"| {' | '.join(cell(f'{one.text} {one.small}'.strip()) for one in row)} |"
    if len(shown.rows) > _MOST_ROWS:
        yield f"\n{len(shown.rows) - _MOST_ROWS} more rows are in report.html."
    if shown.note:
        yield f"\n{prose(shown.note)}"


def prose(text: str) -> str:
    """A sentence of ours: its commands stay code, all else is escaped."""
    parts = re.split(r"(`[\w-][\w ./:=-]*`)", line(text, 2000))
    return "".join(part if n % 2 else _escaped(part) for n, part in enumerate(parts))


def escape(text: str) -> str:
    """Text as Markdown shows it: no markup, no HTML, no mention of a person or an issue, no line break."""
    return _escaped(line(text, 2000))


def _escaped(text: str) -> str:
    words = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = re.sub(r"([\\`*_~|]|^\[|\](?=[(\[]))", r"\\\1", words)
    words = re.sub(r"^([#+-]|\d+[.)])(?=\s|$)", lambda found: found[1][:-1] + "\\" + found[1][-1], words)
    return re.sub(r"@(?=\w)|#(?=\d)|(?<=:)//|\bwww(?=\.)", lambda found: found[0] + _ZERO_WIDTH, words)


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return escape(text) if text else " "
