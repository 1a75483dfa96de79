"""Arms with real children of made-up builds: workers that fail, hang or grow, batches, and what elastix is told."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro.elastix import output
from repro.errors import TrialError
from repro.measure import arms
from repro.measure.arms import Arm, Limits, Place, make_arm
from repro.model import Path_, Side, Strategy, Trial
from repro.system.children import LineChild
from support.made_up import build as made_up
from support.waiting import lives


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


class Bench:
    """Arms, and what they are asked to do."""

    def __init__(self, builds: Path, folder: Path) -> None:
        self.builds, self.folder, self.count = builds, folder, 0
        self.made: list[Arm] = []
        (folder / "work").mkdir()
        self.place = Place(folder / "work", folder / "worker.log")

    def arm(self, path: Path_ = "api", text: str = "(Seconds 0)", limits: Limits | None = None, **changes: Any) -> Any:
        (work,) = made_up.works(self.builds, text=text, strategy=changes.pop("strategy", None))
        prepared = dataclasses.replace(work.prepared, images=dataclasses.replace(work.prepared.images, **changes))
        side: Side = "base" if path == "cli" else "other"
        self.made.append(make_arm(work.builds[side], prepared, side, self.place, limits or Limits(20)))
        return self.made[-1]

    def run(self, arm: Arm, number: int = 1) -> dict[str, Any]:
        self.count += 1
        folder = self.place.work / f"trial-{self.count}"
        folder.mkdir()
        return dict(arm.run(Trial(1, number, "base", 0), folder))


@pytest.fixture
def bench(builds: Path, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(builds, tmp_path)
    yield made
    for arm in made.made:
        arm.close()


def pid_of(arm: Any) -> int:
    return int(arm._child.pid)


def test_one_worker_serves_all_trials_and_the_first_carries_the_loading(bench: Bench) -> None:
    arm = bench.arm()
    first = bench.run(arm, 0)
    pid = pid_of(arm)
    second = bench.run(arm)
    assert pid_of(arm) == pid
    assert first["load_s"] == pytest.approx(sum(first["load_parts_s"].values()))
    assert {"interpreter", "import_itk", "registration_class", "read_images"} == set(first["load_parts_s"])
    assert "load_s" not in second
    assert second["said"] == {**second["said"], "elastix": "0", "itk": "0", "itk_elastix": "0"}
    assert (second["threads"], second["log_threads"], second["threader"]) == (1, "1", "Pool")
    arm.close()
    assert not lives(pid)


@pytest.mark.parametrize("wrong", ["crash", "fail"])
def test_a_worker_that_fails_is_ended_and_of_no_use_any_more(bench: Bench, wrong: str) -> None:
    arm = bench.arm(text=f'(api "{wrong}")')
    with pytest.raises(TrialError, match="made up to fail" if wrong == "fail" else "ended with status 9"):
        bench.run(arm)
    assert not arm.usable
    assert arm._child is None


@pytest.mark.parametrize("path", ["cli", "api"])
def test_a_failure_says_first_what_the_log_of_elastix_explains(bench: Bench, path: Path_) -> None:
    with pytest.raises(TrialError) as caught:
        bench.run(bench.arm(path, f'({path} "fail")'))
    assert "the log says why" in str(caught.value).splitlines()[0]


@pytest.mark.parametrize("path", ["cli", "api"])
def test_a_trial_that_hangs_is_ended_at_its_timeout(bench: Bench, path: Path_) -> None:
    arm = bench.arm(path, f'({path} "hang")', Limits(1.5))
    with pytest.raises(TrialError) as caught:
        bench.run(arm)
    assert caught.value.timed_out


def test_an_executable_that_fails_says_what_it_last_said_and_stays_usable(bench: Bench) -> None:
    arm = bench.arm("cli", '(cli "fail")')
    with pytest.raises(TrialError, match="made up to fail") as caught:
        bench.run(arm)
    assert caught.value.facts["exit_status"] == 1
    assert arm.usable


def test_a_worker_whose_memory_grows_too_much_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([1 << 30, (1 << 30) + (500 << 20), 2 << 30])
    monkeypatch.setattr(LineChild, "resident_bytes", lambda self: next(sizes))
    arm = bench.arm()
    bench.run(arm, 0)
    bench.run(arm)
    with pytest.raises(TrialError, match="grown by more than 512 MiB"):
        bench.run(arm)
    assert not arm.usable


def test_children_get_the_padding_of_the_block_and_nothing_of_the_users_shell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "77")
    monkeypatch.setenv("MY_SECRET", "x")
    bench.place = dataclasses.replace(bench.place, environment={arms.PADDING: "x" * 100})
    environment = bench.arm()._environment
    assert len(environment[arms.PADDING]) == 100
    assert not {"MY_SECRET", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"} & environment.keys()


# ---- what elastix is told


EXTRAS = ("fixed_mask", "moving_mask", "initial_transform", "fixed_points", "moving_points")


def given(folder: Path) -> dict[str, Any]:
    files = {name: folder / f"{name}.txt" for name in EXTRAS}
    for file in files.values():
        file.touch()
    return files


def test_masks_initial_transform_and_points_reach_the_executable(bench: Bench, tmp_path: Path) -> None:
    files = given(tmp_path)
    argv = list(bench.arm("cli", extras=files)._command(bench.place.work / "trial").argv)
    for option, name in zip(("-fMask", "-mMask", "-t0", "-fp", "-mp"), EXTRAS, strict=True):
        assert argv[argv.index(option) + 1] == str(files[name])
    assert argv[argv.index("-threads") + 1] == "1"


def test_masks_initial_transform_and_points_reach_the_worker(bench: Bench, tmp_path: Path) -> None:
    files = given(tmp_path)
    arm = bench.arm(extras=files)
    assert {name: arm._loading()["images"][name] for name in EXTRAS[:2]} == {n: str(files[n]) for n in EXTRAS[:2]}
    (bench.place.work / "trial").mkdir()
    assert arm._job(bench.place.work / "trial")["given"] == {name: str(files[name]) for name in EXTRAS[2:]}
    assert bench.run(arm)["result_digest"]


def test_children_are_told_folders_relative_to_theirs_so_that_a_users_name_is_in_none(
    builds: Path, tmp_path: Path
) -> None:
    """The wheels for Windows open no path with a character that is not ASCII."""
    home = tmp_path / "José"
    home.mkdir()
    bench = Bench(builds, home)
    image = home / "a.tif"
    image.touch()
    paths: tuple[Path_, Path_] = ("cli", "api")
    for path in paths:
        arm = bench.arm(path, fixed=image, moving=image, extras={"initial_transform": image})
        trial = bench.place.work / "trial"
        words = [*arm._command(trial).argv] if path == "cli" else json.dumps([arm._job(trial), arm._loading()])
        assert "José" not in str(words).encode().decode("unicode_escape")
        bench.run(arm)
        arm.close()


def test_an_image_in_a_folder_with_such_a_name_is_read_from_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.measure import worker

    monkeypatch.chdir(tmp_path)
    (tmp_path / "José").mkdir()
    with worker._inside(str(tmp_path / "José" / "a.tif")) as near:
        assert (near, Path.cwd().name) == ("a.tif", "José")
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("text", "pixel"), [("(Seconds 0)", "float"), ('(FixedInternalImagePixelType "double")', "double")]
)
def test_images_are_read_as_the_parameter_files_internal_pixel_type(bench: Bench, text: str, pixel: str) -> None:
    assert bench.arm(text=text)._loading()["pixel"] == pixel


# ---- batches


@pytest.mark.parametrize("strategy", ["threads", "spawned", "forked"])
def test_a_program_runs_a_batch_by_its_strategy(bench: Bench, strategy: Strategy) -> None:
    if strategy == "forked" and not hasattr(os, "fork"):
        pytest.skip("this system does not copy processes")
    arm = bench.arm(strategy=strategy)
    first, second = bench.run(arm, 0), bench.run(arm)
    assert "load_s" in first
    assert "load_parts_s" not in first, "its parts overlap in the processes"
    assert first["tree_peak_bytes"] is None or first["tree_peak_bytes"] > 1 << 20
    assert "tree_peak_bytes" not in second, "sampling takes time"
    assert len(second["jobs_s"]) == 3
    assert 0 < second["first_s"] <= second["wall_s"]
    assert second["results"] == 1


def test_executables_run_side_by_side_and_are_added_up(bench: Bench) -> None:
    arm = bench.arm("cli", "(Seconds 0.3)", strategy="spawned")
    facts = bench.run(arm)
    assert (len(facts["jobs_s"]), facts["results"]) == (3, 1)
    # Two at a time: the third begins when one of the first two has ended.
    assert 0.6 < facts["wall_s"] < sum(facts["jobs_s"])
    assert facts["first_s"] < facts["wall_s"]
    assert facts["user_s"] is None or facts["user_s"] > 0


def test_one_executable_that_fails_fails_the_batch(bench: Bench) -> None:
    with pytest.raises(TrialError, match="made up to fail"):
        bench.run(bench.arm("cli", '(cli "fail")', strategy="spawned"))


def test_a_worker_that_is_lost_fails_the_batch(bench: Bench) -> None:
    arm = bench.arm(text='(api "crash")', strategy="spawned")
    with pytest.raises(TrialError, match="a worker is gone"):
        bench.run(arm)


def test_different_results_in_a_batch_are_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = bench.arm("cli", strategy="spawned")
    read: Callable[[Path], dict[str, Any]] = output.facts
    monkeypatch.setattr(output, "facts", lambda folder: {**read(folder), "result_digest": folder.name})
    assert bench.run(arm)["results"] == 3


def test_the_pool_is_for_itk_elastix_alone() -> None:
    from repro.measure import batch_host

    with pytest.raises(ValueError, match="itk-elastix"):
        batch_host.pooled({"path": "sitk"})
