"""What is advised, from made-up rows of comparison.csv."""

from __future__ import annotations

from repro.explain import advice
from repro.results.columns import COMPARISON

UNKNOWN = {column.name: "" for column in COMPARISON}
PLAIN = {
    **UNKNOWN,
    "arms": "cli api",
    "status": "ok",
    "measures": "registration",
    "fixed_sha256": "f",
    "moving_sha256": "m",
    "params_sha256": "p",
    "jobs": "1",
    "threads": "2",
    "ratio": "0.9",
    "ratio_low": "0.85",
    "ratio_high": "0.95",
    "interval": "interval",
    "verdict": "faster",
    "cli_per_min": "30",
    "api_per_min": "33.3",
    "api_threads_by": "method",
}


def rows(**conditions: dict[str, str]) -> dict[tuple[str, str], dict[str, str]]:
    return {
        ("parallel", name): {**PLAIN, "experiment": "parallel", "condition": name, **changes}
        for name, changes in conditions.items()
    }


def many(rate: str, **changes: str) -> dict[str, str]:
    return {
        "jobs": "2",
        "threads": "1",
        "strategy": "forked",
        "api_per_min": rate,
        "api_threader_asked": "Pool",
    } | changes


def test_the_quickest_setting_is_advised_with_its_ratio_and_its_lines() -> None:
    one, several = advice.advice(rows(slow={"api_per_min": "20"}, pool={"api_threader_asked": "Pool"}, f=many("40")))
    assert one.words.startswith(
        "`parallel/pool` takes 1.8 s a registration, 0.90 times the executable's (95% interval "
    )
    assert one.words.endswith("0.85 to 0.95; faster).")
    assert one.python == (
        'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "Pool"  # before itk is imported',
        "registration.SetNumberOfThreads(2)  # in each job",
    )
    assert "`parallel/f`, 2 at a time, does 40 registrations a minute" in several.words
    assert 'get_context("fork")' in several.python[1]


def test_what_is_as_quick_is_done_the_simpler_way() -> None:
    recipe = {"strategy": "recipe", "api_threader_asked": "Pool"}
    found = rows(
        r1={**recipe, "api_per_min": "34"},
        plain={"api_per_min": "33.5"},
        f=many("40"),
        r4=many("39.5", **recipe, jobs="4"),
        r2=many("39", **recipe),
        r3=many("30", **recipe, jobs="3"),
    )
    one, several = advice.advice(found)
    assert one.words.startswith("`parallel/plain`")
    assert several.words.startswith("`parallel/r2`")
    assert several.python[1] == 'with ElastixPool(workers=2, threads=1, threader="Pool") as pool:'


def test_rows_that_say_nothing_about_this_machine_or_this_work_are_no_advice() -> None:
    found = rows(
        emulated={"machine_threads": "28"},
        apart={"status": "disagree"},
        loading={"measures": "loading"},
        alone={"arms": "api api"},
        unknown={"ratio_high": ""},
        odd={"api_per_min": "quick"},
    )
    assert [one.missing for one in advice.advice(found)] == ["causes-own", "parallel"]
    nothing = "nothing was measured that does the same work on both paths"
    assert list(advice.text("1-2", found)) == [
        f"* One job at a time: {nothing} (`bench 1-2 --experiment causes-own`).",
        f"* Many jobs: {nothing} (`bench 1-2 --experiment parallel`).",
    ]


def test_results_that_differ_by_their_random_samples_alone_are_the_same_work() -> None:
    samples = "the two results are up to 4.77 px apart, explained by other random samples at each call of one process"
    units = "the two results are up to 5.25 px apart, explained by unequal work units of the metric: cli 2, api 32"
    found = rows(
        a={"status": "disagree", "note": units, "api_per_min": "90"}, b={"status": "disagree", "note": samples}
    )
    one, _ = advice.advice(found)
    assert one.words.startswith("`parallel/b` takes 1.8 s")
    assert one.words.endswith(
        "faster; results disagree, explained by other random samples at each call of one process)."
    )


def test_other_inputs_are_other_work() -> None:
    small = {"api_per_min": "300", "params_sha256": "small"}
    one, _ = advice.advice(rows(small=small, first={}, second={"api_per_min": "20"}))
    assert one.words.startswith("`parallel/first`")
    assert next(advice.text("1-2", rows(first={}))).startswith("* One job at a time: `parallel/first`")


def test_few_rounds_are_said() -> None:
    one, _ = advice.advice(rows(first={"interval": "range", "rounds": "3", "verdict": ""}))
    assert "0.90 times the executable's (range of 3 rounds 0.85 to 0.95; too few rounds to say)" in one.words


def test_another_registration_is_not_advised_for_being_quicker() -> None:
    disagree, bins = {"status": "disagree"}, {"params_sha256": "32 bins", "api_per_min": "50"}
    one, _ = advice.advice(rows(posted=disagree, pool=disagree, threads={}, bins=bins, both=bins))
    assert one.words.startswith("`parallel/threads` takes")
