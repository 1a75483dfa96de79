"""A program that takes transformix' arguments and writes the displacements of a made-up transform.

A transform moves everything along the first axis by its first parameter, after the one that it names as the one before.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path


def moved_by(text: str) -> float:
    """Units of length, of the whole chain."""
    before = re.search(r'\(InitialTransformParameters?FileName "(?!NoInitialTransform)([^"]+)"', text)
    own = re.search(r"\(TransformParameters (\S+)", text)
    assert own
    return float(own[1]) + (moved_by(Path(before[1]).read_text(encoding="utf-8")) if before else 0.0)


if __name__ == "__main__":
    file, folder = (Path(sys.argv[sys.argv.index(option) + 1]) for option in ("-tp", "-out"))
    content = file.read_text(encoding="utf-8")
    assert '(ResultImageFormat "mhd")' in content
    found = re.search(r"\(Size ([\d ]+)\)", content)
    assert found
    size = [int(length) for length in found[1].split()]
    point = struct.pack(f"<{len(size)}f", moved_by(content), *[0.0] * (len(size) - 1))
    (folder / "deformationField.raw").write_bytes(point * math.prod(size))
    header = f"NDims = {len(size)}\nBinaryDataByteOrderMSB = False\nDimSize = {found[1]}\n"
    header += (
        f"ElementNumberOfChannels = {len(size)}\nElementType = MET_FLOAT\nElementDataFile = deformationField.raw\n"
    )
    (folder / "deformationField.mhd").write_text(header, encoding="utf-8")
