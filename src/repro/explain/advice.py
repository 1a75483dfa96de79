"""What to do: the best measured setting for one job and for many, and the lines of Python that set it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from repro.model import THREADERS
from repro.results.flags import OTHER_SAMPLES
from repro.wording import finite, interval_words, ratio, verdict_words

AS_GOOD = 0.97
"""Registrations a minute, relative to the most, that count as many: bench stops at this precision."""
Row = Mapping[str, str]
"""A row of comparison.csv as text; what is not known is empty."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The best of what was measured for a number of jobs, or the command that measures it."""

    jobs: str
    """"One job at a time", or "Many jobs"."""
    words: str
    python: tuple[str, ...] = ()
    missing: str = ""
    """The experiment that would tell; empty: something was measured that does."""


def advice(rows: Mapping[tuple[str, str], Row]) -> tuple[Advice, Advice]:
    """For one machine and pair, from its rows by experiment and condition: for one job, and for many.

    Only rows at the machine's own threads count whose two results agree, or differ by their random samples alone
    (elastix before 5.3.0 takes others at each call), and of one job and of many only those of the inputs that most
    conditions have: seconds of different work cannot be compared, and fewer bins are another
    registration. Of what is as quick as the quickest, the plain API is advised for one job, and the recipe for many.
    """
    measured = [row for row in rows.values() if _measured(row)]
    one = _best(_alike([row for row in measured if row["jobs"] == "1"]), "")
    many = _best(_alike([row for row in measured if row["jobs"] != "1"]), "recipe")
    return (
        Advice("One job at a time", "", missing="causes-own") if one is None else _one(one),
        Advice("Many jobs", "", missing="parallel") if many is None else _many(many),
    )


def _alike(rows: Sequence[Row]) -> Sequence[Row]:
    """Those of the same work, of the inputs that most have; rows with an interval count before those without."""
    those = [row for row in rows if row["interval"] == "interval"] or rows
    most = Counter(map(_inputs, those)).most_common(1)
    same = (row for row in those if row["status"] == "ok" or OTHER_SAMPLES in row["note"])
    return [row for row in same if _inputs(row) == most[0][0]]


def _best(rows: Sequence[Row], strategy: str) -> Row | None:
    """The row of most registrations a minute, or one as good of this strategy, or else of fewer jobs."""
    most = max((float(row["api_per_min"]) for row in rows), default=0.0)
    near = [row for row in rows if float(row["api_per_min"]) >= most * AS_GOOD]
    return min(near, key=lambda row: (row["strategy"] != strategy, int(row["jobs"]), row["condition"]), default=None)


def text(pair: str, rows: Mapping[tuple[str, str], Row]) -> Iterator[str]:
    """The advice as lines of Markdown."""
    for one in advice(rows):
        if one.missing:
            same = "nothing was measured that does the same work on both paths"
            yield f"* {one.jobs}: {same} (`bench {pair} --experiment {one.missing}`)."
            continue
        yield f"* {one.jobs}: {one.words}"
        yield ""
        yield from (f"      {line}" for line in one.python)
        yield ""


def _measured(row: Row) -> bool:
    """Whether it says how long the machine's own threads take; its results may disagree."""
    measured = row["arms"] == "cli api" and row["status"] in ("ok", "disagree") and not row["machine_threads"]
    measured = measured and row["measures"] in ("", "registration")
    figures = ("ratio", "ratio_low", "ratio_high", "cli_per_min", "api_per_min")
    whole = row["jobs"].isdigit() and (row["threads"].isdigit() or not row["strategy"])
    return measured and whole and all(map(_is_number, (row[name] for name in figures)))


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _inputs(row: Row) -> tuple[str, ...]:
    """What the work of a row is."""
    return tuple(row[name] for name in ("fixed_sha256", "moving_sha256", "params_sha256"))


def _one(row: Row) -> Advice:
    words = (
        f"`{row['experiment']}/{row['condition']}` takes {60 / float(row['api_per_min']):.3g} s a registration, "
        f"{ratio(finite(row['ratio']))} times the executable's ({_says(row)})."
    )
    return Advice("One job at a time", words, _python(row))


def _many(row: Row) -> Advice:
    words = (
        f"`{row['experiment']}/{row['condition']}`, {row['jobs']} at a time, does "
        f"{_round(row['api_per_min'])} registrations a minute; a batch takes {ratio(finite(row['ratio']))} times that "
        f"of as many executables at a time ({_says(row)}), which do {_round(row['cli_per_min'])} a minute."
    )
    return Advice("Many jobs", words, _python(row))


def _python(row: Row) -> tuple[str, ...]:
    """The lines that give a Python program the setting of the row."""
    threads, jobs, strategy = row["threads"], row["jobs"], row["strategy"]
    threader = row["api_threader_asked"] if row["api_threader_asked"] in THREADERS else ""
    if strategy == "recipe":
        asked = f', threader="{threader}"' if threader else ""
        return (
            "from recipe import ElastixPool  # src/repro/measure/recipe.py, to copy",
            f"with ElastixPool(workers={jobs}, threads={threads}{asked}) as pool:",
            "    future = pool.submit(fixed, moving, parameter_files, output_directory=folder)",
        )
    before = (
        (f'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "{threader}"  # before itk is imported',) if threader else ()
    )
    by_method = row["api_threads_by"] == "method" and threads
    asks = (f"registration.SetNumberOfThreads({threads})  # in each job",) if by_method else ()
    pool = {
        "threads": f"pool = concurrent.futures.ThreadPoolExecutor({jobs})",
        "spawned": f'pool = concurrent.futures.ProcessPoolExecutor({jobs}, multiprocessing.get_context("spawn"))',
        "forked": f'pool = concurrent.futures.ProcessPoolExecutor({jobs}, multiprocessing.get_context("fork"))'
        "  # once itk.ElastixRegistrationMethod was used",
    }.get(strategy)
    return (*before, *((pool,) if pool else ()), *asks) or ("# the wheels' own settings",)


def _says(row: Row) -> str:
    apart = f"; results disagree, {OTHER_SAMPLES}" if row["status"] == "disagree" else ""
    return f"{interval_words(row)}; {verdict_words(row['verdict'])}{apart}"


def _round(number: str) -> str:
    return f"{float(number):.3g}"
