"""The sections about ratios: all of them, the results behind them, and machine beside machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from repro.explain import spread
from repro.measure.measurement import TOLERANCE_PX
from repro.report import plots
from repro.report.page import Cell, Figure, Section, Table, Tone
from repro.report.plots import Line, Point
from repro.report.reportdata import Data, Row
from repro.wording import (
    UNKNOWN,
    counted,
    finite,
    floor_words,
    interval,
    judged,
    seconds,
    text,
    verdict_words,
)

MOST_ROWS = 300
"""Rows of the comparison that a table of the page shows; comparison.csv has them all."""
_FOREST = "API time over executable time"
MOST_LINES = 48
"""Lines of a forest plot."""
_FIRST = ("posted", "causes", "work-units")
"""Experiments whose names start so come first."""

Conditions = dict[tuple[str, str, str], list[Row]]
"""Pair, experiment and condition -> a row of each machine."""


def by_condition(data: Data, rows: Iterable[Row]) -> Conditions:
    """Rows by pair, experiment and condition; pairs by version, the posted experiments first."""
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["pair"], row["experiment"], row["condition"]].append(row)
    told = {place: n for n, place in enumerate(data.conditions)}

    def order(place: tuple[str, str, str]) -> tuple[int, int, str, int]:
        pair, experiment, condition = place
        first = next((n for n, start in enumerate(_FIRST) if experiment.startswith(start)), len(_FIRST))
        return data.pairs.index(pair), first, experiment, told.get((experiment, condition), 0)

    return {place: spread.best_rows(found[place]) for place in sorted(found, key=order)}


def label(data: Data, experiment: str, condition: str) -> str:
    """`causes: threads`, or the name of the experiment alone where it has one condition."""
    alone = len({name for of, name in data.conditions if of == experiment}) == 1
    return text(experiment, 40) if alone else f"{text(experiment, 40)}: {text(condition, 40)}"


def tone(verdict: str | None) -> Tone:
    """How a verdict looks."""
    words: dict[str, Tone] = {"slower": "slower", "faster": "faster", "no difference seen": "same"}
    return words.get(verdict or "", "")


def ratios(data: Data, ladders: Collection[str]) -> Section:
    """Every ratio with its interval: the forest plot, without the experiments that have a ladder of their own."""
    title = "Every ratio with its interval"
    if not data.compared:
        return Section("ratios", title, missing="No condition has a ratio yet.", command="pixi run bench-all")
    conditions = by_condition(data, data.compared)
    drawn = {place: rows for place, rows in conditions.items() if place[1] not in ladders} or conditions
    lines, left = _forest_lines(data, drawn)
    name = "forest"
    description = (
        "A forest plot: one line a condition, the ratio of the API's time to the executable's as a mark, its "
        "interval as a bar, the noise floor as a band behind it. Right of the line at 1 the API is slower."
    )
    notes = ["The conditions of the ladder of causes are in the next section."] if len(drawn) < len(conditions) else []
    notes += [f"{counted(left, 'more condition')} {'is' if left == 1 else 'are'} not drawn."] if left else []
    table = _ratio_table(data, conditions)
    shown = plots.forest(name, _FOREST, description, lines)
    key = (
        "Mark: ratio of the API's time to the executable's, the median of the rounds' ratios. Bar: its 95% "
        "interval, or the range under 10 rounds"
        + (", or, with several machines, a mark for each. " if len(data.machines) > 1 else ". ")
        + "Grey band: noise floor, the ratio of a path to itself. Filled: a difference; hollow: none seen, or too "
        "few rounds to say."
    )
    figure = Figure(name, _FOREST, description, *shown, table, key)
    return Section("ratios", title, tuple(notes), (figure,))


def _forest_lines(data: Data, conditions: Conditions) -> tuple[list[Line], int]:
    """Lines with a heading for each pair, the same number of conditions of each, and how many were left out."""
    pairs = list(dict.fromkeys(pair for pair, _, _ in conditions))
    most = max(1, MOST_LINES // len(pairs) - 1)
    lines, left = [], 0
    for pair in pairs:
        its = [(place, rows) for place, rows in conditions.items() if place[0] == pair]
        left += max(0, len(its) - most)
        lines.append(Line(text(pair, 40)))
        for (_, experiment, condition), rows in its[:most]:
            points = tuple(_point(row, alone=len(rows) <= 4) for row in rows)
            floor = _floor(rows[0]) if len(rows) == 1 else None
            lines.append(Line(label(data, experiment, condition), points, floor, spread.of_rows(rows).cell))
    return lines, left


def _point(row: Row, *, alone: bool) -> Point:
    one = spread.of_rows([row])
    low, high = (one.low, one.high) if alone else (one.value, one.value)
    return Point(one.value, low, high, row["verdict"] or "")


def _floor(row: Row) -> tuple[float, float] | None:
    low, high = finite(row["floor_low"]), finite(row["floor_high"])
    return None if low is None or high is None else (low, high)


def _ratio_table(data: Data, conditions: Conditions) -> Table:
    several = len(data.machines) > 1
    heads = ("pair", "condition", *(("machine",) if several else ()), "CLI median (s)", "API median (s)")
    heads = (*heads, "API / CLI", "noise floor", "rounds", "verdict", "status")
    rows = [row for its in conditions.values() for row in its]
    return Table(
        caption="Ratios of the API's time to the executable's (CLI)",
        heads=heads,
        rows=tuple(
            (
                Cell(text(row["pair"])),
                Cell(label(data, row["experiment"], row["condition"])),
                *((Cell(text(row["machine"])),) if several else ()),
                Cell(seconds(row["cli_median_s"])),
                Cell(seconds(row["api_median_s"])),
                Cell(interval(row), tone(row["verdict"])),
                Cell(floor_words(row).removeprefix("noise floor ")),
                Cell(str(row["rounds"] or 0)),
                Cell(verdict_words(row["verdict"])),
                Cell(text(row["status"]), "" if row["status"] == "ok" else "bad"),
            )
            for row in rows[:MOST_ROWS]
        ),
        figures=frozenset(range(2 + several, 7 + several)),
        note=cut(len(rows)),
    )


def cut(rows: int, file: str = "comparison.csv") -> str:
    """What to say where a table does not show all rows."""
    return f"{rows - MOST_ROWS:,} more rows are in {file}." if rows > MOST_ROWS else ""


def agreement(data: Data) -> Section:
    """Whether the two paths gave the same result."""
    title = "Do the results agree?"
    rows = [row for row in data.rows if finite(row["agreement_px"]) is not None]
    if not rows:
        return Section("agreement", title, missing="No two results were compared yet.", command="pixi run bench")
    apart = [row for row in rows if row["status"] == "disagree"]
    largest = max(row["agreement_px"] for row in rows)
    same = sum(row["agreement_px"] <= 1e-6 for row in rows)
    words = (
        f"The transforms of both paths were compared, as displacements over the fixed image's grid, after each round. "
        f"Of {counted(len(rows), 'row')} {same:,} agree to a millionth of a pixel; the largest distance is "
        f"{largest:.3g} px. {_apart(apart)}"
    )
    shown = sorted(rows, key=lambda row: -row["agreement_px"])
    several = len(data.machines) > 1
    table = Table(
        caption="Distance between the two results, the largest first",
        heads=("pair", "condition", *(("machine",) if several else ()), "mean (px)", "largest (px)",
               "threads CLI", "threads API", "results CLI", "results API", "status"),
        rows=tuple(
            (
                Cell(text(row["pair"])),
                Cell(label(data, row["experiment"], row["condition"])),
                *((Cell(text(row["machine"])),) if several else ()),
                Cell(_pixels(row["agreement_mean_px"])),
                Cell(_pixels(row["agreement_px"])),
                *(Cell(text(row[name])) for name in ("cli_threads", "api_threads", "cli_results", "api_results")),
                Cell(text(row["status"]), "bad" if row["status"] == "disagree" else ""),
            )
            for row in shown[:MOST_ROWS]
        ),
        figures=frozenset(range(2 + several, 8 + several)),
        note=f"Results: how many different ones a path gave; 1: it is deterministic. {cut(len(rows))}".strip(),
    )  # fmt: skip
    return Section("agreement", title, (words,), tables=(table,))


def _apart(rows: Sequence[Row]) -> str:
    if not rows:
        return f"None is above the tolerance of {TOLERANCE_PX} px."
    explained = sum("explained by" in (row["note"] or "") for row in rows)
    return (
        f"{counted(len(rows), 'row')} {'is' if len(rows) == 1 else 'are'} above the tolerance of {TOLERANCE_PX} px; "
        f"of {explained:,} the note says what explains it, such as unequal work units of the metric. There the two "
        "paths did not do the same work, and the ratio says nothing about speed alone."
    )


def _pixels(value: float | None) -> str:
    number = finite(value)
    return UNKNOWN if number is None else f"{number:.2g}"


def platforms(data: Data) -> Section:
    """One row a condition, one column a machine."""
    conditions = by_condition(data, data.compared)
    machines = list(data.machines)
    systems = {row["machine"]: text(row["os"]) for row in data.rows}
    table = Table(
        caption="API / CLI with its interval, machine beside machine",
        heads=("pair", "condition", *(f"{data.short(one)} ({systems[one]})" for one in machines)),
        rows=tuple(
            (
                Cell(text(pair)),
                Cell(label(data, experiment, condition)),
                *_of_machines(rows, machines),
            )
            for (pair, experiment, condition), rows in conditions.items()
        ),
        figures=frozenset(range(2, 2 + len(machines))),
    )
    words = "Square brackets: 95% interval, or the range under 10 rounds. A dash: not measured there."
    return Section("platforms", "Machine beside machine", (words,), tables=(table,))


def _of_machines(rows: Sequence[Row], machines: Sequence[str]) -> list[Cell]:
    found = {row["machine"]: row for row in rows}
    return [
        Cell(judged(found[one]), tone(found[one]["verdict"])) if one in found else Cell(UNKNOWN) for one in machines
    ]
