"""The parts of a report as data; the page and the Markdown are two renderings of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Tone = Literal["", "slower", "faster", "same", "bad", "code", "long"]
"""What a cell says beside its words: colour and weight in the page, never the only carrier of a meaning."""


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its head."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    figures: frozenset[int] = frozenset()
    """Columns of figures, which stand to the right."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot in two widths, with the words and the table that say the same."""

    name: str
    title: str
    description: str
    wide: str
    """SVG of about 720 px."""
    narrow: str
    """SVG of about 340 px, for telephones."""
    table: Table
    key: str = ""
    """What its marks mean, shown above it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report under a heading of its own."""

    name: str
    """Anchor of the heading."""
    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: str = ""
    """What is not there; empty: the section has data."""
    command: str = ""
    """The command that gets what is missing."""
    lines: tuple[str, ...] = ()
    """Commands or code to copy."""
