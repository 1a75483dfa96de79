"""The rungs of the ladder of causes: conditions of the `causes` experiments, each a set of changes to the first.

What differs between the conditions is read from the conditions themselves, so that this holds for ladders of the
user's own, too. The factors of the single steps, with their intervals, are `explain`'s.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repro.explain import explain, spread
from repro.explain.changes import Change, changes
from repro.explain.questions import MATTERS as MATTERS
from repro.explain.spread import Spread
from repro.report.reportdata import Data, Row

PREFIX = "causes"
_COMPLETES = {more: experiment for experiment, more in explain.MORE.items()}
"""Experiment -> the one whose ladder its conditions complete."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A condition of the ladder."""

    condition: str
    changes: tuple[Change, ...]
    """Against the first condition; none: it is the first."""
    ratio: Spread
    factor: float
    """How many times smaller than the first condition's the ratio is; of several machines the median."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What the ratio says, of each machine."""
        return self.ratio.verdicts


@dataclass(frozen=True, slots=True)
class Rungs:
    """The conditions of one experiment for one pair, as measured on one or several machines."""

    experiment: str
    pair: str
    rungs: tuple[Rung, ...]
    machine_threads: int | None
    """Threads that ITK was made to see in the first condition; None: what it found."""

    @property
    def slower(self) -> bool:
        """Whether the first condition has a slowdown to take apart, be it in too few rounds to call it one."""
        return self.top.ratio.value >= MATTERS and not {"faster", "no difference seen"} & set(self.top.verdicts)

    @property
    def top(self) -> Rung:
        """The condition that the others change."""
        return self.rungs[0]

    @property
    def largest(self) -> Rung | None:
        """The one setting of the API that takes most of the ratio away, if any does."""
        single = [rung for rung in self.rungs if len(rung.changes) == 1 and rung.changes[0].python]
        best = max(single, key=lambda rung: rung.factor, default=None)
        return best if best and best.factor >= MATTERS and best.ratio.high < self.top.ratio.low else None

    @property
    def remedy(self) -> Rung | None:
        """The fewest settings of the API after which it is no slower, or else those with the smallest ratio.

        Changes that a user of the API cannot make, or that change the registration, are no remedy.
        """
        settings = [rung for rung in self.rungs[1:] if all(change.python for change in rung.changes)]
        enough = [rung for rung in settings if "slower" not in rung.verdicts and "" not in rung.verdicts]
        if enough:
            return min(enough, key=lambda rung: (len(rung.changes), rung.ratio.value))
        best = min(settings, key=lambda rung: rung.ratio.value, default=None)
        return best if best and best.factor >= MATTERS else None


def ladders(data: Data) -> tuple[Rungs, ...]:
    """Every ladder, by experiment and pair."""
    found: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in data.compared:
        experiment: str = row["experiment"]
        if experiment.startswith(PREFIX):
            found[_COMPLETES.get(experiment, experiment), row["pair"]][row["condition"]].append(row)
    made = []
    for experiment in dict.fromkeys(experiment for experiment, _ in found):
        for pair in data.pairs:
            rows = found.get((experiment, pair), {})
            if rungs := _rungs(data, experiment, rows):
                threads = rows[rungs[0].condition][0]["machine_threads"]
                made.append(Rungs(experiment, pair, rungs, threads))
    return tuple(made)


def experiments(ladders: Iterable[Rungs]) -> frozenset[str]:
    """The experiments that the ladders are made of."""
    named = {one.experiment for one in ladders}
    return frozenset(named | {more for more, experiment in _COMPLETES.items() if experiment in named})


def _rungs(data: Data, experiment: str, rows: Mapping[str, list[Row]]) -> tuple[Rung, ...]:
    """The conditions in the order of the experiment; empty where the first was not measured."""
    places = [place for place in data.conditions if _COMPLETES.get(place[0], place[0]) == experiment]
    told = {name: data.conditions[of, name] for of, name in sorted(places, key=lambda place: place[0] != experiment)}
    order = list(told) or list(rows)
    names = [name for name in order if name in rows]
    if not names or names[0] != order[0]:
        return ()
    by_machine = {name: {row["machine"]: row for row in spread.best_rows(rows[name])} for name in names}
    first = by_machine[names[0]]
    rungs = []
    for name in names:
        its = by_machine[name]
        factors = [first[machine]["ratio"] / row["ratio"] for machine, row in its.items() if machine in first]
        if factors:
            rungs.append(
                Rung(
                    name,
                    changes(told.get(names[0], {}), told.get(name, {})),
                    spread.of_rows(list(its.values())),
                    statistics.median(factors),
                )
            )
    return tuple(rungs)
