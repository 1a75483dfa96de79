"""The command line. Only this module exits, and only `printing` prints; it reads as a table of contents.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from repro import completion, errors, layout, platforms
from repro import options as opt
from repro.errors import ConfigError, ReproError, StoreError
from repro.printing import console, say, show, show_json, show_table
from repro.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from repro.model import Pair
    from repro.session import Options, Ready, Summary

app = typer.Typer(
    name="python -m repro",
    help="Reproduce, explain and settle the speed difference between itk-elastix and elastix.",
    epilog="Exit status: 0 all good; 1 a trial failed; 2 usage or configuration; "
    "3 the two paths' results disagree; 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
pair_app = typer.Typer(help="Add a pair to the workspace.", no_args_is_help=True)
app.add_typer(pair_app, name="pair")


def main() -> NoReturn:
    """Run the command."""
    platforms.speak_utf8(sys.stdout, sys.stderr)
    sys.exit(status_of(_run))


def _run() -> object:
    """What the words of the command line ask for."""
    if (script := completion.asked(sys.argv[1:])) is not None:
        print(script, end="")
        return errors.EXIT_OK
    return app(standalone_mode=False, complete_var=completion.VARIABLE)


def status_of(command: Callable[[], object]) -> int:
    """Run it; a known error becomes a message and its exit status."""
    try:
        status = command()
    except ReproError as error:
        say(f"error: {error}")
        status = error.exit_status
    except typer.Exit as error:
        status = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; everything measured so far is kept, the same command goes on from there")
        status = errors.EXIT_INTERRUPTED
    except Exception as error:
        # typer's own usage errors (click's, whichever click it carries) know how to show themselves
        shown = getattr(error, "show", None)
        if shown is None:
            raise
        shown()
        status = getattr(error, "exit_code", errors.EXIT_USAGE)
    return status if isinstance(status, int) else errors.EXIT_OK


@app.command()
def pairs(
    verify: Annotated[bool, typer.Option("--verify", help="Check everything on disk against its checksums.")] = False,
    releases: opt.Releases = False,
    as_json: opt.AsJson = False,
) -> int:
    """The pairs: versions, whether this platform has them, what is fetched and verified."""
    from repro import pairstable
    from repro import verify as verification

    known = opt.chosen_pairs(None) + (opt.chosen_releases() if releases else [])
    problems = verification.everything(known) if verify else []
    show(pairstable.rows(known), pairstable.facts(known), as_json)
    for problem in problems:
        say(problem)
    return errors.EXIT_USAGE if problems else errors.EXIT_OK


@app.command()
def fetch(
    names: opt.PairNames = None,
    source: Annotated[str, typer.Option(help="Executable from: auto, release, debian, or a path.")] = "auto",
    offline: opt.Offline = False,
    require_pinned: Annotated[bool, typer.Option("--require-pinned", help="Refuse archives without sha256.")] = False,
    releases: opt.Releases = False,
    defer_exit: opt.DeferExit = False,
) -> int:
    """Wheels, executables and images: downloaded, verified, put in place."""
    from repro import fetch as fetching
    from repro import images
    from repro.errors import FetchError

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


@app.command()
def plan(
    names: opt.PairNames = None,
    experiment: opt.Experiments = None,
    experiments: opt.ExperimentsFile = None,
    rounds: opt.Rounds = None,
    jobs: opt.Jobs = None,
    seed: opt.Seed = 1,
    shard: opt.Shard = "1/1",
    out: opt.Out = layout.RESULTS,
    as_json: opt.AsJson = False,
) -> None:
    """The trials that bench would run, in their order, with an estimate of the time."""
    from repro import plantable

    chosen = opt.chosen_experiments(experiment, jobs=jobs, file=experiments)
    planned = plantable.plan_all(
        opt.chosen_for(chosen, names), chosen, rounds, seed, opt.parse_shard(shard), out / "raw"
    )
    show(plantable.rows(planned), [dataclasses.asdict(entry) for entry in planned], as_json)


@app.command()
def bench(
    names: opt.PairNames = None,
    experiment: opt.Experiments = None,
    experiments: opt.ExperimentsFile = None,
    rounds: opt.Rounds = None,
    runs: opt.Runs = None,
    precision: opt.Precision = 0.03,
    threads: opt.Threads = None,
    jobs: opt.Jobs = None,
    fixed: opt.Fixed = None,
    moving: opt.Moving = None,
    params: opt.Params = None,
    elastix: opt.Elastix = None,
    no_cli: opt.NoCli = False,
    no_itk: opt.NoItk = False,
    seed: opt.Seed = 1,
    timeout: opt.Timeout = 600,
    memory_limit: opt.MemoryLimit = None,
    shard: opt.Shard = "1/1",
    fresh: opt.Fresh = False,
    out: opt.Out = layout.RESULTS,
    offline: opt.Offline = False,
    quick: opt.Quick = False,
    profile: opt.Profile = False,
    defer_exit: opt.DeferExit = False,
) -> int:
    """Run an experiment's rounds on both paths; what is measured already is not run again."""
    from repro import session
    from repro.arms import Limits
    from repro.session import Options

    paths = frozenset({"cli", "api"} - ({"cli"} if no_cli else set()) - ({"api"} if no_itk else set()))
    if not paths:
        raise ConfigError("--no-cli and --no-itk together leave nothing to run; give one of them")
    chosen = opt.chosen_experiments(experiment, jobs=jobs, quick=quick, file=experiments)
    options = Options(
        pairs=opt.chosen_for(chosen, names, environment=True),
        experiments=chosen,
        out=out,
        rounds=rounds or runs or (opt.QUICK_ROUNDS if quick else None),
        precision=precision,
        threads=threads,
        fixed=fixed,
        moving=moving,
        parameter_files=tuple(params or ()),
        elastix=elastix,
        paths=paths,
        seed=seed,
        limits=Limits(timeout, None if memory_limit is None else memory_limit * 2**20),
        shard=opt.parse_shard(shard),
        fresh=fresh,
        offline=offline,
        profile=profile,
        command=tuple(opt.without_folders(argument) for argument in sys.argv[1:]),
    )
    status = measure(options, session.ready(options, say))
    return errors.EXIT_OK if defer_exit and status != errors.EXIT_INTERRUPTED else status


def measure(options: Options, checked: Ready) -> int:
    """Run, show the tables, and give the exit status."""
    from repro import interrupts, session, tables
    from repro.bench import Stop
    from repro.terminal import Terminal

    stop = Stop()
    interrupts.listen(stop, say)
    with Terminal(console(stderr=True)) as terminal:
        summary = session.run(options, checked, terminal, stop)
    for result in summary.results:
        show_table(tables.posted(result))
    if summary.results:
        show_table(tables.ratios(summary.results))
    say(tables.closing(summary))
    return _status(summary, stop.requested)


def _status(summary: Summary, interrupted: bool) -> int:
    if interrupted:
        return errors.EXIT_INTERRUPTED
    if summary.disagree:
        return errors.EXIT_DISAGREE
    return errors.EXIT_TRIAL_FAILED if summary.tally.failed else errors.EXIT_OK


@app.command()
def pack(
    folder: opt.Results = layout.RESULTS,
    machine: Annotated[str | None, typer.Option(help="Which machine, where the folder has several.")] = None,
    to: Annotated[Path, typer.Option(metavar="FILE|DIR", help="The zip file, or where <machine>.zip goes.")] = Path(),
) -> None:
    """One machine's results as a small archive to give away: no user, host or folder names in it."""
    from repro import pack as packing

    file = packing.pack(folder, machine, to)
    say(f"written: {layout.shown(file)} ({file.stat().st_size / 1024:,.0f} KiB)")


@app.command()
def merge(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR|ZIP]...", help="Raw or results folders, archives of pack.")
    ] = None,
    out: opt.Out = layout.RESULTS,
    defer_exit: opt.DeferExit = False,
) -> int:
    """Any number of machines' results, folders and archives, into trials.csv and comparison.csv."""
    from repro import merge as merging
    from repro import pack as packing
    from repro import tables

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


@app.command()
def report(
    folder: opt.Results = layout.RESULTS,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> int:
    """The report from what merge has written: report.html, and report.md for a forum or an issue."""
    from repro import report as reporting

    written = reporting.write(folder)
    say(f"written: {layout.shown(written.html)}, {layout.shown(written.markdown)}")
    if show:
        typer.launch(written.html.resolve().as_uri())
    return written.exit_status


@app.command()
def explain(out: opt.Out = layout.RESULTS, as_json: opt.AsJson = False) -> None:
    """The causes, with their factors and intervals, from what merge has written."""
    from repro import explain as explanation
    from repro import measured

    found = measured.read(out)
    if as_json:
        show_json(explanation.facts(found))
    else:
        print(printable(explanation.text(found)), end="")


@app.command()
def doctor(as_json: opt.AsJson = False) -> int:
    """What this machine is, what would disturb a measurement, what is missing."""
    from repro import doctor as examination
    from repro import machine, tables

    facts = machine.fingerprint()
    findings = examination.checks(facts, examination.look_around(str(facts["platform"])))
    if as_json:
        show_json({"fingerprint": facts, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        show_table(tables.mapping("This machine", facts))
        print(tables.findings(findings))
    return errors.EXIT_USAGE if any(finding.level == "bad" for finding in findings) else errors.EXIT_OK


@app.command("bench-all")
def bench_all(quick: opt.Quick = False, offline: opt.Offline = False, out: opt.Out = layout.RESULTS) -> int:
    """Fetch, bench, merge and report for every pair. (pixi's task of this name does it pair by pair.)"""
    fetch(offline=offline, defer_exit=True)
    status = bench(quick=quick, offline=offline, out=out)
    if status == errors.EXIT_INTERRUPTED:
        return status
    merge(out=out)
    return max(status, report(out))


@pair_app.command("add")
def pair_add(
    itk_elastix: Annotated[str, typer.Argument(help="itk-elastix version, as 0.25.4.")],
    as_of: Annotated[str, typer.Option("--as-of", metavar="DATE", help="Resolve the wheels as of this day.")],
    elastix: Annotated[str, typer.Argument(help="elastix version, as 5.3.1; none: an API-only release.")] = "",
    python: Annotated[str, typer.Option(help="Python of the pair's environment.")] = "3.14",
    also: Annotated[list[str] | None, typer.Option(help="Package that a release imports and does not declare.")] = None,
) -> None:
    """Add a pair: its entry, its wheel lock and its pixi environment; or, API-only, entry and lock."""
    from repro.pairadd import add_pair

    add_pair(itk_elastix, elastix, opt.parse_date(as_of), python=python, also=tuple(also or ()), say=say)
