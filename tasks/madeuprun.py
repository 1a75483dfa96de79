"""A whole run of `bench` and `merge` with a made-up pair: real processes, no registration.

The pair is called `made-up` and stands in no configuration, so that no command of the project can measure
with it. Everything but the executable and the itk package (tasks/madeup) is what a real run uses.

    PYTHONPATH=src python tasks/madeuprun.py OUT [--conditions 2] [--rounds 3] [--seconds 0.01]
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from repro import layout
from repro.builds.installed import Installed
from repro.cli import benchcommands, cli
from repro.measure import session
from repro.measure.arms import Limits
from repro.model import Condition, Executable, Experiment, Pair, Settings
from repro.plan.images import ImageSet
from repro.plan.prepare import Prepared
from repro.results import merge

HERE = Path(__file__).with_name("madeup")
PAIR = Pair("made-up", "0", Executable("0", "0"), "3", datetime.date(2026, 1, 1))
IMAGES = ImageSet("made-up", layout.DATA / "fixed", layout.DATA / "moving", "f" * 64, "e" * 64, "")


def experiment(conditions: int, rounds: int, *, api_first: bool = False) -> Experiment:
    """An experiment with so many conditions."""
    made = (
        Condition(
            f"condition-{number}",
            ("made-up.txt",),
            "made-up",
            Settings(0, "option"),
            Settings(0, "method"),
            arms=("api", "cli") if api_first else ("cli", "api"),
        )
        for number in range(1, conditions + 1)
    )
    return Experiment("made-up", "Is the bookkeeping right?", tuple(made), rounds)


def ready(chosen: Experiment, seconds: str) -> session.Ready:
    """What `session.ready` gives for a fetched pair and checked inputs; a registration takes so long."""
    elastix = (sys.executable, "-I", "-S", str(HERE / "elastix.py"))
    installed = Installed(PAIR, HERE, HERE, "", elastix, {}, "made-up", "made-up", {})
    text = f"(Seconds {seconds})\n"
    work = [
        (chosen, Prepared(condition, IMAGES, (text,), "TranslationTransform", 1)) for condition in chosen.conditions
    ]
    return session.Ready(work, {PAIR.name: session.Parts(installed, sys.executable)})


def run(out: Path, chosen: Experiment, seconds: str = "0.01", timeout_s: float = 60) -> int:
    """Measure what is missing and merge it; the exit status of `bench`, as the command line has it."""
    options = session.Options(
        pairs=[PAIR], experiments=[chosen], out=out, precision=0, limits=Limits(timeout_s), command=("made-up",)
    )

    def work() -> int:
        status = benchcommands.measure(options, ready(chosen, seconds))
        if status == 0:
            merge.merge([out], out)
        return status

    return cli.status_of(work)


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--conditions", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="0.01", help="of a registration")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--api-first", action="store_true")
    given = parser.parse_args(arguments)
    chosen = experiment(given.conditions, given.rounds, api_first=given.api_first)
    return run(given.out, chosen, given.seconds, given.timeout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
