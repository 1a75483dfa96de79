"""The commands that measure, or say what would be measured."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from repro import errors, layout
from repro.cli import options as opt
from repro.cli.printing import console, say, show, show_table
from repro.errors import ConfigError

if TYPE_CHECKING:
    from repro.measure.session import Options, Ready, Summary


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
    from repro.plan import plantable

    chosen = opt.chosen_experiments(experiment, jobs=jobs, file=experiments)
    planned = plantable.plan_all(
        opt.chosen_for(chosen, names), chosen, rounds, seed, opt.parse_shard(shard), out / "raw"
    )
    show(plantable.rows(planned), [dataclasses.asdict(entry) for entry in planned], as_json)


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
    from repro.measure import session
    from repro.measure.arms import Limits
    from repro.measure.session import Options

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
    from repro.cli import tables
    from repro.cli.terminal import Terminal
    from repro.measure import session
    from repro.measure.bench import Stop
    from repro.system import interrupts

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
