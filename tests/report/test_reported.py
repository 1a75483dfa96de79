"""What the thread reported, beside what was measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from repro.errors import ConfigError
from repro.report.reported import Reported, differences, nearest, read
from repro.results.columns import Row
from support import report_tables as made_up
from support.report_tables import Case

ROW = made_up.made(
    pairs=made_up.PAIRS[:1], cases=[Case(experiment="posted-28", condition="as-posted", machine_threads=28)]
).rows[0]


def row(**changes: Any) -> Row:
    return dataclasses.replace(ROW, **changes)


def posted(title: str) -> Reported:
    return next(one for one in read() if one.title == title)


def test_every_post_is_one_entry_with_the_medians_of_its_runs() -> None:
    found = {one.title: one for one in read()}
    assert list(found) == [
        *("posted-bspline", "recursive-bspline", "two-step, affine", "two-step, bspline"),
        *("import-outside", "latest", "maintainer", "four-parallel-jobs"),
    ]
    first = found["posted-bspline"]
    assert (first.base_s, first.other_s, first.machine_threads) == (2.50, 22.08, 28)
    assert first.ratio == pytest.approx(22.08 / 2.50)
    assert found["maintainer"].ratio == pytest.approx(36.50 / 2.01)
    many = found["four-parallel-jobs"]
    assert (many.jobs, many.machine_threads) == (4, None)
    assert many.sitk_s == pytest.approx(1.897)
    assert found["maintainer"].source == "ITKElastix pull request 388"


@pytest.mark.parametrize("content", ["id,step\na,b\n", "id,step,reporter,cpu,threads_passed\na,b,c,d,many\n"])
def test_a_broken_file_of_posts_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "reported.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"reported\.csv: cannot be used"):
        read(file)
    with pytest.raises(ConfigError, match="cannot be used"):
        read(tmp_path / "absent.csv")


def test_the_nearest_row_has_the_same_images_threads_and_versions() -> None:
    near = row(machine="z")
    further = [
        row(size_px="1024x1024"),
        row(other_threads=4),
        row(other="api:0.25.4"),
        row(base="cli:5.3.1"),
        row(overrides="MaximumNumberOfIterations=50"),
        row(experiment="causes"),
        row(blocks=1),
    ]
    assert nearest(posted("posted-bspline"), [*further, near]) is near


def test_rows_of_another_transform_or_another_way_of_asking_are_never_near() -> None:
    others = [row(transform="AffineTransform"), row(other_asked="method:2"), row(strategy="pool")]
    assert nearest(posted("posted-bspline"), others) is None


def test_jobs_at_once_are_compared_with_jobs_in_threads_of_one_process() -> None:
    batches = [row(strategy=name, jobs=jobs) for name, jobs in (("pool", 4), ("threads", 2), ("threads", 4))]
    assert nearest(posted("four-parallel-jobs"), [row(), *batches]) is batches[2]


def test_the_differences_are_said() -> None:
    said = "; ".join(differences(posted("posted-bspline"), row(other="api:0.25.4", other_threads=4)))
    assert "itk-elastix 0.25.4 instead of 0.21.0" in said
    assert "ITK sees 4 threads instead of 28" in said
    assert "instead of 14 physical cores, Windows 11" in said
    assert "other images" not in said
