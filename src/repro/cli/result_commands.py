"""The commands about results: merge, report, explain, pack."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro import paths, text
from repro.cli import options as opt
from repro.cli.tables import ratio_table, say, show, show_json

if TYPE_CHECKING:
    from repro.results.merge import Merged


def merge(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR|ZIP]...", help="Raw or results folders, archives of pack.")
    ] = None,
    out: opt.Out = paths.RESULTS,
) -> None:
    """Put results of any number of machines into tables.

    Writes comparison.csv, trials.csv and builds.csv.
    """
    show(ratio_table(merge_into(out, sources or [out / "raw"]).tables.rows))


def merge_into(out: Path, sources: list[Path]) -> Merged:
    """Merge, and say what was left out."""
    from repro.results.merge import merge as merge_sources

    merged = merge_sources(sources, out)
    for broken in merged.broken:
        say(broken)
    if merged.torn:
        say(f"{text.counted(merged.torn, 'last line')} torn by a crash: the same command measures them again")
    said = text.listed(f"{number} {status}" for status, number in merged.statuses.items())
    say(
        f"{text.counted(merged.rows, 'row')} ({said}) from {text.counted(merged.files, 'raw file')}: {paths.shown(out)}"
    )
    return merged


def report(
    folder: opt.Results = None,
    out: opt.Out = paths.RESULTS,
    show_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html and report.md.

    From what merge has written; report.md is for a forum or an issue.
    """
    from repro.report import report as reporting
    from repro.results import tables

    folder = folder or out
    written = reporting.write(folder, tables.read(folder))
    say(f"written: {paths.shown(written.html)}, {paths.shown(written.markdown)}")
    if show_it:
        typer.launch(written.html.resolve().as_uri())


def explain(out: opt.Out = paths.RESULTS, as_json: opt.AsJson = False) -> None:
    """Say how much slower, why, and what to do."""
    from repro.explain.find import find
    from repro.report.text import explain_lines
    from repro.results import tables

    found = tables.read(out)
    if as_json:
        show_json([dataclasses.asdict(finding) for finding in find(found)])
    else:
        page = out / "report.html"
        where = paths.shown(page) if page.is_file() else text.command("report")
        print("\n".join(explain_lines(found, where)))


def pack(
    folder: opt.Results = None,
    out: opt.Out = paths.RESULTS,
    to: Annotated[Path, typer.Option(metavar="FILE|DIR", help="The zip file, or where <machine>.zip goes.")] = Path(),
    machine: Annotated[str | None, typer.Option(help="Which machine, where the folder has several.")] = None,
) -> None:
    """Pack one machine's results to give away.

    No names of users, hosts, folders or images are in the archive.
    """
    from repro.results import pack as packing

    file = packing.pack(folder or out, to, machine)
    say(f"written: {paths.shown(file)} ({file.stat().st_size / 1024:,.0f} KiB)")
