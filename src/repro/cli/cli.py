"""The command line: a table of its commands. Only this module exits, and only `printing` prints.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from repro import errors, layout
from repro import system as platforms
from repro.cli import benchcommands, completion, paircommands, resultcommands
from repro.cli import options as opt
from repro.cli.printing import say
from repro.errors import ReproError


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


def bench_all(quick: opt.Quick = False, offline: opt.Offline = False, out: opt.Out = layout.RESULTS) -> int:
    """Fetch, bench, merge and report for every pair. (pixi's task of this name does it pair by pair.)"""
    paircommands.fetch(offline=offline, defer_exit=True)
    status = benchcommands.bench(quick=quick, offline=offline, out=out)
    if status == errors.EXIT_INTERRUPTED:
        return status
    resultcommands.merge(out=out)
    return max(status, resultcommands.report(out))


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
app.command()(paircommands.pairs)
app.command()(paircommands.fetch)
app.command()(benchcommands.plan)
app.command()(benchcommands.bench)
app.command()(resultcommands.pack)
app.command()(resultcommands.merge)
app.command()(resultcommands.report)
app.command()(resultcommands.explain)
app.command()(paircommands.doctor)
app.command("bench-all")(bench_all)
pair_app.command("add")(paircommands.pair_add)
