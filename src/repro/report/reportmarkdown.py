"""report.md: the same report, short enough to paste into an issue or a forum thread."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from repro.explain.answers import Answer
from repro.report.lead import Lead
from repro.report.page import Section, Table
from repro.wording import code

MOST_CHARACTERS = 28_000
"""Below what one post of GitHub (65,536) and of Discourse (32,000) may hold."""
_MOST_ROWS = 24
_ZERO_WIDTH = "\N{ZERO WIDTH SPACE}"
_SHORT = ("ratios", "causes", "machines", "reported", "method", "origins", "advice")
"""Sections that a post shows; the page has all of them."""


def document(measured_on: str, lead: Lead, answers: Sequence[Answer], sections: Sequence[Section]) -> str:
    """The report as Markdown; sections that would make it too long for one post are left out, by name."""
    parts = ["\n".join(_head(measured_on, lead, answers))]
    left = []
    for section in sections:
        if section.name not in _SHORT:
            continue
        part = "\n".join(_section(section))
        if sum(map(len, parts)) + len(part) < MOST_CHARACTERS:
            parts.append(part)
        else:
            left.append(section.title)
    said = f" Too long for a post, so only there: {', '.join(map(escape, left))}." if left else ""
    parts.append(f"Plots, every round and all rows: report.html and comparison.csv beside this file.{said}\n")
    return "\n".join(parts)


def _head(measured_on: str, lead: Lead, answers: Sequence[Answer]) -> Iterator[str]:
    yield "# itk-elastix API against the elastix executable"
    yield ""
    yield escape(measured_on)
    yield ""
    yield f"**{escape(lead.much)}**"
    yield ""
    for head, part in (("Why", lead.why), ("What to do", lead.remedy)):
        if part:
            yield f"**{head}:** {escape(part)}"
            yield ""
    yield from _code(lead.python, "python")
    for answer in answers:
        said = [" ".join(filter(None, (one.sentence, one.remark, one.warning))) for one in answer.headlines]
        said += [part for part in (answer.missing, answer.why, answer.remedy) if part]
        said += [f"{answer.command} measures why."] if answer.command else []
        yield f"* **{escape(answer.title)}**: {' '.join(map(escape, said))}"
    yield ""


def _section(section: Section) -> Iterator[str]:
    yield f"## {escape(section.title)}"
    yield ""
    if section.missing:
        yield escape(section.missing) + (f" This measures it: `{escape(section.command)}`" if section.command else "")
        yield ""
    for paragraph in section.paragraphs:
        yield escape(paragraph)
        yield ""
    for table in (*(figure.table for figure in section.figures), *section.tables):
        yield from _table(table)
    yield from _code(section.lines)


def _table(table: Table) -> Iterator[str]:
    yield f"**{escape(table.caption)}**"
    yield ""
    yield f"| {' | '.join(map(cell, table.heads))} |"
    yield f"|{'|'.join('---:' if n in table.figures else '---' for n in range(len(table.heads)))}|"
    for row in table.rows[:_MOST_ROWS]:
        yield f"| {' | '.join(cell(one.text) for one in row)} |"
    yield ""
    more = len(table.rows) - _MOST_ROWS
    if more > 0:
        yield f"{more:,} more rows are in report.html."
        yield ""
    if table.note:
        yield escape(table.note)
        yield ""


def _code(lines: Sequence[str], language: str = "") -> Iterator[str]:
    if lines:
        longest = max((len(found) for line in lines for found in re.findall(r"`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        yield f"{fence}{language}"
        yield from (code(line) for line in lines)
        yield fence
        yield ""


def escape(text: str) -> str:
    """Text as Markdown shows it: no markup, no HTML, no mention of a person or an issue, no line break."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_~|]|^\[|\](?=[(\[]))", r"\\\1", line)
    line = re.sub(r"^([#+-]|\d+[.)])(?=\s|$)", lambda found: found[1][:-1] + "\\" + found[1][-1], line)
    return re.sub(r"@(?=\w)|#(?=\d)|(?<=:)//|\bwww(?=\.)", lambda found: found[0] + _ZERO_WIDTH, line)


def cell(text: str) -> str:
    """Text as a cell of a table; its lines are kept."""
    return "<br>".join(escape(line) for line in text.split("\n"))
