"""The commands about what is here: the pairs, fetched and added, and the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from repro import errors
from repro.cli import options as opt
from repro.cli.printing import say, show, show_json, show_table

if TYPE_CHECKING:
    from repro.model import Pair


def pairs(
    verify: Annotated[bool, typer.Option("--verify", help="Check everything on disk against its checksums.")] = False,
    releases: opt.Releases = False,
    as_json: opt.AsJson = False,
) -> int:
    """The pairs: versions, whether this platform has them, what is fetched and verified."""
    from repro.builds import verify as verification
    from repro.cli import pairstable

    known = opt.chosen_pairs(None) + (opt.chosen_releases() if releases else [])
    problems = verification.everything(known) if verify else []
    show(pairstable.rows(known), pairstable.facts(known), as_json)
    for problem in problems:
        say(problem)
    return errors.EXIT_USAGE if problems else errors.EXIT_OK


def fetch(
    names: opt.PairNames = None,
    source: Annotated[str, typer.Option(help="Executable from: auto, release, debian, or a path.")] = "auto",
    offline: opt.Offline = False,
    require_pinned: Annotated[bool, typer.Option("--require-pinned", help="Refuse archives without sha256.")] = False,
    releases: opt.Releases = False,
    defer_exit: opt.DeferExit = False,
) -> int:
    """Wheels, executables and images: downloaded, verified, put in place."""
    from repro.builds import fetch as fetching
    from repro.errors import FetchError
    from repro.plan import images

    status = errors.EXIT_OK

    def fetch_all(pairs: Iterable[Pair]) -> None:
        nonlocal status
        for pair in pairs:
            try:
                fetching.fetch_pair(pair, source=source, offline=offline, require_pinned=require_pinned, say=say)
            except FetchError as error:
                say(f"{pair.name} is unavailable: {error}")
                status = errors.EXIT_USAGE

    fetch_all(opt.chosen_pairs(names))
    if releases:  # asked now: which of them no pair holds is known once the pairs are there
        fetch_all(opt.chosen_releases())
    images.image_set("posted", offline=offline, say=say)
    return errors.EXIT_OK if defer_exit else status


def pair_add(
    itk_elastix: Annotated[str, typer.Argument(help="itk-elastix version, as 0.25.4.")],
    as_of: Annotated[str, typer.Option("--as-of", metavar="DATE", help="Resolve the wheels as of this day.")],
    elastix: Annotated[str, typer.Argument(help="elastix version, as 5.3.1; none: an API-only release.")] = "",
    python: Annotated[str, typer.Option(help="Python of the pair's environment.")] = "3.14",
    also: Annotated[list[str] | None, typer.Option(help="Package that a release imports and does not declare.")] = None,
) -> None:
    """Add a pair: its entry, its wheel lock and its pixi environment; or, API-only, entry and lock."""
    from repro.builds.pairadd import add_pair

    add_pair(itk_elastix, elastix, opt.parse_date(as_of), python=python, also=tuple(also or ()), say=say)


def doctor(as_json: opt.AsJson = False) -> int:
    """What this machine is, what would disturb a measurement, what is missing."""
    from repro.cli import doctor as examination
    from repro.cli import tables
    from repro.system import machine

    facts = machine.fingerprint()
    findings = examination.checks(facts, examination.look_around(str(facts["platform"])))
    if as_json:
        show_json({"fingerprint": facts, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        show_table(tables.mapping("This machine", facts))
        print(tables.findings(findings))
    return errors.EXIT_USAGE if any(finding.level == "bad" for finding in findings) else errors.EXIT_OK
