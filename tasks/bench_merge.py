"""How long `merge` takes and how much memory it needs, on made-up measurements of many machines.

    python tasks/bench_merge.py [10000 100000 1000000]

Each size is merged by a process of its own, started twice: the first reads the files into the system's cache.
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


def write(folder: Path, least: int) -> Path:
    """Raw files with at least that many measurements: copies of one machine's, 4 pairs, 3 conditions, 20 rounds."""
    import rawdata

    rawdata.write_raw(folder, machines=("m00000",), pairs=PAIRS, rounds=20)
    files = {file.relative_to(folder / "m00000"): file.read_bytes() for file in (folder / "m00000").rglob("*.jsonl")}
    each = sum(content.count(b'"kind": "measurement"') for content in files.values())
    for number in range(1, -(-least // each)):
        for name, content in files.items():
            file = folder / f"m{number:05}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.replace(b"m00000", b"m%05d" % number))
    return folder


def merge(folder: Path) -> str:
    """Merge the folder in this process; what it took."""
    started = time.perf_counter()
    from repro.results.merge import merge
    from repro.system import used

    merged = merge([folder / "raw"], folder)
    wall = time.perf_counter() - started
    peak = (used.peak_bytes() or 0) / 2**30
    return (
        f"{merged.measurements:9} measurements, {merged.rows:6} rows: {wall:6.2f} s "
        f"({time.process_time():.1f} s of CPU), {peak:.2f} GiB"
    )


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Measure each size."""
    if arguments[:1] == ["merge"]:
        say(merge(Path(arguments[1])))
        return
    for size in map(int, arguments or ("10000", "100000", "1000000")):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "raw", size)
            for _ in range(2):
                command = [sys.executable, __file__, "merge", folder]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            say(run.stdout.rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
