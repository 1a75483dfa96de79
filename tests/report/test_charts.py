"""Charts: themed by the page, readable by ear, the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from repro.model import Estimate
from repro.report import charts
from repro.report.charts import Axis, Curve, Line, Mark


def drawn(name: str) -> str:
    lines = [
        Line("posted", (Mark(9.0, 8.0, 10.0, "slower", None), Mark(1.0, 0.9, 1.1, "no difference", None)), "9.00"),
        Line("with its floor", (Mark(1.5, 1.4, 1.6, "cannot tell", None),), floor=(0.97, 1.03)),
        Line("a heading"),
        Line("odd", (Mark(0.0), Mark(float("inf")), Mark(-1.0), Mark(1e300))),
    ]
    curve = [
        Curve("API", ((1.0, 2.0), (10.0, 9.0))),
        Curve("odd", ((0.0, -1.0),)),
        Curve("cli", ((1.0, 2.0),), 1, dashed=True),
    ]
    steps = [("as posted", Estimate(9.0, 8.0, 10.0, "interval", 8), "slower"), ("cured", Estimate(0.9), "cannot tell")]
    return {
        "rows": lambda: charts.rows("x", "t", lines, charts.API_RATIO),
        "series": lambda: charts.rows("x", "t", lines, Axis("seconds"), ("0.21.0-5.2.0", "long " * 9), one=False),
        "curves": lambda: charts.curves("x", "t", curve, Axis("units"), Axis("seconds")),
        "ticks": lambda: charts.curves("x", "t", curve[:1], Axis("release", {1.0: "0.17.0"}), Axis("seconds")),
        "steps": lambda: charts.steps("x", "t", steps),
        "nothing": lambda: charts.rows("x", "t", [], charts.RATIO),
    }[name]()


KINDS = ("rows", "series", "curves", "ticks", "steps", "nothing")


@pytest.mark.parametrize("name", KINDS)
def test_a_chart_is_xml_in_the_colours_of_the_page(name: str) -> None:
    svg = drawn(name)
    ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))
    assert not re.search("#0000[0-9a-f]{2}", svg)
    assert "var(--" in svg
    assert "DejaVu" not in svg
    assert "<style" not in svg
    assert svg == drawn(name)


@pytest.mark.parametrize("name", KINDS)
def test_a_chart_says_what_it_shows(name: str) -> None:
    svg = drawn(name)
    assert re.search(r'role="img" aria-labelledby="x-title x-description"', svg)
    assert '<title id="x-title">t</title>' in svg


def test_the_steps_are_said_in_words_too() -> None:
    assert "as posted: 9.00, slower; cured: 0.90." in drawn("steps")


def test_marks_without_a_difference_are_hollow() -> None:
    hollow = charts.rows("x", "t", [Line("l", (Mark(1.0, tone="no difference"),))], charts.RATIO)
    full = charts.rows("x", "t", [Line("l", (Mark(1.0, tone="slower"),))], charts.RATIO)
    assert hollow.count("var(--paper)") > full.count("var(--paper)")
