"""Compare the wall time that `Launcher` tells of a command with that of a bare shell.

    PYTHONPATH=src python tasks/bench_launcher.py [--rounds 15] [-- COMMAND ...]

In each round both run once, in random order: the shell (bash's own ``time``, milliseconds) and ``Launcher.run`` from
this process, made fat on purpose. Without a command it is the first fetched executable on the committed synthetic
images. The first round fills the file cache and does not count.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro import paths, text
from repro.builds import installed
from repro.builds.catalogue import load_catalogue
from repro.errors import ReproError, UnavailableError
from repro.system.children import Command, Launcher
from repro.system.environment import child_environment

OUTPUT = "{output}"
"""Word of the command that is replaced by the run's own folder."""
BALLAST = bytearray(b"x") * (300 << 20)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("command", nargs="*", help=f"{OUTPUT} in it becomes a new folder")
    options = parser.parse_args()
    try:
        command, variables = (options.command, {}) if options.command else elastix()
    except ReproError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"{len(BALLAST) >> 20} MiB of ballast, {' '.join(command)}")
    rounds = []
    with Launcher() as launcher:
        for number in range(options.rounds + 1):
            rounds.append(one_round(launcher, command, child_environment(variables)))
            print(f"{number:3}  shell {rounds[-1][0]:.3f} s  launcher {rounds[-1][1]:.3f} s", flush=True)
    shell_s, launcher_s = (statistics.median(each) for each in zip(*rounds[1:], strict=True))
    ratio = statistics.median(ours_s / theirs_s for theirs_s, ours_s in rounds[1:])
    print(f"median {shell_s:.3f} and {launcher_s:.3f} s  median of ratios {ratio - 1:+.2%}")
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


def one_round(launcher: Launcher, command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds by the shell and by the launcher, each with a new output folder."""
    seconds = {"shell": 0.0, "launcher": 0.0}
    for way in random.sample(sorted(seconds), 2):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            argv = [str(folder) if word == OUTPUT else word for word in command]
            if way == "shell":
                shell = ["bash", "-c", 'TIMEFORMAT=%3R; time "$@" >"$0" 2>&1', str(folder / "out.txt"), *argv]
                done = subprocess.run(shell, env=environment, stderr=subprocess.PIPE, check=True)
                seconds[way] = float(done.stderr.split()[-1])
            else:
                out, err = folder / "out", folder / "err"
                outcome = launcher.run(Command(argv=argv, env=environment, stdout=out, stderr=err))
                if outcome.exit_status != 0:
                    raise SystemExit(f"the command {outcome.how}")
                seconds[way] = outcome.wall_s
    return seconds["shell"], seconds["launcher"]


if __name__ == "__main__":
    sys.exit(main())
