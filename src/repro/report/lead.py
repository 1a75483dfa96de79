"""The whole report in three sentences: what holds for all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repro.explain.answers import Answer, Headline, python, steepest, where
from repro.explain.rungs import Rung, Rungs
from repro.explain.spread import Spread
from repro.wording import listed, ratio, verdicts_words, with_verdict

POSTED_THREADS = 28
"""Hardware threads of the machine of the post (data/reported.csv)."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The whole report in three sentences."""

    much: str
    why: str
    remedy: str
    python: tuple[str, ...]


def lead(found: Sequence[Answer], ladders: Sequence[Rungs]) -> Lead:
    """What holds for all pairs; a part that differs between them is left to their own answers."""
    worst = [one for answer in found if (one := steepest(ladders, answer.pair))]
    why = " ".join(filter(None, (_common_facts(found), _common_why(worst))))
    return Lead(_much(found), why, _common_remedy(worst) or _other_remedy(found, worst), _common_python(worst))


def _much(found: Sequence[Answer]) -> str:
    headlines: dict[str, list[Headline]] = {}
    for answer in found:
        for one in answer.headlines:
            headlines.setdefault(one.where, []).append(one)
    parts = []
    for its in headlines.values():
        as_there = ", as on the machine of the post" if its[0].where.endswith(f"{POSTED_THREADS} threads") else ""
        ratios = [one.ratio for one in its]
        parts.append(f"{_reach(ratios)} {its[0].where}{_judged(as_there, ratios)}")
    if not parts:
        return "Nothing was measured as posted yet."
    return f"Run as posted, the Python API takes {listed(parts)}."


def _reach(ratios: Sequence[Spread]) -> str:
    low, high = (ratio(end(one.value for one in ratios)) for end in (min, max))
    return f"{low} times the executable's time" if low == high else f"{low} to {high} times the executable's time"


def _judged(words: str, ratios: Sequence[Spread]) -> str:
    """The words with what the ratios say of all machines; of each pair its own verdict."""
    return with_verdict(
        words, *(verdicts_words(one.verdicts) for one in ratios), where=f"with {{}} of {len(ratios)} pairs"
    )


def _common_facts(found: Sequence[Answer]) -> str:
    """What took effect instead of what was asked for, where that is the same for all pairs that are slower."""
    facts = {answer.in_effect for answer in found if answer.why}
    return facts.pop() if len(facts) == 1 else ""


def _common_why(ladders: Sequence[Rungs]) -> str:
    largest = [one.largest for one in ladders]
    known = [one for one in largest if one]
    causes = {one.changes for one in known}
    if not known or len(known) < len(ladders) or len(causes) > 1:
        return ""
    (change,) = known[0].changes
    factors = [one.factor for one in known]
    low, high = ratio(min(factors)), ratio(max(factors))
    reach = low if low == high else f"{low} to {high}"
    return f"The largest cause goes away with one change: {change.words} (a factor of {reach})."


def _common_remedy(ladders: Sequence[Rungs]) -> str:
    known = _remedies(ladders)
    if not known:
        return ""
    ratios = [one.ratio for one in known]
    after = _judged(_reach(ratios), ratios)
    return f"{where(ladders[0])}with {listed(change.what for change in known[0].changes)} the API takes {after}."


def _other_remedy(found: Sequence[Answer], ladders: Sequence[Rungs]) -> str:
    """What to do where no measured setting holds for all pairs: even then a reader is told."""
    slower = [answer for answer in found if any(one.slower for one in answer.headlines)]
    if not slower:
        return "Nothing: the API was not slower here." if any(answer.headlines for answer in found) else ""
    if ladders:
        return "What helps differs between the pairs, see each of them."
    told = any("not honoured" in answer.in_effect for answer in slower)
    advice = "Tell the API its number of threads with registration.SetNumberOfThreads(n). " if told else ""
    return f"{advice}How much that or another setting gives was not measured here: {slower[0].command} does."


def _common_python(ladders: Sequence[Rungs]) -> tuple[str, ...]:
    return python(ladders[0]) if _remedies(ladders) else ()


def _remedies(ladders: Sequence[Rungs]) -> list[Rung]:
    """The remedy of each ladder where it is the same for all, else none."""
    known = [one.remedy for one in ladders if one.remedy]
    return known if len(known) == len(ladders) and len({one.changes for one in known}) == 1 else []
