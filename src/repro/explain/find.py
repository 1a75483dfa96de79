"""Everything that can be said about the tables, as findings."""

from __future__ import annotations

from repro.explain import advice, headline, ladder, paths, questions, releases
from repro.explain.measured import Measured, measured
from repro.model import Finding
from repro.results.tables import Tables


def find(tables: Tables, found: Measured | None = None) -> list[Finding]:
    """Every finding, by subject: headline, ladder, questions, releases, advice, and the ways side by side."""
    found = found or measured(tables)
    return [
        *headline.find(found),
        *ladder.find(found),
        *questions.find(found),
        *releases.find(found),
        *advice.find(found),
        *paths.find(found, tables),
    ]
