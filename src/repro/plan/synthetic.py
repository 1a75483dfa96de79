"""Image pairs that need no network: round blobs, and the same turned by 15 degrees.

Both images are evaluated from one formula, so turning them resamples nothing and the true transform is known. Run as
``python -m repro.plan.synthetic`` it writes the committed pair anew; the same seed gives the same bytes everywhere
(``random.Random.random`` keeps its sequence across Python versions, as its documentation says).
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repro.paths import DATA

DEGREES = 15.0
SIZE_PX = (256, 254)
"""Width and height of the committed pair, as of the posted images."""
SEED = 20260324
_BACKGROUND, _EDGE = 40.0, 1.5
_RADIUS = (4.0, 13.0)
_DISTANCE = 21.0
"""Mean distance of neighbouring blobs: as dense as ImageJ's blobs sample. Lengths are in the unit of the spacing."""
_MASK = 0.45
"""Half axes of the masks' ellipsoid, as a part of the image's extent."""

Image = NDArray[np.uint8]
Points = NDArray[np.float64]


def write(
    folder: Path, size_px: Sequence[int], spacing: Sequence[float] | None, seed: int | None, *, masks: bool = False
) -> dict[str, Path]:
    """Write the images into the folder: ``fixed`` and ``moving``, with masks ``fixed_mask`` and ``moving_mask``.

    ``size_px`` is (width, height), written as TIFF, or (width, height, depth), written as MetaImage with this spacing
    (default 1). Blobs keep their size, so that a larger image has more of them.
    """
    spacing = tuple(spacing or [1.0] * len(size_px))
    fixed, moving = pair(size_px, spacing, SEED if seed is None else seed)
    images = {"fixed": fixed, "moving": moving}
    if masks:  # an ellipsoid about the axis of the turn, so that one fits both images
        images |= dict.fromkeys(("fixed_mask", "moving_mask"), _ellipsoid(size_px, spacing))
    written = {}
    for name, image in images.items():
        written[name] = folder / f"{name}{'.tif' if image.ndim == 2 else '.mha'}"
        written[name].write_bytes(tiff(image) if image.ndim == 2 else metaimage(image, spacing))
    return written


def pair(
    size_px: Sequence[int] = SIZE_PX, spacing: Sequence[float] = (1.0, 1.0), seed: int = SEED
) -> tuple[Image, Image]:
    """The fixed and the moving image as arrays, last axis x.

    The fixed image is the moving one turned by DEGREES about its centre, in the plane of x and y.
    """
    extent = [size * step for size, step in zip(size_px, spacing, strict=True)]
    centre = _centre(size_px, spacing)
    places, radii, levels = _blobs(extent, random.Random(seed))
    turn = np.eye(len(extent))
    cosine, sine = math.cos(math.radians(DEGREES)), math.sin(math.radians(DEGREES))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    turned = (places - centre) @ turn.T + centre
    return _draw(size_px, spacing, turned, radii, levels), _draw(size_px, spacing, places, radii, levels)


def _centre(size_px: Sequence[int], spacing: Sequence[float]) -> Points:
    return np.array([(size - 1) / 2 * step for size, step in zip(size_px, spacing, strict=True)])


def _blobs(extent: Sequence[float], chance: random.Random) -> tuple[Points, Points, Points]:
    """Centres (x, y, ...), radii and grey levels, also around the image: turning brings them in."""
    margin = (math.sqrt(2) - 1) / 2 * max(extent[:2])
    low = [-margin, -margin, *[0.0] * (len(extent) - 2)]
    high = [extent[0] + margin, extent[1] + margin, *map(float, extent[2:])]
    volume = math.prod(top - bottom for bottom, top in zip(low, high, strict=True))
    count = max(1, round(volume / _DISTANCE ** len(extent)))
    places = [
        [bottom + (top - bottom) * chance.random() for bottom, top in zip(low, high, strict=True)] for _ in range(count)
    ]
    radii = [_RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * chance.random() for _ in range(count)]
    levels = [150 + 100 * chance.random() for _ in range(count)]
    return np.array(places), np.array(radii), np.array(levels)


def _draw(size_px: Sequence[int], spacing: Sequence[float], places: Points, radii: Points, levels: Points) -> Image:
    """The largest blob at each pixel: a disc (or ball) whose edge falls off as a logistic curve."""
    image: Points = np.full(tuple(reversed(size_px)), _BACKGROUND)
    for place, radius, level in zip(places, radii, levels, strict=True):
        reach = radius + 8 * _EDGE
        ranges = [
            np.arange(max(0, math.ceil((at - reach) / step)), min(size, math.floor((at + reach) / step) + 1))
            for at, size, step in zip(place, size_px, spacing, strict=True)
        ]
        if any(len(one) == 0 for one in ranges):
            continue
        # Arrays are indexed the other way round: x last.
        axes = zip(ranges[::-1], place[::-1], tuple(spacing)[::-1], strict=True)
        distance = np.sqrt(sum(np.ix_(*((one * step - at) ** 2 for one, at, step in axes))))
        blob = _BACKGROUND + (level - _BACKGROUND) / (1 + np.exp((distance - radius) / _EDGE))
        part = np.ix_(*ranges[::-1])
        image[part] = np.maximum(image[part], blob)
    return np.rint(image).astype(np.uint8)


def _ellipsoid(size_px: Sequence[int], spacing: Sequence[float]) -> Image:
    across = min(size_px[0] * spacing[0], size_px[1] * spacing[1])
    axes = [across, across, *(size * step for size, step in zip(size_px[2:], spacing[2:], strict=True))]
    places = zip(size_px[::-1], tuple(spacing)[::-1], _centre(size_px, spacing)[::-1], axes[::-1], strict=True)
    parts = (((np.arange(size) * step - at) / (_MASK * axis)) ** 2 for size, step, at, axis in places)
    total: Points = sum(np.ix_(*parts), start=np.zeros(1))
    return np.asarray(total <= 1, dtype=np.uint8)


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


def metaimage(image: Image, spacing: Sequence[float]) -> bytes:
    """An 8-bit MetaImage with its data in the same file."""
    fields = {
        "ObjectType": "Image",
        "NDims": str(image.ndim),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "ElementSpacing": " ".join(f"{step:g}" for step in spacing),
        "DimSize": " ".join(map(str, reversed(image.shape))),
        "ElementType": "MET_UCHAR",
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode() + image.tobytes()


if __name__ == "__main__":
    for _name, _file in write(DATA / "synthetic", SIZE_PX, None, SEED).items():
        print(_name, _file.name)
