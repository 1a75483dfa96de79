#!/usr/bin/env python3
"""Do the calls of one process draw the same samples? Asked of a build, and of an executable beside it.

    PYTHONPATH=src python studies/seeds.py api:0.21.0 --truth cli:5.2.0 [--calls 3]

registers the committed images again and again in one process, once as it is, once with ITK's count of seeds put back
before each call, and prints how far each result is from the executable's, in pixels (without one, from the first
call's). docs/method.md quotes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

THREADS = 2
WAYS = ("as it is", "put back")


def main() -> None:
    """Print a row a call."""
    import setting
    from repro.elastix import output, transforms
    from repro.paths import PARAMETER_FILES
    from repro.system.children import Launcher
    from repro.system.environment import child_environment

    parser = setting.arguments(__doc__)
    parser.add_argument("--truth", help="an executable, as cli:5.2.0")
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--params", type=Path, default=PARAMETER_FILES / "posted-bspline.txt")
    options = parser.parse_args()
    build = setting.build_of(options.build, "api")
    truth = setting.build_of(options.truth, "cli") if options.truth else None
    with setting.working_folder() as folder:
        expected = None
        if truth:
            with Launcher() as launcher:
                setting.run_executable(launcher, truth, options.params, folder / "truth", THREADS)
            expected = transforms.read_chain(output.transform_files(folder / "truth"))
        setting.print_header("build", "seeds", "call", f"px from {truth.name if truth else 'the first call'}")
        for way in WAYS:
            outputs = [folder / f"{way} {call}" for call in range(options.calls)]
            child = [str(build.interpreter()), "-I", "-S", __file__, "--child", str(build.site_packages)]
            given = map(str, (setting.FIXED, setting.MOVING, options.params, way, *outputs))
            subprocess.run([*child, *given], env=child_environment({}), check=True, capture_output=True)
            for call, place in enumerate(outputs, 1):
                found = transforms.read_chain(output.transform_files(place))
                expected = expected or found
                setting.print_row(build.name, way, call, f"{transforms.difference_px(found, expected)[1]:.6f}")


def register(site_packages: str, fixed: str, moving: str, file: str, way: str, *outputs: str) -> None:
    """The child: one registration an output folder, in this process."""
    sys.path.insert(0, site_packages)
    import itk

    images = [itk.imread(name, itk.F) for name in (fixed, moving)]
    generator = itk.MersenneTwisterRandomVariateGenerator
    if way == WAYS[1]:
        generator.GetInstance()  # the first call would make this one, from which the others are counted
    for output in outputs:
        os.mkdir(output)  # noqa: PTH102 - no more modules than needed
        if way == WAYS[1]:
            generator.ResetNextSeed()
            generator.GetNextSeed()  # the one that it took
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
