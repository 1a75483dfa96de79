"""How long `report` takes and how large its page is, on made-up results of many machines, or on given ones.

    python tasks/bench_report.py [FOLDER ...]

Without folders: one machine with three pairs, and twenty with four pairs and 60 conditions a pair, 10 rounds each.
Each report is made by a process of its own, started twice: the first reads the files into the system's cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
PAIRS = ("0.21.0-5.2.0", "0.25.0-5.3.0", "0.25.1-5.3.1", "0.25.4-5.3.1")
MACHINES = 20
CONDITIONS = {"posted": 1, "posted-28": 1, "aa": 1, "causes": 1, "causes-orders": 1, "causes-own": 1, "transforms": 6}
"""Experiment -> copies of it: 18 conditions and six times 7 make 60."""


def write(folder: Path, machines: int, pairs: Sequence[str], copies: bool) -> Path:
    """Results as `merge` leaves them."""
    import reportraw

    names = [f"{('linux-64', 'win-64', 'osx-arm64')[n % 3]}-made-up-8c-{n:08x}" for n in range(machines)]
    return reportraw.made(
        folder, machines=names, pairs=pairs, rounds=10, unavailable=False,
        experiments={name: number if copies else 1 for name, number in CONDITIONS.items()},
    )  # fmt: skip


def report(folder: Path) -> str:
    """Make the report of a folder in this process; what it took."""
    started = time.perf_counter()
    from repro.report import report

    written = report.write(folder)
    wall = time.perf_counter() - started
    size = written.html.stat().st_size / 1e6
    return f"{wall:6.2f} s ({time.process_time():.1f} s of CPU), {size:.2f} MB"


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Measure each folder."""
    if arguments[:1] == ["report"]:
        say(report(Path(arguments[1])))
        return
    with tempfile.TemporaryDirectory() as made:
        given = {name: Path(name) for name in arguments}
        if not given:
            given = {
                "1 machine, 3 pairs": write(Path(made) / "one", 1, PAIRS[:3], copies=False),
                f"{MACHINES} machines, 4 pairs, 60 conditions": write(
                    Path(made) / "many", MACHINES, PAIRS, copies=True
                ),
            }
        for name, folder in given.items():
            for _ in range(2):
                command = [sys.executable, __file__, "report", str(folder)]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            say(f"{name}: {run.stdout.strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
