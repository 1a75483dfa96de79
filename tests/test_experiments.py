import dataclasses
from pathlib import Path

import pytest

from repro.builds.config import load_pairs, load_releases
from repro.cli.options import chosen_experiments
from repro.errors import ConfigError
from repro.model import SHARE, Experiment
from repro.plan import plan, plantable
from repro.plan.experiments import choose, fitted, load_experiments, parameter_path, with_threads

GOOD = """
[experiment.one]
question = "Does it?"
parameter_files = ["posted-bspline.txt"]
images = "posted"
[[experiment.one.condition]]
name = "first"
cli = { threads = 0 }
api = { threads = 0, by = "parameter" }
[[experiment.one.condition]]
name = "second"
machine_threads = 28
overrides = { NumberOfHistogramBins = "32" }
api = { threads = 3, by = "method", threader = "Pool" }
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "experiments.toml"
    file.write_text(text)
    return file


def test_conditions_inherit_from_their_experiment_and_replace_it(tmp_path: Path) -> None:
    experiment = load_experiments(write(tmp_path, GOOD))["one"]
    first, second = experiment.conditions
    assert first.parameter_files == second.parameter_files == ("posted-bspline.txt",)
    assert (first.cli.threads, first.cli.threads_by) == (0, "option")
    assert first.api.threads_by == "parameter"
    assert first.machine_threads is None
    assert (second.machine_threads, second.api.threader, second.api.threads) == (28, "Pool", 3)
    assert second.cli.threads is None
    assert second.cli.threads_by == "none"
    assert second.overrides == (("NumberOfHistogramBins", "32"),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('by = "parameter"', 'by = "magic"', r"line 9, key 'experiment.one.api.by'.*magic"),
        ("machine_threads = 28", "machine_threads = 0", r"line 12, key 'experiment.one.machine_threads'"),
        ('threader = "Pool"', 'threader = "pool"', r"line 14, key .*Platform, Pool, TBB"),
        ('api = { threads = 3, by = "method"', 'api = { threads = true, by = "method"', r"line 14, key .*api.threads'"),
        ('name = "second"', "name = 2", r"line 11, key .*name'.*must be text"),
        ('name = "second"', 'name = "first"', "a name of its own"),
        ('question = "Does it?"', 'qestion = "Does it?"', r"line 3, key 'experiment.one.qestion': unknown key"),
        ('images = "posted"', "images = 5", r"line 5.*must be text"),
        ("[experiment.one]", "[experiment.one", "not valid TOML.*line 2"),
        ("[experiment.one]", '[experiment."../one"]', r"line 2, key 'experiment.*one': '../one' must be letters"),
        ('name = "first"', 'name = "a/b"', r"line 7, key 'experiment.one.name': 'a/b' must be letters"),
        ('question = "Does it?"', 'question = "Does it?"\ntrials = 0', r"line \d+, .*trials.: 0 must be at least 1"),
        ('name = "second"', 'name = "second"\nrounds = 99999', r"line 12, .*rounds.: 99999 must be .* at most 10000"),
        ("threads = 3", "threads = -3", r"line 14, key .*threads.: -3 must be at least 0"),
        (
            'name = "second"',
            'name = "second"\nrounds = 0',
            r"line 12, .*rounds.: 0 must be at least 1",
        ),
        ('images = "posted"', 'images = "posted"\nmeasures = "speed"', r"line 6, key .*measures'.*first-result"),
        ('name = "first"', 'name = "first"\nstrategy = "magic"', r"line 8, key .*strategy'"),
        ('name = "first"', 'name = "first"\nmeasures = "first-result"', r"strategy'.*interpreters, worker, recipe"),
        (
            'name = "first"',
            'name = "first"\nmeasures = "loading"\nloading = { by = "magic" }',
            r"line 9, key .*loading.by'.*posted, class-first",
        ),
        (
            'name = "first"',
            'name = "first"\nmeasures = "first-result"\nstrategy = "worker"\njobs = 2',
            r"line 10, key .*jobs'.*one job at a time",
        ),
        ('name = "first"', 'name = "first"\nregistrations = 0', r"line 8, key .*registrations'.*at least 1"),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=said) as caught:
        load_experiments(file)
    assert "experiments.toml" in str(caught.value)


INLINE = """
[experiment.one]
question = "Does it?"
rounds = 4
parameter_files = ["posted-bspline.txt"]
images = "posted"
condition = [
    { name = "first", api = { threads = 1 } },
    { name = "second", rounds = 2, api = { threads = 2, threader = "Pool" } },
]
"""


def test_conditions_may_stand_in_one_list_with_rounds_of_their_own(tmp_path: Path) -> None:
    experiment = load_experiments(write(tmp_path, INLINE))["one"]
    assert [condition.api.threads for condition in experiment.conditions] == [1, 2]
    assert [experiment.rounds_of(name) for name in ("first", "second")] == [4, 2]
    file = write(tmp_path, INLINE.replace('"Pool"', '"Pond"'))
    with pytest.raises(ConfigError, match=r"line 9, key 'experiment.one.api.threader': 'Pond' must be one of"):
        load_experiments(file)


def test_a_file_of_ones_own_is_run_whole_or_by_name(tmp_path: Path) -> None:
    file = write(tmp_path, INLINE + GOOD.replace(".one", ".two"))
    assert [one.name for one in chosen_experiments(None, file=file)] == ["one", "two"]
    assert [one.name for one in chosen_experiments(["two"], file=file)] == ["two"]
    with pytest.raises(ConfigError, match=r"unknown experiment 'posted'; .*experiments.toml has: one, two"):
        chosen_experiments(["posted"], file=file)
    assert [one.name for one in chosen_experiments(None)] == ["posted", "aa", "causes"]


def test_threads_change_only_where_threads_are_asked_for(tmp_path: Path) -> None:
    first, second = load_experiments(write(tmp_path, GOOD))["one"].conditions
    assert dataclasses.replace(with_threads(first, 5).cli, threads=0) == first.cli
    assert with_threads(second, 5).cli.threads is None
    assert with_threads(second, 5).api.threads == 5


def test_an_unknown_experiment_lists_the_known_ones() -> None:
    known = load_experiments()
    with pytest.raises(ConfigError, match=r"unknown experiment 'postd'.*posted"):
        choose(known, ["postd"])


def test_every_experiment_of_the_project_names_parameter_files_that_exist() -> None:
    for experiment in load_experiments().values():
        assert experiment.question.endswith((")", "?"))
        for condition in experiment.conditions:
            for name in condition.parameter_files:
                assert parameter_path(name).is_file()


def test_a_missing_parameter_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no parameter file 'nothing.txt'"):
        parameter_path("nothing.txt")


def test_an_api_only_release_runs_what_is_about_releases_and_the_api_alone() -> None:
    known = load_experiments()
    assert [name for name, experiment in known.items() if experiment.releases] == ["versions"]
    items = [(known[name], condition) for name in ("posted", "versions") for condition in known[name].conditions]
    pair = load_pairs()["0.21.0-5.2.0"]
    release = load_releases()["0.19.1"]
    assert list(plan.for_pair(pair, items)) == items
    assert {experiment.name for experiment, _ in plan.for_pair(release, items)} == {"versions"}
    assert list(plan.for_pair(release, items[:1])) == items[:1], "named by the user"
    assert plan.paths_of(pair, {"cli", "api"}) == {"cli", "api"}
    assert plan.paths_of(release, {"cli", "api"}) == {"api"}
    assert plan.paths_of(release, {"cli"}) == set()
    experiment, condition = items[-1]
    paths = plan.paths_of(release, {"cli", "api"})
    steps = plan.rounds(release, experiment, condition, 3, 1, paths)
    assert [[trial.path for trial in step.trials] for step in steps] == [["api"]] * 4
    assert plan.start_trials(release, experiment, condition, paths) == ()


def test_the_plan_of_a_round_of_several_trials_is_short(tmp_path: Path) -> None:
    pair, experiment = load_pairs()["0.21.0-5.2.0"], load_experiments()["posted"]
    several = dataclasses.replace(experiment, trials=4)
    once, more = (plantable.plan_all([pair], [its], 2, 1, (1, 1), tmp_path) for its in (experiment, several))
    assert (once[0].trials, more[0].trials) == (3 + 2 + 4, 3 + 2 + 16)
    orders = [" ".join(path for path in step) for step in more[0].order]
    assert sorted(orders) == ["api cli cli api cli api api cli", "cli api api cli api cli cli api"]
    (before,), (after,) = (plantable.rows(its).rows for its in (once, more))
    assert after[-1] == f"each arm 4 times, mirrored: {before[-1]}"


STRATEGIES = """
[experiment.many]
question = "Which?"
parameter_files = ["posted-bspline.txt"]
images = "posted"
[[experiment.many.condition]]
name = "recipe"
strategy = "recipe"
jobs = [1, 2, 8]
cli = { threads = "share" }
api = { threads = "share" }
[[experiment.many.condition]]
name = "forked"
strategy = "forked"
jobs = 0
"""


def jobs_of(experiment: Experiment) -> dict[str, int]:
    return {condition.name: condition.jobs for condition in experiment.conditions}


def test_a_list_of_jobs_makes_a_condition_for_each(tmp_path: Path) -> None:
    experiment = load_experiments(write(tmp_path, STRATEGIES))["many"]
    assert jobs_of(experiment) == {"recipe-1": 1, "recipe-2": 2, "recipe-8": 8, "forked": 0}
    recipe = experiment.conditions[0]
    assert (recipe.cli.threads, recipe.cli.threads_by, recipe.api.threads_by) == (SHARE, "option", "method")


def test_an_experiment_is_fitted_to_the_machine_or_to_the_jobs_asked_for(tmp_path: Path) -> None:
    known = load_experiments(write(tmp_path, STRATEGIES + GOOD))
    many = known["many"]
    assert [*jobs_of(fitted(many, (), 2))] == ["recipe-1", "recipe-2", "forked"]
    assert [*jobs_of(fitted(many, (), 4))] == ["recipe-1", "recipe-2", "recipe-8", "forked"]
    assert jobs_of(fitted(many, (3, 16), 2)) == {"recipe-3": 3, "recipe-16": 16, "forked-3": 3, "forked-16": 16}
    assert fitted(known["one"], (3,), 2) == known["one"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"forked"\njobs = 0', '"forks"\njobs = 0', "'forks' must be one of threads, spawned, forked, recipe"),
        ("jobs = 0", "jobs = -1", "-1 must be a whole number"),
        ("[1, 2, 8]", '[1, "2"]', "whole number from 0, or a list"),
    ],
)
def test_an_error_in_a_strategy_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_experiments(write(tmp_path, STRATEGIES.replace(old, new)))
