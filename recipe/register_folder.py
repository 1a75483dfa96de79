#!/usr/bin/env python3
"""Register every image of a folder to one image, with the pool of warm workers in elastix_pool.py.

    python register_folder.py FIXED FOLDER OUTPUT --params bspline.txt [--workers 2] [--threads 1] [--timeout 600]

It needs itk-elastix and, beside it, elastix_pool.py. Each image gets a folder of its name in OUTPUT with what the
executable would leave there. One line says how each ended; an image that fails costs no other one. Exit status: 0 all
registered, 1 some not, 2 nothing to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import as_completed
from pathlib import Path

from elastix_pool import ElastixPool

IMAGES = (
    *(".tif", ".tiff", ".mha", ".mhd", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".hdr", ".gipl", ".vtk", ".h5", ".dcm"),
    *(".png", ".jpg", ".jpeg", ".bmp"),
)


def images(folder: Path) -> list[Path]:
    """The images of a folder: no hidden files, and of an image of two files the one with the header."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.name.lower().endswith(IMAGES)
    )


def main() -> int:
    """Register and say how it went."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name costs no registration
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fixed", type=Path)
    parser.add_argument("folder", type=Path, help="every image in it is registered to the fixed image")
    parser.add_argument("output", type=Path)
    parser.add_argument("--params", type=Path, action="append", required=True, help="repeat to run several in a row")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="one a physical core is best")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--timeout", type=float, help="seconds after which a registration is stopped")
    options = parser.parse_args()
    missing = [file for file in (options.fixed, options.folder, *options.params) if not file.exists()]
    if missing or not (files := images(options.folder)):
        parser.error(f"{missing[0]}: there is no such file or folder" if missing else f"{options.folder}: no images")
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
            error = job.exception()
            failed += error is not None
            print(f"{jobs[job].name}: {' '.join(str(error).split()) if error else 'registered'}", flush=True)
    print(f"{len(files) - failed} of {len(files)} registered to {options.fixed.name}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:  # of the folder and the numbers that were given
        print(error, file=sys.stderr)
        sys.exit(2)
