"""How far apart two results are, whoever has to evaluate them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from repro.elastix.transforms import MAX_POINTS
from repro.measure.agreement import Apart, Comparer
from repro.measure.arms import Limits, Place
from repro.model import Path_
from support.made_up import build as made_up
from support.made_up.elastix import TRANSFORM

UNKNOWN = TRANSFORM.replace("TranslationTransform", "MadeUpTransform")
"""Of a kind that only a build can evaluate; the made-up transformix takes it for a translation."""


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


def result(folder: Path, *texts: str) -> Path:
    """A folder with the transforms of a registration."""
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"TransformParameters.{number}.txt").write_text(text, encoding="utf-8")
    return folder


def compare(
    builds: Path,
    folder: Path,
    base: Sequence[str],
    other: Sequence[str],
    paths: tuple[Path_, Path_] = ("cli", "api"),
    **images: Any,
) -> Apart:
    (work,) = made_up.works(builds, paths=paths)
    prepared = dataclasses.replace(work.prepared, images=dataclasses.replace(work.prepared.images, **images))
    (folder / "work").mkdir()
    place = Place(folder / "work", folder / "worker.log")
    comparer = Comparer(prepared, [work.builds["base"], work.builds["other"]], place, Limits(30))
    apart = comparer.compare(result(folder / "base", *base), result(folder / "other", *other))
    assert not list((folder / "work").iterdir())
    return apart


def test_a_kind_that_is_known_here_is_evaluated_here(builds: Path, tmp_path: Path) -> None:
    # Three units of a spacing of two are one and a half pixels.
    assert compare(builds, tmp_path, [TRANSFORM.format(1)], [TRANSFORM.format(4)], ("api", "api")) == Apart(1.5, 1.5)


def test_a_kind_that_is_not_known_here_is_evaluated_by_a_build(builds: Path, tmp_path: Path) -> None:
    assert compare(builds, tmp_path, [UNKNOWN.format(1)], [UNKNOWN.format(2)]) == Apart(0.5, 0.5)


def test_of_transforms_in_a_row_the_copies_name_each_other(builds: Path, tmp_path: Path) -> None:
    second = UNKNOWN.replace("NoInitialTransform", "somewhere/else/TransformParameters.0.txt")
    base, other = [UNKNOWN.format(1), second.format(2)], [UNKNOWN.format(3), second.format(2)]
    assert compare(builds, tmp_path, base, other) == Apart(1.0, 1.0)


def test_an_initial_transform_comes_before_both(builds: Path, tmp_path: Path) -> None:
    initial = tmp_path / "initial.txt"
    initial.write_text(UNKNOWN.format(8), encoding="utf-8")
    after = UNKNOWN.replace("NoInitialTransform", "initial.txt")
    found = compare(builds, tmp_path, [after.format(1)], [after.format(2)], extras={"initial_transform": initial})
    assert found == Apart(0.5, 0.5)


def test_large_images_are_compared_on_a_lattice(builds: Path, tmp_path: Path) -> None:
    size = 2 * int(MAX_POINTS**0.5)
    large = UNKNOWN.replace("(Size 4 4)", f"(Size {size} {size})")
    assert compare(builds, tmp_path, [large.format(1)], [large.format(2)]) == Apart(0.5, 0.5)


def test_what_no_build_can_evaluate_is_a_problem_and_no_number(builds: Path, tmp_path: Path) -> None:
    found = compare(builds, tmp_path, [UNKNOWN.format(1)], [UNKNOWN.format(2)], ("api", "api"))
    assert (found.mean_px, found.max_px) == (None, None)
    assert "MadeUpTransform" in found.problem
    assert "api:0" in found.problem


def test_a_result_that_is_gone_or_damaged_is_a_problem(builds: Path, tmp_path: Path) -> None:
    assert compare(builds, tmp_path, [TRANSFORM.format(1)], ["(Transform"]).problem


ROTATED = TRANSFORM.replace("(Direction 1 0 0 1)", '(Direction 0 1 -1 0)\n(UseDirectionCosines "false")')


def test_results_of_different_spaces_are_not_compared_and_the_key_is_named(builds: Path, tmp_path: Path) -> None:
    found = compare(builds, tmp_path, [ROTATED.format(1)], [ROTATED.format(2)])
    assert found.max_px is None
    assert "UseDirectionCosines" in found.problem


def test_two_executables_that_leave_the_rotation_out_alike_are_compared(builds: Path, tmp_path: Path) -> None:
    assert compare(builds, tmp_path, [ROTATED.format(1)], [ROTATED.format(2)], ("cli", "cli")) == Apart(0.5, 0.5)
