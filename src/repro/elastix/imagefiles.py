"""How many dimensions an image file has, from its header alone.

The answer must be there before anything long starts, and importing itk takes tens of seconds, so
the common formats' headers are read here. Sources: TIFF 6.0 (1992); PNG (RFC 2083); the MetaIO
and NRRD format documents; NIfTI-1.1 (nifti1.h); DICOM PS3.10, 7.1.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from repro.errors import ConfigError
from repro.layout import shown

_HEADER_BYTES = 4096
_ONLY_ITK = (
    *(".dcm", ".dicom", ".gipl", ".gipl.gz", ".h5", ".hdf5", ".hdf", ".he5", ".hdr", ".img", ".img.gz", ".nia"),
    *(".jp2", ".j2k", ".jpt", ".lsm", ".mnc", ".mgh", ".mgz", ".mrc", ".rec", ".pic", ".nhdr", ".vtk", ".ipl"),
)
"""Endings that ITK's other readers claim (CanReadFile of each ImageIO of ITK 5.4)."""


def dimension(file: Path) -> int | None:
    """Dimensions of the image; None where only ITK can tell.

    Raises ConfigError where the file is missing, unreadable, empty, or not what its header says.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
            if head[:2] == b"\x1f\x8b" and file.name.lower().endswith(".nii.gz"):
                stream.seek(0)
                head = gzip.GzipFile(fileobj=stream).read(_HEADER_BYTES)
        if not head:
            raise ConfigError(f"image {shown(file)} is empty; give another file")
        if head[:2] in (b"II", b"MM"):
            return 3 if _tiff_pages(file, limit=2) > 1 else 2
    except (OSError, EOFError, OverflowError, ValueError, struct.error, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is cut short or damaged"
        raise ConfigError(f"image {shown(file)} cannot be read: {reason}; give another file") from error
    if head[:8] == b"\x89PNG\r\n\x1a\n" or head[:3] == b"\xff\xd8\xff" or head[:2] == b"BM":
        return 2
    name = file.name.lower()
    if name.endswith((".mha", ".mhd")):
        return _text_field(file, head, b"NDims", b"=")
    if head[:4] == b"NRRD":
        return _text_field(file, head, b"dimension", b":")
    if name.endswith((".nii", ".nii.gz")):
        return _nifti_dimension(file, head)
    if name.endswith(_ONLY_ITK) or head[128:132] == b"DICM":
        return None
    raise ConfigError(f"image {shown(file)} is of no format that ITK reads; give a TIFF, PNG, MetaImage, NRRD or NIfTI")


def _tiff_pages(file: Path, limit: int) -> int:
    """Image directories of a TIFF, counted up to ``limit``; ITK stacks them to a volume."""
    with file.open("rb") as stream:
        order = "<" if stream.read(2) == b"II" else ">"
        version = struct.unpack(order + "H", stream.read(2))[0]
        if version == 43:  # BigTIFF
            offset_format, count_format, entry_bytes = "Q", "Q", 20
            stream.seek(8)
        elif version == 42:
            offset_format, count_format, entry_bytes = "I", "H", 12
        else:
            raise struct.error("neither TIFF nor BigTIFF")
        pages = 0
        offset = _one(stream.read(struct.calcsize(offset_format)), order + offset_format)
        while offset and pages < limit:
            pages += 1
            stream.seek(offset)
            entries = _one(stream.read(struct.calcsize(count_format)), order + count_format)
            stream.seek(entries * entry_bytes, 1)
            offset = _one(stream.read(struct.calcsize(offset_format)), order + offset_format)
    return pages


def _one(content: bytes, layout: str) -> int:
    return int(struct.unpack(layout, content)[0])


def _text_field(file: Path, head: bytes, name: bytes, separator: bytes) -> int:
    for line in head.split(b"\n"):
        key, _, value = line.partition(separator)
        if key.strip() == name and value.strip().isdigit():
            return int(value)
    raise ConfigError(f"image {shown(file)} has no {name.decode()!r} line in its header; give another file")


def _nifti_dimension(file: Path, head: bytes) -> int:
    for order in "<>":
        if len(head) >= 42 and struct.unpack_from(order + "i", head)[0] == 348:
            return int(struct.unpack_from(order + "h", head, 40)[0])
    raise ConfigError(f"image {shown(file)} does not start with a NIfTI-1 header; give another file")
