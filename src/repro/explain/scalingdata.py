"""What experiment `scaling` has measured, as points of its law: bins and image sizes by their checksums."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import prod
from operator import itemgetter

from repro.builds.config import read_toml
from repro.elastix import parameters
from repro.explain.measured import Measured, Place, Row
from repro.explain.scaling import MIN_POINTS, Law, Point, fit
from repro.layout import IMAGES_TOML
from repro.plan.experiments import load_experiments, parameter_path
from repro.plan.images import size_px

EXPERIMENT = "scaling"
PATHS = {"cli": "executable", "api": "API"}
_UNITS = {"cli": "cli_work_units", "api": "work_units"}
_BINS = "NumberOfHistogramBins"


def laws(measured: Measured, place: Place) -> dict[str, Law]:
    """The law of each path that was measured well enough."""
    found = {path: fit(list(points(measured, place, path))) for path in PATHS}
    return {path: law for path, law in found.items() if law is not None}


def points(measured: Measured, place: Place, path: str) -> Iterator[Point]:
    """The conditions that ask for threads, and with them for work units, on the images that most of them have.

    Others are `_threads` and `_sizes`: threads that nobody asked for, and images of another size, take time in
    ways of their own.
    """
    rows = [(name, row) for name, row in _conditions(measured, place).items() if row["threads"]]
    (fixed, _), *_ = Counter(row["fixed_sha256"] for _, row in rows).most_common(1) or [("", 0)]
    for condition, row in rows:
        bins, units, seconds = _bins().get(row["params_sha256"]), row[_UNITS[path]], row[f"{path}_median_s"]
        if row["fixed_sha256"] == fixed and bins and units and seconds and row["physical_cores"]:
            yield Point(
                condition=condition,
                units=int(units),
                bins=bins,
                cores=int(row["physical_cores"]),
                seconds=float(seconds),
            )


def _conditions(measured: Measured, place: Place) -> dict[str, Row]:
    """The rows of the experiment by condition."""
    rows = measured.rows.get(place, {})
    return {condition: row for (experiment, condition), row in rows.items() if experiment == EXPERIMENT}


def text(measured: Measured, place: Place) -> Iterator[str]:
    """The law of each path in words and figures, and what threads and larger images cost."""
    if not (conditions := _conditions(measured, place)):
        return
    found = laws(measured, place)
    if not found:
        yield (
            f"* No law: it takes {MIN_POINTS} conditions, of three numbers of work units and of bins, whose inputs are "
            "those of the experiment."
        )
    for path, law in found.items():
        part, (worst, away) = law.seconds, law.worst
        yield (
            f"* {PATHS[path]}: {part['start']:.2g} s + {part['samples']:.2g} s / min(units, cores) + "
            f"{part['histograms']:.2g} s x (units / 64) x (bins / 128)^2. "
            f"Residuals: {law.rms:.0%} root mean square, the largest {away:+.0%} at {worst}."
        )
        if law.units and law.bins:
            yield (
                f"  With exponents left free the histograms' part grows with units^{law.units.value:.2f} "
                f"[{law.units.low:.2f}, {law.units.high:.2f}] and bins^{law.bins.value:.2f} "
                f"[{law.bins.low:.2f}, {law.bins.high:.2f}]."
            )
        else:
            yield "  These points do not say by which powers the histograms' part grows."
    yield from _threads(conditions)
    yield from _sizes(conditions.values())


def _threads(conditions: Mapping[str, Row]) -> Iterator[str]:
    """64 work units each, made by few threads or many."""
    found = {name: conditions.get(name) for name in ("units-64", "threads-16", "threads-64")}
    for path, whose in PATHS.items():
        said = [f"{name} {float(row[column]):.3g} s" for name, row in found.items()
                if row and row[column := f"{path}_median_s"] and row[_UNITS[path]] == "64"]  # fmt: skip
        if len(said) > 1:
            yield f"* {whose}, 64 work units each, asked for or made by the threads of the machine: {', '.join(said)}."


def _sizes(conditions: Iterable[Row]) -> Iterator[str]:
    """64 work units and 128 bins each, on images of every size."""
    megapixels = _megapixels()
    rows = [
        (megapixels[row["fixed_sha256"]], row)
        for row in conditions
        if row["fixed_sha256"] in megapixels and row["threads"] == "64" and _bins().get(row["params_sha256"]) == 128
    ]
    for path, whose in PATHS.items():
        column = f"{path}_median_s"
        said = [f"{size:.2g} megapixels {float(row[column]):.3g} s" for size, row in sorted(rows, key=itemgetter(0))
                if row[column]]  # fmt: skip
        if len(said) > 1:
            yield f"* {whose}, 64 work units and 128 bins each: {', '.join(said)}."


@cache
def _bins() -> Mapping[str, int]:
    """Digest of parameter files -> histogram bins, of every condition of the experiment."""
    found = {}
    for condition in load_experiments()[EXPERIMENT].conditions:
        files = [
            parameters.override(parameters.read(parameter_path(name)), condition.overrides)
            for name in condition.parameter_files
        ]
        found[_digest(file.text() for file in files)] = int(files[0].first(_BINS))
    return found


def _digest(texts: Iterable[str]) -> str:
    """As `prepare.Prepared.inputs` makes it."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@cache
def _megapixels() -> Mapping[str, float]:
    """Digest of a fixed image -> its size, of every set of data/images.toml."""
    root = read_toml(IMAGES_TOML)
    tables = (root.table(name) for name in root.values)
    return {table.table("fixed").get("sha256", str): prod(size_px(table)) / 1e6 for table in tables}
