"""Raw files, locks and kept transforms, when everything goes wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from repro.errors import StoreError
from repro.measure import store
from repro.measure.store import RawFile, keep_transform, locked, read_lines, set_aside, trial_folder
from repro.model import UnavailableLine, write_line
from support.made_up.elastix import TRANSFORM


def line(number: int) -> UnavailableLine:
    return UnavailableLine(session="s", comparison=str(number), reason="r")


def numbers(file: Path) -> list[str]:
    return [one.comparison for one in read_lines(file) if isinstance(one, UnavailableLine)]


def test_a_torn_last_line_is_passed_over_on_reading_and_cut_before_writing(tmp_path: Path) -> None:
    file = tmp_path / "a" / "posted.jsonl"
    raw = RawFile(file)
    raw.append(line(1))
    raw.append(line(2))
    raw.close()
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole[:cut])
        again = RawFile(file)
        again.append(line(3))
        again.close()
        # A line that lacks only its end is cut off too: it is measured again, never kept twice.
        assert numbers(file) == [*(["1"] if cut > whole.index(b"\n") else []), "3"]
        assert [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]


def test_lines_that_are_damaged_or_of_another_version_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "posted.jsonl"
    others = ["null", "[]", "{", '{"kind": "measurement", "key": 1}', '{"kind": "end"}', "\udcff"]
    text = "\n".join([*others, write_line(line(1)), "", "x"])
    file.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    assert numbers(file) == ["1"]
    assert numbers(tmp_path / "missing.jsonl") == []


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
    raw.append(line(1))
    before = raw.file.read_bytes()
    real = raw._stream
    for room in range(len(before)):
        raw._stream = TightDisk(real, room)  # type: ignore[assignment]
        with pytest.raises(StoreError, match=r"No space left on device.*is kept.*the same command again"):
            raw.append(line(2))
        assert raw.file.read_bytes() == before
    raw._stream = TightDisk(real, 1000)  # type: ignore[assignment]
    raw.append(line(2))
    raw.close()
    assert numbers(raw.file) == ["1", "2"]


def test_a_folder_that_cannot_be_made_is_an_error_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="--out"):
        RawFile(tmp_path / "file" / "a.jsonl")


def test_two_runs_on_one_folder_are_refused_and_the_holder_named(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StoreError, match=r"in use by process \d+ since 20"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_what_a_killed_run_left_of_its_trials_is_removed(tmp_path: Path) -> None:
    left = tmp_path / store.WORK / "xxx" / "trial-1"
    left.mkdir(parents=True)
    with locked(tmp_path):
        assert not left.exists()
        left.mkdir(parents=True)
    assert not (tmp_path / store.WORK).exists()


def test_trial_folders_are_fresh_and_gone_afterwards(tmp_path: Path) -> None:
    with trial_folder(tmp_path) as first, trial_folder(tmp_path) as second:
        assert first != second
        (second / "file").touch()
    assert not list(tmp_path.iterdir())


def left_by_elastix(folder: Path) -> Path:
    """Two transforms, with those of a resolution between them."""
    folder.mkdir()
    for name in (
        "TransformParameters.10.txt",
        "TransformParameters.2.txt",
        "TransformParameters.0.R1.txt",
        "elastix.log",
    ):
        (folder / name).write_text(TRANSFORM.format(1), encoding="utf-8")
    return folder


def test_the_final_transforms_alone_are_kept_and_once(tmp_path: Path) -> None:
    folder = left_by_elastix(tmp_path / "trial")
    keep_transform(tmp_path / "m", "abc", folder)
    (folder / "TransformParameters.2.txt").unlink()
    keep_transform(tmp_path / "m", "abc", folder)
    kept = tmp_path / "m" / "transforms" / "abc"
    assert sorted(file.name for file in kept.iterdir()) == ["TransformParameters.10.txt", "TransformParameters.2.txt"]


def test_a_transform_that_cannot_be_kept_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = left_by_elastix(tmp_path / "trial")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="is kept"):
        keep_transform(tmp_path / "m", "abc", folder)
    assert not (tmp_path / "m" / "transforms" / "abc").exists()
    assert not list((tmp_path / "m" / store.WORK).iterdir())


@pytest.mark.parametrize("key", ["InitialTransformParameterFileName", "InitialTransformParametersFileName"])
@pytest.mark.parametrize("folder", ["/home/somebody/a b/", "C:\\Users\\somebody\\", ""])
@pytest.mark.parametrize(("form", "end"), [('({} "{}")', "txt"), ('{} = "{}"', "toml")])
def test_a_kept_transform_names_no_folder(tmp_path: Path, key: str, folder: str, form: str, end: str) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    first, last = '(Transform "A")\n' if end == "txt" else 'Transform = "A"\n', "(Index 0 0)\n" if end == "txt" else ""
    file = trial / f"TransformParameters.1.{end}"
    file.write_text(first + form.format(key, f"{folder}TransformParameters.0.txt") + "\n" + last, encoding="utf-8")
    keep_transform(tmp_path, "abc", trial)
    kept = (tmp_path / "transforms" / "abc" / file.name).read_text(encoding="utf-8")
    assert kept == first + form.format(key, "TransformParameters.0.txt") + "\n" + last


def test_a_raw_file_set_aside_is_kept_under_another_name(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "posted.jsonl").write_text(content, encoding="utf-8")
        set_aside(tmp_path / "posted.jsonl")
    set_aside(tmp_path / "posted.jsonl")
    assert not list(tmp_path.glob("*.jsonl"))
    assert sorted(file.read_text(encoding="utf-8") for file in tmp_path.iterdir()) == ["one", "two"]


def test_notes_name_no_image_of_the_user(tmp_path: Path) -> None:
    image = tmp_path / "mueller_anna.nii.gz"
    private = store.private_names({"fixed": image})
    said = f"Could not read {image}: mueller_anna.nii.gz is empty"
    assert store.hide(said, private) == "Could not read <fixed>: <fixed> is empty"


def test_logs_are_cleaned_at_the_end_of_a_session_that_failed_too(tmp_path: Path) -> None:
    log = tmp_path / store.LOGS / "a.log"
    log.parent.mkdir()
    log.write_text("cannot open /x/anna.tif", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), store.clean_logs(tmp_path, {"/x/anna.tif": "<moving>"}):
        raise KeyboardInterrupt
    assert log.read_text(encoding="utf-8") == "cannot open <moving>"


@pytest.mark.parametrize(
    ("comparison", "name"),
    [("0.25.4-5.3.1", "0.25.4-5.3.1.jsonl"), ("api:0.25.3 api:0.25.4", "api_0.25.3_api_0.25.4.jsonl")],
)
def test_a_raw_file_is_named_after_its_comparison(tmp_path: Path, comparison: str, name: str) -> None:
    assert store.raw_file(tmp_path, "posted", comparison) == tmp_path / "posted" / name
