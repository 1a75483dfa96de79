"""The commands that measure: bench-all, bench, compare; and plan, which says what would be measured."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro import errors, paths, text
from repro.cli import options as opt
from repro.cli.tables import Table, ratio_table, say, show, show_json
from repro.errors import ConfigError, UnavailableError
from repro.model import SIDES, Side, Status

if TYPE_CHECKING:
    from repro.builds.installed import InstalledBuild
    from repro.cli.work import Asked, Ready
    from repro.measure.session import Options, Work
    from repro.results.columns import Row, TrialRow
    from repro.results.tables import Tables

COMPARE = "compare"
"""The experiment that `compare` runs unless it is told another."""
THRESHOLD_BLOCKS, THRESHOLD_ROUNDS = 12, 4
"""At most, where a threshold is given. On 2 cores an executable made slower by 10% had 1.11 [1.07, 1.16] with them, in
6 min 35 s, beside a floor of 0.95 to 1.01; with 6 blocks of 2 rounds 1.15 [1.06, 1.22], floor 0.95 to 1.34."""


def plan(
    names: opt.PairNames = None,
    experiment: opt.Experiments = None,
    experiments: opt.ExperimentsFile = None,
    blocks: opt.Blocks = None,
    rounds: opt.Rounds = None,
    jobs: opt.Jobs = None,
    quick: opt.Quick = False,
    out: opt.Out = paths.RESULTS,
    as_json: opt.AsJson = False,
) -> None:
    """Say what bench would run, and how many minutes it takes."""
    from repro.builds.catalogue import load_catalogue
    from repro.cli import work
    from repro.plan import cost
    from repro.system.machine import machine_name

    asked = work.Asked(experiments=experiment or (), file=experiments, blocks=blocks, rounds=rounds, jobs=jobs or ())
    chosen = work.chosen_experiments(asked, work.QUICK if quick else work.DEFAULT, say)
    costs = cost.read_costs(out / "raw" / machine_name())
    planned = [
        {
            "comparison": one.comparison,
            "experiment": one.experiment.name,
            "condition": one.spec.name,
            "base": one.base,
            "other": one.other,
            "blocks": one.spec.blocks,
            "rounds": one.spec.rounds,
            "estimate_s": costs.estimate_s(
                (one.comparison, one.experiment.name, one.spec.name), one.spec.paths, one.spec.blocks, one.spec.rounds
            ),
        }
        for one in work.plan(load_catalogue(), names, chosen, asked)
    ]
    if as_json:
        show_json(planned)
    else:
        show(plan_table(planned))


def plan_table(planned: Sequence[Mapping[str, Any]]) -> Table:
    """A line an experiment of a comparison, and the sum."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in planned:
        groups.setdefault((one["comparison"], one["experiment"]), []).append(one)
    known = [one["estimate_s"] for one in planned if one["estimate_s"] is not None]
    rows = [
        (
            *place,
            str(len(its)),
            _reach(one["blocks"] for one in its),
            _reach(one["rounds"] for one in its),
            _minutes([one["estimate_s"] for one in its]),
        )
        for place, its in groups.items()
    ]
    total = f"{text.counted(len(planned), 'condition')} in all"
    if known:
        total += f", about {text.duration(sum(known))}"
    if missing := len(planned) - len(known):
        total += f"; how long {text.counted(missing, 'condition')} will take shows once the first trials are timed"
    return Table(
        "What bench would run",
        ("pair or builds", "experiment", "conditions", "blocks", "rounds", "minutes"),
        rows,
        f"{total}. A block is a fresh start, a warm-up and its rounds; a condition may end early (--precision).",
    )


def _minutes(seconds: Sequence[float | None]) -> str:
    return "" if None in seconds else f"{sum(filter(None, seconds)) / 60:.1f}"


def _reach(numbers: Iterable[int]) -> str:
    low, *rest = sorted(set(numbers))
    return f"{low}-{rest[-1]}" if rest else str(low)


def bench(
    names: opt.PairNames = None,
    experiment: opt.Experiments = None,
    experiments: opt.ExperimentsFile = None,
    blocks: opt.Blocks = None,
    rounds: opt.Rounds = None,
    runs: opt.Runs = None,
    precision: opt.Precision = 0.03,
    threads: opt.Threads = None,
    jobs: opt.Jobs = None,
    fixed: opt.Fixed = None,
    moving: opt.Moving = None,
    fixed_mask: opt.FixedMask = None,
    moving_mask: opt.MovingMask = None,
    initial_transform: opt.InitialTransform = None,
    fixed_points: opt.FixedPoints = None,
    moving_points: opt.MovingPoints = None,
    params: opt.Params = None,
    elastix: opt.Elastix = None,
    no_cli: opt.NoCli = False,
    no_itk: opt.NoItk = False,
    seed: opt.Seed = 1,
    timeout: opt.Timeout = 600,
    memory_limit: opt.MemoryLimit = None,
    fresh: opt.Fresh = False,
    out: opt.Out = paths.RESULTS,
    offline: opt.Offline = False,
    quick: opt.Quick = False,
    verbose: opt.Verbose = False,
) -> int:
    """Measure pairs: the executable against the Python API.

    What is missing is fetched. What was measured already is not measured again.
    """
    from repro.cli import work

    if no_cli and no_itk:
        raise ConfigError("--no-cli and --no-itk together leave nothing to run; give one of them")
    if runs is not None and (blocks or rounds):
        raise ConfigError("--runs is one block of so many rounds, as posted; leave --blocks and --rounds out with it")
    sides: tuple[Side, ...] = ("other",) if no_cli else ("base",) if no_itk else SIDES
    asked = work.Asked(
        experiments=experiment or (),
        file=experiments,
        blocks=1 if runs else blocks,
        rounds=runs - 1 if runs else rounds,
        threads=threads,
        jobs=jobs or (),
        params=params or (),
        images={
            "fixed": fixed,
            "moving": moving,
            "fixed_mask": fixed_mask,
            "moving_mask": moving_mask,
            "initial_transform": initial_transform,
            "fixed_points": fixed_points,
            "moving_points": moving_points,
        },
        elastix=elastix,
        sides=sides,
        offline=offline,
    )
    settings = _settings(out, seed, precision, timeout, memory_limit, fresh, sides)
    ready = _ready(asked, names, work.QUICK if quick else work.DEFAULT, out, seed, verbose)
    tables = measure(ready.work, settings)
    if runs:
        for one in ready.work:
            show(posted_table(one, tables.trials))
    rows = rows_of(tables, ready.work)
    show(ratio_table(rows))
    if names and ready.unavailable:
        return errors.EXIT_USAGE
    return status_of(rows)


def bench_all(
    quick: opt.Quick = False,
    experiment: opt.Experiments = None,
    blocks: opt.Blocks = None,
    rounds: opt.Rounds = None,
    precision: opt.Precision = 0.03,
    threads: opt.Threads = None,
    seed: opt.Seed = 1,
    timeout: opt.Timeout = 600,
    memory_limit: opt.MemoryLimit = None,
    fresh: opt.Fresh = False,
    out: opt.Out = paths.RESULTS,
    offline: opt.Offline = False,
    verbose: opt.Verbose = False,
) -> int:
    """The main job: fetch, measure every pair, merge, report."""
    from repro.cli import result_commands, work

    asked = work.Asked(experiments=experiment or (), blocks=blocks, rounds=rounds, threads=threads, offline=offline)
    settings = _settings(out, seed, precision, timeout, memory_limit, fresh, SIDES)
    ready = _ready(asked, None, work.QUICK if quick else work.DEFAULT, out, seed, verbose)
    tables = measure(ready.work, settings)
    result_commands.merge_into(out, [out / "raw"])
    result_commands.report(out)
    result_commands.explain(out)
    return status_of(rows_of(tables, ready.work))


def compare(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="A name, a wheel, a folder of wheels, an executable, a zip.")
    ],
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="The same; a ratio above 1 means that it is slower than BASE.")
    ],
    experiment: opt.Experiments = None,
    experiments: opt.ExperimentsFile = None,
    fail_if: Annotated[
        str | None,
        typer.Option("--fail-if", metavar="slower:5%", help="Exit 3 if interval and noise floor show that OTHER is."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table for a comment.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the same as data.")] = None,
    benchmark_json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as github-action-benchmark reads it.")
    ] = None,
    itk: Annotated[str | None, typer.Option(metavar="VERSION", help="ITK for wheels that come without it.")] = None,
    blocks: opt.Blocks = None,
    rounds: opt.Rounds = None,
    precision: opt.Precision = 0.03,
    threads: opt.Threads = None,
    seed: opt.Seed = 1,
    timeout: opt.Timeout = 600,
    memory_limit: opt.MemoryLimit = None,
    fresh: opt.Fresh = False,
    out: opt.Out = paths.RESULTS,
    offline: opt.Offline = False,
) -> int:
    """Measure any two builds against each other.

    The base is measured against itself, too: that is the noise floor.
    """
    from repro.builds import given
    from repro.cli import export, work
    from repro.files import write_json, write_text

    threshold = opt.threshold(fail_if)
    if threshold is not None:
        blocks, rounds = blocks or THRESHOLD_BLOCKS, rounds or THRESHOLD_ROUNDS
    for file in (markdown, json_file, benchmark_json):
        if file and not (os.access(file.absolute().parent, os.W_OK) and (file.is_file() or not file.exists())):
            raise ConfigError(f"{file}: no file can be written there; make its folder, or give another name")
    asked = work.Asked(
        experiments=experiment or (), file=experiments, blocks=blocks, rounds=rounds, threads=threads, offline=offline
    )
    chosen = work.chosen_experiments(asked, (COMPARE,), say)
    builds: list[InstalledBuild] = []
    try:
        for name in (base, other):
            builds.append(given.resolve(name, itk=itk, offline=offline, say=say))
        found = work.Found(asked, say)
        arms = [dict(zip(SIDES, builds, strict=True))]
        if builds[0].build != builds[1].build:
            arms.append(dict.fromkeys(SIDES, builds[0]))
        to_do = [
            work.make_work(f"{pair['base'].name} {pair['other'].name}", pair, one, spec, found)
            for one in chosen
            for spec in one.conditions
            for pair in arms
        ]
        tables = measure(to_do, _settings(out, seed, precision, timeout, memory_limit, fresh, SIDES))
    finally:
        for build in builds:
            given.discard(build)
    rows = rows_of(tables, to_do)
    outcome = export.outcome(builds[0].build, builds[1].build, rows, threshold)
    show(export.table(outcome))
    if markdown:
        write_text(markdown, export.markdown(outcome))
    if json_file:
        write_json(json_file, export.document(outcome))
    if benchmark_json:
        write_json(benchmark_json, export.benchmark(outcome))
    return errors.EXIT_THRESHOLD if outcome.beyond else status_of(rows)


def measure(work: Sequence[Work], settings: Options) -> Tables:
    """Run the work and show how it goes on; all that this machine has measured, earlier sessions included.

    Raises KeyboardInterrupt where Ctrl-C stopped it after a trial.
    """
    from repro.cli import doctor, progress
    from repro.cli.tables import console
    from repro.measure import session
    from repro.plan import cost
    from repro.results import comparison, raw
    from repro.system import interrupts, machine

    folder = settings.out / "raw" / machine.machine_name()
    costs = cost.read_costs(folder)
    if warnings := doctor.disturbances(machine.fingerprint()):
        say(f"what may disturb the measurement: {'; '.join(warnings)} ({text.command('doctor')} says what to do)")
    stop = interrupts.Stop()
    with progress.Terminal(console(stderr=True), work, costs) as terminal:
        interrupts.listen(stop, terminal.say)
        summary = session.run(work, settings, terminal, stop)
    said = f"{text.counted(summary.measured, 'trial')}, {summary.failed} failed"
    if summary.skipped:
        said += f", {text.counted(summary.skipped, 'block')} measured before"
    say(f"{said}; {text.duration(summary.wall_s)}")
    if stop.requested:
        raise KeyboardInterrupt
    return comparison.compare(raw.read_raw([folder], folder.parent))


def rows_of(tables: Tables, work: Sequence[Work]) -> list[Row]:
    """The rows that this work gives, in its order."""
    places = {(row.comparison, row.experiment, row.key): row for row in tables.rows}
    wanted = [(one.comparison.name, one.experiment_name, one.prepared.key) for one in work]
    return [places[place] for place in wanted if place in places]


def _settings(
    out: Path,
    seed: int,
    precision: float,
    timeout: float,
    memory_limit: int | None,
    fresh: bool,
    sides: Iterable[Side],
) -> Options:
    from repro.measure.arms import Limits
    from repro.measure.session import Options

    memory_bytes = None if memory_limit is None else memory_limit << 20
    return Options(
        out=out.absolute(),
        seed=seed,
        precision=precision,
        limits=Limits(timeout, memory_bytes),
        sides=frozenset(sides),
        fresh=fresh,
        command=tuple(sys.argv[1:]),
    )


def _ready(asked: Asked, names: list[str] | None, default: Sequence[str], out: Path, seed: int, verbose: bool) -> Ready:
    """Everything checked before anything is fetched, then made ready; what cannot be had is said once.

    Raises UnavailableError where nothing is left.
    """
    from repro.builds.catalogue import load_catalogue
    from repro.cli import work
    from repro.cli.build_commands import reasons

    planned = work.plan(load_catalogue(), names, work.chosen_experiments(asked, default, say), asked)
    if not planned:
        raise ConfigError("these pairs have no condition of these experiments; see `plan` for what there is")
    ready = work.make_ready(planned, asked, say)
    for reason in reasons(ready.unavailable, verbose=verbose):
        say(f"not measured: {reason}")
    if ready.unavailable and not asked.offline:
        work.record_unavailable(ready.unavailable, out, seed)
    if not ready.work:
        raise UnavailableError("nothing of what was asked for can be measured here")
    return ready


def status_of(rows: Sequence[Row]) -> int:
    """The exit status that these rows stand for: what has a known reason is no failure."""
    bad = {Status.FAILED, Status.TIMEOUT, Status.DIFFERENT, Status.MISMATCH}
    return errors.EXIT_FAILED if any(row.status in bad for row in rows) or not rows else errors.EXIT_OK


def posted_table(work: Work, trials: Iterable[TrialRow]) -> Table:
    """The table of the post: a line a run, the warm-up marked, then the steady state: the mean of runs 2 and later."""
    runs: dict[int, dict[Side, float]] = {}
    for one in trials:
        if one.key == work.prepared.key and one.whole and one.phase != "start" and one.wall_s is not None:
            runs.setdefault(one.round, {})[one.side] = one.wall_s

    def cells(seconds: Mapping[Side, float]) -> tuple[str, ...]:
        base, other = seconds.get("base"), seconds.get("other")
        ratio = f"{other / base:.2f}x" if base and other else text.UNKNOWN
        return *(text.UNKNOWN if one is None else f"{one:.3f}" for one in (base, other)), ratio

    steady: dict[Side, float] = {
        side: statistics.fmean(values)
        for side in SIDES
        if (values := [seconds[side] for number, seconds in runs.items() if number and side in seconds])
    }
    names = {"cli": "CLI (s)", "api": "itk-API (s)", "sitk": "SimpleITK (s)"}
    base, other, ratio = cells(steady)
    return Table(
        f"{work.comparison.name} {work.experiment_name}/{work.prepared.condition.name}",
        ("Run", *(names[work.builds[side].build.path] for side in SIDES), "ratio"),
        [(f"{'' if number else '*'}{number + 1}", *cells(seconds)) for number, seconds in sorted(runs.items())],
        f"* warm-up. Steady-state average over runs 2+: {base} s and {other} s, ratio {ratio}",
    )
