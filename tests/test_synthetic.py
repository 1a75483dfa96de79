"""The synthetic pair: the same bytes from the same seed, and truly turned by 15 degrees."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from repro import layout
from repro.elastix import imagefiles
from repro.plan import synthetic


def test_the_committed_files_are_what_the_module_writes(tmp_path: Path) -> None:
    for file in synthetic.write_pair(tmp_path):
        assert file.read_bytes() == (layout.DATA / "synthetic" / file.name).read_bytes()


def test_another_seed_gives_another_pair() -> None:
    assert not np.array_equal(synthetic.pair(seed=1)[0], synthetic.pair(seed=2)[0])


def test_fixed_is_moving_turned_by_15_degrees() -> None:
    fixed, moving = (image.astype(float) for image in synthetic.pair())
    errors = {}
    for degrees in (-15, 0, 14, 15, 16):
        angle = math.radians(degrees)
        # From a point of the fixed image (y, x) to the one of the moving image that it shows.
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        centre = (np.array(fixed.shape) - 1) / 2
        turned = ndimage.affine_transform(moving, matrix, centre - matrix @ centre, order=1)
        inside = ndimage.affine_transform(np.ones_like(moving), matrix, centre - matrix @ centre, order=1) > 0.999
        errors[degrees] = np.abs(turned - fixed)[inside].mean()
    assert min(errors, key=errors.__getitem__) == 15
    assert errors[15] < 1 < errors[14]


def test_the_whole_field_has_blobs_in_both_images() -> None:
    for image in synthetic.pair():
        quarters = [part for half in np.array_split(image, 2) for part in np.array_split(half, 2, axis=1)]
        assert all(part.min() == 40 and part.max() > 150 for part in quarters)
        assert 0.2 < (image > 100).mean() < 0.7


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 9))
def test_tiff_reads_back_as_written(width: int, height: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(synthetic.tiff(image)))), image)


def test_the_header_of_the_tiff_is_baseline() -> None:
    content = synthetic.tiff(np.zeros((3, 5), np.uint8))
    order, magic, offset, entries = struct.unpack_from("<2sHIH", content)
    tags = [struct.unpack_from("<HHII", content, offset + 2 + 12 * i) for i in range(entries)]
    assert (order, magic) == (b"II", 42)
    assert [tag[0] for tag in tags] == sorted(tag[0] for tag in tags)
    values = {tag: value for tag, _, _, value in tags}
    assert (values[256], values[257], values[258], values[279]) == (5, 3, 8, 15)
    assert values[273] + 15 == len(content)
    assert tags[2][1] == 3  # SHORT, whose value stands in the low half of a little-endian field


@pytest.mark.parametrize(("shape", "suffix"), [((90, 80), ".tif"), ((40, 36, 20), ".mha")])
def test_other_sizes_and_volumes_are_written(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    fixed, moving = synthetic.write_pair(tmp_path / "new", shape, seed=5)
    assert (fixed.name, moving.name) == (f"fixed{suffix}", f"moving{suffix}")
    assert imagefiles.dimension(fixed) == len(shape)
    assert fixed.stat().st_size > math.prod(shape)
    assert fixed.read_bytes() != moving.read_bytes()


def test_the_volume_has_its_axes_in_the_order_of_the_header(tmp_path: Path) -> None:
    file = synthetic.write_pair(tmp_path, (12, 10, 8), seed=5)[0]
    header, _, data = file.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    assert b"DimSize = 12 10 8\n" in header
    assert data == synthetic.pair((12, 10, 8), 5)[0].tobytes()
    assert synthetic.pair((12, 10, 8), 5)[0].shape == (8, 10, 12)


def test_blobs_keep_their_size_in_a_larger_image() -> None:
    small, large = synthetic.pair((128, 128))[0], synthetic.pair((512, 512))[0]
    counts = [ndimage.label(image > 100)[1] for image in (small, large)]
    assert 8 < counts[1] / counts[0] < 32
