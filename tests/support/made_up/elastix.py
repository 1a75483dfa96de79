"""A program that takes elastix' arguments and finds a made-up transform, in milliseconds.

Its parameter file says what it does: ``(Seconds 0.01)``, and for one path alone ``(api "crash")``, ``(cli "fail")``,
``(api "hang")``, or by how many units of length the result of the path is moved: ``(api 3)``.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

TRANSFORM = """(Transform "TranslationTransform")
(NumberOfParameters 2)
(TransformParameters {} 0)
(InitialTransformParametersFileName "NoInitialTransform")
(HowToCombineTransforms "Compose")
(FixedImageDimension 2)
(MovingImageDimension 2)
(Size 4 4)
(Index 0 0)
(Spacing 2 2)
(Origin 0 0)
(Direction 1 0 0 1)
"""
"""Moves everything by so many units of length; a pixel has two."""


def register(parameters: Path, output: Path, path: str) -> None:
    """Do what the parameter file says, and write a log and a transform."""
    told = dict(re.findall(r'\((\w+) "?([\w.]+)"?\)', parameters.read_text(encoding="utf-8")))
    time.sleep(float(told.get("Seconds", "0")))
    what = told.get(path, "0")
    if what == "crash":
        os._exit(9)
    if what == "hang":
        time.sleep(3600)
    if what == "fail":
        (output / "elastix.log").write_text("Description: the log says why\n\n", encoding="utf-8")
        raise SystemExit("made up to fail")
    version = told.get(f"{path}_version", "0")
    (output / "elastix.log").write_text(f"elastix version: {version}\n-threads 1\n", encoding="utf-8")
    (output / "TransformParameters.0.txt").write_text(TRANSFORM.format(what), encoding="utf-8")


if __name__ == "__main__":
    if "-out" in sys.argv:
        file, folder = (Path(sys.argv[sys.argv.index(option) + 1]) for option in ("-p", "-out"))
        register(file, folder, "cli")
    else:
        print("elastix version: 0")
