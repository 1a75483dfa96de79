"""What a person at the command line gets: statuses, messages, tables. No registration is run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import rawdata
import reportraw
from repro.builds.config import load_pairs, load_releases
from repro.cli import tables
from repro.cli.cli import main
from repro.cli.printing import console
from repro.layout import ROOT
from repro.measure.outcome import ConditionResult, RoundResult
from repro.plan.experiments import load_experiments

SYNTHETIC = ROOT / "data" / "synthetic"


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Repro = Callable[..., Done]


@pytest.fixture
def repro(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Repro:
    """Run a command line in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.delenv("REPRO_PAIR", raising=False)
        monkeypatch.setattr(sys, "argv", ["repro", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        assert isinstance(caught.value.code, int)
        return Done(caught.value.code, out, err)

    return run


def test_help_names_every_command_and_the_exit_statuses(repro: Repro) -> None:
    done = repro("--help")
    assert done.returncode == 0
    for word in (
        "pairs",
        "fetch",
        "plan",
        "bench",
        "pack",
        "merge",
        "report",
        "explain",
        "doctor",
        "bench-all",
        "pair",
    ):
        assert f"  {word} " in done.stdout
    assert "130 interrupted" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['repro', '--help']\n"
        "from repro.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'polars', 'pooch', 'matplotlib', 'jinja2', 'psutil'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "nope"], "unknown pair 'nope'; params/pairs.toml has: 0.21.0-5.2.0"),
        (["bench", "--experiment", "nope"], "unknown experiment 'nope'"),
        (["bench", "--fixed", "a.tif"], "--fixed and --moving go together"),
        (["bench", "--fixed", "no.tif", "--moving", "no.tif"], "image no.tif cannot be read: No such file"),
        (["bench", "--fixed", "LICENSE", "--moving", "LICENSE"], "of no format that ITK reads"),
        (["bench", "--params", "no.txt"], "no parameter file 'no.txt'"),
        (["bench", "--params", "pixi.toml"], "pixi.toml, line 1"),
        (["bench", "--no-cli", "--no-itk"], "leave nothing to run"),
        (["bench", "--shard", "3/2"], "--shard '3/2'"),
        (["bench", "--shard", "\u00b2/3"], "--shard '\u00b2/3'"),
        (["bench", "--rounds", "0"], "--rounds"),
        (["bench", "--bogus"], "No such option: --bogus"),
        (["nope"], "No such command"),
        (["merge", "no-such-folder"], "no-such-folder"),
        (["explain", "--out", "no-such-folder"], "run merge first"),
        (["pair", "add", "1.0.0", "2.0.0", "--as-of", "yesterday"], "'yesterday' is not a date"),
    ],
)
def test_bad_input_is_refused_at_once_with_what_where_and_what_next(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(ROOT)
    done = repro(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.replace("\\", "/")
    assert "Traceback" not in done.stderr


def test_an_image_of_another_dimension_is_refused(repro: Repro, tmp_path: Path) -> None:
    volume = tmp_path / "volume with spaces.mha"
    volume.write_text("ObjectType = Image\nNDims = 3\n")
    done = repro("bench", "--fixed", str(volume), "--moving", str(volume))
    assert done.returncode == 2
    assert "is 3-D, but posted-bspline.txt expects 2-D images" in done.stderr


def test_a_results_folder_that_cannot_be_written_is_refused(repro: Repro, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    images = ["--fixed", str(SYNTHETIC / "fixed.tif"), "--moving", str(SYNTHETIC / "moving.tif")]
    done = repro("bench", "--out", str(tmp_path / "file" / "results"), *images)
    assert done.returncode == 2
    assert "choose another" in done.stderr


def test_plan_is_the_same_for_the_same_seed_and_another_for_another(repro: Repro) -> None:
    plans = [
        json.loads(repro("plan", "0.21.0-5.2.0", "--experiment", "posted", "--seed", seed, "--json").stdout)
        for seed in ("1", "1", "2")
    ]
    assert plans[0] == plans[1]
    assert plans[0][0]["order"] != plans[2][0]["order"]
    assert plans[0][0]["trials"] == 3 + 2 * (1 + plans[0][0]["rounds"])


def test_releases_are_planned_with_the_experiment_that_is_about_them_and_with_no_other(repro: Repro) -> None:
    pairs, releases = load_pairs(), load_releases()
    plain = json.loads(repro("plan", "--json").stdout)
    assert {entry["pair"] for entry in plain} == set(pairs)
    both = json.loads(repro("plan", "--experiment", "posted", "--experiment", "versions", "--json").stdout)
    listed = {name for name, release in releases.items() if not release.wheels_of}
    assert {entry["pair"] for entry in both if entry["experiment"] == "posted"} == set(pairs)
    assert {entry["pair"] for entry in both if entry["experiment"] == "versions"} >= set(pairs) | listed
    assert {path for entry in both if entry["pair"] in listed for step in entry["order"] for path in step} == {"api"}
    known = json.loads(repro("pairs", "--releases", "--json").stdout)
    assert {fact["pair"] for fact in known} >= set(pairs) | listed


def test_pairs_and_doctor_speak_to_scripts(repro: Repro) -> None:
    pairs = json.loads(repro("pairs", "--json").stdout)
    assert next(entry["pair"] for entry in pairs) == "0.21.0-5.2.0"
    assert {entry["state"] for entry in pairs} <= {"fetched", "unavailable"}
    machine = json.loads(repro("doctor", "--json").stdout)
    assert machine["fingerprint"]["physical_cores"] >= 1
    assert {finding["level"] for finding in machine["findings"]} <= {"ok", "warn", "bad"}


def test_results_travel(repro: Repro, tmp_path: Path) -> None:
    mine, received = tmp_path / "mine", tmp_path / "received"
    for folder, machine in ((mine, "linux-64-m1"), (received, "win-64-m2")):
        rawdata.write_raw(folder / "raw", machines=(machine,), rounds=6)
    done = repro("pack", str(received), "--to", str(tmp_path / "packed"))
    assert done.returncode == 0
    archive = tmp_path / "packed" / "win-64-m2.zip"
    assert archive.name in done.stderr.replace("\\", "/")
    done = repro("merge", str(mine), str(archive), "--out", str(mine))
    assert done.returncode == 0
    assert {"linux-64-m1", "win-64-m2"} <= set(done.stdout.split())
    # The report knows the machine that only an archive was had of.
    assert repro("report", str(mine)).returncode == 0
    assert "Made-up processor of win-64-m2" in (mine / "report.html").read_text()
    archive.write_bytes(archive.read_bytes()[:-200])
    done = repro("merge", str(mine), str(archive), "--out", str(mine))
    assert done.returncode == 2
    assert "left out: win-64-m2.zip" in done.stderr
    assert "linux-64-m1" in done.stderr or "win-64-m2" not in done.stdout
    done = repro("merge", str(archive), "--out", str(mine))
    assert done.returncode == 2
    assert "nothing is left to merge" in done.stderr


def test_everything_for_scripts_is_json(repro: Repro, tmp_path: Path) -> None:
    reportraw.made(tmp_path, pairs=reportraw.PAIRS[:1], experiments=("posted", "causes"), rounds=6)
    said = {
        command[0]: json.loads(repro(*command, "--json").stdout)
        for command in (["pairs"], ["plan", "--experiment", "aa"], ["doctor"], ["explain", "--out", str(tmp_path)])
    }
    assert said.keys() == {"pairs", "plan", "doctor", "explain"}
    assert all(said.values())


@pytest.mark.parametrize(("variables", "colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_respected(
    repro: Repro, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], colour: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # A table has bold heads, which are no colour; rich marks figures outside of tables in colours.
    console().print("12.5 seconds", style="red")
    said = repro("pairs").stdout
    assert bool(re.search("\x1b\\[[0-9;]*3[0-9]", said)) is colour


def test_bench_ends_with_its_ratios_in_short() -> None:
    rounds = tuple(
        RoundResult(n, ({"wall_s": 2.0}, {"wall_s": 2.0 * ratio}), 0.25 * n)
        for n, ratio in enumerate((9.0, 1.5, 2.0, 3.0))
    )
    condition = load_experiments()["posted"].conditions[0]
    failed = RoundResult(4, ({"wall_s": 2.0}, None), None)
    table = tables.ratios([ConditionResult("1-2", "posted", condition, (*rounds, failed))])
    assert table.rows == (
        ("1-2", "posted/as-posted", "cli api", "2 4", "2 [1.5, 3]", "3, range", "too few rounds to say", "0.75"),
    )  # fmt: skip
    assert tables.ratios([ConditionResult("1-2", "posted", condition, (rounds[0], failed))]).rows == ()


def test_the_command_works_from_any_folder(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-m", "repro", "pairs"], env=environment, cwd=tmp_path, check=True)
