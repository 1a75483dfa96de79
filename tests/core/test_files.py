import contextlib
import hashlib
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from repro import files
from repro.errors import ConfigError, StoreError


@dataclass(frozen=True)
class Shape:
    name: str
    sides: int = 4

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "a.txt"
    files.write_text(file, "old\n")
    with contextlib.suppress(RuntimeError), files.replacing(file) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert file.read_text(encoding="utf-8") == "old\n"
    assert [one.name for one in file.parent.iterdir()] == ["a.txt"]
    files.write_text(file, "new \u00fc\n")
    assert file.read_bytes() == "new \u00fc\n".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) & stat.S_IRGRP


def test_a_place_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"file.*choose another folder with --out"):
        files.write_text(tmp_path / "file" / "below.txt", "x")


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_toml_is_read_into_a_dataclass(tmp_path: Path) -> None:
    file = tmp_path / "shape.toml"
    file.write_text('name = "square"\n', encoding="utf-8")
    assert files.read_toml(file, Shape) == Shape("square")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nam = "square"\nname = "x"\n', r"shape\.toml: key 'nam'"),
        ("sides = 3\n", "key 'name' is missing"),
        ('name = "x"\nsides = "many"\n', "key 'sides': .*found 'many'"),
        ("name = \n", "is not valid TOML"),
        (f"name = {'[' * 50_000}\n", r"shape\.toml"),
    ],
)
def test_a_toml_file_that_does_not_fit_is_named_with_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "shape.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        files.read_toml(file, Shape)


def test_a_toml_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shape\.toml: cannot be read"):
        files.read_toml(tmp_path / "shape.toml", Shape)


def test_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"name": "square", "sides": 4})
    assert files.read_json(tmp_path / "a.json", Shape) == Shape("square")
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", float("nan"))
