"""Small registrations with the real executables and wheels, by all paths; skipped where they were not fetched."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from repro.builds import installed
from repro.builds.installed import InstalledBuild
from repro.elastix import transforms
from repro.elastix.transforms import UnknownTransformError
from repro.errors import UnavailableError
from repro.measure import inspect, store
from repro.measure.agreement import Comparer
from repro.measure.arms import Limits, Place
from repro.measure.session import Work
from repro.model import (
    AgreementLine,
    Arm,
    BatchCondition,
    Build,
    Comparison,
    Measurement,
    Registration,
    RegistrationCondition,
    Settings,
    Side,
    Strategy,
)
from repro.paths import DATA
from repro.plan import images
from repro.plan.prepare import prepare
from support.made_up import build as made_up

pytestmark = pytest.mark.real
CLI, API, SITK = "cli:5.3.1", "api:0.25.4", "sitk:3.0.0a1.post183"
TOLD: Mapping[str, Settings] = {
    "cli": Settings(2, "option"),
    "api": Settings(2, "method"),
    "sitk": Settings(2, "method"),
}


def fetched(name: str) -> InstalledBuild:
    """With REPRO_REAL=required, as continuous integration sets it, a fetch that failed must not pass for a test."""
    try:
        return installed.load(name)
    except UnavailableError as error:
        (pytest.fail if os.environ.get("REPRO_REAL") == "required" else pytest.skip)(str(error))


def work(
    base: str,
    other: str,
    *,
    strategy: Strategy | None = None,
    overrides: tuple[tuple[str, str], ...] = (),
    settings: Mapping[Side, Settings] = {},
    **extras: Path,
) -> Work:
    builds: dict[Side, InstalledBuild] = {"base": fetched(base), "other": fetched(other)}

    def arm(side: Side) -> Arm:
        build: Build = builds[side].build
        return Arm(build, settings.get(side, TOLD[build.path]))

    registration = Registration(("small-bspline.txt",), "synthetic", overrides)
    condition: Any = RegistrationCondition("one", arm("base"), arm("other"), registration)
    if strategy:
        condition = BatchCondition("one", arm("base"), arm("other"), registration, strategy, jobs=2, registrations=3)
    pair = images.provide("synthetic", offline=True)
    prepared = prepare(condition, dataclasses.replace(pair, extras=extras), 2)
    name = f"{base} {other}"
    compared = Comparison(name, condition.base.build, condition.other.build)
    return Work(compared, builds, "real", "?", prepared, blocks=1, rounds=1)


def measured(out: Path, one: Work) -> tuple[dict[Side, Measurement], float | None]:
    """The measurements of the round, and how far apart its results are."""
    listener = made_up.Quiet()
    made_up.run(out, [one], listener)
    found = {line.side: line for line in listener.measurements if line.phase == "measure"}
    assert [line.note for line in listener.measurements if line.note] == []
    assert listener.said == []
    lines = [line for file in out.glob("raw/*/*/*.jsonl") for line in store.read_lines(file)]
    return found, next(line.max_px for line in lines if isinstance(line, AgreementLine))


@pytest.mark.parametrize(("base", "other"), [(CLI, API), (API, SITK)])
def test_all_paths_find_the_same_transform_with_the_versions_that_they_are_called(
    tmp_path: Path, base: str, other: str
) -> None:
    found, max_px = measured(tmp_path, work(base, other))
    assert max_px is not None
    assert max_px < 0.05
    for line in found.values():
        assert line.wall_s is not None
        assert 0 < line.wall_s < 600
        assert line.log_threads == "2"
        assert len(line.resolutions_s or ()) == 2
        assert (line.peak_bytes or 0) > 10_000_000
    said = {"cli": "elastix", "api": "itk_elastix", "sitk": "simpleitk"}
    path, _, version = other.partition(":")
    assert found["other"].said[said[path]] == version


def mask(file: Path, value: int = 1) -> Path:
    """A mask of half the synthetic image."""
    half = bytes([value]) * (256 * 127) + bytes(256 * 127)
    header = "NDims = 2\nDimSize = 256 254\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    file.write_bytes(header.encode() + half)
    return file


INITIAL = """(Transform "TranslationTransform")
(NumberOfParameters 2)
(TransformParameters 3 2)
(InitialTransformParameterFileName "NoInitialTransform")
(HowToCombineTransforms "Compose")
(FixedImageDimension 2)
(MovingImageDimension 2)
(FixedInternalImagePixelType "float")
(MovingInternalImagePixelType "float")
(Size 256 254)
(Index 0 0)
(Spacing 1 1)
(Origin 0 0)
(Direction 1 0 0 1)
(UseDirectionCosines "true")
"""


@pytest.mark.parametrize(("base", "other"), [(CLI, API), (API, SITK)])
def test_masks_and_an_initial_transform_take_effect_alike_on_all_paths(tmp_path: Path, base: str, other: str) -> None:
    initial = tmp_path / "initial.txt"
    initial.write_text(INITIAL, encoding="utf-8")
    # With a fixed mask the sampler Random of 5.3.1 gives other samples each time, by the executable alone too.
    sampler = (("ImageSampler", '"RandomCoordinate"'),)
    plain, _ = measured(tmp_path / "plain", work(base, other, overrides=sampler))
    masks: dict[str, Any] = {name: mask(tmp_path / "mask.mha") for name in ("fixed_mask", "moving_mask")}
    given: dict[str, Any]
    for number, given in enumerate((masks, {"initial_transform": initial})):
        found, max_px = measured(tmp_path / str(number), work(base, other, overrides=sampler, **given))
        assert max_px is not None
        assert max_px < 0.05
        for side in plain:
            assert found[side].result_digest != plain[side].result_digest


def test_transforms_that_are_not_known_here_are_compared_by_a_build(tmp_path: Path) -> None:
    """They are compared as those are that are known, with a difference that single precision allows."""
    told: dict[Side, Settings] = {"base": Settings(1, "option"), "other": Settings(2, "method")}
    for base, other in ((CLI, API), (API, API), (SITK, SITK)):
        settings = {**told, "base": dataclasses.replace(TOLD[base.partition(":")[0]], threads=1)}
        out = tmp_path / f"{base} {other}".replace(":", "_")
        one = work(base, other, settings=settings)
        measured(out, one)
        (folder,) = out.glob("raw/*")
        files = [sorted(kept.iterdir()) for kept in sorted(folder.glob("transforms/*"))]
        known = transforms.difference_px(*map(transforms.read_chain, files))
        place = Place(folder, tmp_path / "worker.log")
        comparer = Comparer(one.prepared, [one.builds["base"]], place, Limits(100))
        found = comparer._by_build(files, UnknownTransformError("made up"))
        assert 0 < known[1] == pytest.approx(found[1], abs=1e-3)


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_every_strategy_registers_as_the_executable_does(tmp_path: Path, strategy: Strategy) -> None:
    if strategy == "forked" and sys.platform != "linux":
        pytest.skip("only Linux copies a process that has loaded itk")
    if strategy == "plugin" and not os.environ.get("REPRO_REAL"):
        pytest.skip("loads twice as posted, for a minute; set REPRO_REAL")
    found, max_px = measured(tmp_path, work(CLI, API, strategy=strategy))
    assert max_px == 0.0
    for line in found.values():
        assert (line.jobs, line.registrations, len(line.jobs_s or ()), line.results) == (2, 3, 3, 1)
        assert 0 < (line.first_s or 0) < (line.wall_s or 0)


def test_a_program_with_simpleitk_runs_batches_too(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, work(CLI, SITK, strategy="spawned"))
    assert found["other"].results == 1


def test_an_executable_says_its_start_its_versions_and_that_it_heeds_the_option() -> None:
    line = inspect.inspect(fetched(CLI))
    assert (line.elastix, line.option_honoured, line.problem) == ("5.3.1", True, "")
    assert 0 < (line.first_object_s or 0) < 60
    assert line.work_units_28 is None


def test_simpleitk_says_what_it_does() -> None:
    line = inspect.inspect(fetched(SITK))
    assert line.problem == ""
    assert (line.threads_2, line.threads_28, line.environment_honoured) == (2, 28, True)
    assert (line.method_honoured, line.parameter_honoured) == (True, False)
    assert (line.lock_ticks or 0) > (line.lock_ticks_expected or 0) / 4, "it releases Python's lock"


def test_itk_elastix_says_what_it_does(tmp_path: Path) -> None:
    if not os.environ.get("REPRO_REAL"):
        pytest.skip("loads as posted, for half a minute; set REPRO_REAL")
    (line,) = inspect.inspect_all([fetched(API)], fetched(CLI).transformix(), tmp_path)
    assert line.problem == ""
    assert (line.method_honoured, line.parameter_honoured, line.environment_honoured) == (True, False, True)
    assert (line.later_calls_same, line.transformix_reads) == (True, True)
    assert line.first_object_s is not None
    assert line.import_s is not None
    assert line.first_object_s > line.import_s
    assert DATA.name not in line.problem
    assert list(tmp_path.glob("raw/*/inspect.jsonl"))
