#!/usr/bin/env python3
"""Is it memory or cache? Histogram memory against the caches, other ways to give it out, and the processor's counters.

    PYTHONPATH=src python studies/memory.py api:0.25.1 [--iterations 20] [--calls 3]

registers the committed images in the posted condition, where ITK sees 28 threads (448 work units of TBB). Three tables:
1. seconds of the second and later calls by the number of bins, with the size of all histograms beside the caches: if
   the time is in the caches, it rises by more than the memory does where the histograms outgrow one of them;
2. each call with the memory given out otherwise: huge pages (fewer address translations), always fresh from the system,
   always from the heap, never given back. glibc gives out blocks of a histogram's size fresh from the system until the
   first of them is given back, and from its heap after that; its variables change this (mallopt(3); Linux with glibc
   only);
3. counters of `perf stat` over a worker with 128 bins and with 32, where perf is on the PATH and the machine has them.
docs/findings.md quotes it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import setting
from repro.system.environment import child_environment

BINS = (16, 32, 64, 96, 128, 192, 256)
WAYS = {
    "as it is": {},
    "huge pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "always fresh from the system": {"MALLOC_MMAP_THRESHOLD_": "65536"},
    "always from the heap": {"MALLOC_MMAP_MAX_": "0"},
    "from the heap, never given back": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1"},
}
COUNTERS = (
    *("cycles", "instructions", "cache-references", "cache-misses", "LLC-load-misses"),
    *("dTLB-load-misses", "page-faults"),
)


def main() -> None:
    """Print the tables."""
    parser = setting.arguments(__doc__)
    parser.add_argument("--iterations", type=int, default=20, help="of each of the six resolutions")
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--bins", type=int, nargs="+", default=BINS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--machine-threads", type=int, default=28)
    options = parser.parse_args()
    build = setting.build_of(options.build, "api")
    with setting.working_folder() as folder:

        def file_of(bins: int) -> Path:
            changes = {"MaximumNumberOfIterations": options.iterations, "NumberOfHistogramBins": bins}
            return setting.parameter_file("posted-bspline", folder, **changes)

        def calls(worker: setting.Worker, bins: int) -> tuple[list[float], int]:
            answers = [worker.register(file_of(bins), folder / "out") for _ in range(options.calls)]
            return [float(answer["wall_s"]) for answer in answers], int(answers[-1]["work_units"])

        print(f"Caches: {', '.join(f'{name} {size}' for name, size in caches().items()) or 'not known'}\n")
        setting.print_header("build", "bins", "work units", "histograms (MiB)", "first call (s)", "later calls (s)")
        for bins in options.bins:
            with setting.Worker(build, folder, machine_threads=options.machine_threads) as worker:
                seconds, units = calls(worker, bins)
            size, later = units * bins**2 * 8 / (1 << 20), seconds[1:] or seconds
            setting.print_row(build.name, bins, units, f"{size:.1f}", f"{seconds[0]:.2f}", setting.spread(later))
        print()
        numbers = range(1, options.calls + 1)
        setting.print_header("build", "memory, 128 bins", *(f"call {number} (s)" for number in numbers))
        for way in options.ways:
            with setting.Worker(build, folder, machine_threads=options.machine_threads, extra=WAYS[way]) as worker:
                seconds, _ = calls(worker, 128)
            setting.print_row(build.name, way, *(f"{value:.2f}" for value in seconds))
        print()
        if reason := refused():
            print(f"Counters: {reason}")
            return
        setting.print_header("build", "bins", *COUNTERS)
        for bins in (128, 32):
            counted = folder / f"perf-{bins}"
            perf = ("perf", "stat", "-x", ",", "-o", str(counted), "-e", ",".join(COUNTERS), "--")
            with setting.Worker(build, folder, machine_threads=options.machine_threads, before=perf) as worker:
                calls(worker, bins)
            counts = {
                line.split(",")[2]: line.split(",")[0]
                for line in counted.read_text(encoding="utf-8").splitlines()
                if "," in line
            }
            setting.print_row(build.name, bins, *(counts.get(counter, "") for counter in COUNTERS))


def caches() -> dict[str, str]:
    """Sizes of the caches that the first processor uses, as Linux tells them."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((cache / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def refused() -> str:
    """Why no counters can be read; empty: they can."""
    if not shutil.which("perf"):
        return "perf is not on the PATH"
    tried = subprocess.run(
        ["perf", "stat", "-x", ",", "-e", "cycles", "--", "true"],
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode or "<not" in tried.stderr:
        return f"perf stat is refused here: {' '.join(tried.stderr.split())[:200]}"
    return ""


if __name__ == "__main__":
    main()
