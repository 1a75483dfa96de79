"""What to do: the best measured setting for one job and for many, and the lines of Python that set it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from repro.explain.measured import Measured, asked, subject
from repro.model import Finding, Reason, Status
from repro.results.columns import Row

AS_GOOD = 1.03
"""Seconds a registration, relative to the least, that count as as few: bench stops at this precision."""
_FAILED = (Status.FAILED, Status.TIMEOUT)


def find(measured: Measured) -> Iterator[Finding]:
    """`advice` for one job and for many, by machine and pair, where something was measured that tells."""
    for _, rows in measured.pairs():
        useful = [row for row in rows if _useful(row)]
        for batch in (False, True):
            its = _alike([row for row in useful if bool(row.strategy) == batch])
            if its:
                yield _advice(_best(its), rows)


def _useful(row: Row) -> bool:
    """Whether it says what a setting of the API gives at the machine's own threads."""
    its_own = (row.base_path, row.other_path) == ("cli", "api") and not row.machine_threads
    return its_own and row.ratio is not None and row.other_median_s is not None and row.status not in _FAILED


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Those of the same work, of the work that most have, whose two results agree.

    Other random samples (elastix before 5.3.0 takes new ones at each call) are the same work. Fewer bins are another
    registration, and seconds of different work cannot be compared. Rows with an interval count before those without.
    """
    those = [row for row in rows if row.interval == "interval"] or list(rows)
    same = [row for row in those if _same_result(row)]
    whole = [row for row in those if not row.overrides] or those
    most = Counter(map(_work, whole)).most_common(1)
    return [row for row in same if _work(row) == most[0][0]]


def _same_result(row: Row) -> bool:
    reasons = {reason for reason, _ in row.reasons}
    return row.status is Status.OK or (row.status is Status.EXPLAINED and Reason.UNEQUAL_WORK_UNITS not in reasons)


def _work(row: Row) -> tuple[str | None, ...]:
    return row.transform, row.size_px, row.overrides, row.base_digest


def _best(rows: Sequence[Row]) -> Row:
    """The row of the fewest seconds a registration, or one about as good that is simpler to do."""
    least = min(map(each_s, rows))
    near = [row for row in rows if each_s(row) <= least * AS_GOOD]
    return min(near, key=lambda row: (row.strategy != "pool", bool(asked(row.other_asked).threader), row.jobs or 1))


def each_s(row: Row) -> float:
    """Seconds of one registration of the other arm."""
    return (row.other_median_s or 0.0) / (row.registrations or 1)


def _advice(row: Row, rows: Sequence[Row]) -> Finding:
    crashed = [one for one in rows if one.status in _FAILED and one.other_asked == row.other_asked]
    return Finding(
        "advice",
        subject(row),
        {
            "jobs": row.jobs or 1 if row.strategy else 1,
            "batch": "yes" if row.strategy else "no",
            "each_s": each_s(row),
            "base_each_s": (row.base_median_s or 0.0) / (row.registrations or 1),
            "ratio": row.estimate,
            "verdict": row.verdict,
            "code": "\n".join(code(row)),
            "crashed": crashed[0].condition if crashed else None,
        },
    )


def code(row: Row) -> list[str]:
    """The lines that give a Python program the setting of the row's other arm."""
    settings = asked(row.other_asked)
    threader = settings.threader
    if row.strategy == "pool":
        threads = settings.threads if isinstance(settings.threads, int) else 1
        more = f', threader="{threader}"' if threader else ""
        return [
            "from elastix_pool import ElastixPool  # recipe/elastix_pool.py, to copy",
            f"with ElastixPool(workers={row.jobs or 1}, threads={threads}{more}) as pool:",
            "    future = pool.submit(fixed, moving, parameter_files, output_directory=folder)",
        ]
    lines = [f'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "{threader}"  # before itk is imported'] if threader else []
    workers = {
        "threads": f"pool = concurrent.futures.ThreadPoolExecutor({row.jobs})",
        "spawned": f'pool = concurrent.futures.ProcessPoolExecutor({row.jobs}, multiprocessing.get_context("spawn"))',
        "plugin": f'pool = concurrent.futures.ProcessPoolExecutor({row.jobs}, multiprocessing.get_context("spawn"))',
        "forked": f'pool = concurrent.futures.ProcessPoolExecutor({row.jobs}, multiprocessing.get_context("fork"))',
    }
    if row.strategy in workers:
        lines.append(workers[row.strategy])
    if settings.by == "method" and settings.threads != "default":
        lines.append(f"registration.SetNumberOfThreads({settings.threads})")
    return lines or ["# the wheels' own settings"]
