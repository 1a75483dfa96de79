import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro.errors import StoreError
from repro.measure.kept import Kept
from repro.measure.store import (
    RawFile,
    drop_abandoned,
    keep_transform,
    locked,
    read_lines,
    set_aside,
    transform_files,
    work_folder,
)


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


def test_a_line_that_lacks_only_its_end_does_not_count_as_kept(tmp_path: Path) -> None:
    file = tmp_path / "posted.jsonl"
    line = {"kind": "measurement", "status": "ok", "key": "a", "wall_s": 1.0}
    for end, kept in (("\n", True), ("", False)):
        file.write_text(json.dumps(line) + end)
        opened = Kept(file, {}, dict)
        assert (opened.line("a") is not None) == kept
        opened.close()


def test_lines_that_are_no_complete_measurement_do_not_count_as_kept(tmp_path: Path) -> None:
    file = tmp_path / "posted.jsonl"
    good = {"kind": "measurement", "status": "ok", "key": "a", "wall_s": 1.0}
    lines: list[object] = [{**good, "key": None}, {**good, "wall_s": "1"}, {**good, "status": "failed"}, [good], "x"]
    lines += [{"kind": "agreement", "keys": 1, "max_px": 1.0}, {"kind": "agreement", "keys": ["a", "b"]}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    kept = Kept(file, {}, dict)
    assert kept.line("a") is None
    assert kept.apart_px(("a", "b")) is None
    kept.close()


class TightDisk:
    """A file that takes so many bytes in all, as on a disk that is nearly full."""

    def __init__(self, real: Any, room: int) -> None:
        self.real = real
        self.room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written: int = self.real.write(data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_leaves_the_file_as_it_was_and_is_an_error_with_a_cure(tmp_path: Path) -> None:
    raw = RawFile(tmp_path / "a.jsonl")
    raw.append({"n": 1})
    before = raw.file.read_bytes()
    real = raw._stream
    for room in range(len(before)):
        raw._stream = TightDisk(real, room)  # type: ignore[assignment]
        with pytest.raises(StoreError, match=r"No space left on device.*is kept.*the same command again"):
            raw.append({"n": 2})
        assert raw.file.read_bytes() == before
    raw._stream = TightDisk(real, 1000)  # type: ignore[assignment]
    raw.append({"n": 2})
    raw.close()
    assert [line["n"] for line in read_lines(raw.file)] == [1, 2]


def test_a_transform_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is kept"):
        keep_transform(tmp_path, "abc", [tmp_path / "missing"])
    assert not (tmp_path / "transforms" / "abc").exists()
    assert not list((tmp_path / ".work").iterdir())


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


@pytest.mark.parametrize("key", ["InitialTransformParameterFileName", "InitialTransformParametersFileName"])
@pytest.mark.parametrize("folder", ["/home/somebody/a b/", "C:\\Users\\somebody\\", ""])
def test_a_kept_transform_names_no_folder(tmp_path: Path, key: str, folder: str) -> None:
    file = tmp_path / "TransformParameters.1.txt"
    file.write_text(f'(Transform "A")\n({key} "{folder}TransformParameters.0.txt")\n(Index 0 0)\n')
    keep_transform(tmp_path, "abc", [file])
    kept = (tmp_path / "transforms" / "abc" / file.name).read_text()
    assert kept == f'(Transform "A")\n({key} "TransformParameters.0.txt")\n(Index 0 0)\n'


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, busy = tmp_path / f".a.csv.{gone.pid}.tmp", tmp_path / f".a.csv.{os.getpid()}.tmp"
    others = [tmp_path / name for name in ("a.csv", ".a.csv.x.tmp", f".b.csv.{gone.pid}.tmp", f"a.csv.{gone.pid}.tmp")]
    for file in (left, busy, *others):
        file.touch()
    drop_abandoned(tmp_path / "a.csv")
    assert not left.exists()
    assert all(file.exists() for file in (busy, *others))


def test_trial_folders_are_fresh_and_cleared(tmp_path: Path) -> None:
    first, second = work_folder(tmp_path), work_folder(tmp_path)
    assert first != second
    assert not list(second.iterdir())
    with locked(tmp_path):
        assert not first.exists()
        work_folder(tmp_path)
    assert not (tmp_path / ".work").exists()


def test_a_raw_file_set_aside_is_kept_under_another_name(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "posted.jsonl").write_text(content)
        set_aside(tmp_path / "posted.jsonl")
    set_aside(tmp_path / "posted.jsonl")
    assert not list(tmp_path.glob("*.jsonl"))
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["one", "two"]
