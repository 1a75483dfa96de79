"""The commands about builds and the machine: pairs, fetch, inspect, exec, build add, pair add, doctor."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro import errors, paths, text
from repro.cli import options as opt
from repro.cli.tables import Table, say, show, show_json
from repro.errors import ConfigError, FetchError, UnavailableError

if TYPE_CHECKING:
    from repro.builds.catalogue import Catalogue, Pair
    from repro.builds.installed import InstalledBuild

FACTS = {
    "source": "comes from",
    "elastix": "elastix",
    "itk": "ITK",
    "commit": "commit of ITK",
    "python": "Python",
    "default_threader": "threader, told nothing",
    "threads_2": "threads where ITK sees 2",
    "work_units_2": "its work units",
    "threads_28": "threads where ITK sees 28",
    "work_units_28": "its work units",
    "parameter_honoured": "heeds NumberOfThreads in the map",
    "method_honoured": "heeds SetNumberOfThreads",
    "option_honoured": "heeds -threads",
    "environment_honoured": "heeds the environment",
    "lock_ticks": "ticks of a thread while it registers",
    "lock_ticks_expected": "ticks if Python's lock were released",
    "import_s": "seconds of the import",
    "import_modules": "modules of the import",
    "first_object_s": "seconds to the first object",
    "first_object_modules": "modules of the first object",
    "resident_bytes": "memory",
    "later_calls_same": "later calls give the first result",
    "transformix_reads": "transformix reads its transforms",
    "problem": "problem",
}
"""Field of an inspection -> the words for it, in the order of the table."""
READY, NOT_FETCHED, NOT_HERE = "ready", "not fetched", "not for this platform"


def pairs(
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
    releases: Annotated[bool, typer.Option("--releases", help="The builds that belong to no pair, too.")] = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> int:
    """List the pairs, and whether they are ready."""
    from repro.builds import installed
    from repro.builds.catalogue import load_catalogue
    from repro.system.platforms import current_platform

    catalogue = load_catalogue()
    facts = [dataclasses.asdict(pair) | state_of(catalogue, pair) for pair in catalogue.pairs.values()]
    if releases:
        in_pairs = {part for name in catalogue.pairs for part in parts(catalogue, name)}
        facts += [
            {"name": name, build.path: name, "python": build.python} | state_of(catalogue, name)
            for name, build in catalogue.builds.items()
            if name not in in_pairs
        ]
    if as_json:
        show_json(facts)
    else:
        missing = NOT_FETCHED in {one["state"] for one in facts}
        remark = f"What is not fetched is fetched when it is needed, or now: {text.command('fetch')}" if missing else ""
        heads = {"name": "pair", "cli": "executable", "api": "itk-elastix", "sitk": "SimpleITK", "python": "Python"}
        heads["state"] = f"on {current_platform()}"
        rows = [[one.get(key) or "" for key in heads] for one in facts]
        show(Table("Pairs", [*heads.values()], rows, remark))
        for one in facts:
            if one["reason"] and (verbose or one["state"] == NOT_HERE):
                say(f"{one['name']}: {one['reason']}")
    if not verify:
        return errors.EXIT_OK
    here = builds_here(catalogue)
    problems = [problem for build in here for problem in installed.verify(build)]
    for problem in problems:
        say(problem)
    say(f"{text.counted(len(here), 'build')} verified, {text.counted(len(problems), 'problem')}")
    return errors.EXIT_USAGE if problems else errors.EXIT_OK


def parts(catalogue: Catalogue, name: str) -> list[str]:
    """The names of the builds of a pair; any other name stands for itself."""
    pair = catalogue.pairs.get(name)
    return [part for part in (pair.cli, pair.api, pair.sitk) if part] if pair else [name]


def state_of(catalogue: Catalogue, what: Pair | str) -> dict[str, str]:
    """How far a pair or a build is (`state`), and why it is not ready (`reason`).

    SimpleITK is measured beside a pair where it is there; it does not decide whether the pair can be run.
    """
    from repro.builds import installed
    from repro.system.platforms import current_platform

    names = [what] if isinstance(what, str) else [what.cli, what.api]
    for name in names:
        if reason := catalogue.builds[name].unavailable.get(current_platform()):
            return {"state": NOT_HERE, "reason": reason}
    for name in names:
        try:
            installed.load(name, catalogue=catalogue)
        except FetchError as error:
            return {"state": NOT_FETCHED, "reason": str(error)}
    return {"state": READY, "reason": ""}


def builds_here(catalogue: Catalogue) -> list[InstalledBuild]:
    """Every build that can be used now, the user's own last."""
    from repro.builds import installed

    found = []
    for name in catalogue.builds:
        with contextlib.suppress(FetchError):
            found.append(installed.load(name, catalogue=catalogue))
    return found + installed.own_builds()


def fetch(
    names: opt.Names = None,
    source: Annotated[
        str, typer.Option(metavar="auto|release|debian|PATH", help="Where the executable comes from.")
    ] = "auto",
    releases: Annotated[bool, typer.Option("--releases", help="The builds that belong to no pair, too.")] = False,
    require_pinned: Annotated[bool, typer.Option("--require-pinned", help="Refuse archives without sha256.")] = False,
    offline: opt.Offline = False,
    verbose: opt.Verbose = False,
) -> int:
    """Download, verify and unpack builds and images."""
    from repro.builds import fetch as fetching
    from repro.builds.catalogue import load_catalogue
    from repro.plan import images
    from repro.system.platforms import current_platform

    catalogue = load_catalogue()
    wanted = {part: catalogue.build(part) for name in names or catalogue.pairs for part in parts(catalogue, name)}
    if releases:
        wanted |= catalogue.builds
    failed: dict[str, FetchError] = {}
    for name, build in wanted.items():
        if not names and current_platform() in build.unavailable:
            continue
        try:
            fetching.fetch(build, source=source, offline=offline, require_pinned=require_pinned, say=say)
        except FetchError as error:
            failed[name] = error
    images.provide("posted", offline=offline, say=say)
    for reason in reasons(failed, verbose=verbose):
        say(f"not fetched: {reason}")
    return errors.EXIT_USAGE if failed else errors.EXIT_OK


def reasons(failed: Mapping[str, Exception], *, verbose: bool = False) -> list[str]:
    """Why these could not be had, a line a kind of error: one missing network is one line, not one a build."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for name, error in failed.items():
        kind = str(error) if verbose else type(error).__name__
        kinds.setdefault(kind, {}).setdefault(str(error).removeprefix(f"{name}: "), []).append(name)
    found = []
    for messages in kinds.values():
        (message, names), *others = messages.items()
        cause = message if verbose else message.split("; ")[0]
        like = [name for _, those in others for name in those]
        more = f"; {text.listed(like)}: the like" if like else ""
        hint = " (-v says more)" if like or cause != message else ""
        found.append(f"{text.listed(names)}: {cause}{more}{hint}")
    return found


def inspect(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[BUILD|PAIR]...", help="Builds or pairs; none: all that are here.")
    ] = None,
    itk: Annotated[str | None, typer.Option(metavar="VERSION", help="ITK for a wheel that comes without it.")] = None,
    out: opt.Out = paths.RESULTS,
    offline: opt.Offline = False,
    as_json: opt.AsJson = False,
) -> int:
    """Measure what a build does, whatever its release notes say.

    Threads, work units, Python's lock, loading, memory; each is measured, in about a minute a build.
    """
    from repro.builds import given
    from repro.builds.catalogue import load_catalogue
    from repro.measure import inspect as inspection

    catalogue = load_catalogue()
    if names:
        wanted = dict.fromkeys(part for name in names for part in parts(catalogue, name))
        builds = [given.resolve(name, itk=itk, offline=offline, say=say) for name in wanted]
    else:
        builds = builds_here(catalogue)
    if not builds:
        raise UnavailableError(f"no build is here; run: {text.command('fetch')}")
    executables = [build.transformix() for build in builds if build.build.path == "cli"]
    lines = inspection.inspect_all(builds, next(filter(None, executables), None), out, say)
    if as_json:
        show_json([dataclasses.asdict(line) for line in lines])
    else:
        # A row a fact, a column a build; facts that no build told are left out.
        heads = ["", *(f"{line.build.path}:{line.build.version}" for line in lines)]
        rows = [(words, *(_fact(name, getattr(line, name)) for line in lines)) for name, words in FACTS.items()]
        told = [row for row in rows if any(cell != text.UNKNOWN for cell in row[1:])]
        show(Table("What the builds do", heads, told))
    return errors.EXIT_FAILED if any(line.problem for line in lines) else errors.EXIT_OK


def _fact(name: str, value: Any) -> str:
    if value is None or value == "":
        return text.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return text.mebibytes(value)
    return text.seconds(value) if isinstance(value, float) else text.line(value, 200)


def execute(
    name: Annotated[str, typer.Argument(metavar="BUILD|PAIR", help="Whose itk and elastix the command sees.")],
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command with its arguments.")],
) -> int:
    """Run a command with a build's `import itk` and `elastix`."""
    from repro.builds import given
    from repro.builds.catalogue import load_catalogue

    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise ConfigError(
            f"exec {name}: there is no command; write it as: {text.command(f'exec {name} -- python script.py')}"
        )
    environment: Mapping[str, str] = os.environ
    for one in parts(load_catalogue(), name)[:2]:
        environment = given.resolve(one, say=say).environment_for_user(environment)
    return run_in(environment, command)


def run_in(environment: Mapping[str, str], command: list[str]) -> int:
    """Run the command in this environment; its exit status."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise ConfigError(f"{command[0]}: there is no such command in this environment; check the name")
    if os.name != "nt":
        os.execve(program, command, environment)
    return subprocess.run([program, *command[1:]], env=environment, check=False).returncode


def build_add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A wheel, a folder of wheels, an executable, a zip.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What it is called from now on.")],
    itk: Annotated[str | None, typer.Option(metavar="VERSION", help="ITK for a wheel that comes without it.")] = None,
    offline: opt.Offline = False,
) -> None:
    """Keep a build of your own under a name."""
    from repro.builds import given

    kept = given.keep(file, name, itk=itk, offline=offline, say=say)
    say(f"kept as {name}: {kept.name}; use it as: {text.command(f'compare api:0.25.4 {name}')}")


def pair_add(
    itk_elastix: Annotated[str, typer.Argument(help="itk-elastix version, as 0.25.4.")],
    as_of: Annotated[str, typer.Option("--as-of", metavar="DATE", help="Resolve the wheels as of this day.")],
    elastix: Annotated[
        str, typer.Argument(help="elastix version, as 5.3.1; leave it out to add itk-elastix alone.")
    ] = "",
    python: Annotated[str, typer.Option(help="Python of the pair's environment.")] = "3.14",
    also: Annotated[list[str] | None, typer.Option(help="Package that a release imports and does not declare.")] = None,
) -> None:
    """Add a pair, or an itk-elastix alone, to the project.

    Writes its entry, its wheel lock and its pixi environment.
    """
    import datetime

    from repro.builds.addition import add_pair

    try:
        day = datetime.date.fromisoformat(as_of)
    except ValueError as error:
        raise ConfigError(f"--as-of {as_of!r} is not a date; write it as 2026-08-22") from error
    add_pair(itk_elastix, elastix, day, python=python, also=tuple(also or ()), say=say)


def doctor(as_json: opt.AsJson = False) -> int:
    """Say what would disturb a measurement on this machine."""
    from repro.builds.catalogue import load_catalogue
    from repro.cli import doctor as examination
    from repro.system import machine

    facts = machine.fingerprint()
    catalogue = load_catalogue()
    states = {name: state_of(catalogue, pair) for name, pair in catalogue.pairs.items()}
    setup = examination.Setup(
        {name: its["reason"] for name, its in states.items() if its["state"] != NOT_HERE},
        {name: its["reason"] for name, its in states.items() if its["state"] == NOT_HERE},
        shutil.disk_usage(paths.ROOT).free,
    )
    found = examination.checks(facts, setup)
    if as_json:
        show_json({"fingerprint": facts, "checks": [dataclasses.asdict(one) for one in found]})
    else:
        told = [
            (name.replace("_", " "), text.listed(map(str, value)) if isinstance(value, list | tuple) else str(value))
            for name, value in facts.items()
            if value not in ("unknown", [])
        ]
        show(Table("This machine", ("what", "value"), told))
        print("\n".join(f"{one.level:>4}  {text.printable(str(one))}" for one in found))
    return errors.EXIT_USAGE if any(one.level == "bad" for one in found) else errors.EXIT_OK
