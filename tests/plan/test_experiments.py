"""experiments.toml: what it says, what is refused, and how a condition gets its builds."""

from pathlib import Path

import pytest

from repro.errors import ConfigError
from repro.model import BatchCondition, Build, Path_, RegistrationCondition, Settings
from repro.paths import PARAMETER_FILES
from repro.plan.experiments import Experiment, choose, load_experiments

GOOD = """
[experiment.one]
question = "Does it?"
parameter_files = ["posted-bspline.txt"]
images = "posted"
overrides = { MaximumNumberOfIterations = 20 }
[[experiment.one.condition]]
name = "first"
cli = { threads = "cores" }
api = { threads = "cores", by = "parameter" }
[[experiment.one.condition]]
name = "second"
machine_threads = 28
blocks = 3
overrides = { NumberOfHistogramBins = "32" }
api = { threads = 3, by = "method", threader = "Pool" }
"""
CLI, API, SITK = (Build(path, "1.0", "ab" * 16) for path in ("cli", "api", "sitk"))


def load(folder: Path, text: str) -> dict[str, Experiment]:
    file = folder / "experiments.toml"
    file.write_text(text, encoding="utf-8")
    return load_experiments(file)


def test_conditions_inherit_from_their_experiment_and_replace_it(tmp_path: Path) -> None:
    experiment = load(tmp_path, GOOD)["one"]
    first, second = (one.between(CLI, API) for one in experiment.conditions)
    assert isinstance(first, RegistrationCondition)
    assert first.registration.parameter_files == second.registration.parameter_files == ("posted-bspline.txt",)
    assert first.base.settings == Settings("cores", "option")
    assert first.other.settings == Settings("cores", "parameter")
    assert (first.machine_threads, second.machine_threads) == (None, 28)
    assert second.other.settings == Settings(3, "method", "Pool")
    assert second.base.settings == Settings("default", "option")
    assert [(one.blocks, one.rounds) for one in experiment.conditions] == [(6, 2), (3, 2)]


def test_overrides_of_a_condition_add_to_those_of_its_experiment(tmp_path: Path) -> None:
    first, second = load(tmp_path, GOOD)["one"].conditions
    assert first.registration.overrides == (("MaximumNumberOfIterations", "20"),)
    assert second.registration.overrides == (("MaximumNumberOfIterations", "20"), ("NumberOfHistogramBins", "32"))


def test_two_builds_of_one_path_both_get_the_settings_of_that_path(tmp_path: Path) -> None:
    second = load(tmp_path, GOOD)["one"].conditions[1]
    newer = Build("api", "1.1", "cd" * 16)
    condition = second.between(API, newer)
    assert (condition.base.build, condition.other.build) == (API, newer)
    assert condition.base.settings == condition.other.settings == Settings(3, "method", "Pool")
    assert second.between(API, SITK).other.settings == Settings("default", "method")


def test_an_arm_may_have_settings_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace(
        'name = "first"',
        'name = "first"\nbase = "cli"\nother = { path = "cli", threads = "default", threader = "TBB" }',
    )
    first = load(tmp_path, text)["one"].conditions[0]
    assert first.paths == ("cli", "cli")
    condition = first.between(CLI, CLI)
    assert condition.base.settings == Settings("cores", "option")
    assert condition.other.settings == Settings("default", "option", "TBB")
    assert first.between(CLI, API).other.settings == Settings("cores", "parameter"), "another path has its own"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('by = "parameter"', 'by = "magic"', r"one\.condition\.0\.api\.by"),
        (
            'by = "parameter"',
            'by = "option"',
            "condition 'first': a api arm is asked for threads by method or parameter",
        ),
        ("machine_threads = 28", "machine_threads = 0", "machine_threads.*whole number from 1 to 4096"),
        ('threader = "Pool"', 'threader = "pool"', "threader.*'Platform', 'Pool' or 'TBB'"),
        ("threads = 3,", "threads = true,", "threads.*whole number from 1 to 4096, or 'cores'"),
        ("threads = 3,", "threads = 99999,", "threads.*whole number from 1 to 4096, or 'cores'"),
        ("threads = 3,", 'threads = "many",', "threads.*whole number from 1 to 4096, or 'cores'"),
        ('name = "second"', "name = 2", r"one\.condition\.1\.name"),
        ('name = "second"', 'name = "first"', "two conditions have the same name"),
        ('question = "Does it?"', 'qestion = "Does it?"', r"one\.(qestion': unknown key|question' is missing)"),
        ('images = "posted"', "images = 5", r"experiment\.one\.images"),
        ('images = "posted"', "", "condition 'first': 'parameter_files' and 'images' say what is registered"),
        ('["posted-bspline.txt"]', "[]", "parameter_files"),
        ("[experiment.one]", "[experiment.one", "not valid TOML.*line 2"),
        ("[experiment.one]", '[experiment."../one"]', r"experiment\.\.\./one"),
        ('name = "first"', 'name = "a/b"', r"condition\.0\.name"),
        ("blocks = 3", "blocks = 0", "blocks.*whole number from 1 to 1000"),
        ("blocks = 3", "rounds = 1000000000", "rounds.*whole number from 1 to 1000"),
        (
            "blocks = 3",
            "jobs = []\nstrategy = 'pool'",
            "jobs': must be a whole number from 1 to 1024, a list of them, or 'cores'",
        ),
        (
            "blocks = 3",
            "jobs = [1, 0]\nstrategy = 'pool'",
            "jobs': must be a whole number from 1 to 1024, a list of them, or 'cores'",
        ),
        (
            "blocks = 3",
            "jobs = 1000000\nstrategy = 'pool'",
            "jobs': must be a whole number from 1 to 1024, a list of them, or 'cores'",
        ),
        ("blocks = 3", "registrations = 0\nstrategy = 'pool'", "registrations.*whole number from 1"),
        ("blocks = 3", "jobs = 2", "'jobs' and 'registrations' need a 'strategy'"),
        ("blocks = 3", "strategy = 'magic'", "strategy.*'threads', 'spawned', 'plugin', 'forked' or 'pool'"),
        ("blocks = 3", "other = 'sirk'", "other.*'cli', 'api' or 'sitk'"),
        ("blocks = 3", "pixels = 'short'", "pixels"),
        ('"Does it?"', '"Does it?"\nbuilds = "all"', "builds"),
        ("{ MaximumNumberOfIterations = 20 }", "{ MaximumNumberOfIterations = true }", "MaximumNumberOfIterations"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert "experiments.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_threads_change_only_where_threads_are_asked_for(tmp_path: Path) -> None:
    first, second = load(tmp_path, GOOD)["one"].with_threads(5).conditions
    assert first.between(CLI, API).other.settings == Settings(5, "parameter")
    assert second.between(CLI, API).base.settings == Settings("default", "option")


def test_a_file_of_the_user_keeps_its_own_iterations_and_what_is_put_over_it_is_said(tmp_path: Path) -> None:
    changed, said = load(tmp_path, GOOD)["one"].with_files(["/home/me/mine.txt"], "custom")
    first, second = (one.registration for one in changed.conditions)
    assert (first.parameter_files, first.images, first.overrides) == (("/home/me/mine.txt",), "custom", ())
    assert second.overrides == (("NumberOfHistogramBins", "32"),)
    assert "MaximumNumberOfIterations are those of your parameter file" in said
    assert "puts over your parameter file: NumberOfHistogramBins 32 (second)" in said


def test_other_images_leave_the_parameter_files_as_they_are(tmp_path: Path) -> None:
    changed, said = load(tmp_path, GOOD)["one"].with_files(images="custom")
    assert [one.registration.images for one in changed.conditions] == ["custom", "custom"]
    assert changed.conditions[0].registration.overrides == (("MaximumNumberOfIterations", "20"),)
    assert said == ""


BATCHES = """
[experiment.many]
question = "Which?"
parameter_files = ["posted-bspline.txt"]
images = "posted"
[[experiment.many.condition]]
name = "pool"
strategy = "pool"
jobs = [1, 2, 8]
registrations = 8
cli = { threads = "share" }
api = { threads = "share" }
[[experiment.many.condition]]
name = "forked"
strategy = "forked"
jobs = "cores"
"""


def test_a_list_of_jobs_makes_a_condition_for_each(tmp_path: Path) -> None:
    conditions = load(tmp_path, BATCHES)["many"].conditions
    assert {one.name: one.jobs for one in conditions} == {"pool-1": 1, "pool-2": 2, "pool-8": 8, "forked": "cores"}
    batch = conditions[0].between(CLI, API)
    assert isinstance(batch, BatchCondition)
    assert (batch.strategy, batch.registrations, batch.other.settings.threads) == ("pool", 8, "share")


def test_an_experiment_is_fitted_to_the_machine_or_to_the_jobs_asked_for(tmp_path: Path) -> None:
    known = load(tmp_path, BATCHES + GOOD)

    def names(jobs: tuple[int, ...], cores: int) -> list[str]:
        return [one.name for one in known["many"].with_jobs(jobs, cores).conditions]

    assert names((), 2) == ["pool-1", "pool-2", "forked"]
    assert names((), 4) == ["pool-1", "pool-2", "pool-8", "forked"]
    assert names((3, 16), 2) == ["pool-3", "pool-16", "forked-3", "forked-16"]
    assert known["one"].with_jobs((3,), 2) == known["one"]


def test_an_unknown_experiment_lists_the_known_ones() -> None:
    known = load_experiments()
    with pytest.raises(ConfigError, match=r"unknown experiment 'postd'; .*has: posted"):
        choose(known, ["postd"])
    assert [one.name for one in choose(known, ["aa", "posted"])] == ["aa", "posted"]


def test_every_experiment_of_the_project_can_be_made_of_builds() -> None:
    builds: dict[Path_, Build] = {"cli": CLI, "api": API, "sitk": SITK}
    for experiment in load_experiments().values():
        for spec in experiment.conditions:
            condition = spec.between(*(builds[path] for path in spec.paths))
            assert all((PARAMETER_FILES / name).is_file() for name in condition.registration.parameter_files)


def test_the_noise_floor_is_measured_for_the_small_file_and_in_the_slow_condition() -> None:
    conditions = {one.name: one for one in load_experiments()["aa"].conditions}
    assert {name: one.machine_threads for name, one in conditions.items()} == {
        **{"cli-small": None, "api-small": None, "cli-slow": 28, "api-slow": 28}
    }
    assert all(one.paths[0] == one.paths[1] == name[:3] for name, one in conditions.items())
