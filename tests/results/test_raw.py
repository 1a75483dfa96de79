"""Reading raw lines: damage, hostile content, and what several sources say of one machine."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.errors import StoreError
from repro.model import BlockLine, Line, Measurement
from repro.results import tables
from repro.results.merge import Merged, merge
from repro.results.pack import pack
from repro.results.raw import read_raw
from support.raw_lines import (
    MACHINE,
    PAIRS,
    change,
    raw_file,
    read_lines,
    replaced,
    session_line,
    write_lines,
    write_raw,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A raw file of 3 whole blocks: a session, a condition, then 3 x (6 trials, 3 agreements, a block line)."""
    return raw_file(write_raw(tmp_path / "results", experiments=("posted",), blocks=3))


def merged(*sources: Path, own: Path | None = None) -> Merged:
    out = sources[0].parent / "merged"
    return merge(sources, out, own or out / "nowhere")


def results(file: Path) -> Path:
    return file.parents[3]


def raw_text(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def put(file: Path, lines: list[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


# ---- damage


@pytest.mark.parametrize("cut", [1, 5, 100])
@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_torn_last_line_is_dropped_and_nothing_else(file: Path, cut: int, end: str) -> None:
    lines = raw_text(file)
    file.write_text("\n".join([*lines, lines[2][:-cut]]) + end, encoding="utf-8")
    found = merged(results(file))
    assert (found.torn, found.broken, found.measurements, found.rows) == (1, (), 18, 1)


def test_a_whole_last_line_without_its_end_is_kept(file: Path) -> None:
    file.write_text("\n".join(raw_text(file)), encoding="utf-8")
    found = merged(results(file))
    assert (found.torn, found.tables.rows[0].blocks) == (0, 3)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "nonsense",
        "[]",
        "3",
        '{"kind": "measurement"}',
        '{"kind": "other"}',
        "\ufffd",
        '{"kind": "\\ud800"}',
        "null",
    ],
)
def test_a_broken_line_is_named_and_the_rest_is_kept(file: Path, line: str) -> None:
    lines = raw_text(file)
    put(file, [*lines[:4], line, *lines[4:]])
    found = merged(results(file))
    assert (found.measurements, found.tables.rows[0].blocks) == (18, 3)
    (said,) = found.broken
    assert f"{file.name}, line 5: left out: " in said


def test_many_broken_lines_are_named_in_few(file: Path) -> None:
    put(file, [*raw_text(file), *["{}"] * 1000])
    assert [one.split(".jsonl")[1][:20] for one in merged(results(file)).broken] == [
        ", line 33: left out:",
        ", line 34: left out:",
        ", line 35: left out:",
        ": 997 more lines lef",
    ]


def test_bytes_that_are_no_text_are_left_out(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\xff\xfe\0\n" + file.read_bytes().splitlines()[2] + b"\n")
    assert len(merged(results(file)).broken) == 1


IMPOSSIBLE: list[dict[str, Any]] = [
    {"wall_s": None},
    {"wall_s": 0.0},
    {"wall_s": -1.0},
    {"wall_s": float("nan")},
    {"wall_s": float("inf")},
    {"wall_s": 1e308},
    {"wall_s": 1e-320},
    {"wall_s": "fast"},
    {"peak_bytes": 10**30},
    {"peak_bytes": 10**4000},
    {"default_threads": -(10**30)},
    {"final_metric": float("nan")},
    {"resolutions_s": [1.0, float("inf")]},
    {"load_parts_s": {"import": float("nan")}},
    {"side": "left"},
    {"status": "fine"},
    {"round": 1.5},
    {"key": 3},
    {"said": []},
]


@pytest.mark.parametrize("odd", IMPOSSIBLE, ids=lambda odd: str(odd)[:40])
def test_a_measurement_that_cannot_be_is_left_out_with_its_place(file: Path, odd: dict[str, Any]) -> None:
    lines = raw_text(file)
    put(file, [*lines[:3], json.dumps(json.loads(lines[3]) | odd), *lines[4:]])
    found = merged(results(file))
    assert found.measurements == 17
    assert ["line 4: left out" in one for one in found.broken] == [True]
    assert found.tables.rows[0].ratio


def test_fractions_and_digests_of_many_digits_are_no_odd_numbers(file: Path) -> None:
    change(file, wall_s=2.00000000000000044, result_digest="12345678901234567890123456789012")
    assert merged(results(file)).broken == ()


def test_lines_of_another_machine_in_a_file_are_left_out(file: Path) -> None:
    write_lines(file, [*read_lines(file), session_line("another", PAIRS[0], "posted")])
    found = merged(results(file))
    assert [one.split("left out: ")[1] for one in found.broken] == ["of another machine than the rest of the file"]
    assert {row.machine for row in found.tables.rows} == {MACHINE}


def test_lines_whose_session_or_condition_is_lost_are_left_out(file: Path) -> None:
    lines = read_lines(file)
    lost = [replaced(lines[2], session="lost"), replaced(lines[3], key="lost")]
    write_lines(file, [*lines, *lost])
    found = merged(results(file))
    assert found.measurements == 18
    assert [one.split("left out: ")[1] for one in found.broken] == [
        "its session has no line before it",
        "its condition has no line before it",
    ]


def test_another_schema_is_refused_with_file_and_line(file: Path) -> None:
    lines = raw_text(file)
    older = [
        json.dumps(json.loads(lines[0]) | {"schema": 999}),
        '{"kind": "session", "schema": 1, "machine": "m1", "pair": "0.21.0-5.2.0"}',
    ]
    for line in older:
        put(file, [*lines, line])
        with pytest.raises(StoreError, match=r"line 33: schema (999|1), but this version reads 2.*leave the file"):
            merged(results(file))


def test_an_empty_file_is_nothing(file: Path) -> None:
    (file.parent / "empty.jsonl").touch()
    assert merged(results(file)).rows == 1


def test_the_folder_of_work_is_not_searched(file: Path) -> None:
    write_lines(file.parents[1] / ".work" / "x.jsonl", read_lines(file))
    assert merged(results(file)).files == 1


def test_nothing_to_merge_is_an_error_that_says_what_to_do(tmp_path: Path, file: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"no raw results.*bench"):
        merged(tmp_path / "empty")
    with pytest.raises(StoreError, match="gone: no such folder or file"):
        merged(tmp_path / "gone")
    write_lines(file, read_lines(file)[:2])
    with pytest.raises(StoreError, match=r"no measurement in 1 raw files.*bench"):
        merged(results(file))


# ---- hostile content


@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
def test_values_nested_deep_break_nothing(file: Path, depth: int) -> None:
    deep = '{"x": ' * depth + "[" * depth + "1" + "]" * depth + "}" * depth
    lines = raw_text(file)
    put(file, [*(line.replace('"note": ""', f'"note": {deep}') for line in lines), deep, *lines])
    assert merged(results(file)).measurements == 18


def test_millions_of_empty_lines_cost_next_to_nothing(file: Path) -> None:
    file.write_bytes(b"\n" * 8_000_000 + file.read_bytes() + b" \n\t\n" * 2_000_000)
    assert merged(results(file)).measurements == 18


def test_a_long_note_is_cut_where_no_spreadsheet_reads_on(file: Path) -> None:
    change(file, status="failed", wall_s=None, note="x" * 300_000)
    assert merged(results(file)).rows == 1
    notes = {len(trial.note or "") for trial in tables.read(results(file).parent / "merged").trials}
    assert max(notes) < 40_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_odd_lines_end_in_rows_or_a_clear_error(data: st.DataObject, tmp_path: Path, file: Path) -> None:
    lines = [json.loads(line) for line in raw_text(file)]
    values = st.sampled_from(
        [None, "", "x", -1, 0, 1, 2**64, 1e308, float("nan"), True, [], {}, ["a"], {"a": 1}, "\x1b[2J", "=1", "1"]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        line = data.draw(st.sampled_from(lines))
        line[data.draw(st.sampled_from(sorted(line)))] = data.draw(values)
    odd = tmp_path / "odd" / "raw" / "m" / "posted" / "x.jsonl"
    odd.parent.mkdir(parents=True, exist_ok=True)
    put(odd, [json.dumps(line) for line in data.draw(st.permutations(lines))] + [json.dumps(line) for line in lines])
    with contextlib.suppress(StoreError):
        assert merged(tmp_path / "odd").rows


# ---- what several sources say of one machine: this checkout's own results cannot be added to


Change = Callable[[list[Line]], list[Line]]


def earlier(lines: list[Line]) -> list[Line]:
    return [
        dataclasses.replace(line, started_utc="2020-01-01", wall_s=1.0, life=f"x{line.life}")
        if isinstance(line, Measurement)
        else dataclasses.replace(line, life=f"x{line.life}")
        if isinstance(line, BlockLine)
        else line
        for line in lines
    ]


def one_arm(lines: list[Line]) -> list[Line]:
    return [
        dataclasses.replace(line, wall_s=0.1) if isinstance(line, Measurement) and line.side == "other" else line
        for line in lines
    ]


def more_rounds(lines: list[Line]) -> list[Line]:
    more = [
        dataclasses.replace(line, life=f"more {line.life}")
        for line in lines
        if isinstance(line, Measurement | BlockLine)
    ]
    return [*lines, *more]


def another_build(lines: list[Line]) -> list[Line]:
    return [replaced(line, key="another") if hasattr(line, "key") else line for line in lines]


CHANGES = (earlier, one_arm, more_rounds, another_build)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """This checkout's own results."""
    return write_raw(tmp_path / "mine" / "results", experiments=("posted", "aa"), transforms=True)


def forged(mine: Path, changed: Change, into: Path) -> Path:
    """A folder that says other things of my machine, with my identity."""
    shutil.copytree(mine, into)
    write_lines(raw_file(into), changed(read_lines(raw_file(into))))
    return into


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("packed", [True, False], ids=["pack", "folder"])
def test_nobody_can_change_or_add_to_what_i_measured(tmp_path: Path, mine: Path, changed: Change, packed: bool) -> None:
    theirs = forged(mine, changed, tmp_path / "theirs")
    source = pack(theirs, tmp_path / "theirs.zip") if packed else theirs
    with pytest.raises(StoreError, match=r"theirs.*posted.* and .*mine.*posted.* say different things of the machine"):
        merged(mine, source, own=mine / "raw")
    assert merged(mine, own=mine / "raw").rows == 5


def test_a_pack_with_my_machines_name_is_checked_though_my_results_are_not_merged(tmp_path: Path, mine: Path) -> None:
    theirs = pack(forged(mine, more_rounds, tmp_path / "theirs"), tmp_path / "theirs.zip")
    with pytest.raises(StoreError, match="say different things"):
        merged(theirs, own=mine / "raw")
    own_pack = pack(mine, tmp_path / "mine.zip")
    assert merged(own_pack, own=mine / "raw").rows == 5


def test_a_pack_of_my_own_results_adds_nothing_and_hides_nothing(tmp_path: Path, mine: Path) -> None:
    change(raw_file(mine), lambda one: one.block == 1, note=f"failed in {Path.home()}/x", status="failed", wall_s=None)
    alone = merged(mine, own=mine / "raw")
    old = pack(mine, tmp_path / "old.zip")
    both = merged(mine, old, own=mine / "raw")
    assert both.tables == alone.tables
    write_raw(mine, experiments=("posted-28",))
    assert merged(mine, old, own=mine / "raw").rows == alone.rows + 1


def test_two_machines_of_one_name_are_refused(tmp_path: Path) -> None:
    """Cloned virtual machines share a name without malice."""
    one = write_raw(tmp_path / "one", experiments=("posted",), identity="a")
    two = write_raw(tmp_path / "two", experiments=("aa",), identity="b")
    for sources in ((one, two), (pack(one, tmp_path / "1.zip"), two), (two, pack(one, tmp_path / "1.zip"))):
        with pytest.raises(StoreError, match=r"are of two machines of one name.*merge them apart"):
            merged(*sources)


def test_an_older_and_a_newer_pack_of_a_colleague_are_one(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "anna", experiments=("posted",))
    older = pack(folder, tmp_path / "older.zip")
    write_raw(folder, experiments=("aa",))
    newer = pack(folder, tmp_path / "newer.zip")
    assert merged(older, newer).tables == merged(newer).tables


@pytest.mark.parametrize("changed", [earlier, one_arm])
def test_two_packs_of_one_name_that_contradict_each_other_are_refused(
    tmp_path: Path, mine: Path, changed: Change
) -> None:
    one, two = pack(mine, tmp_path / "one.zip"), pack(forged(mine, changed, tmp_path / "x"), tmp_path / "two.zip")
    with pytest.raises(StoreError, match=r"(one|two)\.zip.*(one|two)\.zip.* say different things"):
        merged(one, two)


def test_runs_of_one_machine_into_several_folders_are_put_side_by_side(tmp_path: Path) -> None:
    """As --out and the tasks of a cluster's array write them."""
    one = write_raw(tmp_path / "one", experiments=("posted",))
    two = write_raw(tmp_path / "two", experiments=("posted-28", "aa"))
    assert merged(one, two).rows == 6
    write_raw(tmp_path / "two", experiments=("posted",), seed=1)
    with pytest.raises(StoreError, match="say different things"):
        merged(one, two)


def test_every_raw_line_of_a_source_is_typed(mine: Path) -> None:
    raw = read_raw([mine], mine / "raw")
    assert {type(one) for record in raw.records for one in record.measurements} == {Measurement}
    assert [record.line.condition.name for record in raw.records if record.line.experiment == "posted"] == ["as-posted"]
