"""bench, bench-all and compare, with builds and seconds that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repro.errors import FetchError, UnavailableError
from repro.results import tables
from repro.results.columns import Row
from support import cli_house
from support.cli_house import House

PAIR = "0.25.4-5.3.1"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    return cli_house.make(tmp_path, monkeypatch, capsys)


def table_lines(text: str, word: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if word in line]


def test_bench_measures_every_condition_and_ends_with_its_ratios(house: House) -> None:
    house.seconds = {"cli:0": 2.0, "api:0": 16.0}
    done = house("bench", PAIR)
    assert done.status == 0
    assert table_lines(done.stdout, "made-up/") == [
        "made-up/first 2.00 16.0 8.00 [8.00, 8.00] slower",
        "made-up/second 2.00 16.0 8.00 [8.00, 8.00] slower",
    ]
    assert "72 trials, 0 failed" in done.stderr


def test_what_is_measured_is_not_measured_again(house: House) -> None:
    house("bench", PAIR, "--blocks", "2")
    house.ran.clear()
    done = house("bench", PAIR, "--blocks", "3")
    assert {trial.block for _, trial in house.ran} == {3}
    assert "4 blocks measured before" in done.stderr
    house.ran.clear()
    house("bench", PAIR, "--blocks", "2", "--fresh")
    assert {trial.block for _, trial in house.ran} == {1, 2}


def test_the_options_of_the_posted_script_give_its_table(house: House) -> None:
    house.seconds = {"cli:0": 2.0, "api:0": 16.0}
    for _ in range(2):  # the second time from what was measured before
        done = house("bench", PAIR, "--runs", "3", "--threads", "2")
        assert done.status == 0
        (first, *_) = done.stdout.split("made-up/second")
        assert table_lines(first, "8.00x")[:3] == [
            "*1 2.000 16.000 8.00x",
            "2 2.000 16.000 8.00x",
            "3 2.000 16.000 8.00x",
        ]
        assert "Steady-state average over runs 2+: 2.000 s and 16.000 s, ratio 8.00x" in first
        assert table_lines(first, "itk-API (s)") == ["Run CLI (s) itk-API (s) ratio"]


def test_one_path_can_be_left_out(house: House) -> None:
    house("bench", PAIR, "--no-itk", "--blocks", "1")
    assert {name for name, _ in house.ran} == {"cli:0"}
    house.ran.clear()
    house("bench", PAIR, "--no-cli", "--blocks", "1")
    assert {name for name, _ in house.ran} == {"api:0"}


def test_an_executable_of_the_user_takes_the_place_of_the_pairs(house: House) -> None:
    done = house("bench", PAIR, "--elastix", "mine", "--blocks", "1")
    assert done.status == 0
    assert {name.partition("+")[0] for name, _ in house.ran} == {"cli:0", "api:0"}
    assert house.own().name in done.stdout


def test_a_failed_trial_is_status_1_and_the_rest_is_measured(house: House) -> None:
    house.fails = lambda name, trial: name == "api:0" and trial.block == 2
    done = house("bench", PAIR, "--blocks", "2")
    assert done.status == 1
    assert "api:0 failed: made up to fail" in done.stderr
    assert "made-up/second" in done.stdout


def test_different_results_of_the_same_work_are_status_1(house: House) -> None:
    house.shift = {"api:0": 3.0}
    assert house("bench", PAIR, "--blocks", "1").status == 1


def test_a_named_pair_that_cannot_be_measured_is_status_2(house: House) -> None:
    house.missing = {"api:0.25.1": UnavailableError("api:0.25.1 cannot be had on osx-64: no wheels")}
    done = house("bench", "0.25.1-5.3.1")
    assert done.status == 2
    assert "not measured: 0.25.1-5.3.1: api:0.25.1 cannot be had on osx-64: no wheels" in done.stderr
    done = house("bench", "0.25.1-5.3.1", PAIR, "--blocks", "1")
    assert done.status == 2
    assert "made-up/first" in done.stdout


def test_pairs_that_cannot_be_had_are_said_once_and_stand_in_the_table(house: House) -> None:
    house.missing = {
        f"api:{version}": FetchError(f"api:{version}: the index is not reachable") for version in ("0.21.0", "0.25.0")
    }
    done = house("bench-all", "--blocks", "1")
    assert done.status == 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("not measured: ")]
    assert "0.21.0-5.2.0: api:0.21.0: the index is not reachable; 0.25.0-5.3.0: the like (-v says more)" in line
    rows = tables.read(house.out).rows
    assert {row.comparison for row in rows if row.status == "unavailable"} == {"0.21.0-5.2.0", "0.25.0-5.3.0"}


def test_bench_all_ends_with_the_answer_and_the_report(house: House) -> None:
    house.seconds = {"api:0": 8.0}
    done = house("bench-all", "--quick", "--blocks", "2")
    assert done.status == 0
    assert (house.out / "report.html").is_file()
    assert (house.out / "comparison.csv").is_file()
    assert "report.md" in done.stderr
    assert len(done.stdout.splitlines()) < 60


def test_ctrl_c_keeps_what_is_measured_and_the_same_command_goes_on(house: House) -> None:
    house.stop_after = 8
    done = house("bench", PAIR, "--blocks", "3")
    assert done.status == 130
    assert "the same command goes on" in done.stderr
    first = len(house.ran)
    house.stop_after = None
    assert house("bench", PAIR, "--blocks", "3").status == 0
    assert first < len(house.ran) < 36 + 6


def test_compare_says_slower_and_fails_where_the_threshold_is_passed(house: House) -> None:
    house.seconds = {house.own().name: 1.2}
    house.noise = lambda trial: 1 + 0.001 * trial.position
    done = house("compare", "cli:5.3.1", "mine", "--fail-if", "slower:5%")
    assert done.status == 3
    assert "Fails: slower by more than 5% in first and second." in done.stdout
    assert all("slower" in line for line in table_lines(done.stdout, "[1.2"))
    assert house("compare", "cli:5.3.1", "mine", "--fail-if", "slower:25%").status == 0
    assert house("compare", "mine", "cli:5.3.1", "--fail-if", "slower:5%").status == 0


def test_a_threshold_is_worth_more_blocks_and_rounds(house: House) -> None:
    house.noise = lambda trial: 1.1 if (trial.block % 2 == 0) == (trial.side == "other") else 1.0
    house("compare", "cli:5.3.1", "cli:5.3.1")
    assert max(trial.round for _, trial in house.ran) == 2
    house.ran.clear()
    house("compare", "cli:5.3.1", "cli:5.3.1", "--fail-if", "slower:5%", "--fresh")
    assert max(trial.round for _, trial in house.ran) == 4
    assert max(trial.block for _, trial in house.ran) == 12


def test_compare_measures_the_base_against_itself_in_the_same_call(house: House) -> None:
    house("compare", "cli:5.3.1", "mine")
    rows = {(row.base, row.other) for row in tables_of(house)}
    assert rows == {("cli:0", house.own().name), ("cli:0", "cli:0")}


def test_noise_as_large_as_the_difference_is_no_difference(house: House) -> None:
    house.seconds = {house.own().name: 1.03}
    house.noise = lambda trial: 1.1 if (trial.block % 2 == 0) == (trial.side == "other") else 1.0
    done = house("compare", "cli:5.3.1", "mine", "--fail-if", "slower:1%")
    assert done.status == 0
    assert "no difference" in done.stdout


def test_few_blocks_cannot_tell_and_do_not_fail(house: House) -> None:
    house.seconds = {house.own().name: 3.0}
    done = house("compare", "cli:5.3.1", "mine", "--blocks", "3", "--fail-if", "slower:5%")
    assert done.status == 0
    assert "cannot tell" in done.stdout


def test_a_build_against_itself_is_no_difference(house: House) -> None:
    house.noise = lambda trial: 1 + 0.05 * ((trial.block * 7 + trial.round + trial.position * 3) % 5)
    done = house("compare", "cli:5.3.1", "cli:5.3.1", "--fail-if", "slower:1%")
    assert done.status == 0
    assert len(table_lines(done.stdout, "no difference")) == 2


def test_compare_writes_what_machines_read(house: House, tmp_path: Path) -> None:
    house.seconds = {house.own().name: 1.2}
    files = {name: tmp_path / name for name in ("c.md", "c.json", "b.json")}
    house(
        *("compare", "cli:5.3.1", "mine", "--markdown", str(files["c.md"])),
        *("--json", str(files["c.json"]), "--benchmark-json", str(files["b.json"])),
    )
    assert "| first | 1.00 | 1.20 |" in files["c.md"].read_text(encoding="utf-8")
    document = json.loads(files["c.json"].read_text(encoding="utf-8"))
    assert [one["verdict"] for one in document["conditions"]] == ["slower", "slower"]
    assert document["other"]["name"] == house.own().name
    assert len(json.loads(files["b.json"].read_text(encoding="utf-8"))) == 2


def test_a_build_that_is_used_once_is_not_kept(house: House) -> None:
    folder = house.own().folder
    house("compare", "cli:5.3.1", "mine", "--blocks", "1")
    assert not folder.exists()


def test_plan_says_conditions_blocks_rounds_and_no_unknown(house: House) -> None:
    done = house("plan", PAIR)
    assert table_lines(done.stdout, "made-up") == [f"{PAIR} made-up 2 6 2"]
    assert "minutes" not in done.stdout
    assert "unknown" not in done.stdout
    house.seconds = {"cli:0": 10.0, "api:0": 20.0}
    house("bench", PAIR, "--blocks", "1")
    done = house("plan", PAIR)
    (line,) = table_lines(done.stdout, "made-up")
    assert 18 < float(line.split()[-1]) < 19
    assert "2 conditions in all, about 18 min" in done.stdout


def tables_of(house: House) -> list[Row]:
    house("merge", str(house.out / "raw"))
    return tables.read(house.out).rows
