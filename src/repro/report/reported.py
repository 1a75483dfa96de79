"""What the thread reported (data/reported.csv), each beside the measured row that comes nearest to it."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import ConfigError
from repro.explain.measured import is_posted, overrides
from repro.paths import REPORTED_CSV, shown
from repro.report import charts, sentences
from repro.report.charts import Line, Mark, mark
from repro.report.material import Cell, Material, Section, table
from repro.results.columns import Row
from repro.text import UNKNOWN, estimate, line, ratio, seconds

_POSTED_SIZE = "256x254"


@dataclass(frozen=True, slots=True)
class Reported:
    """One posted registration: the medians of its runs."""

    name: str
    step: str
    """Which of several registrations in a row; empty: it is the only one."""
    reporter: str
    os: str
    cpu: str
    itk_elastix: str
    elastix: str
    transform: str
    source: str
    machine_threads: int | None
    """The most threads that its reporter passed on that machine: what ITK finds there."""
    jobs: int
    """Registrations side by side."""
    base_s: float
    other_s: float
    sitk_s: float | None
    """By SimpleITK, where it was posted too."""
    ratio: float

    @property
    def title(self) -> str:
        """What was posted, in a word."""
        return f"{self.name}, {self.step}" if self.step else self.name


def read(file: Path = REPORTED_CSV) -> tuple[Reported, ...]:
    """The posted registrations in the order of the file. Raises ConfigError on one that cannot be used."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    passed: dict[tuple[str, str], int] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                groups.setdefault((row["id"], row["step"]), []).append(row)
                place = (row["reporter"], row["cpu"])
                if row["jobs"] in ("", "1"):
                    passed[place] = max(passed.get(place, 0), int(row["threads_passed"] or 0))
        return tuple(_reported(runs, passed) for runs in groups.values())
    except (OSError, KeyError, ValueError, TypeError, ArithmeticError, csv.Error) as error:
        raise ConfigError(f"{shown(file)}: cannot be used: {error!r}; restore it from the repository") from error


def _reported(runs: Sequence[dict[str, str]], passed: dict[tuple[str, str], int]) -> Reported:
    first = runs[0]
    cli, api = ([float(run[f"{path}_s"]) for run in runs] for path in ("cli", "api"))
    sitk = [float(run["sitk_s"]) for run in runs if run["sitk_s"]]
    names = ("reporter", "os", "cpu", "itk_elastix", "elastix", "transform", "source")
    return Reported(
        name=first["id"],
        step="" if first["step"] == "registration" else first["step"],
        **{name: first[name] for name in names},
        machine_threads=passed.get((first["reporter"], first["cpu"])) or None,
        jobs=int(first["jobs"] or 1),
        sitk_s=statistics.median(sitk) if sitk else None,
        base_s=statistics.median(cli),
        other_s=statistics.median(api),
        ratio=statistics.median(there / here for here, there in zip(cli, api, strict=True)),
    )


def nearest(posted: Reported, rows: Iterable[Row]) -> Row | None:
    """The measured row that comes nearest; of another transform, or of another way of asking, none is near."""
    near = [row for row in rows if _same_way(posted, row) and _same_transform(posted, row)]
    return min(near, key=lambda row: _distance(posted, row), default=None)


def _same_way(posted: Reported, row: Row) -> bool:
    """Whether the row asks for threads as posted, or runs its jobs in threads of one Python process."""
    if posted.jobs == 1:
        return is_posted(row)
    return row.strategy == "threads" and (row.base_path, row.other_path) == ("cli", "api") and row.ratio is not None


def _same_transform(posted: Reported, row: Row) -> bool:
    steps = (row.transform or "").split(" + ")
    one_of_them = bool(posted.step) and posted.transform in steps
    return not posted.transform or steps == [posted.transform] or one_of_them


def _distance(posted: Reported, row: Row) -> tuple[float | str, ...]:
    """What matters most comes first: images, threads that ITK finds, the same work, versions, then the machine."""
    return (
        float(abs((row.jobs or 1) - posted.jobs)),
        float((row.size_px == _POSTED_SIZE) == bool(posted.step)),
        round(abs(math.log2((posted.machine_threads or 1) / (row.other_threads or 1))), 1),
        float(bool(overrides(row))),
        float(row.other != f"api:{posted.itk_elastix}"),
        float(row.base != f"cli:{posted.elastix}"),
        float(not row.experiment.startswith("posted")),
        -float(row.blocks or 0),
        row.machine,
        row.comparison,
    )


def differences(posted: Reported, row: Row) -> Iterator[str]:
    """The differences in conditions in words, ours first."""
    if posted.step:
        yield "other images" if row.size_px != _POSTED_SIZE else "small images, where the post has larger ones"
    elif row.size_px != _POSTED_SIZE:
        yield "other images than the posted ones"
    for build, version, name in ((row.other, posted.itk_elastix, "itk-elastix"), (row.base, posted.elastix, "elastix")):
        ours = (build or "").partition(":")[2]
        if version and ours != version:
            yield f"{name} {line(ours, 30)} instead of {version}"
    if (row.jobs or 1) != posted.jobs:
        yield f"{row.jobs or 1} jobs instead of {posted.jobs}"
    if posted.jobs == 1 and row.other_threads is not None and row.other_threads != posted.machine_threads:
        yield f"ITK sees {row.other_threads} threads instead of {posted.machine_threads or 'an unknown number'}"
    if shorter := overrides(row):
        yield ", ".join(f"{line(name, 40)} {line(value, 20)}" for name, value in shorter.items())
    if posted.cpu:
        yield f"{line(row.cpu, 60)}, {line(row.platform, 20)} instead of {posted.cpu}, {posted.os}"


def beside_posts(material: Material, empty: Section) -> Section:
    """Each posted registration beside the measured row that comes nearest to it."""
    posted, rows = read(), material.rows(lambda row: is_posted(row) or row.strategy == "threads")
    found = [(one, nearest(one, rows)) for one in posted]
    lines = [
        Line(
            one.title,
            (Mark(one.ratio, series=1), mark(row.estimate, row.verdict, 0)),
            f"{ratio(one.ratio)} / {ratio(row.ratio)} {sentences.verdict_words(row.verdict)}",
        )
        for one, row in found
        if row and row.estimate
    ]
    if not lines:
        return empty
    ends = sentences.reach([one.ratio for one in posted])
    return empty.filled(
        [
            f"The thread reported {ends} times the executable's time; the mark beside each is the nearest condition "
            "measured here."
        ],
        charts.rows("chart-reported", empty.title, lines, charts.API_RATIO, ("measured here", "reported")),
        table(
            "Each posted registration and the measured condition that comes nearest",
            found,
            {
                "posted": lambda one: one[0].title,
                "by": lambda one: f"{line(one[0].reporter, 30)}, {line(one[0].source, 40)}",
                "executable (s)": lambda one: seconds(one[0].base_s),
                "API (s)": lambda one: _api_cell(one[0]),
                "reported": lambda one: ratio(one[0].ratio),
                "measured": lambda one: _measured_cell(one[1]),
                "what differs here": lambda one: Cell(_differences(*one), "long"),
            },
            ("executable (s)", "API (s)", "reported", "measured"),
        ),
    )


def _api_cell(posted: Reported) -> Cell:
    return Cell(seconds(posted.other_s), small=f"(SimpleITK {seconds(posted.sitk_s)})" if posted.sitk_s else "")


def _measured_cell(row: Row | None) -> Cell:
    return Cell(estimate(row.estimate), small=sentences.verdict_words(row.verdict)) if row else Cell(UNKNOWN)


def _differences(posted: Reported, row: Row | None) -> str:
    return "; ".join(differences(posted, row)) if row else "nothing like it was run as posted"
