"""What was posted beside what was measured: each posted row, the nearest measured one, and how they differ."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import layout
from repro.builds.config import read_toml
from repro.errors import ConfigError
from repro.layout import shown
from repro.wording import counted, text

REPORTED_CSV = layout.DATA / "reported.csv"
Row = Mapping[str, Any]
"""A row of comparison.csv."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One posted registration, its runs together."""

    name: str
    reported_on: str
    reporter: str
    os: str
    cpu: str
    python: str
    itk_elastix: str
    elastix: str
    transform: str
    step: str
    threads: int | None
    """Threads that the script passed on."""
    machine_threads: int | None
    """Threads that ITK found there: the most that any post of this machine has passed on."""
    source: str
    """Where it was posted; empty: unknown."""
    runs: int
    cli_s: float
    """Median over the runs."""
    api_s: float
    ratio: float
    """Median over the runs of each run's ratio."""

    @property
    def is_step(self) -> bool:
        """Whether it is one of several registrations in a row."""
        return self.step not in ("", "registration")

    @property
    def title(self) -> str:
        """What was posted, in a word."""
        return f"{self.name}, {self.step}" if self.is_step else self.name


@dataclass(frozen=True, slots=True)
class Match:
    """A posted registration and the measured row that comes nearest to it."""

    posted: Reported
    measured: Row | None
    differences: tuple[str, ...]


def read(file: Path = REPORTED_CSV) -> tuple[Reported, ...]:
    """The posted registrations in the order of the file. Raises ConfigError on one that cannot be used."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    passed: dict[tuple[str, str], int] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                groups.setdefault((row["id"], row["step"]), []).append(row)
                place = (row["reporter"], row["cpu"])
                passed[place] = max(passed.get(place, 0), int(row["threads_passed"] or 0))
        return tuple(_reported(runs, passed) for runs in groups.values())
    except (OSError, KeyError, ValueError, TypeError, ArithmeticError, csv.Error) as error:
        raise ConfigError(f"{shown(file)}: cannot be used: {error!r}; restore it from the repository") from error


def _reported(runs: Sequence[Mapping[str, str]], passed: Mapping[tuple[str, str], int]) -> Reported:
    first = runs[0]
    cli, api = ([float(run[f"{path}_s"]) for run in runs] for path in ("cli", "api"))
    return Reported(
        name=first["id"],
        **{name: first[name] for name in ("reported_on", "reporter", "os", "cpu", "python")},
        **{name: first[name] for name in ("itk_elastix", "elastix", "transform", "step", "source")},
        threads=int(first["threads_passed"]) if first["threads_passed"] else None,
        machine_threads=passed[first["reporter"], first["cpu"]] or None,
        runs=len(runs),
        cli_s=statistics.median(cli),
        api_s=statistics.median(api),
        ratio=statistics.median(there / here for here, there in zip(cli, api, strict=True)),
    )


def posted_images(file: Path = layout.IMAGES_TOML) -> frozenset[str]:
    """Digests of the posted images."""
    posted = read_toml(file).table("posted")
    return frozenset(posted.table(which).get("sha256", str) for which in ("fixed", "moving"))


def matches(
    posted: Iterable[Reported], rows: Iterable[Row], as_posted: Collection[tuple[str, str]]
) -> tuple[Match, ...]:
    """The nearest measured row of each posted registration.

    `rows` are those of comparison.csv with a ratio; `as_posted` the experiments and conditions that ask for
    threads as the post did. A row of another transform, or of another way of asking, is never near.
    """
    images = posted_images()
    usable = [row for row in rows if (row["experiment"], row["condition"]) in as_posted]
    found = []
    for one in posted:
        near = [row for row in usable if _same_transform(one, row)]
        nearest = min(near, key=lambda row: _distance(one, row, images), default=None)
        differences = tuple(_differences(one, nearest, images)) if nearest else (_why_none(one, usable),)
        found.append(Match(one, nearest, differences))
    return tuple(found)


def _same_transform(one: Reported, row: Row) -> bool:
    """Of a step also where it runs in a row with others."""
    steps = str(row["transform"] or "").split(" + ")
    return not one.transform or steps == [one.transform] or (one.is_step and one.transform in steps)


def _in_a_row(row: Row) -> bool:
    return " + " in str(row["transform"] or "")


def _why_none(one: Reported, usable: Collection[Row]) -> str:
    if not usable:
        return "nothing was run as posted"
    return f"no {one.transform} was run as posted; experiment transforms does"


def _distance(one: Reported, row: Row, images: Collection[str]) -> tuple[float | str, ...]:
    """What matters most comes first: images, threads that ITK finds, versions, then the machine.

    The steps ran in a row on larger images than the posted ones.
    """
    return (
        float(one.is_step and not _in_a_row(row)),
        float(_same_images(row, images) if one.is_step and _in_a_row(row) else not _same_images(row, images)),
        round(abs(math.log2((one.machine_threads or 1) / (row["api_threads"] or 1))), 1),
        float(bool(one.itk_elastix) and row["itk_elastix"] != one.itk_elastix),
        float(bool(one.elastix) and row["elastix"] != one.elastix),
        float(_system(one.os) != _system(row["os"])),
        float(not str(row["experiment"]).startswith("posted")),
        -float(row["rounds"] or 0),
        str(row["machine"]),
        str(row["pair"]),
    )


def _same_images(row: Row, images: Collection[str]) -> bool:
    return row["fixed_sha256"] in images and row["moving_sha256"] in images


def _system(name: str | None) -> str:
    return re.split(r"[\s\d]", (name or "").strip(), maxsplit=1)[0].lower()


def _differences(one: Reported, row: Row, images: Collection[str]) -> Iterator[str]:
    """The differences in conditions in words, ours first."""
    if one.is_step and _in_a_row(row):
        where = "the small posted images" if _same_images(row, images) else "other images"
        yield f"{text(row['transform'], 60)} together on {where}, where the post times each step on images of its own"
    elif not _same_images(row, images):
        yield "other images than the posted ones"
    if not one.transform:
        yield f"{text(row['transform'], 60)}, where the post does not name its transform"
    if one.is_step and not _in_a_row(row):
        yield "a registration of its own on small images, not a step on larger ones"
    for name, posted in (("itk_elastix", one.itk_elastix), ("elastix", one.elastix)):
        words = name.replace("_", "-")
        if posted and row[name] != posted:
            yield f"{words} {text(row[name], 30)} instead of {posted}"
        elif not posted:
            yield f"{words} {text(row[name], 30)}, where the post names none"
    yield from _threads(one, row)
    if _system(one.os) != _system(row["os"]):
        yield f"{text(row['os'], 30)} instead of {one.os}"
    yield f"{_processor(row)} instead of {one.cpu}"
    minor = ".".join(str(row["python"] or "").split(".")[:2])
    if one.python and minor != one.python:
        yield f"Python {text(minor, 20)} instead of {one.python}"


def _threads(one: Reported, row: Row) -> Iterator[str]:
    ours = row["api_threads"]
    if ours is not None and ours != one.machine_threads:
        yield f"ITK sees {ours} threads instead of {one.machine_threads or 'an unknown number'}"
    elif row["machine_threads"]:
        yield f"ITK is made to see {ours} threads"
    if one.threads is not None and row["threads"] is not None and row["threads"] != one.threads:
        yield f"{counted(row['threads'], 'thread')} asked for instead of {one.threads}"


def _processor(row: Row) -> str:
    cores = f", {row['physical_cores']} physical cores" if row["physical_cores"] else ""
    return f"{text(row['cpu'], 60)}{cores}"
