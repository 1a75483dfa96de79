"""Raw files as crashes, copies and other versions leave them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rawdata
from repro.errors import StoreError
from repro.results import merge
from test_merge import Line, edit, merged, table


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return rawdata.write_raw(tmp_path / "raw", rounds=3, experiments=("posted",))


@pytest.fixture
def file(raw: Path) -> Path:
    return raw / "m1" / rawdata.PAIRS[0] / "posted.jsonl"


def insert(file: Path, at: int, *lines: bytes) -> None:
    whole = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*whole[:at], *lines, *whole[at:]]) + b"\n")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 1200), st.booleans())
def test_a_torn_last_line_is_dropped_and_nothing_else(raw: Path, file: Path, cut: int, newline: bool) -> None:
    rawdata.write_raw(raw, rounds=3, experiments=("posted",))
    whole = file.read_bytes()
    last = json.loads(whole.splitlines()[-1])
    before = merge.merge([raw], raw.parent).measurements
    torn = json.dumps({**last, "kind": "measurement", "x": "y" * 1500})[:-cut]
    file.write_bytes(whole + torn.encode() + b"\n" * newline)
    found = merge.merge([raw], raw.parent)
    assert (found.torn, found.broken, found.measurements) == (1, (), before)


def test_a_whole_last_line_without_its_end_is_kept(raw: Path, file: Path) -> None:
    expected = merged(raw, raw.parent)
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert merged(raw, raw.parent) == expected
    assert merge.merge([raw], raw.parent).torn == 0


BROKEN = [
    b"{",
    b"not JSON",
    b"[1, 2]",
    b'"text"',
    b"\x00\x00\x00\x00",
    b"\xff\xfe\x00",
    b'{"kind": "measurement", "schema": 1}',
    b'{"kind": "something", "schema": 1, "machine": "m1", "pair": "0.21.0-5.2.0"}',
    b'{"no": "schema"}',
    b'{"kind": "measurement", "schema": 1, "wall_s": "soon"}',
    b'{"kind": "measurement", "schema": 1, "wall_s": NaN}',
    b'{"kind": "session", "schema": 1, "machine": "m1", "pair": "0.21.0-5.2.0", "experiment": [1]}',
    b'{"a": 1} {"b": 2}',
]


@pytest.mark.parametrize("line", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_line_is_named_and_the_rest_is_kept(raw: Path, file: Path, line: bytes) -> None:
    expected = merged(raw, raw.parent)
    insert(file, 4, line)
    found = merge.merge([raw], raw.parent)
    assert len(found.broken) == 1
    assert "posted.jsonl, line 5: left out: no" in found.broken[0].replace("neither", "no")
    assert table(raw.parent / "comparison.csv") == expected
    assert found.broken[0] in found.notes


def test_every_broken_line_is_named(raw: Path, file: Path) -> None:
    expected = merged(raw, raw.parent)
    insert(file, 4, *BROKEN)
    insert(file, 1, b"", b"  ", b"{")
    found = merge.merge([raw], raw.parent)
    lines = sorted(int(note.split("line ")[1].split(":")[0]) for note in found.broken)
    assert lines == [4, *range(8, 8 + len(BROKEN))]
    assert table(raw.parent / "comparison.csv") == expected


@pytest.mark.parametrize(
    "change",
    [{"wall_s": 0.0}, {"wall_s": -1.0}, {"wall_s": None}, {"arm": 2}, {"arm": None}, {"path": "gui"}, {"key": None}],
)
def test_a_measurement_that_cannot_be_one_is_left_out(raw: Path, file: Path, change: Line) -> None:
    whole = file.read_text().splitlines()
    odd = next(i for i, text in enumerate(whole) if '"phase": "measure"' in text)
    whole[odd] = json.dumps(json.loads(whole[odd]) | change)
    file.write_text("\n".join(whole) + "\n")
    found = merge.merge([raw], raw.parent)
    assert [note.split(": ", 1)[1] for note in found.broken] == ["left out: no complete measurement"]
    assert table(raw.parent / "comparison.csv")[0]["rounds"] == "2"


def test_a_line_of_another_machine_is_left_out(raw: Path, file: Path) -> None:
    stranger = json.loads(file.read_text().splitlines()[1]) | {"machine": "m2"}
    insert(file, 3, json.dumps(stranger).encode())
    found = merge.merge([raw], raw.parent)
    assert ["of another machine" in note for note in found.broken] == [True]


def test_another_schema_is_refused_with_file_and_line(raw: Path, file: Path) -> None:
    newer = json.loads(file.read_text().splitlines()[1]) | {"schema": 2}
    insert(file, 3, json.dumps(newer).encode())
    with pytest.raises(StoreError, match=r"posted\.jsonl, line 4: schema 2, but this version reads 1"):
        merge.merge([raw], raw.parent)


def test_the_first_good_measurement_of_a_key_is_kept(raw: Path, file: Path) -> None:
    whole = [json.loads(text) for text in file.read_text().splitlines()]
    good = next(line for line in whole if line.get("phase") == "measure")
    again = good | {"started_utc": "2026-09-02T00:00:00Z", "wall_s": 1e6}
    failed = good | {"started_utc": "2026-08-01T00:00:00Z", "status": "failed", "wall_s": None}
    expected = merged(raw, raw.parent)
    insert(file, 1, *(json.dumps(line).encode() for line in (again, failed)))
    found = merge.merge([raw], raw.parent)
    assert found.duplicates == 2
    assert table(raw.parent / "comparison.csv") == expected


def test_lost_session_lines_leave_the_machine_unknown_and_the_times_known(raw: Path) -> None:
    (before,) = merged(raw, raw.parent)
    edit(raw, lambda line: line["kind"] != "session")
    (after,) = merged(raw, raw.parent)
    assert {name for name in before if before[name] != after[name]} == {
        *("os", "arch", "cpu", "physical_cores", "logical_cores", "lock", "note", "api_threads_by")
    }
    assert not after["lock"]


def test_an_empty_file_is_nothing(raw: Path) -> None:
    expected = merged(raw, raw.parent)
    (raw / "m1" / "empty.jsonl").write_bytes(b"")
    (raw / "m1" / "blank.jsonl").write_bytes(b"\n\n")
    assert merged(raw, raw.parent) == expected


def test_folders_of_transforms_and_work_are_not_searched(raw: Path) -> None:
    expected = merged(raw, raw.parent)
    for name in ("transforms", "logs", ".work"):
        (raw / "m1" / name).mkdir()
        (raw / "m1" / name / "x.jsonl").write_text("{")
    found = merge.merge([raw], raw.parent)
    assert (found.torn, found.broken) == (0, ())
    assert table(raw.parent / "comparison.csv") == expected


def test_nothing_to_merge_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no raw results"):
        merge.merge([tmp_path], tmp_path)
    with pytest.raises(StoreError, match="no such folder"):
        merge.merge([tmp_path / "nowhere"], tmp_path)
    (tmp_path / "torn.jsonl").write_text('{"kind"')
    assert merge.merge([tmp_path], tmp_path).torn == 1
    assert table(tmp_path / "comparison.csv") == []
