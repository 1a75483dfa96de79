"""The headline: for each pair how much slower as posted, with this machine's threads and with the cure; and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from repro import stats
from repro.explain.measured import BINS, POSTED_BINS, Measured, is_posted, is_single, is_told, overrides
from repro.model import Finding, Reason, Status, Subject, Verdict
from repro.results.columns import Row

QUICK = "quick"
_RANK = ("posted", "causes", QUICK)
"""Experiments whose names start so hold the posted registration, the whole one first."""
BAD = (Status.FAILED, Status.TIMEOUT, Status.DIFFERENT, Status.MISMATCH, Status.NOT_COMPARED)


def find(measured: Measured) -> Iterator[Finding]:
    """`pair` for each machine and pair that was run as posted, `why`, `untold`, `quick`, `spread` and `family`."""
    found = {place: _rows(rows) for place, rows in measured.pairs()}
    found = {place: its for place, its in found.items() if any(its)}
    if found and all(row.experiment == QUICK for its in found.values() for row in its if row):
        (shown, *_) = (row for its in found.values() for row in its if row)
        yield Finding(QUICK, Subject(), {"blocks": shown.blocks, "overrides": shown.overrides})
    headlines = 0
    for (machine, pair), (many, own, cured) in found.items():
        family = stats.family(sum(place[0] == machine for place in found))
        figures: dict[str, Any] = {}
        for name, row in (("many", many), ("own", own), ("cured", cured)):
            figures |= {name: row and row.estimate, f"{name}_verdict": _verdict(measured, row, family)}
            figures |= {f"{name}_status": row.status if row and row.status in BAD else None}
        headlines += figures["many_verdict" if many else "own_verdict"] not in (None, Verdict.CANNOT_TELL)
        top = many or own
        yield Finding(
            "pair",
            Subject(machine, pair, top.experiment if top else "", top.condition if top else ""),
            {
                **figures,
                "threads": many.machine_threads if many else None,
                "own_threads": own.other_threads if own else None,
                "cores": top.physical_cores if top else None,
                "base_s": top.base_median_s if top else None,
                "other_s": top.other_median_s if top else None,
                "cured_reason": _problem(cured),
            },
        )
        if top and top.other_threads:
            yield _why(measured, top, cured)
    yield from _trust(measured, headlines)


def _rows(rows: Sequence[Row]) -> tuple[Row | None, Row | None, Row | None]:
    """As posted where ITK is made to see more threads, as posted with this machine's own, and with the cure."""

    def first(chosen: Sequence[Row]) -> Row | None:
        ranked = [row for row in chosen if row.experiment.startswith(_RANK)]
        return min(ranked, key=_rank, default=None)

    plain = [row for row in rows if not _other_work(row)]
    many = first([row for row in plain if is_posted(row) and row.machine_threads])
    own = first([row for row in plain if is_posted(row) and not row.machine_threads])
    top = many or own
    threads = top.machine_threads if top else None
    told = [row for row in plain if is_told(row) and row.machine_threads == threads and row.other_path == "api"]
    return many, own, first([row for row in told if row.base_path == "cli"])


def _rank(row: Row) -> tuple[int, int, int, str]:
    rank = next(n for n, start in enumerate(_RANK) if row.experiment.startswith(start))
    return rank, len(overrides(row)), -(row.blocks or 0), row.experiment


def _other_work(row: Row) -> bool:
    """Whether it is another registration than the posted one; fewer iterations do the same work in each."""
    return bool(overrides(row).keys() - {"MaximumNumberOfIterations", "NumberOfResolutions"})


def _verdict(measured: Measured, row: Row | None, confidence: float) -> Verdict | None:
    """The verdict that holds together with those of the machine's other pairs, where there are blocks enough."""
    if row is None or row.ratio is None:
        return None
    joint = stats.estimate(measured.blocks_of(row), confidence)
    return stats.verdict(joint, row.floor) if joint and joint.interval == "interval" else row.verdict


def _problem(row: Row | None) -> str | None:
    """Why the cure has no ratio although it was tried."""
    failed = [figures for reason, figures in row.reasons if reason is Reason.TRIALS_FAILED] if row else []
    if row is None or (not failed and row.status not in (Status.FAILED, Status.TIMEOUT)):
        return None
    return failed[0][-1] if failed and failed[0] else str(row.status)


def _why(measured: Measured, top: Row, cured: Row | None) -> Finding:
    """What took effect instead of what was asked for, and whether histograms have to do with it."""
    unheeded = any(reason is Reason.NOT_HONOURED for reason, _ in top.reasons)
    place = measured.rows[top.machine, top.comparison].values()
    bins = [row for row in place if is_single(row) and overrides(row).get(BINS) not in (None, str(POSTED_BINS))]
    wide = [row for row in place if is_posted(row) and not overrides(row).get(BINS)]
    same = [(w, b) for w in wide for b in bins if (w.experiment, w.other_asked) == (b.experiment, b.other_asked)]
    factor = measured.factor(*same[0]) if same else (None, None)
    return Finding(
        "why",
        Subject(top.machine, top.comparison, top.experiment, top.condition),
        {
            "unheeded": "yes" if unheeded else "no",
            "base_threads": top.base_threads,
            "threads": top.other_threads,
            "work_units": top.other_work_units,
            "threader": top.other_threader,
            "cured_units": cured.other_work_units if cured else None,
            "histograms": "yes" if factor[1] is Verdict.SLOWER else "no",
        },
    )


def _trust(measured: Measured, headlines: int) -> Iterator[Finding]:
    """How far the verdicts can be trusted, together."""
    rows = [row for its in measured.rows.values() for row in its.values() if row.experiment and row.ratio]
    judged = [row for row in rows if row.verdict and row.verdict is not Verdict.CANNOT_TELL]
    if judged:
        chance = stats.by_chance(len(judged))
        yield Finding("family", Subject(), {"verdicts": len(judged), "by_chance": chance, "headlines": headlines})
    both = [(row.between_sd, row.within_sd) for row in rows if row.between_sd is not None and row.within_sd is not None]
    if both:
        yield Finding(
            "spread",
            Subject(),
            {
                "rows": len(both),
                "between_larger": sum(between > within for between, within in both),
                "between": median(between for between, _ in both),
                "within": median(within for _, within in both),
            },
        )
