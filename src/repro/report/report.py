"""report.html and report.md: from the merged results to what people look at.

The same results give the same bytes. Everything that comes from a file is escaped where it is written, and the
page allows itself neither scripts nor connections.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from repro.errors import StoreError
from repro.explain import rungs
from repro.explain.answers import Answer, answers
from repro.layout import shown
from repro.measure.store import drop_abandoned
from repro.report import (
    advicesection,
    causesection,
    curvesections,
    factsections,
    jobsections,
    reportdata,
    reportmarkdown,
    sections,
    timesections,
)
from repro.report.lead import Lead, lead
from repro.report.page import Section
from repro.report.reportdata import Data

HTML, MARKDOWN = "report.html", "report.md"
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Written:
    """What `report` has written."""

    html: Path
    markdown: Path
    exit_status: int
    """Status of the whole, which `report` returns as the last step of bench-all: as `merge` has it."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that both renderings show."""

    measured_on: str
    lead: Lead
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]


def write(results: Path) -> Written:
    """Write report.html and report.md into the results folder, from what `merge` has written there.

    Raises StoreError where there is nothing to report, or it cannot be written.
    """
    data = reportdata.read(results)
    made = compose(data)
    html = _replace(results / HTML, page(made))
    markdown = _replace(
        results / MARKDOWN, reportmarkdown.document(made.measured_on, made.lead, made.answers, made.sections)
    )
    return Written(html, markdown, data.exit_status)


def compose(data: Data) -> Report:
    """The parts of the report, in their order."""
    ladders = rungs.ladders(data)
    found = answers(data, ladders)
    return Report(
        measured_on=factsections.measured_on(data),
        lead=lead(found, ladders),
        answers=found,
        sections=(
            sections.ratios(data, rungs.experiments(ladders)),
            causesection.causes(data, ladders),
            timesections.breakdown(data),
            jobsections.startup(data),
            curvesections.work_units(data),
            curvesections.releases(data),
            jobsections.throughput(data),
            timesections.rounds(data),
            sections.agreement(data),
            factsections.machines(data),
            *((sections.platforms(data),) if len(data.machines) > 1 else ()),
            factsections.beside_posts(data),
            factsections.method(data),
            factsections.origins(data),
            advicesection.what_to_do(data),
        ),
    )


def page(made: Report) -> str:
    """The report as one page of HTML that needs nothing else."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return templates.get_template("report.html.j2").render(report=made, style=style, svg=Markup)


def _replace(file: Path, content: str) -> Path:
    """Write a file that takes its place as a whole."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        drop_abandoned(file)
        # A lone surrogate of a damaged name must not stop the report.
        temporary.write_text(content, encoding="utf-8", errors="replace", newline="\n")
        temporary.replace(file)
    except OSError as error:
        raise StoreError(
            f"{shown(file)}: cannot be written: {error.strerror}; make room, or check its rights"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return file
