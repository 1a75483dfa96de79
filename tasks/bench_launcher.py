#!/usr/bin/env python3
"""What launching through the project costs, against the same command timed by a bare shell.

    PYTHONPATH=src python tasks/bench_launcher.py [--rounds 15] [--patience 600] [-- COMMAND ...]

In each round both run once, in random order: the shell (bash's own ``time``, milliseconds) and
``Launcher.run`` from this process, made fat on purpose. Without a command it is the executable of
the first fetched pair on the committed synthetic images. Rounds that other programs disturbed are
marked and counted apart; with --patience it goes on until so many were quiet. Output folders are
new in every run and the same for both.
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
from dataclasses import dataclass
from pathlib import Path

from repro import layout
from repro.builds import config, installed
from repro.errors import ReproError, UnavailableError
from repro.system import load
from repro.system.children import Command, Launcher
from repro.system.environment import child_environment

OUTPUT = "{output}"
"""Word of the command that is replaced by the run's own folder."""


@dataclass(frozen=True)
class Round:
    """Seconds of both ways in one round."""

    shell_s: float
    launcher_s: float
    other_cores: float
    """Cores that other programs kept busy meanwhile."""

    @property
    def quiet(self) -> bool:
        """Whether the round is undisturbed."""
        return self.other_cores <= load.DISTURBED_CORES


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ballast", type=int, default=300, metavar="MIB", help="memory that this process holds")
    parser.add_argument("--patience", type=float, default=0, metavar="S", help="how long to go on for quiet rounds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("command", nargs="*", help=f"{OUTPUT} in it becomes a new folder")
    options = parser.parse_args()
    try:
        command, environment = (options.command, {}) if options.command else elastix()
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    ballast = bytearray(b"x") * (options.ballast << 20)
    rounds = measure(
        command, child_environment(environment), options.rounds, options.patience, random.Random(options.seed)
    )
    print(f"{len(ballast) >> 20} MiB of ballast, {' '.join(command)}")
    report("all rounds", rounds)
    report("quiet rounds", [one for one in rounds if one.quiet])
    return 0


def elastix() -> tuple[list[str], Mapping[str, str]]:
    """The executable of the first pair that is there, on the synthetic images, with one thread."""
    for pair in config.load_pairs().values():
        try:
            parts = installed.load(pair)
        except UnavailableError:
            continue
        images = layout.DATA / "synthetic"
        arguments = ["-f", str(images / "fixed.tif"), "-m", str(images / "moving.tif"), "-out", OUTPUT]
        arguments += ["-p", str(layout.PARAMETER_FILES / "posted-bspline.txt"), "-threads", "1"]
        return [*parts.elastix_command, *arguments], parts.elastix_env
    raise UnavailableError("no pair is fetched; run: python -m repro fetch")


def measure(
    command: Sequence[str], environment: Mapping[str, str], wanted: int, patience_s: float, generator: random.Random
) -> list[Round]:
    """Both ways in random order, after one round that fills the file cache."""
    rounds: list[Round] = []
    deadline = time.monotonic() + patience_s
    with Launcher() as launcher, tempfile.TemporaryDirectory() as scratch:

        def once(number: int) -> Round:
            seconds = {"shell": 0.0, "launcher": 0.0}
            before, ours_s = load.snapshot(), 0.0
            for way in generator.sample(sorted(seconds), 2):
                folder = Path(scratch) / f"{number}-{way}"
                folder.mkdir()
                argv = [str(folder) if word == OUTPUT else word for word in command]
                if way == "shell":
                    seconds[way], cpu_s = by_shell(argv, environment, folder)
                else:
                    seconds[way], cpu_s = by_launcher(launcher, argv, environment, folder)
                ours_s += cpu_s
            others = load.between(before, load.snapshot(), ours_s)
            assert others is not None
            return Round(seconds["shell"], seconds["launcher"], others.other_cores + others.stolen_cores)

        once(0)
        while len(rounds) < wanted or (sum(one.quiet for one in rounds) < wanted and time.monotonic() < deadline):
            one = once(len(rounds) + 1)
            rounds.append(one)
            print(
                f"{len(rounds):3}  shell {one.shell_s:.3f} s  launcher {one.launcher_s:.3f} s"
                f"  others {one.other_cores:.2f} cores{'' if one.quiet else '  disturbed'}",
                flush=True,
            )
    return rounds


def by_shell(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds as bash tells them."""
    script = 'TIMEFORMAT="%3R %3U %3S"; time "$@" >"$0" 2>&1'
    shell = ["bash", "-c", script, str(folder / "out.txt"), *argv]
    done = subprocess.run(shell, env=environment, stderr=subprocess.PIPE, check=True)
    wall_s, user_s, system_s = map(float, done.stderr.split()[-3:])
    return wall_s, user_s + system_s


def by_launcher(
    launcher: Launcher, argv: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[float, float]:
    """Wall and CPU seconds as the project measures them."""
    outcome = launcher.run(Command(argv=argv, env=environment, stdout=folder / "out.txt", stderr=folder / "err.txt"))
    if outcome.exit_status != 0:
        raise SystemExit(f"the command {outcome.how}")
    return outcome.wall_s, (outcome.user_s or 0.0) + (outcome.system_s or 0.0)


def report(title: str, rounds: Sequence[Round]) -> None:
    """Medians, minima and the median of the rounds' own ratios."""
    if not rounds:
        print(f"{title}: none")
        return
    shell, launcher = ([getattr(one, f"{way}_s") for one in rounds] for way in ("shell", "launcher"))
    medians, minima = ([f(shell), f(launcher)] for f in (statistics.median, min))
    paired = statistics.median(one.launcher_s / one.shell_s for one in rounds)
    print(
        f"{title}: {len(rounds)}  median {medians[0]:.3f} and {medians[1]:.3f} s ({medians[1] / medians[0] - 1:+.2%})"
        f"  minimum {minima[0]:.3f} and {minima[1]:.3f} s ({minima[1] / minima[0] - 1:+.2%})"
        f"  median of ratios {paired - 1:+.2%}"
    )


if __name__ == "__main__":
    sys.exit(main())
