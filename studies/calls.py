#!/usr/bin/env python3
"""Do the calls of one process take equally long? Asked of a build, with other ways to give out memory.

    PYTHONPATH=src python studies/calls.py api:0.25.1 [--calls 4] [--iterations 40]

registers the committed images again and again in one worker, as posted, where ITK sees 28 threads: 448 work units with
a joint histogram of 128 KiB each. glibc gives out blocks of that size fresh from the system until the first of them is
given back, and from its heap after that; its variables of the environment change this (mallopt(3)). Linux with glibc
only. docs/findings.md quotes it.
"""

from __future__ import annotations

import setting

WAYS = {
    "as it is": {},
    "always fresh from the system": {"MALLOC_MMAP_THRESHOLD_": "65536"},
    "always from the heap": {"MALLOC_MMAP_MAX_": "0"},
}


def main() -> None:
    """Print a row a way."""
    parser = setting.arguments(__doc__)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=40, help="of each of the six resolutions; the post has 100")
    parser.add_argument("--machine-threads", type=int, default=28)
    options = parser.parse_args()
    build = setting.build_of(options.build, "api", "sitk")
    with setting.working_folder() as folder:
        file = setting.parameter_file("posted-bspline", folder, MaximumNumberOfIterations=options.iterations)
        setting.print_header("build", "memory", *(f"call {call} (s)" for call in range(1, options.calls + 1)))
        for way, variables in WAYS.items():
            with setting.Worker(build, folder, machine_threads=options.machine_threads, extra=variables) as worker:
                seconds = [worker.register(file, folder / "out")["wall_s"] for _ in range(options.calls)]
            setting.print_row(build.name, way, *(f"{value:.2f}" for value in seconds))


if __name__ == "__main__":
    main()
