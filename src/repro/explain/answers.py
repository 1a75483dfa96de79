"""The answer to a reader of one minute: for each pair how much slower, why, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repro.explain import rungs, spread
from repro.explain.rungs import Rung, Rungs
from repro.explain.spread import Spread
from repro.model import is_api_only
from repro.report.reportdata import Data, Row
from repro.wording import (
    TIMES,
    counted,
    floor_words,
    interval_words,
    listed,
    ratio,
    text,
    verdicts_words,
    with_verdict,
)

_EXPLAINED = re.compile(r"explained by [^;]*")
"""What a row's note says of a disagreement that has a reason."""
POSTED = "posted"
"""Experiments whose names start so run the registration as it was posted."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The ratio of one pair in one of the posted experiments."""

    experiment: str
    where: str
    """"where ITK sees 28 threads", or "with the machine's own 2 threads"."""
    ratio: Spread
    verdict: str
    sentence: str
    remark: str
    """What explains that the two results are not the same; empty: they are, or nothing explains it."""
    warning: str
    """Why the ratio must not be quoted as it is; empty: nothing is known against it."""
    emulated: bool

    @property
    def slower(self) -> bool:
        """Whether the API was slower, be it in too few rounds to call it so."""
        return self.tone == "bad" or (self.tone == "open" and self.ratio.value >= rungs.MATTERS)

    @property
    def tone(self) -> str:
        """How the figure looks: `bad` where the API is slower, `same` where it is not, `open` where that is open."""
        if "slower" in self.verdict:
            return "bad"
        return "same" if "no difference" in self.verdict or "faster" in self.verdict else "open"

    @property
    def figure(self) -> str:
        """The ratio in large print."""
        return ratio(self.ratio.value) + TIMES


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one pair."""

    pair: str
    title: str
    headlines: tuple[Headline, ...]
    why: str
    in_effect: str
    """What took effect instead of what was asked for; part of `why`."""
    remedy: str
    """What to do in words, with what it leads to."""
    python: tuple[str, ...]
    """The lines that do it."""
    missing: str
    """Why there is no ratio; empty: there is one."""
    command: str
    """What measures the causes, where nobody has; empty: they are measured, or there is nothing to explain."""


def answers(data: Data, ladders: Sequence[Rungs]) -> tuple[Answer, ...]:
    """One answer a pair, the oldest versions first; pairs without a ratio come last. API-only releases have none."""
    pairs = [pair for pair in data.pairs if not is_api_only(pair)]
    found = [_answer(data, pair, [one for one in ladders if one.pair == pair]) for pair in pairs]
    return tuple(sorted(found, key=lambda answer: bool(answer.missing)))


def _answer(data: Data, pair: str, ladders: Sequence[Rungs]) -> Answer:
    rows = [row for row in data.rows if row["pair"] == pair]
    posted = [row for row in data.compared if row["pair"] == pair and row["experiment"].startswith(POSTED)]
    headlines = [_headline(its) for its in _by_condition(posted)]
    headlines.sort(key=lambda one: (not one.emulated, one.experiment))
    # One where ITK is made to see more threads, and one of the machine as it is.
    headlines = list({one.emulated: one for one in reversed(headlines)}.values())[::-1]
    ladder = steepest(ladders, pair)
    slower = any(one.slower for one in headlines)
    return Answer(
        pair=text(pair),
        title=_title(pair, rows),
        headlines=tuple(headlines),
        why=_why(ladder, posted) if slower else "",
        in_effect=_unheeded(posted) if slower else "",
        remedy=_remedy(ladder) if slower else "",
        python=python(ladder) if slower else (),
        missing="" if headlines else _missing(rows),
        command=f"pixi run bench {text(pair)} --experiment causes" if slower and ladder is None else "",
    )


def _by_condition(rows: Iterable[Row]) -> list[list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["experiment"], row["condition"]), []).append(row)
    return [spread.best_rows(its) for its in found.values()]


def _title(pair: str, rows: Sequence[Row]) -> str:
    itk_elastix, _, elastix = text(pair).partition("-")
    versions = sorted({text(row["itk"]) for row in rows if row["itk"]})
    return f"itk-elastix {itk_elastix} with elastix {elastix}" + (f" (ITK {listed(versions)})" if versions else "")


def _headline(rows: Sequence[Row]) -> Headline:
    first, reach = rows[0], spread.of_rows(rows)
    emulated = first["machine_threads"]
    if len(rows) == 1:
        own = counted(first["api_threads"], "thread") if first["api_threads"] else "threads"
        where = f"where ITK sees {emulated} threads" if emulated else f"with the machine's own {own}"
        said = f"{interval_words(first)}; {floor_words(first)}"
    else:
        where = f"where ITK sees {emulated} threads" if emulated else "with each machine's own threads"
        said = f"{ratio(reach.low)} to {ratio(reach.high)} on {len(rows)} machines"
    verdict = verdicts_words(reach.verdicts)
    median = "" if len(rows) == 1 else " at the median machine"
    sentence = f"As posted, {where}, the API takes {ratio(reach.value)} times the executable's time{median} ({said}): "
    return Headline(
        experiment=text(first["experiment"]),
        where=where,
        ratio=reach,
        verdict=verdict,
        sentence=f"{sentence}{verdict}.",
        remark=_remark(rows),
        warning=_warning(rows),
        emulated=bool(emulated),
    )


def _remark(rows: Sequence[Row]) -> str:
    worst = max(rows, key=lambda row: row["agreement_px"] or 0)
    why = _EXPLAINED.search(worst["note"] or "") if worst["status"] == "disagree" else None
    return f"The two results are up to {worst['agreement_px']:.3g} px apart, {text(why[0], 100)}." if why else ""


def _warning(rows: Sequence[Row]) -> str:
    apart = [row["agreement_px"] for row in rows if row["status"] == "disagree" and row["agreement_px"]]
    unexplained = any(row["status"] == "disagree" and not _EXPLAINED.search(row["note"] or "") for row in rows)
    failed = sorted({row["status"] for row in rows if row["status"] in ("failed", "timeout", "partial")})
    said = (
        [f"the two results are up to {max(apart):.3g} px apart, and nothing explains it"]
        if unexplained and apart
        else []
    )
    said += [f"the measurement is not complete ({listed(failed)})"] if failed else []
    return f"Careful: {listed(said)}." if said else ""


def _missing(rows: Sequence[Row]) -> str:
    unavailable = [row for row in rows if row["status"] == "unavailable"]
    if unavailable and len(unavailable) == len(rows):
        return f"Not measured: {text(unavailable[0]['note'])}"
    return "Not measured as posted: `pixi run bench --experiment posted --experiment posted-28` does."


def _why(ladder: Rungs | None, posted: Sequence[Row]) -> str:
    said = []
    if ladder and (largest := ladder.largest):
        (change,) = largest.changes
        said.append(
            f"One change alone, {change.words}, brings the ratio from {_short(ladder.top)} to {_short(largest)}, a "
            f"factor of {ratio(largest.factor)}."
        )
    if facts := _unheeded(posted):
        said.insert(0, facts)
    return " ".join(said)


def _unheeded(posted: Sequence[Row]) -> str:
    """What took effect in the slowest posted row, where that is not what was asked for."""
    known = [row for row in posted if row["api_threads"] and row["threads"]]
    slowest = max(known, key=lambda row: row["ratio"], default=None)
    if slowest is None or slowest["api_threads"] == slowest["threads"]:
        return ""
    honoured = "not honoured" not in (slowest["note"] or "")
    asked = (
        f"{slowest['threads']} threads were asked for and"
        if honoured
        else (f"NumberOfThreads {slowest['threads']} in the parameter map was not honoured:")
    )
    units = f", {slowest['work_units']:,} work units" if slowest["work_units"] else ""
    threader = f" of the {text(slowest['threader'], 30)} threader" if units and slowest["threader"] else ""
    return f"As posted, {asked} the API ran with {counted(slowest['api_threads'], 'thread')}{units}{threader}."


def _remedy(ladder: Rungs | None) -> str:
    if ladder is None:
        return ""
    if ladder.remedy is None:
        return "No setting that was measured makes the API faster."
    found = ladder.remedy
    words = listed(change.what for change in found.changes)
    return (
        f"{where(ladder)}{words} {'brings' if len(found.changes) == 1 else 'bring'} the ratio from "
        f"{_short(ladder.top)} to {found.ratio.judged}."
    )


def _short(rung: Rung) -> str:
    return with_verdict(ratio(rung.ratio.value), *rung.verdicts, disagree=rung.ratio.disagree)


def where(ladder: Rungs) -> str:
    """The head of a sentence about a ladder: how many threads ITK sees in it."""
    return f"Where ITK sees {ladder.machine_threads} threads, " if ladder.machine_threads else "With its own threads, "


def python(ladder: Rungs | None) -> tuple[str, ...]:
    """The lines of Python that set a ladder's remedy."""
    found = ladder.remedy if ladder else None
    # What must be set before itk is imported stands first.
    lines = [change.python for change in found.changes] if found else []
    return tuple(sorted(lines, key=lambda line: not line.startswith("os.")))


def steepest(ladders: Sequence[Rungs], pair: str) -> Rungs | None:
    """The ladder that has the largest slowdown to take apart, if one has any."""
    its = [one for one in ladders if one.pair == pair and one.slower]
    return max(its, key=lambda one: one.top.ratio.value, default=None)
