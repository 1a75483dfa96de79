#!/usr/bin/env python3
"""Do the calls of one process take equally long? Asked of a fetched pair, with other ways to give out memory.

    PYTHONPATH=src python tasks/calls.py 0.25.1-5.3.1 [--calls 4] [--iterations 40]

registers the posted images again and again in one worker, as posted, where ITK sees 28 threads: 448 work units with
a joint histogram of 128 KiB each. glibc gives out blocks of that size fresh from the system until the first of
them is given back, and from its heap after that; its variables of the environment change this (mallopt(3)). Linux
with glibc only. docs/findings.md quotes it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from repro import layout
from repro.builds import config, installed
from repro.builds.interpreter import pair_interpreter
from repro.elastix import parameters
from repro.measure.arms import WORKER
from repro.plan import images
from repro.system.children import LineChild
from repro.system.environment import child_environment, itk_environment

TIMEOUT_S = 600.0
WAYS = {
    "as it is": {},
    "always fresh from the system": {"MALLOC_MMAP_THRESHOLD_": "65536"},
    "always from the heap": {"MALLOC_MMAP_MAX_": "0"},
}


def main() -> None:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pair")
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=40, help="of each of the six resolutions; the post has 100")
    options = parser.parse_args()
    pair = installed.load(config.load_pairs()[options.pair])
    posted = images.image_set("posted", offline=False, say=lambda text: print(text, file=sys.stderr))
    file = parameters.read(layout.PARAMETER_FILES / "posted-bspline.txt")
    changed = parameters.override(file, (("MaximumNumberOfIterations", str(options.iterations)),))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parameters.txt").write_text(changed.text(), encoding="utf-8")
        for way, variables in WAYS.items():
            child = LineChild(
                argv=(pair_interpreter(pair), "-I", "-S", str(WORKER), str(pair.site_packages)),
                env=child_environment({**itk_environment(28, None), **variables}),
                cwd=folder,
                stderr_file=folder / "log",
            )
            with contextlib.closing(child):
                child.read(TIMEOUT_S)
                child.ask({"op": "load", "fixed": str(posted.fixed), "moving": str(posted.moving)}, TIMEOUT_S)
                request = {
                    "op": "register",
                    "parameter_files": [str(folder / "parameters.txt")],
                    "output": str(folder),
                    "threads": None,
                    "threads_by": "none",
                }
                seconds = [child.ask(request, TIMEOUT_S)["wall_s"] for _ in range(options.calls)]
            print(f"{options.pair}, {way}: " + ", ".join(f"{value:.2f}" for value in seconds) + " s", flush=True)


if __name__ == "__main__":
    main()
