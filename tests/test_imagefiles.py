import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.elastix.imagefiles import dimension
from repro.errors import ConfigError
from repro.layout import DATA


def tiff(pages: int, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of empty image directories."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    size = 16 if big else 8
    entry = (8 + 20 + 8) if big else (2 + 12 + 4)
    if big:
        head += struct.pack(order + "HHQ", 8, 0, size)
    else:
        head += struct.pack(order + "I", size)
    body = b""
    for page in range(pages):
        following = size + (page + 1) * entry if page + 1 < pages else 0
        body += struct.pack(order + ("Q" if big else "H"), 1) + bytes(20 if big else 12)
        body += struct.pack(order + ("Q" if big else "I"), following)
    return head + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_several_pages_is_a_volume(tmp_path: Path, order: str, big: bool) -> None:
    file = tmp_path / "image.tif"
    file.write_bytes(tiff(1, order, big))
    assert dimension(file) == 2
    file.write_bytes(tiff(3, order, big))
    assert dimension(file) == 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(30), 2),
        ("a.mha", b"ObjectType = Image\nNDims = 3\n", 3),
        ("a.mhd", b"NDims = 2\r\n", 2),
        ("a.nrrd", b"NRRD0004\ntype: float\ndimension: 3\n", 3),
        ("a.nii", struct.pack("<i", 348) + bytes(36) + struct.pack("<h", 3) + bytes(400), 3),
        ("a.nii.gz", gzip.compress(struct.pack(">i", 348) + bytes(36) + struct.pack(">h", 2) + bytes(400)), 2),
        ("a.vtk", b"whatever", None),
        ("no-ending", bytes(128) + b"DICM", None),
    ],
)
def test_the_header_says_the_dimension(tmp_path: Path, name: str, content: bytes, expected: int | None) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert dimension(file) == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tif", b"", "is empty"),
        ("a.tif", b"II*\x00\x08\x00", "cut short or damaged"),
        ("a.tif", b"IIxx", "cut short or damaged"),
        ("a.mha", b"ElementType = MET_FLOAT\n", "'NDims'"),
        ("a.nii", bytes(400), "NIfTI-1"),
        ("a.toml", b"whatever", "no format that ITK reads"),
        ("a.nii.gz", b"\x1f\x8b junk", "cannot be read"),
    ],
)
def test_a_broken_header_is_an_error(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        dimension(file)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.tif cannot be read: No such file"):
        dimension(tmp_path / "nothing.tif")


def test_the_committed_images_are_two_dimensional() -> None:
    found = [dimension(file) for file in sorted((DATA / "synthetic").glob("*.tif"))]
    assert found == [2, 2]


@given(content=st.binary(max_size=200), name=st.sampled_from(["a.tif", "a.nii", "a.nii.gz", "a.mha", "a.nrrd"]))
def test_any_bytes_give_a_dimension_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    file = tmp_path_factory.mktemp("image") / name
    for start in (b"", b"II*\x00", b"MM\x00*", b"II+\x00\x08\x00\x00\x00", b"NRRD", b"\x1f\x8b"):
        file.write_bytes(start + content)
        try:
            found = dimension(file)
        except ConfigError:
            continue
        assert found is None or isinstance(found, int)
