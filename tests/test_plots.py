from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest

from repro.report import plots, svg, timeplots
from repro.report.plots import Line, Point, Strip
from repro.report.report import TEMPLATES
from repro.report.timeplots import Bar, Scale, Series

HOSTILE = "<script>alert('$1$')</script> & \"x\" ]]> #0000ab"
HUGE = (1e308, 0.0, float("nan"), float("inf"), -1.0)
CSS = (TEMPLATES / "report.css").read_text()


def forest(name: str = "f", label: str = "posted") -> tuple[str, str]:
    points = tuple(Point(value, value, 1e308, "slower", n) for n, value in enumerate((2.0, *HUGE)))
    lines = [Line("heading"), Line(label, points, (0.97, 1.03), "2.00"), Line(label, (Point(1.0, 0.9, 1.1),))]
    return plots.forest(name, label, label, lines, [label, "other"])


def rounds(name: str = "r", label: str = "posted") -> tuple[str, str]:
    strips = [Strip(label, (("cli", (2.0, *HUGE)), ("api", (20.0, 21.0))), ((0,), (1,))), Strip(label, (("cli", ()),))]
    return plots.rounds(name, label, label, strips)


def breakdown(name: str = "b", label: str = "posted") -> tuple[str, str]:
    bars = [Bar(label, "cli", (("start", 0.1), ("1", 1.0))), Bar(label, "api", ((label, 20.0),))]
    return timeplots.breakdown(name, label, label, bars, "seconds")


def curves(name: str = "c", label: str = "posted") -> tuple[str, str]:
    series = [Series(label, tuple((float(n + 1), y) for n, y in enumerate((3.0, *HUGE))), 2.0)]
    return timeplots.curves(name, label, label, series, Scale(label, label))


def named_curves(name: str = "n", label: str = "posted") -> tuple[str, str]:
    series = [Series(label, ((0.0, 3.0), (1.0, 4.0)), dashed=True)]
    return timeplots.curves(name, label, label, series, Scale(label, label, {0.0: label, 1.0: "0.25.4"}))


def nothing(name: str = "e", label: str = "posted") -> tuple[str, str]:
    return plots.forest(name, label, label, [Line(label, (Point(float("nan"), 1.0, 1.0),))])


Plot = Callable[..., tuple[str, str]]
EVERY = pytest.mark.parametrize("plot", [forest, rounds, breakdown, curves, named_curves, nothing])


class Parsed(HTMLParser):
    """Tags with their attributes, and the texts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@EVERY
def test_a_plot_is_drawn_in_two_widths(plot: Plot) -> None:
    wide, narrow = plot()
    assert 'viewBox="0 0 720 ' in wide
    assert 'viewBox="0 0 340 ' in narrow
    assert all(len(one) < 60_000 for one in (wide, narrow))


@EVERY
def test_colours_are_those_of_the_page(plot: Plot) -> None:
    defined = set(re.findall(r"--([\w-]+):", CSS))
    for one in plot():
        assert set(re.findall(r"var\(--([\w-]+)\)", one)) <= defined
        assert not re.search(r"(?:fill|stroke|color)\s*[:=]\s*[\"']?\s*#", one)
        assert "DejaVu" not in one


@EVERY
def test_a_plot_says_what_it_is(plot: Plot) -> None:
    for one in plot(label="what it shows"):
        tags = Parsed(one).tags
        assert tags[0][0] == "svg"
        assert tags[0][1]["role"] == "img"
        ids = {attributes["id"]: tag for tag, attributes in tags if "id" in attributes}
        assert [ids[name] for name in (tags[0][1]["aria-labelledby"] or "").split()] == ["title", "desc"]
        assert one.count("what it shows") >= 2


@EVERY
def test_nothing_in_a_plot_comes_from_elsewhere_or_runs(plot: Plot) -> None:
    for one in plot(label=HOSTILE):
        parsed = Parsed(one)
        assert not {"script", "foreignobject", "image", "a", "style"} & {tag for tag, _ in parsed.tags}
        for _, attributes in parsed.tags:
            assert not [name for name in attributes if name.startswith("on")]
            assert all((value or "").startswith("#") for name, value in attributes.items() if name.endswith("href"))
        assert "<script>alert('$1$')</script>" in "".join(parsed.texts)


@EVERY
def test_plots_of_one_page_do_not_share_ids(plot: Plot) -> None:
    ids = [re.findall(r'\bid="([^"]+)"', one) for name in ("a", "b") for one in plot(name)]
    every = list(itertools.chain.from_iterable(ids))
    assert len(every) == len(set(every))
    for one in plot("a"):
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', one))
        assert used <= set(re.findall(r'\bid="([^"]+)"', one))


@EVERY
def test_the_same_figures_give_the_same_drawing(plot: Plot) -> None:
    assert plot() == plot()


def test_what_no_axis_can_show_is_not_drawn() -> None:
    for one in (*forest(), *rounds(), *curves()):
        assert "nan" not in one.lower().replace("--", "")
        assert "inf" not in re.sub(r"<title.*?</desc>", "", one)


def test_words_in_a_plot_stay_words() -> None:
    wide, narrow = breakdown(label="as posted")
    assert all(one.count("as posted") >= 3 for one in (wide, narrow))


def palettes() -> Iterator[tuple[str, dict[str, str]]]:
    """The colours of each scheme."""
    light, dark, paper = (
        dict(re.findall(r"--([\w-]+): (#\w+);", part))
        for part in re.split(r"@media \((?:prefers-color-scheme: dark)\)|@media print", CSS)
    )
    yield "light", light
    yield "dark", {**light, **dark}
    yield "print", {**light, **paper}


def rgb(colour: str) -> list[float]:
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    return [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]


def linear(colour: str) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio."""
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(linear, (first, second)))
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize(("scheme", "colours"), list(palettes()))
def test_every_scheme_can_be_read(scheme: str, colours: dict[str, str]) -> None:
    for text in ("ink", "muted", "link", "bad", "good"):
        for ground in ("paper", "card"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (scheme, text, ground)
    # Bars carry words in the colour of the paper.
    for mark in ("cli", "api"):
        assert contrast(colours[mark], colours["paper"]) >= 4.5, (scheme, mark)
    for n in range(1, len(svg.SERIES) + 1):
        assert contrast(colours[f"series-{n}"], colours["paper"]) >= 3, (scheme, n)


# Linear RGB as dichromats see it: Machado, Oliveira and Fernandes (2009), severity 1.0.
DICHROMATS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


@pytest.mark.parametrize("seen_by", DICHROMATS)
@pytest.mark.parametrize(("scheme", "colours"), list(palettes()))
def test_the_two_paths_differ_to_everybody(scheme: str, colours: dict[str, str], seen_by: str) -> None:
    seen = [
        [sum(k * c for k, c in zip(line, linear(colours[path]), strict=True)) for line in DICHROMATS[seen_by]]
        for path in ("cli", "api")
    ]
    assert sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5 > 0.2, (scheme, seen_by)


def test_series_differ_by_more_than_their_colour() -> None:
    assert len(set(svg.MARKERS)) == len(svg.MARKERS) == len(svg.SERIES)
    assert len(set(svg.PATH_MARKERS.values())) == 2
