"""The law of scaling: found again in timings that were made by it, and doubted in others."""

import random
from pathlib import Path

import pytest

import rawdata
from repro.explain import scalingdata
from repro.explain.measured import Measured
from repro.explain.scaling import Point, fit
from repro.plan.experiments import load_experiments
from repro.plan.images import image_set
from repro.plan.prepare import prepare

START, SAMPLES, HISTOGRAMS = 0.3, 1.2, 0.2


def made(p: float = 1.0, q: float = 2.0, noise: float = 0.01, histograms: float = HISTOGRAMS) -> list[Point]:
    """Timings of the experiment's conditions by a law with these exponents."""
    draw = random.Random(5)
    varied = [(2**n, 128) for n in range(11)] + [(64, bins) for bins in (16, 32, 64, 256)]
    return [
        Point(
            f"{units}-{bins}", units, bins, 2,
            (START + SAMPLES / min(units, 2) + histograms * (units / 64) ** p * (bins / 128) ** q)
            * (1 + draw.gauss(0, noise)),
        )
        for units, bins in varied
    ]  # fmt: skip


def test_the_law_is_found_again_with_its_exponents() -> None:
    law = fit(made())
    assert law is not None
    assert law.seconds["histograms"] == pytest.approx(HISTOGRAMS, rel=0.05)
    assert law.seconds["start"] == pytest.approx(START, rel=0.2)
    assert law.seconds["samples"] == pytest.approx(SAMPLES, rel=0.1)
    assert law.rms < 0.015
    assert len(law.residuals) == 15
    assert law.units is not None
    assert law.bins is not None
    assert law.units.low < 1 < law.units.high
    assert law.bins.low < 2 < law.bins.high


def test_another_law_is_not_taken_for_this_one() -> None:
    law = fit(made(p=0.5, q=1.0))
    assert law is not None
    assert law.units is not None
    assert law.bins is not None
    assert law.units.high < 0.8
    assert law.bins.high < 1.6
    assert law.rms > 0.04


def test_nothing_is_said_of_what_cannot_be_seen() -> None:
    assert fit(made()[:7]) is None
    assert fit(made()[:11]) is None  # bins were not varied
    flat = fit(made(histograms=1e-5))
    assert flat is not None
    assert (flat.units, flat.bins) == (None, None)


def row(condition: str, images: str, cache: Path, **values: str) -> dict[str, str]:
    """A row of the comparison with the checksums that bench would write."""
    conditions = {one.name: one for one in load_experiments()["scaling"].conditions}
    inputs = prepare(conditions[condition], image_set(images, cache=cache), 2).inputs
    return {
        "params_sha256": inputs.params_sha256, "fixed_sha256": inputs.fixed_sha256, "threads": "64",
        "physical_cores": "2", "work_units": "64", "cli_work_units": "", "cli_median_s": "2", **values,
    }  # fmt: skip


def test_bins_and_images_are_known_by_the_checksums_that_bench_writes(tmp_path: Path) -> None:
    rows = {
        ("scaling", "bins-32"): row("bins-32", "synthetic", tmp_path, api_median_s="1"),
        ("scaling", "units-64"): row("units-64", "synthetic", tmp_path, api_median_s="1.5"),
        ("scaling", "size-128"): row("size-128", "synthetic-128", tmp_path, api_median_s="0.5"),
    }
    measured, place = Measured({("m1", rawdata.PAIRS[0]): rows}, {}), ("m1", rawdata.PAIRS[0])
    found = {point.condition: point.bins for point in scalingdata.points(measured, place, "api")}
    assert found == {"bins-32": 32, "units-64": 128}
    assert list(scalingdata.points(measured, place, "cli")) == []
    said = list(scalingdata.text(measured, place))
    assert said[0].startswith("* No law: it takes 8 conditions")
    assert "* API, 64 work units and 128 bins each: 0.016 megapixels 0.5 s, 0.065 megapixels 1.5 s." in said


def test_the_law_is_said_in_words_and_where_there_is_none_that_is_said() -> None:
    digests = {bins: digest for digest, bins in scalingdata._bins().items()}
    varied = [(2**n, 128) for n in range(8)] + [(64, bins) for bins in (16, 32, 64, 256)]
    rows = {
        ("scaling", f"{units}-{bins}"): {
            "params_sha256": digests[bins], "fixed_sha256": "f", "threads": str(units), "physical_cores": "2",
            "work_units": str(units), "cli_work_units": str(units), "cli_median_s": "",
            "api_median_s": str(START + SAMPLES / min(units, 2) + HISTOGRAMS * units / 64 * (bins / 128) ** 2),
        }
        for units, bins in varied
    }  # fmt: skip
    (law, exponents) = scalingdata.text(Measured({("m", "1-2"): rows}, {}), ("m", "1-2"))
    assert law.startswith("* API: 0.3 s + 1.2 s / min(units, cores) + 0.2 s x (units / 64) x (bins / 128)^2. ")
    assert "units^1.00" in exponents
    assert "bins^2.00" in exponents
    few = dict(list(rows.items())[:3])
    (none,) = scalingdata.text(Measured({("m", "1-2"): few}, {}), ("m", "1-2"))
    assert none.startswith("* No law: it takes 8 conditions")
    assert list(scalingdata.text(Measured({("m", "1-2"): {}}, {}), ("m", "1-2"))) == []
