"""How long `merge` and `report` take, and how much memory, on made-up measurements of many machines.

    python tasks/bench_results.py [10000 100000]

Each number of raw lines is merged and reported by a process of its own, started twice: the first fills the file cache.
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


def write(folder: Path, least: int) -> Path:
    """Raw files with at least that many lines: copies of one machine's, each with an identity of its own."""
    from support import raw_lines

    raw_lines.write_raw(folder, machines=("m00000",), comparisons=raw_lines.PAIRS, experiments=raw_lines.EXPERIMENTS,
                        identity="i00000")  # fmt: skip
    raw = folder / "raw"
    files = {file.relative_to(raw / "m00000"): file.read_bytes() for file in (raw / "m00000").rglob("*.jsonl")}
    each = sum(content.count(b"\n") for content in files.values())
    for number in range(1, -(-least // each)):
        for name, content in files.items():
            file = raw / f"m{number:05}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.replace(b"m00000", b"m%05d" % number).replace(b"i00000", b"i%05d" % number))
    return folder


def merge(folder: Path) -> str:
    """Merge the folder; what came out."""
    from repro.results.merge import merge

    merged = merge([folder / "raw"], folder)
    return f"{merged.measurements:9,} measurements, {merged.rows:6,} rows"


def report(folder: Path) -> str:
    """Make the report of the folder; what came out."""
    from repro.report import report
    from repro.results import tables

    written = report.write(folder, tables.read(folder))
    return f"report.html of {written.html.stat().st_size / 1e6:.2f} MB"


STEPS: dict[str, Callable[[Path], str]] = {"merge": merge, "report": report}


def main(arguments: Sequence[str]) -> None:
    """Measure each size."""
    if arguments[:1] and arguments[0] in STEPS:
        from repro.system import used

        started = time.perf_counter()
        made = STEPS[arguments[0]](Path(arguments[1]))
        wall_s, peak = time.perf_counter() - started, (used.peak_bytes() or 0) / 2**30
        print(f"{arguments[0]:6} {wall_s:6.2f} s ({time.process_time():.1f} s of CPU), {peak:.2f} GiB: {made}")
        return
    for size in map(int, arguments or ("10000", "100000")):
        with tempfile.TemporaryDirectory() as made:
            folder = write(Path(made), size)
            for step in STEPS:
                for _ in range(2):
                    command = [sys.executable, __file__, step, str(folder)]
                    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
                print(run.stdout.rstrip(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
