"""Compare the wall time that `Launcher` tells of a command with that of a bare shell.

    PYTHONPATH=src python tasks/bench_launcher.py [--rounds 15] [--patience 600] [-- COMMAND ...]

In each round both run once, in random order: the shell (bash's own ``time``, milliseconds) and ``Launcher.run`` from
this process, made fat on purpose. Without a command it is the first fetched executable on the committed synthetic
images. Rounds that other programs disturbed are counted apart; with --patience it goes on until so many were quiet.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro import paths, text
from repro.builds import installed
from repro.builds.catalogue import load_catalogue
from repro.errors import ReproError, UnavailableError
from repro.results.comparison import DISTURBED_CORES
from repro.system import load
from repro.system.children import Command, Launcher
from repro.system.environment import child_environment

OUTPUT = "{output}"
"""Word of the command that is replaced by the run's own folder."""
BALLAST = bytearray(b"x") * (300 << 20)

Round = tuple[float, float, float]
"""Seconds by the shell, seconds by the launcher, cores that other programs kept busy meanwhile."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--patience", type=float, default=0, metavar="S", help="how long to go on for quiet rounds")
    parser.add_argument("command", nargs="*", help=f"{OUTPUT} in it becomes a new folder")
    options = parser.parse_args()
    try:
        command, variables = (options.command, {}) if options.command else elastix()
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    rounds = measure(command, child_environment(variables), options.rounds, options.patience)
    print(f"{len(BALLAST) >> 20} MiB of ballast, {' '.join(command)}")
    report("all rounds", rounds)
    report("quiet rounds", [one for one in rounds if is_quiet(one)])
    return 0


def elastix() -> tuple[list[str], Mapping[str, str]]:
    """The first executable that is there, on the synthetic images, with one thread."""
    images = paths.DATA / "synthetic"
    arguments = ["-f", str(images / "fixed.tif"), "-m", str(images / "moving.tif"), "-out", OUTPUT]
    arguments += ["-p", str(paths.PARAMETER_FILES / "posted-bspline.txt"), "-threads", "1"]
    for name, build in load_catalogue().builds.items():
        if build.path == "cli":
            try:
                found = installed.load(name)
            except UnavailableError:
                continue
            return [*found.command, *arguments], found.environment
    raise UnavailableError(f"no executable is fetched; run: {text.command('fetch cli:5.3.1')}")


def is_quiet(one: Round) -> bool:
    """Whether the round is undisturbed."""
    return one[2] <= DISTURBED_CORES


def measure(command: Sequence[str], environment: Mapping[str, str], wanted: int, patience_s: float) -> list[Round]:
    """Both ways in random order, after one round that fills the file cache."""
    rounds: list[Round] = []
    deadline = time.monotonic() + patience_s
    with Launcher() as launcher:
        one_round(launcher, command, environment)
        while len(rounds) < wanted or (sum(map(is_quiet, rounds)) < wanted and time.monotonic() < deadline):
            rounds.append(one_round(launcher, command, environment))
            shell_s, launcher_s, others = rounds[-1]
            said = f"{len(rounds):3}  shell {shell_s:.3f} s  launcher {launcher_s:.3f} s  others {others:.2f} cores"
            print(said, flush=True)
    return rounds


def one_round(launcher: Launcher, command: Sequence[str], environment: Mapping[str, str]) -> Round:
    """Both ways, each with a new output folder."""
    seconds, ours_s, before = {"shell": 0.0, "launcher": 0.0}, 0.0, load.snapshot()
    for way in random.sample(sorted(seconds), 2):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            argv = [str(folder) if word == OUTPUT else word for word in command]
            if way == "shell":
                script = 'TIMEFORMAT="%3R %3U %3S"; time "$@" >"$0" 2>&1'
                shell = ["bash", "-c", script, str(folder / "out.txt"), *argv]
                done = subprocess.run(shell, env=environment, stderr=subprocess.PIPE, check=True)
                seconds[way], user_s, system_s = map(float, done.stderr.split()[-3:])
            else:
                outcome = launcher.run(
                    Command(argv=argv, env=environment, stdout=folder / "out", stderr=folder / "err")
                )
                if outcome.exit_status != 0:
                    raise SystemExit(f"the command {outcome.how}")
                seconds[way], user_s, system_s = outcome.wall_s, outcome.user_s or 0.0, outcome.system_s or 0.0
            ours_s += user_s + system_s
    others = load.between(before, load.snapshot(), ours_s)
    return seconds["shell"], seconds["launcher"], others.other_cores + others.stolen_cores if others else 0.0


def report(title: str, rounds: Sequence[Round]) -> None:
    """Medians, and the median of the rounds' own ratios."""
    if rounds:
        shell_s, launcher_s = (statistics.median(one[way] for one in rounds) for way in (0, 1))
        ratio = statistics.median(one[1] / one[0] for one in rounds)
        print(f"{title}: {len(rounds)}  median {shell_s:.3f} and {launcher_s:.3f} s  median of ratios {ratio - 1:+.2%}")


if __name__ == "__main__":
    sys.exit(main())
