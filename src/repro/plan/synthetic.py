"""The image pair that needs no network: round blobs, and the same turned by 15 degrees.

Both images are evaluated from one formula, so turning them resamples nothing and the true
transform is known. Run as ``python -m repro.plan.synthetic`` it writes the committed pair anew; the
same seed gives the same bytes everywhere (``random.Random.random`` keeps its sequence across
Python versions, as its documentation says).
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repro import layout

DEGREES = 15.0
SHAPE = (256, 254)
"""Width and height of the committed pair, as of the posted images."""
SEED = 20260324
_BACKGROUND, _EDGE_PX = 40.0, 1.5
_RADIUS_PX = (4.0, 13.0)
_SPACING_PX = 21.0
"""Mean distance of neighbouring blobs: as dense as ImageJ's blobs sample."""

Image = NDArray[np.uint8]


def write_pair(folder: Path, shape: Sequence[int] = SHAPE, seed: int = SEED) -> tuple[Path, Path]:
    """Write the fixed and the moving image and return their paths, fixed first.

    ``shape`` is (width, height), written as TIFF, or (width, height, depth), written as MetaImage;
    in pixels of spacing 1. Blobs keep their size, so that a larger image has more of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fixed, moving = pair(shape, seed)
    suffix, encode = (".tif", tiff) if len(shape) == 2 else (".mha", metaimage)
    files = folder / f"fixed{suffix}", folder / f"moving{suffix}"
    for file, image in zip(files, (fixed, moving), strict=True):
        file.write_bytes(encode(image))
    return files


def pair(shape: Sequence[int] = SHAPE, seed: int = SEED) -> tuple[Image, Image]:
    """The fixed and the moving image as arrays, last axis x.

    The fixed image is the moving one turned by DEGREES about its centre, in the plane of x and y.
    """
    centre = np.array([(size - 1) / 2 for size in shape])
    places, radii, levels = _blobs(shape, random.Random(seed))
    turn = np.eye(len(shape))
    cosine, sine = math.cos(math.radians(DEGREES)), math.sin(math.radians(DEGREES))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    turned = (places - centre) @ turn.T + centre
    return _draw(shape, turned, radii, levels), _draw(shape, places, radii, levels)


def _blobs(
    shape: Sequence[int], chance: random.Random
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres (x, y, ...), radii and grey levels, also around the image: turning brings them in."""
    margin = (math.sqrt(2) - 1) / 2 * max(shape[:2])
    low = [-margin, -margin, *[0.0] * (len(shape) - 2)]
    high = [shape[0] + margin, shape[1] + margin, *map(float, shape[2:])]
    volume = math.prod(top - bottom for bottom, top in zip(low, high, strict=True))
    count = max(1, round(volume / _SPACING_PX ** len(shape)))
    places = [
        [bottom + (top - bottom) * chance.random() for bottom, top in zip(low, high, strict=True)] for _ in range(count)
    ]
    radii = [_RADIUS_PX[0] + (_RADIUS_PX[1] - _RADIUS_PX[0]) * chance.random() for _ in range(count)]
    levels = [150 + 100 * chance.random() for _ in range(count)]
    return np.array(places), np.array(radii), np.array(levels)


def _draw(
    shape: Sequence[int], places: NDArray[np.float64], radii: NDArray[np.float64], levels: NDArray[np.float64]
) -> Image:
    """The largest blob at each pixel: a disc (or ball) whose edge falls off as a logistic curve."""
    image: NDArray[np.float64] = np.full(tuple(reversed(shape)), _BACKGROUND)
    for place, radius, level in zip(places, radii, levels, strict=True):
        reach = radius + 8 * _EDGE_PX
        ranges = [
            np.arange(max(0, math.ceil(at - reach)), min(size, math.floor(at + reach) + 1))
            for at, size in zip(place, shape, strict=True)
        ]
        if any(len(one) == 0 for one in ranges):
            continue
        # Arrays are indexed the other way round: x last.
        squares = np.ix_(*((one - at) ** 2 for one, at in zip(ranges[::-1], place[::-1], strict=True)))
        distance = np.sqrt(sum(squares))
        blob = _BACKGROUND + (level - _BACKGROUND) / (1 + np.exp((distance - radius) / _EDGE_PX))
        part = np.ix_(*ranges[::-1])
        image[part] = np.maximum(image[part], blob)
    return np.rint(image).astype(np.uint8)


def tiff(image: Image) -> bytes:
    """An uncompressed 8-bit grey TIFF of one strip (TIFF 6.0, section 4: "baseline")."""
    height, width = image.shape
    short, long = 3, 4
    entries = [
        (256, long, width),  # ImageWidth
        (257, long, height),  # ImageLength
        (258, short, 8),  # BitsPerSample
        (259, short, 1),  # Compression: none
        (262, short, 1),  # PhotometricInterpretation: black is zero
        (273, long, 0),  # StripOffsets, filled in below
        (277, short, 1),  # SamplesPerPixel
        (278, long, height),  # RowsPerStrip
        (279, long, width * height),  # StripByteCounts
    ]
    start = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(
        struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value) for tag, kind, value in entries
    )
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + struct.pack("<I", 0)
    return head + image.tobytes()


def metaimage(image: Image) -> bytes:
    """An 8-bit MetaImage with its data in the same file."""
    fields = {
        "ObjectType": "Image",
        "NDims": str(image.ndim),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "ElementSpacing": " ".join(["1"] * image.ndim),
        "DimSize": " ".join(map(str, reversed(image.shape))),
        "ElementType": "MET_UCHAR",
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode() + image.tobytes()


if __name__ == "__main__":
    write_pair(layout.DATA / "synthetic")
