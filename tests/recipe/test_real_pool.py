"""The pool with real wheels and the real executable: marked `real`, for builds that were fetched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from repro.builds import installed
from repro.builds.installed import InstalledBuild
from repro.elastix import output, parameters, transforms
from repro.errors import UnavailableError
from repro.paths import DATA, PARAMETER_FILES
from support.pool import elastix_pool

pytestmark = pytest.mark.real
ElastixPool, Image = elastix_pool.ElastixPool, elastix_pool.Image
FIXED, MOVING = (DATA / "synthetic" / f"{name}.tif" for name in ("fixed", "moving"))
SHORT, AFFINE, LONG = (PARAMETER_FILES / f"{name}.txt" for name in ("small-bspline", "small-affine", "posted-bspline"))
ELASTIX_OF = {"api:0.25.4": "cli:5.3.1", "api:0.21.0": "cli:5.2.0"}


def build(name: str) -> InstalledBuild:
    """The build that was fetched. With REPRO_REAL=required, a missing one of the tested pair is a failure."""
    try:
        return installed.load(name)
    except UnavailableError as error:
        required = os.environ.get("REPRO_REAL") == "required" and name in TESTED
        (pytest.fail if required else pytest.skip)(f"{name}: {error}")


TESTED = ("api:0.25.4", "cli:5.3.1")
"""Builds that the test command fetches; others are skipped where they are not here."""


@pytest.fixture(params=[True, False], ids=["fork", "spawn"])
def fork(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pools of the test run these wheels, with the Python that they are for."""
    wheels = build(name)
    monkeypatch.syspath_prepend(wheels.site_packages)
    monkeypatch.setattr("sys.executable", str(wheels.interpreter()))


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> None:
    use("api:0.25.4", monkeypatch)


def written_by_the_executable(name: str, file: Path, folder: Path, threads: int, *more: object) -> Path:
    """The folder in which the executable has registered the synthetic images."""
    folder.mkdir()
    program = build(name)
    arguments = ["-f", FIXED, "-m", MOVING, "-p", file, "-out", folder, "-threads", threads, *more]
    command = [*program.command, *map(str, arguments)]
    subprocess.run(command, env={**os.environ, **program.environment}, check=True, capture_output=True)
    return folder


def apart_px(one: Path, other: Path) -> float:
    return transforms.difference_px(*(transforms.read_chain(output.transform_files(place)) for place in (one, other)))[
        1
    ]


def with_result(file: Path, folder: Path) -> Path:
    """The parameter file with a result image; the API's are float, whatever the file says."""
    changes: Mapping[str, str] = {"WriteResultImage": "true", "ResultImagePixelType": "float"}
    text = parameters.override(parameters.read(file), changes.items()).text()
    (folder / file.name).write_text(text, encoding="utf-8")
    return folder / file.name


@pytest.mark.parametrize("api", ELASTIX_OF)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_result_of_a_worker_is_the_executables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fork: bool, api: str, threads: int
) -> None:
    use(api, monkeypatch)
    file = with_result(SHORT, tmp_path)
    expected = written_by_the_executable(ELASTIX_OF[api], file, tmp_path / "cli", threads)
    with ElastixPool(1, threads, fork=fork) as pool:
        for call in ("first", "second", "third"):
            ours = tmp_path / call
            maps = pool.submit(FIXED, MOVING, file, output_directory=ours).result(300)
            assert {one.name for one in ours.iterdir()} == {one.name for one in expected.iterdir()}
            assert apart_px(ours, expected) <= 1e-6
            assert (ours / "result.0.raw").read_bytes() == (expected / "result.0.raw").read_bytes()
            written = parameters.read(ours / "TransformParameters.0.txt").values
            assert {key: tuple(values) for key, values in maps[0].items()} == written


def pixels(file: Path) -> Any:
    """The synthetic images are 8-bit TIFF files whose pixels come last."""
    return np.frombuffer(file.read_bytes()[-256 * 254 :], "uint8").reshape(254, 256)


def test_an_array_gives_what_its_file_gives(newest: None, fork: bool) -> None:
    fixed, moving = pixels(FIXED), pixels(MOVING)
    with ElastixPool(1, fork=fork) as pool:
        expected = pool.submit(FIXED, MOVING, AFFINE).result(300)
        for kind in ("uint8", "int64", "float32", "float64"):
            assert pool.submit(fixed.astype(kind), moving.astype(kind), AFFINE).result(300) == expected


def test_spacing_origin_and_direction_are_those_of_the_transform(newest: None) -> None:
    place = ((0.5, 2), (3, 4), ((0, -1), (1, 0)))
    with ElastixPool(1) as pool:
        (found,) = pool.submit(Image(pixels(FIXED), *place), Image(pixels(MOVING), *place), AFFINE).result(300)
    assert (found["Spacing"], found["Origin"]) == (["0.5", "2"], ["3", "4"])
    assert found["Direction"] == ["0", "1", "-1", "0"], "elastix writes the matrix column by column"


def test_a_mask_gives_what_its_file_gives(newest: None, tmp_path: Path) -> None:
    # Not compared with the executable: elastix 5.3.1's own results with a mask differ from run to run.
    mask = np.zeros((254, 256), "uint8")
    mask[40:200, 40:200] = 1
    header, data = elastix_pool._meta_image("fixed mask", mask)
    (tmp_path / "mask.mha").write_bytes(header + data.tobytes())
    with ElastixPool(1) as pool:
        of_file = pool.submit(FIXED, MOVING, SHORT, fixed_mask=tmp_path / "mask.mha").result(300)
        assert pool.submit(FIXED, MOVING, SHORT, fixed_mask=mask != 0).result(300) == of_file
        assert pool.submit(FIXED, MOVING, SHORT).result(300) != of_file


def test_an_initial_transform_does_what_it_does_for_the_executable(newest: None, tmp_path: Path) -> None:
    start = written_by_the_executable("cli:5.3.1", AFFINE, tmp_path / "start", 1) / "TransformParameters.0.txt"
    written_by_the_executable("cli:5.3.1", SHORT, tmp_path / "cli", 1, "-t0", start)
    expected = parameters.read(tmp_path / "cli" / "TransformParameters.0.txt").values["TransformParameters"]
    with ElastixPool(1) as pool:
        of_file = pool.submit(FIXED, MOVING, SHORT, initial_transform=start).result(300)
        affine = pool.submit(FIXED, MOVING, AFFINE).result(300)
        of_job = pool.submit(FIXED, MOVING, SHORT, initial_transform=affine).result(300)
    assert tuple(of_file[-1]["TransformParameters"]) == expected
    assert tuple(of_job[-1]["TransformParameters"]) == expected
    assert (len(of_file), of_job[0]["Transform"]) == (1, ["AffineTransform"]), "what a job gives can stand alone"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda image: image.__setitem__((10, 10), np.nan),
            r"the moving image has pixels that are not a number \(NaN\)",
        ),
        (lambda image: image.fill(3), r"all pixels of the moving image are 3\.0"),
    ],
    ids=["NaN", "constant"],
)
def test_an_error_says_what_is_wrong_with_an_image(newest: None, spoil: Any, words: str) -> None:
    image = pixels(MOVING).astype("float32")
    spoil(image)
    with ElastixPool(1) as pool, pytest.raises(elastix_pool.ElastixError, match=f"{words}; elastix says: "):
        pool.submit(FIXED, image, SHORT).result(300)


def test_an_error_carries_elastixs_own_message(newest: None, tmp_path: Path) -> None:
    bad = parameters.override(parameters.read(SHORT), [("Metric", "NoSuchMetric")]).text()
    (tmp_path / "bad.txt").write_text(bad, encoding="utf-8")
    with ElastixPool(1) as pool:
        for place in (None, tmp_path / "out"):
            with pytest.raises(elastix_pool.ElastixError, match="could not be created: NoSuchMetric"):
                pool.submit(FIXED, MOVING, tmp_path / "bad.txt", output_directory=place).result(300)
        with pytest.raises(elastix_pool.ElastixError, match=r"absent\.tif"):
            pool.submit(FIXED, "absent.tif", SHORT).result(300)


def test_a_worker_that_is_killed_in_elastix_costs_its_job_only(newest: None, tmp_path: Path, fork: bool) -> None:
    with ElastixPool(2, fork=fork) as pool:
        expected = pool.submit(FIXED, MOVING, SHORT).result(300)
        endless = pool.submit(FIXED, MOVING, [LONG] * 50, output_directory=tmp_path)
        others = [pool.submit(FIXED, MOVING, SHORT) for _ in range(3)]
        assert others[0].result(300) == expected
        log = str(tmp_path / "elastix.log")
        tree = psutil.Process().children(recursive=True)
        next(one for one in tree if log in [file.path for file in one.open_files()]).kill()
        with pytest.raises(elastix_pool.WorkerDiedError):
            endless.result(300)
        assert [other.result(300) for other in others] == [expected] * 3
        with pytest.raises(TimeoutError):
            pool.submit(FIXED, MOVING, [LONG] * 50, timeout=1).result(300)
        assert pool.submit(FIXED, MOVING, SHORT).result(300) == expected
