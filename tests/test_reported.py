from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from repro.errors import ConfigError
from repro.report import reported
from repro.report.reported import Match, matches, posted_images, read

FIXED, MOVING = sorted(posted_images())
AS_POSTED = {("posted", "as-posted"), ("posted-28", "as-posted")}


def row(**changes: Any) -> dict[str, Any]:
    """A measured row that is as near to the first post as this project comes."""
    return {
        "machine": "m1",
        "pair": "0.21.0-5.2.0",
        "experiment": "posted-28",
        "condition": "as-posted",
        "transform": "BSplineTransform",
        "itk_elastix": "0.21.0",
        "elastix": "5.2.0",
        "threads": 14,
        "api_threads": 28,
        "machine_threads": None,
        "os": "Windows 11",
        "cpu": "Some processor",
        "physical_cores": 14,
        "python": "3.11.9",
        "fixed_sha256": FIXED,
        "moving_sha256": MOVING,
        "rounds": 10,
        **changes,
    }


def matched(name: str, *rows: dict[str, Any], step: str = "registration") -> Match:
    wanted = [one for one in read() if (one.name, one.step) == (name, step)]
    (found,) = matches(wanted, rows, AS_POSTED)
    return found


def test_every_post_is_one_entry_with_the_medians_of_its_runs() -> None:
    posted = {one.title: one for one in read()}
    assert list(posted) == [
        *("posted-bspline", "recursive-bspline", "two-step, affine", "two-step, bspline"),
        *("import-outside", "latest", "maintainer"),
    ]
    first = posted["posted-bspline"]
    assert (first.cli_s, first.api_s, first.runs) == (2.50, 22.08, 3)
    assert first.ratio == pytest.approx(22.08 / 2.50)
    assert (first.threads, first.machine_threads) == (14, 28)
    assert posted["two-step, affine"].api_s == 6.495
    assert posted["maintainer"].ratio == pytest.approx(36.50 / 2.01)
    sources = {one.title: one.source for one in posted.values()}
    assert sources.pop("maintainer") == "ITKElastix pull request 388"
    assert set(sources.values()) == {"ITK Discourse topic 7736"}


@pytest.mark.parametrize("content", ["", "id,step\na,b\n", "id,step,reporter,cpu,threads_passed\na,b,c,d,many\n"])
def test_a_broken_file_of_posts_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "reported.csv"
    file.write_text(content)
    if content:
        with pytest.raises(ConfigError, match=r"reported\.csv: cannot be used"):
            read(file)
    else:
        assert read(file) == ()
    with pytest.raises(ConfigError, match="cannot be used"):
        read(tmp_path / "absent.csv")


def test_the_nearest_row_has_the_same_inputs_threads_and_versions() -> None:
    near = row()
    further = [
        row(fixed_sha256="0" * 64),
        row(api_threads=2, experiment="posted"),
        row(itk_elastix="0.25.1"),
        row(elastix="5.3.1"),
        row(os="Linux"),
        row(rounds=3),
    ]
    for seed in range(5):
        rows = [near, *further]
        random.Random(seed).shuffle(rows)
        assert matched("posted-bspline", *rows).measured is near


def test_images_weigh_more_than_threads_and_threads_more_than_versions() -> None:
    other_images, other_threads, other_version = (
        row(fixed_sha256="0" * 64),
        row(api_threads=2, experiment="posted"),
        row(itk_elastix="0.25.1"),
    )
    assert matched("posted-bspline", other_images, other_threads).measured is other_threads
    assert matched("posted-bspline", other_threads, other_version).measured is other_version


def test_swapped_images_are_the_posted_ones() -> None:
    assert not any("images" in words for words in matched("posted-bspline", row()).differences)
    swapped = row(fixed_sha256=MOVING, moving_sha256=FIXED)
    assert not any("images" in words for words in matched("posted-bspline", swapped).differences)


def test_the_differences_are_spelled_out() -> None:
    ours = row(
        itk_elastix="0.25.1", os="Linux", cpu="EPYC", physical_cores=2, python="3.14.1", threads=2, machine_threads=28
    )
    assert matched("posted-bspline", ours).differences == (
        "itk-elastix 0.25.1 instead of 0.21.0",
        "ITK is made to see 28 threads",
        "2 threads asked for instead of 14",
        "Linux instead of Windows 11",
        "EPYC, 2 physical cores instead of 14 physical cores",
        "Python 3.14 instead of 3.11",
    )


def test_what_a_post_does_not_say_is_said() -> None:
    latest = matched("latest", row(api_threads=2, experiment="posted")).differences
    assert "BSplineTransform, where the post does not name its transform" in latest
    assert "ITK sees 2 threads instead of 28" in latest
    step = matched("two-step", row(), step="bspline").differences
    assert "itk-elastix 0.21.0, where the post names none" in step
    assert "a registration of its own on small images, not a step on larger ones" in step


def test_another_transform_or_another_way_of_asking_is_never_near() -> None:
    assert matched("recursive-bspline", row()).measured is None
    assert "no RecursiveBSplineTransform was run as posted" in matched("recursive-bspline", row()).differences[0]
    fair = row(experiment="causes", condition="threads")
    assert matched("posted-bspline", fair) == Match(
        next(one for one in read() if one.name == "posted-bspline"), None, ("nothing was run as posted",)
    )


def test_rows_with_nothing_known_do_not_break_it() -> None:
    bare = {**dict.fromkeys(row()), "experiment": "posted", "condition": "as-posted"}
    found = matched("latest", bare)
    assert found.measured is bare
    assert all(isinstance(words, str) for words in found.differences)
    assert reported.REPORTED_CSV.is_file()


def test_a_step_is_nearest_to_both_steps_in_a_row_on_larger_images() -> None:
    both = {"experiment": "transforms", "transform": "AffineTransform + BSplineTransform"}
    small = row(**both, condition="as-posted")
    large = row(**both, condition="as-posted", fixed_sha256="0" * 64)
    alone = row()
    usable = [alone, small, large]
    for one in usable:
        one["experiment"] = "posted-28"
    found = matched("two-step", *usable, step="bspline")
    assert found.measured is large
    assert found.differences[0].startswith("AffineTransform + BSplineTransform together on other images")
    assert matched("two-step", alone, small, step="bspline").measured is small
    assert matched("posted-bspline", *usable).measured is alone
