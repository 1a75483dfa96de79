#!/usr/bin/env python3
"""Do the calls of one process draw the same samples? Asked of a fetched pair, with its executable beside.

    PYTHONPATH=src python tasks/seeds.py 0.21.0-5.2.0 [--calls 3]

registers the committed synthetic images again and again in one process, once as it is, once with ITK's count of
seeds put back between the calls to where the first call found it, and prints how far each result is from the
executable's, in pixels. docs/method.md quotes it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

THREADS = 2
WAYS = ("as it is", "put back")


def main() -> None:
    """Print a line a call."""
    from repro import layout
    from repro.builds import config, installed
    from repro.elastix import resultfolder, transforms
    from repro.system.environment import child_environment

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pair")
    parser.add_argument("--calls", type=int, default=3)
    options = parser.parse_args()
    pair = installed.load(config.load_pairs()[options.pair])
    fixed, moving = (str(layout.ROOT / "data" / "synthetic" / f"{name}.tif") for name in ("fixed", "moving"))
    file = str(layout.PARAMETER_FILES / "posted-bspline.txt")
    with tempfile.TemporaryDirectory() as folder:
        command = [*pair.elastix_command, "-f", fixed, "-m", moving, "-p", file, "-out", folder]
        environment = child_environment(pair.elastix_env)
        subprocess.run([*command, "-threads", str(THREADS)], env=environment, check=True, capture_output=True)
        truth = transforms.read_chain(resultfolder.files(Path(folder)))
        for way in WAYS:
            outputs = [Path(folder, f"{way} {call}") for call in range(options.calls)]
            child = [sys.executable, "-I", "-S", __file__, "--child", str(pair.site_packages), fixed, moving, file, way]
            subprocess.run([*child, *map(str, outputs)], env=child_environment({}), check=True, capture_output=True)
            for call, output in enumerate(outputs, 1):
                apart_px = transforms.difference_px(transforms.read_chain(resultfolder.files(output)), truth)[1]
                print(f"{options.pair}, {way}, call {call}: {apart_px:.6f} px from the executable")


def register(site_packages: str, fixed: str, moving: str, file: str, way: str, *outputs: str) -> None:
    """The child: one registration an output folder, in this process."""
    sys.path.insert(0, site_packages)
    import itk

    images = [itk.imread(name, itk.F) for name in (fixed, moving)]
    for call, output in enumerate(outputs):
        os.mkdir(output)  # noqa: PTH102 - no more modules than needed
        if call and way == WAYS[1]:
            itk.MersenneTwisterRandomVariateGenerator.ResetNextSeed()
            # The first call made the generator that the others are counted from, which took one.
            itk.MersenneTwisterRandomVariateGenerator.GetNextSeed()
        parameters = itk.ParameterObject.New()
        parameters.AddParameterFile(file)
        registration = itk.ElastixRegistrationMethod[type(images[0]), type(images[1])].New()
        registration.SetFixedImage(images[0])
        registration.SetMovingImage(images[1])
        registration.SetParameterObject(parameters)
        registration.SetOutputDirectory(output)
        registration.SetLogToConsole(False)
        registration.SetNumberOfThreads(THREADS)
        registration.UpdateLargestPossibleRegion()
    os._exit(0)  # tearing itk down takes seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        register(*sys.argv[2:])
    else:
        main()
