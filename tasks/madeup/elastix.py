"""A program that takes elastix' arguments and finds a made-up transform, in milliseconds."""

from __future__ import annotations

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


def register(parameters: Path, output: Path, x: float) -> None:
    """Take the seconds that the parameter file says and write a transform that moves everything by x."""
    time.sleep(float(parameters.read_text(encoding="utf-8").strip("()\n").split()[1]))
    (output / "TransformParameters.0.txt").write_text(TRANSFORM.format(x), encoding="utf-8")


if __name__ == "__main__":
    if "-out" in sys.argv:
        file, folder = (Path(sys.argv[sys.argv.index(option) + 1]) for option in ("-p", "-out"))
        register(file, folder, 0.25)
    else:
        print("elastix version: 0")
