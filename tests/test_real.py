"""One small registration by each path, with the real executable and the real wheels of a pair."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro import layout
from repro.builds import installed
from repro.builds.config import load_pairs
from repro.errors import UnavailableError
from repro.model import STRATEGIES

PAIR = "0.25.4-5.3.1"
pytestmark = pytest.mark.real


def _repro(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "repro", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(layout.ROOT / "src")}
    return subprocess.run(command, cwd=layout.ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bench() -> list[str]:
    """The command that measures the pair in the smoke experiment, with the committed images.

    Skips where the pair was not fetched. With REPRO_REAL=required, as continuous integration sets
    it, that is a failure: a fetch that failed must not pass for a test that did.
    """
    try:
        installed.load(load_pairs()[PAIR])
    except UnavailableError as error:
        missing = pytest.fail if os.environ.get("REPRO_REAL") == "required" else pytest.skip
        missing(f"{PAIR}: {error}")
    images = [f"--{name}={layout.DATA / 'synthetic' / name}.tif" for name in ("fixed", "moving")]
    return ["bench", PAIR, "--experiment", "smoke", "--rounds", "1", "--offline", *images]


@pytest.fixture(scope="module")
def results(bench: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run's results."""
    folder = tmp_path_factory.mktemp("results")
    done = _repro(*bench, "--out", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def _lines(results: Path, kind: str) -> list[dict[str, Any]]:
    files = sorted(results.glob(f"raw/*/{PAIR}/*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_both_paths_register_with_the_versions_of_the_pair(results: Path) -> None:
    measured = [line for line in _lines(results, "measurement") if line["phase"] == "measure"]
    assert sorted(line["path"] for line in measured) == ["api", "cli"]
    for line in measured:
        assert line["status"] == "ok", line["note"]
        assert 0 < line["wall_s"] < 600
        assert len(line["resolutions_s"]) == 2
        assert line["peak_bytes"] > 10_000_000
        assert line["elastix"].startswith("5.3.1")
    (api,) = [line for line in measured if line["path"] == "api"]
    assert api["itk_elastix"] == "0.25.4"
    assert api["threader"] in ("Platform", "Pool", "TBB")


def test_both_paths_find_the_same_transform(results: Path) -> None:
    agreements = _lines(results, "agreement")
    assert agreements
    assert all(0 <= line["mean_px"] <= line["max_px"] < 0.05 for line in agreements)


def test_every_strategy_registers_as_the_executable_does(bench: list[str], tmp_path: Path) -> None:
    command = ["parallel-smoke" if word == "smoke" else word for word in bench]
    done = _repro(*command, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line for line in _lines(tmp_path, "measurement") if line["phase"] != "start"]
    for line in lines:
        assert (line["status"], line["note"]) == ("ok", "")
        assert (line["jobs"], line["registrations"], len(line["jobs_s"])) == (2, 3, 3)
        assert 0 < line["first_s"] < line["wall_s"]
        assert line["user_s"] > 0
    strategies = STRATEGIES if sys.platform == "linux" else tuple(set(STRATEGIES) - {"forked"})
    assert {(line["strategy"], line["path"]) for line in lines} == {(s, p) for s in strategies for p in ("cli", "api")}
    assert len({line["result_digest"] for line in lines}) == 1
    if sys.platform == "linux":
        memory = {(line["strategy"], line["path"]): line["tree_peak_bytes"] for line in lines if not line["round"]}
        assert memory["forked", "api"] < memory["spawned", "api"]  # a forked worker shares what was loaded


def test_what_is_measured_is_not_measured_again(bench: list[str], results: Path) -> None:
    before = _lines(results, "measurement")
    done = _repro(*bench, "--out", str(results))
    assert done.returncode == 0, done.stderr
    assert _lines(results, "measurement") == before


def test_the_results_merge_into_a_row(results: Path) -> None:
    done = _repro("merge", "--out", str(results))
    assert done.returncode == 0, done.stderr
    header, *rows = (results / "comparison.csv").read_text(encoding="utf-8").splitlines()
    assert {"pair", "ratio", "cli_median_s", "api_median_s", "status"} <= set(header.split(","))
    assert len(rows) == 1
    assert PAIR in rows[0]
