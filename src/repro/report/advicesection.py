"""The end of the report: what to do, by machine and pair."""

from __future__ import annotations

import re

from repro.explain.advice import advice
from repro.model import is_api_only
from repro.report.page import Section
from repro.report.reportdata import Data
from repro.wording import code, text

MOST_PLACES = 16
"""Machines times pairs that are advised in the report; `explain` has them all."""
_ODD = re.compile(r"[^\w.+ -]")


def what_to_do(data: Data) -> Section:
    """The best measured setting for one job and for many, and the lines that set it."""
    title = "What to do"
    paragraphs, lines = [], []
    missing = []
    places = {place: rows for place, rows in data.as_text.items() if not is_api_only(place[1])}
    for (machine, pair), rows in list(places.items())[:MOST_PLACES]:
        where = text(pair, 40) + (f" on {data.short(machine)}" if len(data.machines) > 1 else "")
        for one in advice(rows):
            if one.missing:
                missing.append(one.missing)
                continue
            paragraphs.append(f"{where}. {one.jobs}: {text(one.words.replace('`', ''), 500)}")
            # The lines are for copying, so a name from a file brings no other characters into them.
            lines += [f"# {_ODD.sub('', where)}. {one.jobs}", *(code(line) for line in one.python)]
    if not paragraphs:
        return Section(
            "advice", title, missing="No setting was measured whose result is the executable's, at this machine's "
            "own threads.", command="pixi run bench --experiment causes-own --experiment parallel",
        )  # fmt: skip
    if missing:
        more = " and ".join(sorted(set(missing)))
        paragraphs.append(f"Not measured for every pair: experiments {more}.")
    return Section("advice", title, tuple(paragraphs), lines=tuple(lines))
