"""Hostile archives: refused before anything is written, and never outside the folder."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.builds.archives import Bounds, unpack
from repro.errors import FetchError

Entry = tuple[str, bytes, int]
FILE, PROGRAM, LINK, DEVICE, PIPE = (
    kind << 16
    for kind in (
        stat.S_IFREG | 0o644,
        stat.S_IFREG | 0o755,
        stat.S_IFLNK | 0o777,
        stat.S_IFCHR | 0o644,
        stat.S_IFIFO | 0o644,
    )
)


def zipped(file: Path, entries: Sequence[Entry], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content, attributes in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type, info.create_system = attributes, method, 3
            archive.writestr(info, content)
    return file


def everything(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*"))


def test_a_release_is_unpacked_with_its_executable_bit(tmp_path: Path) -> None:
    entries = [
        ("r/", b"", 0),
        ("r/bin/elastix", b"#!", PROGRAM),
        ("r/lib/libANN.so", b"so", FILE),
        ("r/LICENSE", b"", 0),
    ]
    files = unpack(zipped(tmp_path / "a.zip", entries), tmp_path / "out")
    assert [one.relative_to(tmp_path / "out").as_posix() for one in files] == [
        "r/bin/elastix",
        "r/lib/libANN.so",
        "r/LICENSE",
    ]
    assert (tmp_path / "out/r/bin/elastix").read_bytes() == b"#!"
    if sys.platform != "win32":
        assert os.access(tmp_path / "out/r/bin/elastix", os.X_OK)
        assert not os.access(tmp_path / "out/r/lib/libANN.so", os.X_OK)


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges there")
def test_a_link_to_a_neighbour_is_kept(tmp_path: Path) -> None:
    entries = [("lib/libA.so", b"libA.so.1", LINK), ("lib/libA.so.1", b"so", FILE)]
    unpack(zipped(tmp_path / "a.zip", entries), tmp_path / "out")
    assert (tmp_path / "out/lib/libA.so").readlink() == Path("libA.so.1")
    assert (tmp_path / "out/lib/libA.so").read_bytes() == b"so"


HOSTILE: dict[str, tuple[list[Entry], str]] = {
    "parent": ([("../evil", b"x", FILE)], "leads out"),
    "parent inside": ([("a/../../evil", b"x", FILE)], "leads out"),
    "absolute": ([("/tmp/evil", b"x", FILE)], "leads out"),
    "dot": ([("./evil", b"x", FILE)], "leads out"),
    "double slash": ([("a//evil", b"x", FILE)], "leads out"),
    "backslash": ([("..\\evil", b"x", FILE)], "not possible"),
    "drive": ([("c:evil", b"x", FILE)], "not possible"),
    "stream": ([("file:stream", b"x", FILE)], "not possible"),
    "windows device": ([("lib/CON.txt", b"x", FILE)], "not possible"),
    "trailing dot": ([("lib./a", b"x", FILE)], "not possible"),
    "control character": ([("a\nb", b"x", FILE)], "not possible"),
    "long name": ([("a" * 600, b"x", FILE)], "600 characters"),
    "long name of a file": ([("lib/" + "a" * 256, b"x", FILE)], "not possible"),
    "long name in bytes": ([("lib/" + "\u00e9" * 128, b"x", FILE)], "not possible"),
    "link out": ([("evil", b"../../etc/passwd", LINK)], "is a link"),
    "link absolute": ([("evil", b"/etc/passwd", LINK)], "is a link"),
    "link down": ([("evil", b"a/b", LINK)], "is a link"),
    "link to parent": ([("evil", b"..", LINK)], "is a link"),
    "link to nothing": ([("lib/evil", b"libA.so", LINK), ("libA.so", b"x", FILE)], "leads to no file"),
    "link to itself": ([("a", b"a", LINK)], "leads to no file"),
    "links in a circle": ([("a", b"b", LINK), ("b", b"a", LINK)], "leads to no file"),
    "link to a folder": ([("a", b"b", LINK), ("b/", b"", 0), ("b/c", b"x", FILE)], "leads to no file"),
    "link long": ([("evil", b"x" * 1000, LINK)], "target of 1,000 bytes"),
    "through a link": ([("a", b"b", LINK), ("a/evil", b"x", FILE)], "file and a folder"),
    "through a link, later": ([("a/evil", b"x", FILE), ("a", b"b", LINK)], "file and a folder"),
    "character device": ([("evil", b"", DEVICE)], "a device"),
    "pipe": ([("evil", b"", PIPE)], "a device"),
    "case": ([("Lib/a", b"x", FILE), ("lib/b", b"x", FILE)], "one name"),
    "case of a file": ([("elastix", b"x", FILE), ("Elastix", b"x", FILE)], "one name"),
    "accents": ([("\u00e9", b"x", FILE), ("e\u0301", b"x", FILE)], "one name"),
    "sharp s": ([("stra\u00dfe", b"x", FILE), ("strasse", b"x", FILE)], "one name"),
    "file as folder": ([("a", b"x", FILE), ("a/b", b"x", FILE)], "file and a folder"),
    "bomb": ([("zeros", b"\0" * 3_000, FILE)], "3,000 bytes"),
    "bomb in parts": ([(str(i), b"\0" * 900, FILE) for i in range(4)], "3,600 bytes"),
    "many entries": ([(str(i), b"", FILE) for i in range(50)], "51 entries"),
    "huge table": ([(f"{i:0500}", b"", FILE) for i in range(60)], "table of contents"),
}
SMALL = Bounds(entries=50, entry_bytes=1_000, total_bytes=2_000)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    entries, words = HOSTILE[name]
    work = tmp_path / "deep" / "er"
    work.mkdir(parents=True)
    archive = zipped(tmp_path / "a.zip", [("first", b"", FILE), *entries])
    with pytest.raises(FetchError, match=words) as caught:
        unpack(archive, work / "out", SMALL)
    assert "refused" in str(caught.value)
    assert "--source" in str(caught.value)
    assert everything(tmp_path) == ["a.zip", "deep", "deep/er"]


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = zipped(tmp_path / "a.zip", [("a", b"good", FILE), ("a", b"evil", FILE)])
    with pytest.raises(FetchError, match="twice"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bounds_are_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(FetchError, match="unusual"):
        unpack(zipped(tmp_path / "a.zip", [("a", b"x" * 100, FILE)], method), tmp_path / "out")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", [("a", b"x", FILE)]).read_bytes())
    content[content.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(FetchError, match="encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_size_that_the_table_understates_is_found_while_writing(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", [("a", b"\0" * 1_000_000, FILE)]).read_bytes())
    struct.pack_into("<L", content, content.find(b"PK\1\2") + 24, 10)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(FetchError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out", SMALL)
    assert everything(tmp_path) == ["a.zip"]


def test_zip64_and_a_million_entries_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the table was read"))
    table = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46 * 1_000_000, 0, 0)
    (tmp_path / "a.zip").write_bytes(table)
    with pytest.raises(FetchError, match="table of contents"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "a.zip").write_bytes(b"PK\6\7" + b"\0" * 16 + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0))
    with pytest.raises(FetchError, match="zip64"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK", b"<!doctype html>", b"\x7fELF" + b"\0" * 5_000])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(FetchError, match="expected a zip archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert everything(tmp_path) == ["a.zip"]


def test_a_truncated_archive_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", [("bin/elastix", os.urandom(200), PROGRAM)]).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "a.zip").write_bytes(whole[:length])
        with pytest.raises(FetchError):
            unpack(tmp_path / "a.zip", tmp_path / "out")
    assert everything(tmp_path) == ["a.zip"]


def _whole() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bin/elastix", "program " * 20)
        archive.writestr("lib/libA.so", b"library")
    return memory.getvalue()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(_whole()) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_damage_gives_a_result_inside_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(_whole())
    for at, value in changes:
        content[at] = value
    (folder / "a.zip").write_bytes(content)
    try:
        files = unpack(folder / "a.zip", folder / "out", SMALL)
    except FetchError:
        assert everything(folder) == ["a.zip"]
    else:
        assert all(one.resolve().is_relative_to(folder.resolve() / "out") for one in files)
        assert {one.split("/")[0] for one in everything(folder)} <= {"a.zip", "out"}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=12) | st.text("abA./\\: \u00e9", min_size=1, max_size=6),
            st.binary(max_size=20),
            st.sampled_from([0, FILE, LINK, DEVICE]),
        ),
        max_size=4,
        unique_by=lambda entry: entry[0],
    )
)
def test_any_names_stay_inside(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        archive = zipped(folder / "a.zip", entries)
    except (ValueError, UnicodeEncodeError, struct.error):
        return
    try:
        unpack(archive, folder / "out", SMALL)
    except FetchError:
        assert everything(folder) == ["a.zip"]
    else:
        assert {one.split("/")[0] for one in everything(folder)} <= {"a.zip", "out"}
        for link in (one for one in (folder / "out").rglob("*") if one.is_symlink()):
            assert link.parent / link.readlink().name == link.parent / link.readlink()
