"""What experiment `scaling` has measured, as points of its law: bins and image sizes by their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import prod

from repro import parameters
from repro.config import read_toml
from repro.experiments import load_experiments, parameter_path
from repro.images import size_px
from repro.layout import IMAGES_TOML
from repro.measured import Measured, Place
from repro.scaling import MIN_POINTS, Law, Point, fit

EXPERIMENT = "scaling"
PATHS = {"cli": "executable", "api": "API"}
_UNITS = {"cli": "cli_work_units", "api": "work_units"}
_BINS = "NumberOfHistogramBins"


def laws(measured: Measured, place: Place) -> dict[str, Law]:
    """The law of each path that was measured well enough."""
    found = {path: fit(list(points(measured, place, path))) for path in PATHS}
    return {path: law for path, law in found.items() if law is not None}


def points(measured: Measured, place: Place, path: str) -> Iterator[Point]:
    """The conditions that ask for threads, and with them for work units. Others are `unasked`."""
    bins, megapixels = _bins(), _megapixels()
    for (experiment, condition), row in measured.rows.get(place, {}).items():
        known = row["params_sha256"] in bins and row["fixed_sha256"] in megapixels
        units, seconds = row[_UNITS[path]], row[f"{path}_median_s"]
        if experiment == EXPERIMENT and known and units and seconds and row["threads"] and row["physical_cores"]:
            yield Point(
                condition=condition,
                units=int(units),
                bins=bins[row["params_sha256"]],
                megapixels=megapixels[row["fixed_sha256"]],
                cores=int(row["physical_cores"]),
                seconds=float(seconds),
            )


def text(measured: Measured, place: Place) -> Iterator[str]:
    """The law of each path in words and figures, and what threads alone cost."""
    found = laws(measured, place)
    if not found and any(experiment == EXPERIMENT for experiment, _ in measured.rows.get(place, {})):
        yield (
            f"* No law: it takes {MIN_POINTS} conditions, of three numbers of work units and of bins, whose inputs are "
            "those of the experiment."
        )
    for path, law in found.items():
        part, (worst, away) = law.seconds, law.worst
        yield (
            f"* {PATHS[path]}: {part['start']:.2g} s + {part['samples']:.2g} s / min(units, cores) + "
            f"{part['histograms']:.2g} s x (units / 64) x (bins / 128)^2 + {part['image']:.2g} s a megapixel. "
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
    yield from _threads(measured, place)


def _threads(measured: Measured, place: Place) -> Iterator[str]:
    """64 work units each, made by few threads or many."""
    rows = measured.rows.get(place, {})
    found = {name: rows.get((EXPERIMENT, name)) for name in ("units-64", "threads-16", "threads-64")}
    for path, whose in PATHS.items():
        said = [f"{name} {float(row[column]):.3g} s" for name, row in found.items()
                if row and row[column := f"{path}_median_s"] and row[_UNITS[path]] == "64"]  # fmt: skip
        if len(said) > 1:
            yield f"* {whose}, 64 work units each, asked for or made by the threads of the machine: {', '.join(said)}."


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
