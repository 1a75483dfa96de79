#!/usr/bin/env python3
"""Does a condition that is measured twice give the same ratio? Compares two merged results folders.

    PYTHONPATH=src python studies/repeat.py results/first results/second

Prints a row for each condition that both have with an interval, and how many pairs of intervals reach the other's
estimate. Conditions whose builds or inputs differ are counted apart: they are not the same condition.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import setting
from repro.results import tables
from repro.results.columns import Row
from repro.text import estimate


def main() -> None:
    """Print the table and the count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args()
    with setting.working_folder():
        first, second = (measured(tables.read(folder).rows) for folder in (options.first, options.second))
    both = [name for name in first if name in second]
    same = [name for name in both if first[name].key == second[name].key]
    columns = ("comparison", "experiment", "condition", "first", "second", "second / first", "reaches")
    setting.print_header(*columns)
    reached = 0
    for name in same:
        one, two = first[name].estimate, second[name].estimate
        assert one is not None
        assert two is not None
        reaches = reach(first[name], second[name])
        reached += reaches != "neither"
        setting.print_row(*name[1:], estimate(one), estimate(two), f"{two.value / one.value:.3f}", reaches)
    apart = [abs(math.log(second[name].ratio or 1) - math.log(first[name].ratio or 1)) for name in same]
    print(f"\n{reached} of {len(same)} pairs of intervals reach the other's estimate.")
    if apart:
        print(f"Median distance of the two estimates: {sorted(apart)[len(apart) // 2]:.1%}.")
    if len(both) > len(same):
        print(f"{len(both) - len(same)} more have other builds or inputs in the second folder, and are not compared.")


def measured(rows: list[Row]) -> dict[tuple[str, str, str, str], Row]:
    """The rows that have an interval, by what they are about."""
    return {
        (row.machine, row.comparison, row.experiment, row.condition): row for row in rows if row.interval == "interval"
    }


def reach(one: Row, two: Row) -> str:
    """Which of the two intervals holds the estimate of the other."""
    held = [
        name
        for name, outer, inner in (("first", one, two), ("second", two, one))
        if (outer.ratio_low or 0) <= (inner.ratio or 0) <= (outer.ratio_high or 0)
    ]
    return " and ".join(held) or "neither"


if __name__ == "__main__":
    main()
