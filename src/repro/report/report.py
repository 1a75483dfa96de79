"""report.html and report.md: the same tables give the same bytes.

Everything that comes from a file is escaped where it is written, and the page allows itself neither scripts nor
connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from repro.explain.find import find
from repro.explain.measured import measured
from repro.files import write_text
from repro.report import charts, markdown
from repro.report.charts import Line, mark
from repro.report.curve_sections import ways_table
from repro.report.first import First, first_screen
from repro.report.material import Material, Section
from repro.report.sections import sections
from repro.results.tables import Tables
from repro.text import line

HTML, MARKDOWN = "report.html", "report.md"
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Written:
    """What `report` has written."""

    html: Path
    markdown: Path


@dataclass(frozen=True, slots=True)
class Report:
    """What both files show."""

    first: First
    sections: list[Section]
    markdown: str


def write(out: Path, tables: Tables) -> Written:
    """Write report.html and report.md into the folder. Raises StoreError where they cannot be written."""
    made = compose(tables)
    html, short = out / HTML, out / MARKDOWN
    write_text(html, page(made))
    write_text(short, made.markdown)
    return Written(html, short)


def compose(tables: Tables) -> Report:
    """The parts of the report."""
    by_place = measured(tables)
    findings = find(tables, by_place)
    first = first_screen(tables, findings)
    below = sections(Material(tables, by_place, findings))
    return Report(first, below, markdown.document(first, ways_table(findings)))


def page(made: Report) -> str:
    """The report as one page of HTML that needs nothing else."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    template = templates.get_template("report.html.j2")
    html = template.render(first=made.first, chart=_chart(made.first), sections=made.sections, style=style, svg=Markup)
    return html.encode("utf-8", "replace").decode()  # a lone surrogate of a damaged name must not stop the report


def _chart(first: First) -> str:
    """Of the first screen: the ladder, or of builds the ratios."""
    if first.ladder_of and len(first.steps) > 1:
        return charts.steps("chart-first", f"From posted to cured: {first.ladder_of}", first.steps)
    if not first.steps:
        return ""
    lines = [Line(line(label, 50), (mark(found, verdict),)) for label, found, verdict in first.steps]
    axis = charts.API_RATIO if first.ladder_of else charts.RATIO
    return charts.rows("chart-first", "Ratio of each condition", lines, axis)
