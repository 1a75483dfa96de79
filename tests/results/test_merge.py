import csv
import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from repro.errors import StoreError
from repro.model import ConditionLine, Line, Measurement, SessionLine, Status, condition_key, digest
from repro.results import tables
from repro.results.merge import merge
from support.raw_lines import (
    EXPERIMENTS,
    MACHINE,
    PAIRS,
    change,
    raw_file,
    read_lines,
    replaced,
    write_lines,
    write_raw,
)

CSV = ("comparison.csv", "trials.csv", "builds.csv", "sessions.jsonl")
FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1", "\uff1d1", "\r=2", "'=1", "'quoted'")


def out_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CSV}


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """No results of this checkout's own."""
    return tmp_path / "nowhere"


def test_what_is_written_is_read_back_the_same(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=tuple(EXPERIMENTS), comparisons=PAIRS, inspect=True, unavailable={"0.1-0.2": "old"})
    made = merge([tmp_path], tmp_path, nowhere).tables
    found = tables.read(tmp_path)
    assert found.trials == made.trials
    assert found.builds == made.builds
    assert found.sessions == made.sessions
    for one, other in zip(found.rows, made.rows, strict=True):
        for name, value in dataclasses.asdict(other).items():
            # The comparison has six digits, far below what any measurement can tell apart.
            assert getattr(one, name) == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


def test_the_order_of_sources_and_of_blocks_in_files_changes_nothing(tmp_path: Path, nowhere: Path) -> None:
    for n in (1, 2, 3):
        write_raw(tmp_path / str(n), machines=(f"m{n}",), comparisons=PAIRS, inspect=True)
    first, second = tmp_path / "first", tmp_path / "second"
    merge([tmp_path / "1", tmp_path / "2", tmp_path / "3"], first, nowhere)
    merge([tmp_path / "3", tmp_path / "1" / "raw", tmp_path / "2" / "raw" / "m2", tmp_path / "1"], second, nowhere)
    assert out_of(first) == out_of(second)
    for file in tmp_path.rglob("posted/*.jsonl"):
        head, rest = read_lines(file)[:2], read_lines(file)[2:]
        write_lines(file, [*head, *reversed(rest)])
    merge([tmp_path / "1", tmp_path / "2", tmp_path / "3"], second, nowhere)
    assert out_of(first) == out_of(second)


def test_versions_stand_in_the_order_of_people(tmp_path: Path, nowhere: Path) -> None:
    names = ("0.25.10-5.3.1", "0.25.4-5.3.1", "0.3.1-5.3.1")
    write_raw(tmp_path, comparisons=names, experiments=("posted",), blocks=1)
    assert [row.comparison for row in merge([tmp_path], tmp_path, nowhere).tables.rows] == [*reversed(names)]


@pytest.mark.parametrize("inside", ["", "raw", f"raw/{MACHINE}", f"raw/{MACHINE}/posted"])
def test_a_source_may_be_a_folder_of_results_or_one_inside(tmp_path: Path, nowhere: Path, inside: str) -> None:
    write_raw(tmp_path / "results", experiments=("posted",))
    assert merge([tmp_path / "results" / inside], tmp_path, nowhere).rows == 1


def test_a_renamed_copy_of_a_machines_folder_counts_once(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path)
    once = merge([tmp_path], tmp_path, nowhere)
    copied = tmp_path / "raw" / "copy of it"
    for file in (tmp_path / "raw" / MACHINE).rglob("*.jsonl"):
        write_lines(copied / file.parent.name / file.name, read_lines(file))
    twice = merge([tmp_path], tmp_path, nowhere)
    assert twice.tables == once.tables
    assert twice.duplicates > once.measurements
    assert once.duplicates == 0


def test_machines_with_the_same_keys_stay_apart(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, machines=("m1", "m2"), experiments=("posted",))
    found = merge([tmp_path], tmp_path, nowhere).tables
    assert [row.machine for row in found.rows] == ["m1", "m2"]
    assert {row.blocks for row in found.rows} == {8}
    assert len(tables.blocks_of(found.trials)) == 2


def test_settings_of_one_name_make_rows_of_their_own(tmp_path: Path, nowhere: Path) -> None:
    file = raw_file(write_raw(tmp_path, experiments=("posted",)))
    lines = read_lines(file)

    line = next(line for line in lines if isinstance(line, ConditionLine))
    inputs = dataclasses.replace(line.inputs, fixed_sha256=digest("others") * 2)
    key = condition_key(line.condition, inputs)

    def other_images(line: Line) -> Any:
        changes = {"inputs": inputs} if isinstance(line, ConditionLine) else {}
        return replaced(line, key=key, **changes)

    write_lines(file, [*lines, *map(other_images, lines[1:])])
    found = merge([tmp_path], tmp_path, nowhere).tables
    assert len({row.key for row in found.rows}) == 2
    assert [row.blocks for row in found.rows] == [8, 8]


def test_every_build_that_was_measured_is_listed_with_what_inspect_found(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted", "sitk"), inspect=True)
    found = {row.build: row for row in merge([tmp_path], tmp_path, nowhere).tables.builds}
    assert [*found] == ["api:0.25.4", "cli:5.3.1", "sitk:3.0.0a1.post183"]
    api, sitk = found["api:0.25.4"], found["sitk:3.0.0a1.post183"]
    assert (api.source, api.itk, api.elastix, api.python) == ("made up", "5.4.7", "5.3.1", "3.11.7")
    assert (api.work_units_28, api.lock_ticks, api.transformix_reads) == (448, 1, False)
    assert (sitk.inspected_utc, sitk.lock_ticks) == (None, None)


def test_the_last_inspection_counts(tmp_path: Path, nowhere: Path) -> None:
    file = write_raw(tmp_path, inspect=True) / "raw" / MACHINE / "inspect.jsonl"
    lines = read_lines(file)
    later = [replaced(line, started_utc="2027-01-01", lock_ticks=1300) for line in lines]
    write_lines(file, [*later, *lines])
    assert {row.lock_ticks for row in merge([tmp_path], tmp_path, nowhere).tables.builds} == {1300}


def test_the_summary_counts(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted", "posted-28"), unavailable={"0.25.0-5.3.0": "none here"})
    change(raw_file(tmp_path), lambda one: one.block == 1, status="failed", wall_s=None)
    found = merge([tmp_path], tmp_path, nowhere)
    assert (found.files, found.rows, found.measurements) == (3, 3, 96)
    assert found.statuses == {Status.OK: 1, Status.UNAVAILABLE: 1, Status.FAILED: 1}


# ---- the files


def test_no_text_acts_as_a_formula_or_leaves_its_line(tmp_path: Path, nowhere: Path) -> None:
    """Texts of foreign files, in every place that has one."""
    file = raw_file(write_raw(tmp_path, experiments=("posted",)))
    each = itertools.cycle((*FORMULAS, 'two\nlines\r\nand, "quotes"; \0'))

    def poison(line: Line) -> Line:
        if isinstance(line, SessionLine):
            facts = {name: next(each) for name in line.fingerprint} | {"cpu": FORMULAS[0]}
            return dataclasses.replace(line, fingerprint=facts, builds={})
        if isinstance(line, ConditionLine):
            condition = dataclasses.replace(line.condition, name=FORMULAS[1])
            return dataclasses.replace(line, condition=condition, comparison=FORMULAS[2], experiment=FORMULAS[3])
        if isinstance(line, Measurement):
            return dataclasses.replace(line, note=next(each), threader=next(each), said={"itk": next(each)})
        return line

    write_lines(file, map(poison, read_lines(file)))
    found = merge([tmp_path], tmp_path, nowhere)
    assert found.rows == 1
    for name in CSV[:3]:
        content = (tmp_path / name).read_text(encoding="utf-8")
        rows = list(csv.DictReader(content.splitlines()))
        assert content.count("\n") == len(rows) + 1
        for column, cell in (item for row in rows for item in row.items()):
            assert not re.match(r"\s*[=+@\uff1d\uff0b\uff20]|[\t\r\0]", cell), (column, cell)
            assert not cell.startswith("-") or float(cell) < 0, (column, cell)
    read = tables.read(tmp_path)
    (row,) = read.rows
    assert (row.cpu, row.experiment, row.comparison) == (FORMULAS[0], FORMULAS[3], FORMULAS[2])
    assert {trial.note for trial in read.trials if trial.note} >= {"'=1", "'quoted'"}


def test_what_is_not_known_is_empty_and_negative_numbers_stay_numbers(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted",))
    merge([tmp_path], tmp_path, nowhere)
    row = next(csv.DictReader((tmp_path / "trials.csv").read_text(encoding="utf-8").splitlines()))
    assert (row["first_s"], row["note"], row["final_metric"], row["whole"]) == ("", "", "-1.23456", "yes")


def test_a_merge_that_fails_leaves_the_old_files(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted",))
    merge([tmp_path], tmp_path, nowhere)
    before = out_of(tmp_path)
    raw_file(tmp_path).write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="no measurement in 1 raw files"):
        merge([tmp_path], tmp_path, nowhere)
    assert out_of(tmp_path) == before


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted",))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"file.*--out"):
        merge([tmp_path], tmp_path / "file", nowhere)


def test_tables_that_are_not_there_or_not_ours_are_named_with_the_command(tmp_path: Path, nowhere: Path) -> None:
    with pytest.raises(StoreError, match=r"comparison\.csv is not there; run .*merge"):
        tables.read(tmp_path)
    write_raw(tmp_path, experiments=("posted",))
    merge([tmp_path], tmp_path, nowhere)
    text = (tmp_path / "comparison.csv").read_text(encoding="utf-8")
    for other in (text.replace(",ok,", ",fine,"), text.replace("machine,", "engine,", 1), text + "a,b,c\0" + "," * 60):
        (tmp_path / "comparison.csv").write_text(other, encoding="utf-8")
        with pytest.raises(StoreError, match=r"comparison\.csv: .*merge"):
            tables.read(tmp_path)


def test_a_table_with_a_column_of_another_version_is_read(tmp_path: Path, nowhere: Path) -> None:
    write_raw(tmp_path, experiments=("posted",))
    merge([tmp_path], tmp_path, nowhere)
    file = tmp_path / "builds.csv"
    file.write_text(
        "".join(f"{line},later\n" for line in file.read_text(encoding="utf-8").splitlines()), encoding="utf-8"
    )
    assert len(tables.read(tmp_path).builds) == 2
