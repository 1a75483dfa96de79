"""Zip archives: unpacked whole and inside, or refused with nothing left."""

import stat
import sys
import zipfile
from pathlib import Path

import pytest

from repro.builds import archives
from repro.errors import FetchError


def written(folder: Path, *entries: tuple[str, bytes, int]) -> Path:
    """An archive of (name, content, mode)."""
    file = folder / "archive.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            opened.writestr(entry, content)
    return file


FILE, PROGRAM, LINK = stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777


@pytest.mark.skipif(sys.platform == "win32", reason="no executable bit, and links need a right")
def test_the_executable_bit_and_links_to_a_neighbour_are_kept(tmp_path: Path) -> None:
    file = written(tmp_path, ("bin/elastix", b"x", PROGRAM), ("lib/a.so.1", b"y", FILE), ("lib/a.so", b"a.so.1", LINK))
    archives.unpack(file, tmp_path / "out")
    assert (tmp_path / "out/bin/elastix").stat().st_mode & 0o111
    assert not (tmp_path / "out/lib/a.so.1").stat().st_mode & 0o111
    assert (tmp_path / "out/lib/a.so").is_symlink()
    assert (tmp_path / "out/lib/a.so").read_bytes() == b"y"


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    archives.unpack(written(tmp_path, (name, b"x", FILE)), tmp_path / "deep" / "out")
    assert [one for one in tmp_path.rglob("evil") if tmp_path / "deep" / "out" not in one.parents] == []


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../x", b"..", b"", b"a\\b"])
def test_a_link_that_leads_elsewhere_is_refused_and_nothing_left(tmp_path: Path, target: bytes) -> None:
    file = written(tmp_path, ("a", b"x", FILE), ("lib/link", target, LINK))
    with pytest.raises(FetchError, match=r"archive\.zip: .*not to a file beside it.*nothing was unpacked"):
        archives.unpack(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    with pytest.raises(FetchError, match="unpacks to 1,001 bytes, at most"):
        archives.unpack(written(tmp_path, ("a", b"x" * 1001, FILE)), tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 1)
    with pytest.raises(FetchError, match="2 entries"):
        archives.unpack(written(tmp_path, ("a", b"", FILE), ("b", b"", FILE)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_the_table_understates_is_found_while_writing(tmp_path: Path) -> None:
    file = written(tmp_path, ("a", b"x" * 1000, FILE))
    content = file.read_bytes()
    file.write_bytes(content.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(FetchError, match="damaged"):
        archives.unpack(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_archive_is_refused_at_every_length(tmp_path: Path) -> None:
    content = written(tmp_path, ("bin/elastix", b"program " * 50, PROGRAM), ("lib/a", b"y", FILE)).read_bytes()
    for length in range(0, len(content), 7):
        cut = tmp_path / "cut.zip"
        cut.write_bytes(content[:length])
        with pytest.raises(FetchError, match=r"cut\.zip"):
            archives.unpack(cut, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_any_changed_byte_gives_files_inside_or_a_refusal(tmp_path: Path) -> None:
    good = written(tmp_path, ("bin/elastix", b"program " * 20, PROGRAM), ("lib/a", b"y", FILE)).read_bytes()
    for place in range(0, len(good), 3):
        content = bytearray(good)
        content[place] ^= 0xFF
        bad, out = tmp_path / "bad.zip", tmp_path / "deep" / str(place)
        bad.write_bytes(bytes(content))
        try:
            archives.unpack(bad, out)
        except FetchError:
            assert not out.exists()
    assert {one.name for one in tmp_path.iterdir()} == {"archive.zip", "bad.zip", "deep"}


@pytest.mark.parametrize("names", [("a", "a/b"), ("x" * 300,), ("bin/elastix", "bin/elastix/y")])
def test_names_that_no_disk_takes_are_the_archive_s_fault(tmp_path: Path, names: tuple[str, ...]) -> None:
    file = tmp_path / "odd.zip"
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, b"1")
    with pytest.raises(FetchError, match=r"odd\.zip: is a damaged zip archive"):
        archives.unpack(file, tmp_path / "into")
    assert not (tmp_path / "into").exists()
