"""The section on the causes: the ladder, what each step does, and the four questions of the post."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import polars as pl

from repro.explain import explain, questions
from repro.explain.ladder import FAIR, Ladder
from repro.explain.measured import TRIAL, Measured, Place, rounds, said
from repro.explain.rungs import Rungs
from repro.report import plots
from repro.report.page import Cell, Figure, Section, Table
from repro.report.plots import Line, Point
from repro.report.reportdata import Data, by_place
from repro.report.sections import MOST_LINES, tone
from repro.wording import UNKNOWN, listed, ratio, text

Explained = Sequence[tuple[str, str, Ladder]]
"""Pair (and machine), experiment, and what `explain` makes of it."""
MOST_PLACES = 16
"""Machines times pairs whose steps are explained: each takes a tenth of a second of resampling."""


def causes(data: Data, ladders: Sequence[Rungs]) -> Section:
    """The ladder of causes, with what `explain` says of it."""
    title = "The ladder of causes"
    if not ladders:
        command = "pixi run bench --experiment causes --experiment causes-own"
        return Section("causes", title, missing="Which settings carry the slowdown was not measured.", command=command)
    pairs = [pair for pair in data.pairs if any(one.pair == pair for one in ladders)]
    description = (
        "A forest plot of the conditions of each ladder, one mark a pair: from the posted condition at the top, "
        "what each change or set of changes does to the ratio of the API's time to the executable's."
    )
    lines = _lines(ladders, pairs)
    name = "API time over executable time, condition by condition"
    drawn = plots.forest("ladder", name, description, lines, [text(pair, 30) for pair in pairs])
    key = "Lower is nearer to the executable. Hollow marks: no difference from it seen."
    figure = Figure("ladder", name, description, *drawn, _rung_table(ladders), key)
    words = "Each condition differs from the first of its experiment by the changes that its row names."
    measured = _measured(data)
    if len(measured.rows) > MOST_PLACES:
        more = "What each single step does: python -m repro explain."
        return Section("causes", title, (words, more), (figure,))
    explained = [
        (name, experiment, found)
        for place, name in _places(data, measured)
        for experiment, found in explain.ladders(measured, place)
    ]
    tables = (_shares(explained), _steps(explained), _questions(data, measured))
    return Section("causes", title, (words,), (figure,), tuple(table for table in tables if table.rows))


def _lines(ladders: Sequence[Rungs], pairs: Sequence[str]) -> list[Line]:
    lines = []
    for experiment in dict.fromkeys(one.experiment for one in ladders):
        its = [one for one in ladders if one.experiment == experiment]
        where = explain.LADDERS.get(experiment, "")
        lines.append(Line(text(experiment, 40) if not where else f"{experiment}: {where}"))
        for condition in dict.fromkeys(rung.condition for one in its for rung in one.rungs):
            found = [(one.pair, rung) for one in its for rung in one.rungs if rung.condition == condition]
            points = tuple(
                Point(
                    rung.ratio.value,
                    rung.ratio.low,
                    rung.ratio.high,
                    "" if set(rung.verdicts) <= {"", "no difference seen"} else "slower",
                    pairs.index(pair),
                )
                for pair, rung in found
            )
            values = [rung.ratio.value for _, rung in found]
            reach = ratio(min(values)) if len(values) == 1 else f"{ratio(min(values))} to {ratio(max(values))}"
            lines.append(Line(text(condition, 40), points, None, reach))
    return lines[:MOST_LINES]


def _rung_table(ladders: Sequence[Rungs]) -> Table:
    return Table(
        caption="Conditions of the ladders",
        heads=("experiment", "pair", "condition", "changes to the first", "API / CLI", "times smaller"),
        rows=tuple(
            (
                Cell(text(one.experiment)),
                Cell(text(one.pair)),
                Cell(text(rung.condition)),
                Cell(listed(change.words for change in rung.changes) or "none"),
                Cell(rung.ratio.judged, tone(rung.verdicts[0]) if len(set(rung.verdicts)) == 1 else ""),
                Cell(ratio(rung.factor) if rung.changes else UNKNOWN),
            )
            for one in ladders
            for rung in one.rungs
        ),
        figures=frozenset({4, 5}),
    )


def _measured(data: Data) -> Measured:
    """What `explain` needs, from what has been read already."""
    rows = by_place(data.compared)
    if len(rows) > MOST_PLACES:
        return Measured(rows, {})
    good = data.trials.filter(pl.col("phase") == "measure", pl.col("status") == "ok", pl.col("wall_s") > 0)
    return Measured(rows, rounds(good.select(TRIAL).iter_rows(named=True)))


def _places(data: Data, measured: Measured) -> Iterator[tuple[Place, str]]:
    """Machine and pair with how a reader tells them apart."""
    for place in sorted(measured.rows, key=lambda place: (data.pairs.index(place[1]), place[0])):
        yield place, text(place[1], 40) + (f" on {text(place[0], 40)}" if len(data.machines) > 1 else "")


def _shares(explained: Explained) -> Table:
    """How much of the posted ratio the named causes account for."""
    # Of a ratio near 1 there is nothing to take apart.
    known = [
        (name, of, found, found.share)
        for name, of, found in explained
        if found.share and found.whole.value > questions.MATTERS
    ]
    return Table(
        caption=f"How much the causes account for: from the posted condition to {FAIR}",
        heads=("pair", "experiment", "posted ratio", "accounted for", "left unexplained"),
        rows=tuple(
            (
                Cell(name),
                Cell(text(experiment)),
                Cell(said(found.whole)),
                Cell(explain.per_cent(share)),
                Cell(f"{1 - share.value:.0%}"),
            )
            for name, experiment, found, share in known
        ),
        figures=frozenset({2, 3, 4}),
        note="In per cent of the logarithm of the posted ratio, with the 95% interval. The posted ratio is that of "
        f"{' or '.join('/'.join(place) for place in explain.WHOLE.values())} where it was measured, else the ladder's.",
    )


def _steps(explained: Explained) -> Table:
    """What each change does after what others: a row a step, a column a pair."""
    factors: dict[tuple[str, str, str, str], dict[str, str]] = defaultdict(dict)
    for name, experiment, found in explained:
        for step in found.steps:
            factors[experiment, step.change, step.before, step.after][name] = said(step.factor)
    names = list(dict.fromkeys(name for name, _, _ in explained))
    return Table(
        caption="How many times smaller one change makes the ratio",
        heads=("change", "from", "to", "experiment", *names),
        rows=tuple(
            (
                *(Cell(cell) for cell in (change, before, after, experiment)),
                *(Cell(its.get(name, UNKNOWN)) for name in names),
            )
            for (experiment, change, before, after), its in factors.items()
        ),
        figures=frozenset(range(4, 4 + len(names))),
        note="In both orders, so that causes that depend on each other show; 95% bootstrap intervals over the rounds. "
        + " ".join(f"{change}: {words}.".replace("`", "") for change, words in explain.REMOVES.items()),
    )


def _questions(data: Data, measured: Measured) -> Table:
    """The four questions of the post, from the lines that `explain` prints."""
    found: list[tuple[str, list[str]]] = []
    for line in questions.answers(measured):
        if line.startswith("**"):
            found.append((line.replace("**", ""), []))
        elif line and found:
            words = text(line.removeprefix("* ").replace("`", ""))
            # Of one machine nobody needs the name in every line.
            found[-1][1].append(words.replace(f" on {data.machines[0]}: ", ": ") if len(data.machines) == 1 else words)
    return Table(
        caption="The four questions of the post",
        heads=("question", "what was measured"),
        rows=tuple((Cell(question), Cell("\n".join(lines), "long")) for question, lines in found),
    )
