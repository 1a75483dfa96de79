"""The archives that tasks/fuzz.py feeds: results that were packed, and releases of elastix."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

import rawdata
from fuzzinputs import BYTES, Inputs, damaged, odd_json
from repro.builds import archives, downloads
from repro.errors import ReproError
from repro.results import pack


def packed_archives(folder: Path) -> Inputs:
    """Archives of `pack`, damaged; or with lines and a manifest made odd, and the right checksums for them."""
    rawdata.write_raw(folder / "to-pack" / "raw", rounds=1)
    archive = pack.pack(folder / "to-pack", None, folder / "packed.zip")
    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    raw = next(name for name in files if name.endswith(".jsonl"))
    manifest = json.loads(files[pack.MANIFEST])

    def packed(lines: bytes, odd: bytes) -> bytes:
        changed = {**files, raw: lines}
        said = json.loads(odd)
        if isinstance(said, dict) and isinstance(said.get("files"), dict):
            said["files"][raw] = {"sha256": hashlib.sha256(lines).hexdigest()}
        return _zipped({**changed, pack.MANIFEST: json.dumps(said).encode()})

    manifests = st.just(json.dumps(manifest).encode()) | odd_json([json.dumps(manifest).encode()])
    honest = st.builds(packed, odd_json([files[raw]]) | damaged([files[raw]]), manifests)
    return damaged([archive.read_bytes()], BYTES) | honest


def _zipped(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def unpack_checked(content: bytes, folder: Path) -> None:
    """Unpack an archive of results as `merge` does. Raises ReproError for what is not one."""
    (folder / "p.zip").write_bytes(content)
    shutil.rmtree(folder / "in", ignore_errors=True)
    pack.unpack_checked(folder / "p.zip", folder / "in")


_RELEASE = (
    ("e/bin/elastix", b"program " * 9, stat.S_IFREG | 0o755),
    ("e/lib/libA.so", b"libA.so.1", stat.S_IFLNK | 0o777),
    ("e/lib/libA.so.1", b"library", stat.S_IFREG | 0o644),
)


def release_archives() -> Inputs:
    """A release's archive, damaged; or whole ones of few entries, with names, links and kinds of any sort."""
    return damaged([_release()], BYTES) | _odd_archives()


def _release(entries: Sequence[tuple[str, bytes, int]] = _RELEASE) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that are there twice
        for name, content, kind in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3  # that of the modes, on Windows too
            info.external_attr = kind << 16
            archive.writestr(info, content)
    return memory.getvalue()


def _odd_archives() -> Inputs:
    names = (
        *("e/bin/elastix", "e/lib/libA.so", "e/lib/libA.so.1", "e/lib", "e/", "e", "E/bin/elastix", "e/bin/ELASTIX"),
        *("../x", "e/../../x", "/x", "C:/x", "C:x", "e\\x", "\\\\host\\x", ".", "..", "e/./x", "e//x", "con"),
        *("e/nul.txt", "x. ", "\u00e9", "e\u0301", "\u202e", "\x1b[2J", "e\nx", "x" * 300, "\u00e9" * 127, "a/" * 200),
        *("x:y", "~/x", "$HOME", " "),
    )
    file, link, folder = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755
    others = (stat.S_IFCHR | 0o666, stat.S_IFBLK | 0o666, stat.S_IFIFO | 0o666, stat.S_IFSOCK | 0o666, 0, 0xFFFF)
    kinds = (file, link, stat.S_IFREG | 0o4755, link, folder, *others)
    # By number: hypothesis would spell out the last one.
    contents = (*(name.encode() for name in names), b"", b"\xff\xfe", b"\0", b"x" * 5000, b"0" * (2 << 20))
    entry = st.tuples(st.sampled_from(names), st.integers(0, len(contents) - 1), st.sampled_from(kinds))
    plain = st.tuples(st.sampled_from(names[:5]), st.integers(0, 4), st.sampled_from(kinds[:4]))

    def made(entries: Sequence[tuple[str, int, int]]) -> bytes:
        return _release([(name, contents[which], kind) for name, which, kind in entries])

    return st.builds(made, st.lists(plain, max_size=4) | st.lists(plain | entry, max_size=5))


def unpack(content: bytes, folder: Path) -> None:
    """Unpack a release as `fetch` does. Raises ReproError for what is refused, and then nothing may be left of it."""
    (folder / "r.zip").write_bytes(content)
    into = folder / "unpacked" / "here"
    shutil.rmtree(into.parent, ignore_errors=True)
    try:
        for file in archives.unpack(folder / "r.zip", into, archives.Bounds(100, 1 << 20, 1 << 20)):
            downloads.sha256_of(file)
    except ReproError:
        assert not into.exists()
        raise
