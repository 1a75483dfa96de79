#!/usr/bin/env python3
"""Register every image of a folder to one image, with the pool of warm workers in recipe.py.

    python register_folder.py FIXED FOLDER OUTPUT --params bspline.txt [--workers 2] [--threads 1] [--timeout 600]

It needs itk-elastix and, beside it or on PYTHONPATH, recipe.py (src/repro/measure/recipe.py here). Each image
gets a folder of its name in OUTPUT with what the executable would leave there. A line says how each ended; an image
that fails costs no other one. Exit status: 0 all registered, 1 some not.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import as_completed
from pathlib import Path

from recipe import ElastixError, ElastixPool, WorkerDiedError


def main() -> int:
    """Register and say how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fixed", type=Path)
    parser.add_argument("folder", type=Path, help="every file in it is registered to the fixed image")
    parser.add_argument("output", type=Path)
    parser.add_argument("--params", type=Path, action="append", required=True, help="repeat to run several in a row")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="one a physical core is best")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--timeout", type=float, help="seconds after which a registration is stopped")
    options = parser.parse_args()
    files = sorted(file for file in options.folder.iterdir() if file.is_file())
    failed = 0
    with ElastixPool(options.workers, options.threads) as pool:
        jobs = {
            pool.submit(
                options.fixed,
                file,
                options.params,
                output_directory=options.output / file.name,
                timeout=options.timeout,
                retries=1,
            ): file
            for file in files
        }
        for job in as_completed(jobs):
            try:
                job.result()
                print(f"{jobs[job].name}: registered", flush=True)
            except (ElastixError, TimeoutError, WorkerDiedError) as error:
                failed += 1
                print(f"{jobs[job].name}: {error}", flush=True)
    print(f"{len(files) - failed} of {len(files)} registered to {options.fixed.name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
