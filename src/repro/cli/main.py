"""The command line: the list of commands, and the one place where errors become messages and exit statuses.

A command imports what is heavy itself, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from repro import errors, paths, text
from repro.cli import build_commands, measure_commands, result_commands, tables
from repro.errors import ReproError

app = typer.Typer(
    help="Reproduce, explain and settle the speed difference between itk-elastix and elastix.",
    epilog="Exit status: 0 done, whatever was found; 1 a trial failed, or two arms that did the same work gave "
    "different results; 2 usage or configuration, or nothing could be measured of what was asked for; "
    "3 compare --fail-if says so; 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("bench-all")(measure_commands.bench_all)
app.command()(build_commands.fetch)
app.command()(measure_commands.bench)
app.command()(measure_commands.compare)
app.command()(build_commands.inspect)
app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
    build_commands.execute
)
app.command()(measure_commands.plan)
app.command()(result_commands.merge)
app.command()(result_commands.report)
app.command()(result_commands.explain)
app.command()(result_commands.pack)
app.command()(build_commands.doctor)
app.command()(build_commands.pairs)
for _noun, _add in (("build", build_commands.build_add), ("pair", build_commands.pair_add)):
    _group = typer.Typer(help=f"Add a {_noun}.", no_args_is_help=True)
    _group.command("add")(_add)
    # A group of one command would become that command.
    _group.callback()(lambda: None)
    app.add_typer(_group, name=_noun)


def main() -> NoReturn:
    """Run the command of this process."""
    _open_standard_streams()
    os.chdir(paths.called_from())
    status = run(sys.argv[1:])
    # A stream that cannot be written fails here for the last time, and not in the interpreter's own end.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit status; every error that is known becomes a message."""
    tables.forget_said()
    try:
        command = typer.main.get_command(app)
        # Calling `app` would make exit statuses of its own of what goes wrong.
        with command.make_context(text.command("").strip(), _without_separator(arguments)) as context:
            status = command.invoke(context)
        sys.stdout.flush()
    except ReproError as error:
        tables.say(f"error: {error}")
        return error.exit_status
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        tables.say("interrupted; everything measured so far is kept, and the same command goes on from there")
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        return errors.EXIT_OK
    except OSError as error:
        tables.say(f"error: {system_message(error)}")
        return errors.EXIT_USAGE
    except MemoryError:
        tables.say("error: there is not enough memory; close other programs, or raise the limit (ulimit -v, container)")
        return errors.EXIT_USAGE
    except Exception as error:
        # Usage errors are click's, and typer has its own copy of click; they know how to show themselves.
        shown = getattr(error, "show", None)
        if shown is None:
            raise
        with contextlib.suppress(OSError):  # stderr cannot be written
            shown()
        return int(getattr(error, "exit_code", errors.EXIT_USAGE))
    return status if isinstance(status, int) else errors.EXIT_OK


def system_message(error: OSError) -> str:
    """What the system refused, of what, and what to do about it."""
    denied = "this account may not use it: run as its owner, or choose another folder with --out"
    full = "make room, then run the same command again"
    cures = {
        "EACCES": denied,
        "EPERM": denied,
        "EROFS": "it cannot be written: choose another folder with --out",
        "ENOTDIR": "choose another folder with --out",
        "ENOSPC": full,
        "EDQUOT": full,
        "EMFILE": "too many files are open: raise the limit (ulimit -n)",
        "ENOMEM": "close other programs, or raise the limit of memory",
    }
    where = "the system" if error.filename is None else str(error.filename)
    cure = cures.get(errno.errorcode.get(error.errno or 0, ""))
    return f"{where}: {error.strerror or error}" + (f"; {cure}" if cure else "")


def _without_separator(arguments: Sequence[str]) -> list[str]:
    """The arguments without a `--` that only ends pixi's own options: `pixi run bench-all -- --quick`."""
    command, *rest = arguments or [""]
    if command == "exec":
        return [command, *(rest[1:] if rest[:1] == ["--"] else rest)]
    return [argument for argument in arguments if argument != "--"]


def _open_standard_streams() -> None:
    """Make every standard stream one that takes UTF-8; a closed one goes nowhere.

    With a closed descriptor the next file that is opened would become the standard error of every child.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
