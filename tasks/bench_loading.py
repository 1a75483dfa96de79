#!/usr/bin/env python3
"""Where the first use of itk-elastix spends its time, and what cuts it, as a table.

    python3 tasks/bench_loading.py [--pair 0.25.4-5.3.1] [--rounds 5] [--json FILE]

Each way to load runs in a fresh interpreter, once a round and state of the file cache, the ways
in random order. It ends with both: a float image read and a registration object. "cold" drops the
wheels' own files from the file cache before (no root needed: posix_fadvise, Linux only; "disk" shows
how many MB then really came from the disk); with --drop, as root, the whole cache of the system.
Standard library only; run it with a Python that the pair's wheels are for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

POSTED = """
import itk
lap("import")
image = itk.imread(IMAGE, itk.F)
lap("image")
itk.ElastixRegistrationMethod[type(image), type(image)].New()
lap("class")
"""
CLASS_FIRST = """
import itk
lap("import")
method = itk.ElastixRegistrationMethod[itk.Image[itk.F, 2], itk.Image[itk.F, 2]].New()
lap("class")
itk.imread(IMAGE, itk.F)
lap("image")
"""
ONE_READER = """
import itk
lap("import")
image = itk.imread(IMAGE, itk.F, imageio=itk.TIFFImageIO.New())
lap("image")
itk.ElastixRegistrationMethod[type(image), type(image)].New()
lap("class")
"""
NO_FACTORIES = """
import itk
lap("import")
itk.TIFFImageIOFactory.RegisterOneFactory()
image = itk.imread(IMAGE, itk.F)
lap("image")
itk.ElastixRegistrationMethod[type(image), type(image)].New()
lap("class")
"""
BY_FILE = """
import itk
lap("import")
import itk.itkElastixRegistrationMethodPython as method
method.itkElastixRegistrationMethodIF2IF2.New()
lap("class")
import itk.itkImageFileReaderPython as reader
reading = reader.itkImageFileReaderIF2.New()
reading.SetFileName(IMAGE)
reading.Update()
lap("image")
"""
FORK = """
import gc, os
import itk
import itk.itkElastixRegistrationMethodPython as method
import itk.itkImageFileReaderPython as reader
gc.freeze()
from_here()
here, there = os.pipe()
if os.fork():
    os.read(here, 1)
    lap("fork")
    os.wait()
    os._exit(0)
method.itkElastixRegistrationMethodIF2IF2.New()
lap("class")
reading = reader.itkImageFileReaderIF2.New()
reading.SetFileName(IMAGE)
reading.Update()
lap("image")
os.write(there, b"+")
"""
NO_GC = "import gc\ngc.disable()\n"
CHILD = """
import json, sys, time
begin = (time.perf_counter(), time.process_time())
before, parts = begin, {}
def lap(name):
    global before
    now = time.perf_counter()
    parts[name] = now - before[0]
    before = (now, time.process_time())
def from_here():
    global begin, before
    begin = before = (time.perf_counter(), time.process_time())
IMAGE = sys.argv[1]
sys.path.insert(0, sys.argv[2])
"""
REPORT = """
def told(file, name):
    try:
        with open(file) as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
    except OSError:
        return None
print(json.dumps({
    "wall": time.perf_counter() - begin[0], "cpu": time.process_time() - begin[1], "parts": parts,
    "extensions": len({
        module.__spec__.origin for name, module in sys.modules.items()
        if name.startswith("itk._") and getattr(module, "__spec__", None)
        and str(module.__spec__.origin).endswith((".so", ".pyd"))
    }),
    "memory": told("/proc/self/status", "VmHWM:"), "disk": told("/proc/self/io", "read_bytes:"),
}), flush=True)
import os
os._exit(0)
"""


@dataclass(frozen=True)
class Way:
    """One way to come to a registration object and an image."""

    code: str
    variables: Mapping[str, str] | None = None
    flags: tuple[str, ...] = ()
    bytecode: bool = True


BLAS = {"OPENBLAS_NUM_THREADS": "1"}
WAYS = {
    "as posted": Way(POSTED),
    "as posted, no bytecode": Way(POSTED, bytecode=False),
    "class before image": Way(CLASS_FIRST),
    "garbage collector off": Way(NO_GC + POSTED),
    "one BLAS thread": Way(POSTED, BLAS),
    "one image reader": Way(ONE_READER),
    "one reader, no factories": Way(NO_FACTORIES, {"ITK_PYTHON_DEFAULTFACTORYLOADING": "False"}),
    "by file names": Way(BY_FILE),
    "by file names, no bytecode": Way(BY_FILE, bytecode=False),
    "recipe: by file, gc off, 1 BLAS": Way(NO_GC + BY_FILE, BLAS),
    "recipe: forked": Way(FORK, BLAS),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pair", default="0.25.4-5.3.1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image", type=Path, default=ROOT / "data" / "synthetic" / "fixed.tif")
    parser.add_argument("--only", action="append", choices=WAYS, help="measure this way (repeatable)")
    parser.add_argument("--drop", action="store_true", help="cold: drop the whole file cache; needs root")
    parser.add_argument("--warm", action="store_true", help="leave the cold runs out")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    options = parser.parse_args()
    wheels = ROOT / ".pairs" / options.pair / "site-packages"
    if not wheels.is_dir():
        print(f"{options.pair} is not fetched; run: python -m repro fetch {options.pair}", file=sys.stderr)
        return 2
    ways = {name: way for name, way in WAYS.items() if name in (options.only or WAYS)}
    if not hasattr(os, "fork"):
        ways.pop("recipe: forked", None)
    states: dict[str, Callable[[], None]] = {"warm": lambda: None}
    if not options.warm and hasattr(os, "posix_fadvise"):
        states["cold"] = drop_all if options.drop else lambda: forget(wheels)
    runs = measure(ways, states, options.rounds, wheels, options.image)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    report(runs, options)
    return 0


def measure(
    ways: Mapping[str, Way], states: Mapping[str, Callable[[], None]], rounds: int, wheels: Path, image: Path
) -> list[dict[str, Any]]:
    """Every run as a mapping: way, state, round and what the child told."""
    runs = []
    order = random.Random(1)
    for way in ways.values():  # whatever is measured later has been read once
        load(way, wheels, image)
    for number in range(rounds):
        for name in order.sample(list(ways), len(ways)):
            for state, prepare in states.items():
                prepare()
                runs.append({"way": name, "state": state, "round": number, **load(ways[name], wheels, image)})
                print(f"round {number + 1}/{rounds} {state} {name}: {runs[-1]['wall']:.2f} s", file=sys.stderr)
    return runs


def load(way: Way, wheels: Path, image: Path) -> dict[str, Any]:
    """One run in a fresh interpreter. Without bytecode: none is found, and none is left."""
    with tempfile.TemporaryDirectory() as nowhere:
        flags = [] if way.bytecode else ["-B", "-X", f"pycache_prefix={nowhere}"]
        command = [sys.executable, "-S", "-P", *flags, "-c", CHILD + way.code + REPORT, str(image), str(wheels)]
        variables = {**os.environ, **(way.variables or {})}
        begin = time.perf_counter()
        done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
        return {**json.loads(done.stdout), "process": time.perf_counter() - begin}


def forget(folder: Path) -> None:
    """Drop the folder's files from the file cache, as far as no other process maps them."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def drop_all() -> None:
    """Drop the whole file cache of the system."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def report(runs: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> None:
    """The table: medians, with the range of the whole time; factor: the first way's time over this one's."""
    print(
        f"pair {options.pair}, Python {sys.version.split()[0]}, {sys.platform}, {os.cpu_count()} CPUs, "
        f"{options.rounds} rounds, load {os.getloadavg() if hasattr(os, 'getloadavg') else 'unknown'}"
    )
    heads = ("state", "way", "seconds", "range", "CPU s", "factor", "import", "image", "class", "fork")
    rows: list[tuple[str, ...]] = [(*heads, "ext.", "MiB", "disk MB")]
    for state in ("warm", "cold"):
        first = None
        for way in WAYS:
            mine = [run for run in runs if run["way"] == way and run["state"] == state]
            if not mine:
                continue
            wall = [run["wall"] for run in mine]
            used = median(mine, "cpu")
            first = first or statistics.median(wall)
            parts = [median([run["parts"] for run in mine], name) for name in ("import", "image", "class", "fork")]
            memory, disk = median(mine, "memory"), median(mine, "disk")
            rows.append(
                (
                    state,
                    way,
                    f"{statistics.median(wall):.3f}",
                    f"{min(wall):.3f}-{max(wall):.3f}",
                    shown(used, 3),
                    f"{first / statistics.median(wall):.1f}",
                    *(shown(part, 2) for part in parts),
                    shown(median(mine, "extensions"), 0),
                    shown(memory and memory / 1024, 0),
                    shown(disk and disk / 1e6, 0),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def median(runs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The median of what the runs tell of the name; None where none does."""
    values = [run[name] for run in runs if run.get(name) is not None]
    return statistics.median(values) if values else None


def shown(value: float | None, digits: int) -> str:
    """The number, or a dash for one that is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
