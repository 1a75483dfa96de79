import json
from pathlib import Path

import pytest

from repro.errors import StoreError
from repro.store import RawFile, clear_work, keep_transform, locked, read_lines, set_aside, transform_files, work_folder


def test_a_torn_last_line_is_dropped_on_reading_and_cut_before_writing(tmp_path: Path) -> None:
    file = tmp_path / "a" / "posted.jsonl"
    raw = RawFile(file)
    raw.append({"n": 1})
    raw.append({"n": 2})
    raw.close()
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole[:cut])
        kept = list(read_lines(file))
        again = RawFile(file)
        again.append({"n": 3})
        again.close()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        # A line that lacks only its newline is whole to the reader and cut by the writer: it is
        # run again, never kept twice.
        assert [line for line in kept if line in lines] + [{"n": 3}] == lines


def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    raw = RawFile(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        raw.append({"n": float("nan")})
    raw.close()


def test_a_folder_that_cannot_be_made_is_an_error_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--out"):
        RawFile(tmp_path / "file" / "a.jsonl")


def test_two_runs_on_one_folder_are_refused_and_the_holder_named(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StoreError, match=r"in use by process \d+ since 20"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_transform_is_kept_once_and_comes_back_in_order(tmp_path: Path) -> None:
    files = []
    for index in (10, 2):
        files.append(tmp_path / f"TransformParameters.{index}.txt")
        files[-1].write_text(str(index))
    keep_transform(tmp_path / "m", "abc", files)
    keep_transform(tmp_path / "m", "abc", [])
    assert [file.read_text() for file in transform_files(tmp_path / "m", "abc")] == ["2", "10"]
    assert [path.name for path in (tmp_path / "m" / "transforms").iterdir()] == ["abc"]


def test_trial_folders_are_fresh_and_cleared(tmp_path: Path) -> None:
    first, second = work_folder(tmp_path), work_folder(tmp_path)
    assert first != second
    assert not list(second.iterdir())
    clear_work(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_raw_file_set_aside_is_kept_under_another_name(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "posted.jsonl").write_text(content)
        set_aside(tmp_path / "posted.jsonl")
    set_aside(tmp_path / "posted.jsonl")
    assert not list(tmp_path.glob("*.jsonl"))
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["one", "two"]
