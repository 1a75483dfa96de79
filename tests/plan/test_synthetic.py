"""The synthetic pair: the same bytes from the same seed, and truly turned by 15 degrees."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from repro.paths import DATA
from repro.plan import synthetic


def test_the_committed_files_are_what_the_module_writes(tmp_path: Path) -> None:
    for file in synthetic.write(tmp_path, synthetic.SIZE_PX, None, None).values():
        assert file.read_bytes() == (DATA / "synthetic" / file.name).read_bytes()


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


def test_a_volume_has_axes_and_spacing_in_the_order_of_its_header(tmp_path: Path) -> None:
    files = synthetic.write(tmp_path, (12, 10, 8), (1, 1, 2.5), seed=5, masks=True)
    assert list(files) == ["fixed", "moving", "fixed_mask", "moving_mask"]
    header, _, data = files["fixed"].read_bytes().partition(b"ElementDataFile = LOCAL\n")
    assert b"DimSize = 12 10 8\n" in header
    assert b"ElementSpacing = 1 1 2.5\n" in header
    expected = synthetic.pair((12, 10, 8), (1, 1, 2.5), 5)[0]
    assert data == expected.tobytes()
    assert expected.shape == (8, 10, 12)


def test_blobs_of_a_volume_are_balls_in_space(tmp_path: Path) -> None:
    even, thick = (synthetic.pair((40, 40, size), (1, 1, step), 5)[0] for size, step in ((40, 1.0), (16, 2.5)))
    places = np.arange(16) * 2.5
    whole = places % 1 == 0
    assert np.array_equal(thick[whole], even[places[whole].astype(int)])


def test_a_mask_keeps_most_of_the_middle_and_none_of_the_corners(tmp_path: Path) -> None:
    files = synthetic.write(tmp_path, (24, 20, 8), (1, 1, 2.5), seed=5, masks=True)
    data = files["fixed_mask"].read_bytes().partition(b"ElementDataFile = LOCAL\n")[2]
    mask = np.frombuffer(data, np.uint8).reshape(8, 20, 24)
    assert mask[4, 10, 12] == 1
    assert not mask[[0, 0, 7, 7], [0, 19, 0, 19], [0, 0, 23, 23]].any()
    assert 0.2 < mask.mean() < 0.6


def test_blobs_keep_their_size_in_a_larger_image() -> None:
    small, large = synthetic.pair((128, 128))[0], synthetic.pair((512, 512))[0]
    counts = [ndimage.label(image > 100)[1] for image in (small, large)]
    assert 8 < counts[1] / counts[0] < 32
