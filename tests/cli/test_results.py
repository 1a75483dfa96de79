"""merge, report, explain and pack, on what bench wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repro.cli import main
from repro.results import tables
from support import cli_house
from support.cli_house import House

PAIR = "0.25.4-5.3.1"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    house = cli_house.make(tmp_path, monkeypatch, capsys)
    house("bench", PAIR, "--blocks", "2")
    return house


def test_results_travel_as_a_pack(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["pack", str(house.out), "--to", str(tmp_path / "mine.zip")]) == 0
    assert "written: " in capsys.readouterr().err
    other = tmp_path / "other"
    assert main.run(["merge", str(tmp_path / "mine.zip"), "--out", str(other)]) == 0
    said = capsys.readouterr()
    assert "made-up/first" in said.out
    assert "2 rows (2 ok) from 1 raw file" in said.err
    assert [row.condition for row in tables.read(other).rows] == ["first", "second"]
    assert main.run(["report", str(other)]) == 0
    assert (other / "report.html").is_file()
    assert (other / "report.md").is_file()


def test_explain_answers_in_words_and_as_json(house: House) -> None:
    house("merge", str(house.out / "raw"))
    done = house("explain")
    assert done.status == 0
    assert 0 < len(done.stdout.splitlines()) <= 40
    found = json.loads(house("explain", "--json").stdout)
    assert all({"kind", "subject", "figures"} == one.keys() for one in found)


@pytest.mark.parametrize("command", ["explain", "report"])
def test_what_merge_has_not_written_cannot_be_told(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(tmp_path)] if command == "report" else ["explain", "--out", str(tmp_path)]
    assert main.run(words) == 2
    said = capsys.readouterr().err
    assert "comparison.csv is not there" in said
    assert "merge" in said


def test_merge_without_anything_to_merge_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    assert main.run(["merge", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 2
    assert "bench" in capsys.readouterr().err


def test_a_results_folder_that_cannot_be_written_is_said(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main.run(["bench", PAIR, "--out", str(tmp_path / "file" / "results")]) == 2
    assert "another folder with --out" in capsys.readouterr().err
