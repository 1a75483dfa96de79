"""What is taken from a registration's output folder."""

from pathlib import Path

import pytest

from repro.elastix import output
from repro.errors import TrialError

TRANSFORM = """(Transform "TranslationTransform")
(NumberOfParameters 2)
(TransformParameters 1 2)
(Size 12 10)
(Spacing 1 1)
(Origin 0 0)
"""


def put(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).write_text(TRANSFORM.replace("1 2)", f"{number} 2)"), encoding="utf-8")


def test_transforms_of_single_resolutions_and_iterations_are_no_part_of_the_result(tmp_path: Path) -> None:
    put(
        tmp_path,
        *("TransformParameters.0.R0.txt", "TransformParameters.0.R1.It0000012.txt", "TransformParameters.0.txt"),
        *("TransformParameters.0.h5", "TransformParameters.x.txt", "my-TransformParameters.1.txt"),
    )
    assert output.transform_files(tmp_path) == [tmp_path / "TransformParameters.0.txt"]


def test_transforms_run_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"TransformParameters.{number}.txt" for number in (10, 9, 0, 1)] + ["TransformParameters.2.toml"]
    put(tmp_path, *names)
    found = [int(file.name.split(".")[1]) for file in output.transform_files(tmp_path)]
    assert found == [0, 1, 2, 9, 10]


def test_facts_are_those_of_log_and_transforms(tmp_path: Path) -> None:
    put(tmp_path, "TransformParameters.0.txt")
    (tmp_path / "elastix.log").write_text("elastix version: 5.3.1\n-threads  2\n", encoding="utf-8")
    facts = output.facts(tmp_path)
    assert (facts["said"], facts["log_threads"]) == ({"elastix": "5.3.1"}, "2")
    assert len(facts["result_digest"]) == 32


def test_without_a_transform_the_trial_failed_and_says_what_elastix_said(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"wrote no transform: there is no elastix\.log either"):
        output.facts(tmp_path)
    (tmp_path / "elastix.log").write_text("-threads  2\nERROR: it is too dark\n", encoding="utf-8")
    with pytest.raises(TrialError, match="wrote no transform: ERROR: it is too dark") as caught:
        output.facts(tmp_path)
    assert caught.value.facts["log_threads"] == "2"
    (tmp_path / "elastix.log").write_text("it just ended", encoding="utf-8")
    with pytest.raises(TrialError, match=r"wrote no transform: .*it just ended"):
        output.facts(tmp_path)


def test_a_transform_that_was_cut_short_fails_the_trial(tmp_path: Path) -> None:
    (tmp_path / "TransformParameters.0.txt").write_text('(Transform "Trans', encoding="utf-8")
    with pytest.raises(TrialError, match="a transform that cannot be read"):
        output.facts(tmp_path)
