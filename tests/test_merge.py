import csv
import dataclasses
import itertools
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rawdata
from repro.errors import StoreError
from repro.explain import measured
from repro.interval import interval
from repro.measure.measurement import Agreement, Measurement
from repro.results import columns, merge, rawfiles

ISSUE_ORDER = """
machine os arch cpu physical_cores logical_cores python pair itk_elastix itk elastix cli_source experiment condition
transform fixed_sha256 moving_sha256 params_sha256 threads machine_threads jobs threader work_units api_threads rounds
cli_median_s cli_mad_s cli_min_s api_median_s api_mad_s api_min_s ratio ratio_low ratio_high api_load_s cli_start_s
cli_peak_bytes api_peak_bytes agreement_px status note
"""
Line = dict[str, Any]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def merged(raw: Path, out: Path) -> list[dict[str, str]]:
    merge.merge([raw], out)
    return table(out / merge.COMPARISON_CSV)


def edit(raw: Path, change: Callable[[Line], object], name: str = "posted.jsonl") -> None:
    """Apply a change to every line of the raw files of that name; a change that returns False drops the line."""
    for file in raw.rglob(name):
        lines = [json.loads(text) for text in file.read_text().splitlines()]
        kept = [line for line in lines if change(line) is not False]
        file.write_text("".join(json.dumps(line) + "\n" for line in kept))


def test_the_columns_are_the_issues_first_and_then_ours(tmp_path: Path) -> None:
    merge.merge([rawdata.write_raw(tmp_path / "raw")], tmp_path)
    for file, its in ((merge.COMPARISON_CSV, columns.COMPARISON), (merge.TRIALS_CSV, columns.TRIALS)):
        header = (tmp_path / file).read_text().splitlines()[0].split(",")
        assert header == [column.name for column in its]
        assert len(set(header)) == len(header)
    order = ISSUE_ORDER.split()
    assert [column.name for column in columns.COMPARISON][: len(order)] == order


def test_the_reader_knows_every_field_that_bench_writes() -> None:
    assert set(rawfiles.MEASUREMENT) == {field.name for field in dataclasses.fields(Measurement)}
    assert set(rawfiles.AGREEMENT) <= {field.name for field in dataclasses.fields(Agreement)}


def test_docs_columns_is_made_from_the_code(request: pytest.FixtureRequest) -> None:
    documented = (request.config.rootpath / "docs" / "columns.md").read_text(encoding="utf-8")
    assert documented == columns.markdown(), "write columns.markdown() to docs/columns.md"


def test_a_row_holds_what_its_rounds_say(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=15, seed=3)
    (row,) = (row for row in merged(raw, tmp_path) if row["condition"] == "posted")
    trials = [t for t in table(tmp_path / merge.TRIALS_CSV) if t["condition"] == "posted" and t["phase"] == "measure"]
    walls = {(int(t["round"]), t["path"]): float(t["wall_s"]) for t in trials}
    logs = [math.log(walls[n, "api"] / walls[n, "cli"]) for n in range(1, 16)]
    cli, api = (sorted(walls[n, path] for n in range(1, 16)) for path in ("cli", "api"))

    def close(name: str, value: float) -> bool:
        return float(row[name]) == pytest.approx(value, rel=1e-5)

    assert close("ratio", math.exp(sorted(logs)[7]))
    assert close("ratio_low", math.exp(interval(logs)[0]))
    assert close("ratio_high", math.exp(interval(logs)[1]))
    assert close("cli_median_s", cli[7])
    assert close("cli_mad_s", sorted(abs(wall - cli[7]) for wall in cli)[7])
    assert close("cli_min_s", cli[0])
    assert close("api_median_s", api[7])
    assert close("api_resolutions_s", api[7] * 0.95)
    assert row["rounds"] == "15"
    assert row["interval"] == "interval"
    assert row["status"] == "ok"
    assert row["verdict"] == "slower"
    assert close("api_load_s", 21.0)
    assert close("cli_start_s", 0.08)
    assert row["api_peak_bytes"] == "900000000"
    assert (row["api_threads"], row["work_units"], row["threader"], row["cli_threads"]) == ("4", "64", "TBB", "2")
    assert (row["os"], row["physical_cores"], row["python"]) == ("Linux", "2", "3.11.7")


def test_the_floor_is_what_both_paths_show_against_themselves(tmp_path: Path) -> None:
    rows = merged(rawdata.write_raw(tmp_path / "raw", seconds={"cli": 2.0, "api": 2.01}), tmp_path)
    own = [row for row in rows if row["experiment"] == "aa"]
    assert {row["arms"] for row in own} == {"cli cli", "api api"}
    for row in rows:
        assert float(row["floor_low"]) == min(float(aa["ratio_low"]) for aa in own)
        assert float(row["floor_high"]) == max(float(aa["ratio_high"]) for aa in own)
        assert row["verdict"] == "no difference seen"


def test_a_row_of_one_path_fills_that_paths_columns(tmp_path: Path) -> None:
    rows = {row["condition"]: row for row in merged(rawdata.write_raw(tmp_path / "raw"), tmp_path)}
    assert rows["cli-cli"]["cli_median_s"]
    assert not any(rows["cli-cli"][name] for name in rows["cli-cli"] if name.startswith("api_"))
    assert rows["api-api"]["api_median_s"]
    unknown = ("cli_median_s", "cli_peak_bytes", "cli_start_s", "cli_threads", "cli_source")
    assert not any(rows["api-api"][name] for name in unknown)


def test_an_api_only_release_has_seconds_and_no_ratio(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", pairs=("0.19.1",), experiments=("posted",), rounds=3)
    (row,) = merged(raw, tmp_path)
    assert (row["pair"], row["arms"], row["status"], row["rounds"]) == ("0.19.1", "api", "ok", "0")
    assert 19 < float(row["api_median_s"]) < 21
    assert not any(row[name] for name in ("ratio", "ratio_low", "verdict", "cli_median_s", "agreement_px"))
    assert "only the API ran" not in row["note"]
    (few,) = merged(rawdata.write_raw(tmp_path / "few", pairs=("0.19.1",), experiments=("posted",), rounds=2), tmp_path)
    assert few["status"] == "ok"
    for file in raw.rglob("*.jsonl"):
        file.write_text("".join(line for line in file.open() if '"round": 3' not in line))
    (cut,) = merged(raw, tmp_path)
    assert cut["status"] == "partial"
    assert "only 2 rounds complete" in cut["note"]


def test_the_order_of_the_folders_changes_nothing(tmp_path: Path) -> None:
    folders = [
        rawdata.write_raw(tmp_path / machine, machines=(machine,), pairs=rawdata.PAIRS, rounds=3, seed=i)
        for i, machine in enumerate(("m1", "m2", "m3"))
    ]
    together = set()
    for order in itertools.permutations(folders):
        merge.merge([*order, order[0]], tmp_path / "out")
        together.add(((tmp_path / "out/trials.csv").read_bytes(), (tmp_path / "out/comparison.csv").read_bytes()))
    assert len(together) == 1
    assert not list((tmp_path / "out").glob(".*"))


def test_blocks_of_any_size_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", machines=("m1", "m2"), pairs=rawdata.PAIRS, rounds=3)
    merge.merge([raw], tmp_path / "whole")
    monkeypatch.setattr(merge, "PART_BYTES", 1)
    monkeypatch.setattr(rawfiles, "BLOCK_BYTES", 1)
    merge.merge([raw], tmp_path / "parts")
    for name in (merge.TRIALS_CSV, merge.COMPARISON_CSV):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_lines_changes_nothing(tmp_path: Path, rng: random.Random) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=4, experiments=("posted",))
    before = merged(raw, tmp_path / "before")
    for file in raw.rglob("*.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        rng.shuffle(lines)
        file.write_text("".join(lines))
    assert merged(raw, tmp_path / "after") == before


@pytest.mark.parametrize("inside", ["", "m1", "m1/0.21.0-5.2.0"])
def test_a_folder_may_be_of_results_of_a_machine_or_of_a_pair(tmp_path: Path, inside: str) -> None:
    raw = rawdata.write_raw(tmp_path / "results" / "raw")
    expected = merged(raw, tmp_path / "out")
    assert merged(raw / inside, tmp_path / "out") == expected
    assert merged(tmp_path / "results", tmp_path / "out") == expected


def test_a_renamed_copy_of_a_machines_folder_counts_once(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw")
    expected = merged(raw, tmp_path / "out")
    shutil.copytree(raw / "m1", raw / "copy of m1")
    assert merge.merge([raw], tmp_path / "out").duplicates == sum(len(t) for t in [table(tmp_path / "out/trials.csv")])
    assert table(tmp_path / "out/comparison.csv") == expected


def test_machines_with_the_same_keys_stay_apart(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", machines=("m1", "m2"), experiments=("posted",))
    assert [row["machine"] for row in merged(raw, tmp_path)] == ["m1", "m2"]


def test_settings_of_one_name_make_rows_of_their_own(tmp_path: Path) -> None:
    """`bench --threads 8` measures another condition under the same name: a ratio never mixes the two."""
    raw = rawdata.write_raw(tmp_path / "raw", rounds=3, experiments=("posted",))
    rawdata.write_raw(tmp_path / "more", rounds=5, experiments=("posted",), seconds={"cli": 1.0, "api": 2.0})

    def other(line: Line) -> None:
        line["session"] = "another"
        line["key"] = f"another {line.get('key')}"
        if line["kind"] == "session":
            line["experiment"]["conditions"]["posted"]["cli"]["threads"] = 8
        line["threads"] = 8

    edit(tmp_path / "more", other)
    merge.merge([raw, tmp_path / "more"], tmp_path)
    rows = table(tmp_path / "comparison.csv")
    assert sorted((row["rounds"], row["threads"], round(float(row["ratio"]))) for row in rows) == [
        ("3", "2", 10),
        ("5", "8", 2),
    ]


def test_unavailable_pairs_get_one_row_with_the_reason(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", unavailable={"0.25.0-5.3.0": "no source could be reached"})
    rows = [row for row in merged(raw, tmp_path) if row["pair"] == "0.25.0-5.3.0"]
    assert [(row["status"], row["note"]) for row in rows] == [("unavailable", "no source could be reached")]
    known = {name for name, value in rows[0].items() if value}
    assert known <= {"machine", "os", "arch", "cpu", "physical_cores", "logical_cores", "pair", "status", "note"}


def test_a_pair_that_became_available_is_no_longer_unavailable(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", unavailable={"0.25.0-5.3.0": "no network"})
    rawdata.write_raw(tmp_path / "later", pairs=("0.25.0-5.3.0",))
    merge.merge([raw, tmp_path / "later"], tmp_path)
    assert {row["status"] for row in table(tmp_path / "comparison.csv")} == {"ok"}


def test_text_cannot_act_as_a_formula_and_stays_on_its_line(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=3, experiments=("posted",))
    evil = iter(["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r\n=1", " =1", "\uff1d1"])

    def poison(line: Line) -> None:
        if line["kind"] == "measurement":
            line["note"] = next(evil, 'a "quoted", cell\nof two lines\n')
            line["cli_source"] = "=HYPERLINK()"
        if line["kind"] == "session":
            line["fingerprint"]["cpu"] = "@cpu"

    edit(raw, poison)
    (row,) = merged(raw, tmp_path)
    assert row["cpu"] == "'@cpu"
    trials = table(tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_text().count("\n") == len(trials) + 1
    for cells in (row, *trials):
        for name, cell in cells.items():
            assert not cell.strip().startswith(("=", "+", "@", "\uff1d"))
            assert not cell.startswith(("\t", "\r"))
            assert not cell.startswith("-") or float(cell) < 0, name
    assert 'a "quoted", cell | of two lines' in {trial["note"] for trial in trials}


def test_what_is_not_known_is_empty_and_negative_numbers_stay_numbers(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=3, experiments=("posted",))
    keep = {"kind", "schema", "key", "session", "machine", "pair", "experiment", "condition", "arm", "path", "phase"}
    keep |= {"round", "status", "wall_s", "final_metric", "fingerprint"}
    edit(raw, lambda line: [line.pop(name) for name in set(line) - keep] and line["kind"] != "agreement")
    (row,) = merged(raw, tmp_path)
    known = {name for name, value in row.items() if value}
    assert known == {
        *("machine", "os", "arch", "cpu", "physical_cores", "logical_cores", "pair", "experiment", "condition"),
        *("rounds", "cli_median_s", "cli_mad_s", "cli_min_s", "api_median_s", "api_mad_s", "api_min_s", "cli_start_s"),
        *("ratio", "ratio_low", "ratio_high", "half_width", "interval", "status", "note", "arms"),
        *("cli_metric", "api_metric", "failed", "sessions"),
        "api_threads_by",
        *("cli_per_min", "api_per_min"),  # a line that tells of no batch is one registration
    }
    assert row["cli_metric"] == "-1.23456"
    assert row["note"] == "the results of 3 rounds were not compared"


def test_a_round_needs_both_arms_good(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=12, experiments=("posted",))
    edit(raw, lambda line: (line.get("round"), line.get("arm")) != (7, 0))
    (row,) = merged(raw, tmp_path)
    assert row["rounds"] == "11"


def test_several_trials_of_an_arm_count_by_their_geometric_mean(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=12, experiments=("posted",), spread=0)
    (file,) = raw.rglob("posted.jsonl")
    again = []
    for line in map(json.loads, file.read_text().splitlines()):
        if line.get("phase") == "measure":
            factor = 4 if line["path"] == "api" else 1
            again.append(line | {"key": f"{line['key']}-1", "repeat": 1, "wall_s": factor * line["wall_s"]})
    with file.open("a") as out:
        out.writelines(json.dumps(line) + "\n" for line in again)
    (row,) = merged(raw, tmp_path)
    assert row["rounds"] == "12"
    assert float(row["ratio"]) == pytest.approx(20)  # 20 / 2 s at first, then 80 / 2 s
    logs = measured.read(tmp_path).rounds["m1", rawdata.PAIRS[0]]["posted"]["posted"]
    assert [math.exp(log) for log in logs] == [pytest.approx(20)] * 12
    edit(raw, lambda line: (line.get("round"), line.get("arm"), line.get("repeat")) != (7, 0, 1))
    (row,) = merged(raw, tmp_path)
    assert row["rounds"] == "11"


def test_a_broken_merge_leaves_the_old_files(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=2)
    merge.merge([raw], tmp_path)
    before = (tmp_path / "trials.csv").read_bytes()
    edit(raw, lambda line: line.update(schema=99))
    with pytest.raises(StoreError, match="schema 99"):
        merge.merge([raw], tmp_path)
    assert (tmp_path / "trials.csv").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"raw", "trials.csv", "comparison.csv", "sessions.ndjson"}


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        merge.merge([rawdata.write_raw(tmp_path / "raw", rounds=1)], tmp_path / "file" / "out")


def test_the_summary_counts(tmp_path: Path) -> None:
    raw = rawdata.write_raw(tmp_path / "raw", rounds=4, unavailable={"0.25.0-5.3.0": "no network"})
    found = merge.merge([raw], tmp_path)
    assert found.statuses == {"ok": 3, "unavailable": 1}
    assert (found.rows, found.files, found.exit_status) == (4, 4, 0)
    assert found.measurements == pl.read_csv(tmp_path / "trials.csv").height
    assert "make 4 rows: 3 ok, 1 unavailable" in found.notes[0]
