"""A condition made ready to run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from repro.errors import ConfigError
from repro.model import Arm, BatchCondition, Build, Registration, RegistrationCondition, Settings
from repro.plan.images import ImageSet
from repro.plan.prepare import given_parameters, prepare

IMAGES = ImageSet("custom", Path("/f.tif"), Path("/m.tif"), "f" * 64, "m" * 64)
CLI, API = (Build(path, "1", "ab" * 16) for path in ("cli", "api"))
MINE = '(Transform "EulerTransform")\n(Metric "AdvancedNormalizedCorrelation")\n(MaximumNumberOfIterations 7)\n'


def condition(*files: str, overrides: tuple[tuple[str, str], ...] = (), **more: Any) -> RegistrationCondition:
    arms = Arm(CLI, Settings("cores", "option")), Arm(API, Settings("default", "parameter"))
    return RegistrationCondition("c", *arms, Registration(files or ("small-bspline.txt",), "custom", overrides), **more)


def write(folder: Path, text: str, name: str = "mine.txt") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def test_threads_are_resolved() -> None:
    prepared = prepare(condition(), IMAGES, 6)
    assert (prepared.threads("base"), prepared.threads("other")) == (6, None)
    assert (prepared.jobs, prepared.registrations) == (1, 1)
    share = Settings("share")
    batch = BatchCondition("b", Arm(CLI, share), Arm(API, Settings(3)), condition().registration, "pool", "cores")
    cases: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
        ({}, (6, 6, 1)),
        ({"jobs": 2, "registrations": 8}, (2, 8, 3)),
        ({"jobs": 64}, (64, 64, 1)),
    ]
    for changes, expected in cases:
        one = prepare(dataclasses.replace(batch, **changes), IMAGES, 6)
        assert (one.jobs, one.registrations, one.threads("base")) == expected
        assert one.threads("other") == 3


def test_overrides_are_in_the_files_that_are_written(tmp_path: Path) -> None:
    prepared = prepare(
        condition("small-bspline.txt", "affine.txt", overrides=(("NumberOfHistogramBins", "9"),)), IMAGES, 2
    )
    first, second = prepared.write_parameters(tmp_path / "parameters")
    assert "(NumberOfHistogramBins 9)\n" in first.read_text(encoding="utf-8")
    assert "(NumberOfHistogramBins 9)\n" in second.read_text(encoding="utf-8")
    assert prepared.inputs.transform == "BSplineTransform + AffineTransform"
    assert prepared.inputs.metric == "AdvancedMattesMutualInformation + AdvancedMattesMutualInformation"


def test_inputs_say_what_takes_the_samples_and_which_masks_there_are() -> None:
    masked = dataclasses.replace(IMAGES, extras={"fixed_mask": Path("/mask.tif"), "fixed_points": Path("/points.txt")})
    inputs = prepare(
        condition("posted-bspline.txt", "affine-3d.txt", overrides=(("FixedImageDimension", "2"),)), masked, 2
    ).inputs
    assert inputs.sampler == "Random + RandomCoordinate"
    assert inputs.masks == ("fixed_mask",)


def test_the_key_changes_with_all_that_is_measured_and_nothing_else(tmp_path: Path) -> None:
    key = prepare(condition(), IMAGES, 2).key
    assert prepare(condition(), IMAGES, 2, cwd=tmp_path).key == key
    assert prepare(condition(), dataclasses.replace(IMAGES, fixed=Path("/elsewhere/f.tif")), 2).key == key
    sized = dataclasses.replace(IMAGES, size_px=(20, 10))
    assert prepare(condition(), sized, 2).key == key, "the size follows from the digest"
    others = [
        prepare(condition("small-affine.txt"), IMAGES, 2),
        prepare(condition(overrides=(("NumberOfHistogramBins", "9"),)), IMAGES, 2),
        prepare(condition(machine_threads=28), IMAGES, 2),
        prepare(condition(), dataclasses.replace(IMAGES, moving_sha256="0" * 64), 2),
        prepare(condition(), dataclasses.replace(IMAGES, extra_sha256="0" * 32), 2),
    ]
    assert len({key, *(one.key for one in others)}) == 1 + len(others)


def test_the_name_of_a_users_file_stays_on_the_machine(tmp_path: Path) -> None:
    name = write(tmp_path, MINE, "patient-miller.txt")
    prepared = prepare(condition("affine.txt", name), IMAGES, 2, cwd=tmp_path)
    assert prepared.condition.registration.parameter_files == ("affine.txt", "custom-2.txt")
    assert prepared.inputs.metric.endswith(" + AdvancedNormalizedCorrelation")
    other = prepare(condition("affine.txt", write(tmp_path, MINE, "b.txt")), IMAGES, 2, cwd=tmp_path)
    assert other.key == prepared.key


def test_the_users_file_goes_before_ours_of_the_same_name(tmp_path: Path) -> None:
    assert given_parameters(["affine.txt"], tmp_path) == ["affine.txt"]
    write(tmp_path, MINE, "affine.txt")
    (found,) = given_parameters(["affine.txt"], tmp_path)
    assert Path(found) == tmp_path / "affine.txt"
    prepared = prepare(condition(found), IMAGES, 2, cwd=tmp_path)
    assert prepared.inputs.transform == "EulerTransform"
    assert prepared.condition.registration.parameter_files == ("custom-1.txt",)
    with pytest.raises(ConfigError, match=r"--params none\.txt: there is no such file in .* nor in params/elastix"):
        given_parameters(["none.txt"], tmp_path)


def test_a_missing_file_of_an_experiment_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parameter file nothing\.txt: does not exist in "):
        prepare(condition("nothing.txt"), IMAGES, 2, cwd=tmp_path)


def test_transforms_are_written_as_text_whatever_the_file_asks_for(tmp_path: Path) -> None:
    plain = prepare(condition(write(tmp_path, MINE)), IMAGES, 2, cwd=tmp_path)
    more = '(ITKTransformOutputFileNameExtension "h5")\n(OutputTransformParameterFileFormat "TOML")\n'
    prepared = prepare(condition(write(tmp_path, MINE + more)), IMAGES, 2, cwd=tmp_path)
    assert prepared.parameter_texts == plain.parameter_texts
    assert "ITKTransformOutputFileNameExtension, OutputTransformParameterFileFormat is left out" in prepared.notes[0]
    assert plain.notes == ()


def test_a_toml_parameter_file_is_given_to_every_path_in_the_classic_form(tmp_path: Path) -> None:
    name = write(tmp_path, 'Transform = "EulerTransform"\nMaximumNumberOfIterations = 7\n', "mine.toml")
    prepared = prepare(condition(name), IMAGES, 2, cwd=tmp_path)
    assert prepared.parameter_texts == ('(Transform "EulerTransform")\n(MaximumNumberOfIterations 7)\n',)


def test_files_named_in_a_parameter_file_are_found_where_the_command_was_typed(tmp_path: Path) -> None:
    name = write(tmp_path, MINE + '(SubTransforms "sub1.txt" "sub2.txt")\n')
    with pytest.raises(ConfigError, match=r"names the file sub1\.txt: does not exist in .*where the command"):
        prepare(condition(name), IMAGES, 2, cwd=tmp_path)
    write(tmp_path, "one", "sub1.txt")
    write(tmp_path, "two", "sub2.txt")
    prepared = prepare(condition(name), IMAGES, 2, cwd=tmp_path)
    assert f'(SubTransforms "{tmp_path / "sub1.txt"}" "{tmp_path / "sub2.txt"}")' in prepared.parameter_texts[0]
    write(tmp_path, "other", "sub2.txt")
    assert prepare(condition(name), IMAGES, 2, cwd=tmp_path).key != prepared.key


def test_images_and_parameter_files_must_have_one_dimension(tmp_path: Path) -> None:
    prepared = prepare(condition(), IMAGES, 2)
    prepared.check_size((20, 10))
    with pytest.raises(ConfigError, match=r"the images are 3-D, small-bspline\.txt is for 2-D images"):
        prepared.check_size((20, 10, 5))
    with pytest.raises(ConfigError, match="3-D"):
        prepare(condition(), dataclasses.replace(IMAGES, size_px=(20, 10, 5)), 2)
    with pytest.raises(ConfigError, match="are for images of different dimensions"):
        prepare(condition("affine.txt", "affine-3d.txt"), IMAGES, 2)
    prepare(condition(write(tmp_path, MINE)), IMAGES, 2, cwd=tmp_path).check_size((20, 10, 5))
