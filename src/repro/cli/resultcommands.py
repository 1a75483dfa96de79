"""The commands about what was measured: given away, gathered, told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repro import errors, layout
from repro.cli import options as opt
from repro.cli.printing import say, show_json, show_table
from repro.errors import StoreError
from repro.wording import printable


def pack(
    folder: opt.Results = layout.RESULTS,
    machine: Annotated[str | None, typer.Option(help="Which machine, where the folder has several.")] = None,
    to: Annotated[Path, typer.Option(metavar="FILE|DIR", help="The zip file, or where <machine>.zip goes.")] = Path(),
) -> None:
    """One machine's results as a small archive to give away: no user, host or folder names in it."""
    from repro.results import pack as packing

    file = packing.pack(folder, machine, to)
    say(f"written: {layout.shown(file)} ({file.stat().st_size / 1024:,.0f} KiB)")


def merge(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR|ZIP]...", help="Raw or results folders, archives of pack.")
    ] = None,
    out: opt.Out = layout.RESULTS,
    defer_exit: opt.DeferExit = False,
) -> int:
    """Any number of machines' results, folders and archives, into trials.csv and comparison.csv."""
    from repro.cli import tables
    from repro.results import merge as merging
    from repro.results import pack as packing

    folders, refused = packing.folders_of(sources or [out / "raw"], out / "received")
    for reason in refused:
        say(f"left out: {reason}")
    if not folders:
        raise StoreError("nothing is left to merge; ask for the archives again, or name a results folder")
    merged = merging.merge(folders, out)
    for note in merged.notes:
        say(note)
    show_table(tables.comparison(out / "comparison.csv"))
    say(f"written: {layout.shown(out / 'trials.csv')}, {layout.shown(out / 'comparison.csv')}")
    if defer_exit:
        return errors.EXIT_OK
    return max(merged.exit_status, errors.EXIT_USAGE if refused else errors.EXIT_OK)


def report(
    folder: opt.Results = layout.RESULTS,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> int:
    """The report from what merge has written: report.html, and report.md for a forum or an issue."""
    from repro.report import report as reporting

    written = reporting.write(folder)
    say(f"written: {layout.shown(written.html)}, {layout.shown(written.markdown)}")
    if show:
        typer.launch(written.html.resolve().as_uri())
    return written.exit_status


def explain(out: opt.Out = layout.RESULTS, as_json: opt.AsJson = False) -> None:
    """The causes, with their factors and intervals, from what merge has written."""
    from repro.explain import explain as explanation
    from repro.explain import measured

    found = measured.read(out)
    if as_json:
        show_json(explanation.facts(found))
    else:
        print(printable(explanation.text(found)), end="")
