"""The first screen: the answer, one table, the ladder, and what to type; for terminal, Markdown and page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from repro.explain.headline import BAD
from repro.explain.ladder import SETTINGS
from repro.explain.measured import MATTERS, value_of
from repro.model import Estimate, Finding, Reason, Status, Verdict
from repro.report import sentences
from repro.report.material import Cell, Table, worst
from repro.report.sentences import say
from repro.results.columns import Row
from repro.results.tables import Tables
from repro.text import UNKNOWN, command, counted, estimate, line, listed, ratio, seconds

TIMES = "\N{MULTIPLICATION SIGN}"
MOST_STEPS = 6
MOST_PAIRS = 12
MOST_CONDITIONS = 16
_COLUMNS = ("many", "own", "cured")
"""As posted where ITK sees many threads, as posted with this machine's own, and with the cure."""
Steps = tuple[tuple[str, Estimate, str], ...]
"""(label, ratio, verdict), from posted to cured."""


@dataclass(frozen=True, slots=True)
class First:
    """What a reader sees before he scrolls."""

    title: str
    where: str
    note: str
    """That it is a quick look, or how far the verdicts hold; may be empty."""
    table: Table
    ladder_of: str
    """What the steps are of; empty: there are none."""
    steps: Steps
    why: str
    do: str
    code: tuple[str, ...]
    warnings: tuple[str, ...]


def first_screen(tables: Tables, findings: Sequence[Finding]) -> First:
    """Of pairs where any was run as posted, else of the builds that were compared."""
    pairs = [one for one in findings if one.kind == "pair"]
    return _of_pairs(tables, findings, pairs) if pairs else _of_builds(tables)


def _of_pairs(tables: Tables, findings: Sequence[Finding], pairs: Sequence[Finding]) -> First:
    top = worst(pairs)
    place = (top.subject.machine, top.subject.comparison)
    here = [one for one in findings if (one.subject.machine, one.subject.comparison) == place]
    notes = [say(one) for one in findings if one.kind == "quick" or (one.kind == "family" and one.figures["headlines"])]
    threads = top.figures["threads"]
    cures = (one.figures["cure"] for one in here if one.kind == "ladder" and one.figures["threads"] == threads)
    cure = next(cures, None) or "threads"
    slower = any(_may_be_slower(one, name) for one in pairs for name in ("many", "own"))
    do, code = _do(here, pairs, cure) if slower else ("Nothing: the API was not slower here.", ())
    return First(
        title=sentences.headline(pairs),
        where=_where(tables),
        note=notes[0] if notes else "",
        table=_pair_table(tables, pairs),
        ladder_of=line(place[1], 40) + (f", {threads} threads seen" if top.figures["many"] else ""),
        steps=_steps(here, top, cure),
        why=next((say(one) for one in here if one.kind == "why"), "") if slower else "",
        do=do,
        code=code,
        warnings=tuple(_warnings(pairs)),
    )


def _may_be_slower(one: Finding, name: str) -> bool:
    """Whether the API is slower, be it in too few blocks to call it so."""
    verdict = one.figures[f"{name}_verdict"]
    return verdict == Verdict.SLOWER or (verdict == Verdict.CANNOT_TELL and value_of(one, name) > MATTERS)


def _pair_table(tables: Tables, pairs: Sequence[Finding]) -> Table:
    """A row a pair; of several machines the reach of their ratios."""
    by_pair: dict[str, list[Finding]] = {}
    for one in pairs:
        by_pair.setdefault(one.subject.comparison, []).append(one)
    threads, own = (sorted({one.figures[name] for one in pairs} - {None}) for name in ("threads", "own_threads"))
    several = len({one.subject.machine for one in pairs}) > 1
    own_words = "the machine's own threads" if several or len(own) != 1 else f"{own[0]} threads (this machine)"
    many_words = f"{listed(map(str, threads))} threads" if threads else "more threads"
    heads = ("itk-elastix and elastix", f"as posted, {many_words}", f"as posted, {own_words}", "with the cure")
    shown = list(by_pair.items())[:MOST_PAIRS]
    rows = tuple((Cell(line(pair, 40)), *(_cell(its, name) for name in _COLUMNS)) for pair, its in shown)
    away = [row for row in tables.rows if row.status is Status.UNAVAILABLE and row.comparison not in by_pair]
    names = list(dict.fromkeys(line(row.comparison, 40) for row in away))
    note = f"Not measured here: {listed(names[:6])}." if names else ""
    if len(by_pair) > MOST_PAIRS:
        note = f"{len(by_pair) - MOST_PAIRS} more pairs are in comparison.csv. {note}".strip()
    kinds = {one.figures[name].interval for one in pairs for name in _COLUMNS if one.figures[name]}
    reach = "95% interval" if kinds == {"interval"} else "range of the blocks"
    if several:
        reach = "reach over the machines"
    caption = f"How many times the executable's time the API takes, with the {reach}"
    return Table(caption, heads, rows, frozenset({1, 2, 3}), note)


def _cell(its: Sequence[Finding], name: str) -> Cell:
    known = [
        (one.figures[name], one.figures[f"{name}_verdict"] or Verdict.CANNOT_TELL) for one in its if one.figures[name]
    ]
    if not known:
        failed = next((status for one in its if (status := one.figures[f"{name}_status"])), None)
        return Cell(line(failed, 20), "bad") if failed else Cell(UNKNOWN)
    if len(known) == 1:
        return _judged_cell(*known[0], TIMES)
    verdicts = Counter(verdict for _, verdict in known).most_common()
    tone, number = verdicts[0]
    words = f"{sentences.verdict_words(tone)} on {counted(number, 'machine')}".strip()
    if len(verdicts) > 1:
        tone = Verdict.CANNOT_TELL
        words = ", ".join(f"{sentences.verdict_words(verdict) or 'no verdict'} on {n}" for verdict, n in verdicts)
    return Cell(sentences.reach([found.value for found, _ in known]) + TIMES, tone, words)


def _judged_cell(found: Estimate, verdict: Verdict, unit: str = "") -> Cell:
    """The ratio, and under it its interval and verdict."""
    ends = estimate(found).partition(" ")[2]
    return Cell(ratio(found.value) + unit, verdict, f"{ends} {sentences.verdict_words(verdict)}".strip())


def _steps(here: Sequence[Finding], top: Finding, cure: str) -> Steps:
    """From posted to cured: the settings that a user of the API can make, as far as they were measured."""
    many = top.figures["many"] is not None
    rungs = {
        one.figures["changes"]: (one.figures["ratio"], one.figures["verdict"])
        for one in here
        if one.kind == "rung" and one.figures["ratio"] and one.subject.experiment.startswith("causes-own") != many
    }
    if "" in rungs and len(rungs) > 1:
        between = [
            name for name in rungs if set(name.split("+")) <= SETTINGS and "threads" not in name and name != cure
        ]
        between.sort(key=lambda name: -rungs[name][0].value)
        ends = ["", *between[: MOST_STEPS - 2], *([cure] if cure in rungs else [])]
    else:
        names = {"": "many" if many else "own", "threads": "cured"}
        figures = top.figures
        rungs = {change: (figures[name], figures[f"{name}_verdict"]) for change, name in names.items() if figures[name]}
        ends = list(rungs)
    return tuple((sentences.changes(name), rungs[name][0], rungs[name][1] or Verdict.CANNOT_TELL) for name in ends)


def _do(here: Sequence[Finding], pairs: Sequence[Finding], cure: str) -> tuple[str, tuple[str, ...]]:
    """What to type: the cure, unless it failed where it was measured."""
    cores = {one.figures["cores"] for one in pairs}
    number = cores.pop() if len(cores) == 1 and None not in cores else "n"
    lines = [
        "registration = itk.ElastixRegistrationMethod.New(fixed, moving)",
        f"registration.SetNumberOfThreads({number})  # physical cores",
    ]
    settings = cure.split("+")
    if threader := next((name for name in ("pool", "platform") if name in settings), ""):
        env = f'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "{threader.capitalize()}"  # before importing itk'
        lines = [env, *lines] if "threads" in settings else [env]
    if problem := next((one.figures["cured_reason"] for one in pairs if one.figures["cured_reason"]), None):
        return f"SetNumberOfThreads failed here ({line(problem, 80)}): try it before you rely on it.", tuple(lines)
    crashed = [say(one) for one in here if one.kind == "advice" and one.figures["crashed"]]
    return crashed[0] if crashed else "Tell the API its number of threads:", tuple(lines)


def _warnings(pairs: Sequence[Finding]) -> Iterator[str]:
    """What is known against a figure of the table."""
    odd: dict[Status, dict[str, None]] = {}
    for one in pairs:
        for name in _COLUMNS:
            status = one.figures[f"{name}_status"]
            if one.figures[name] and status in BAD:
                odd.setdefault(status, {})[line(one.subject.comparison, 40)] = None
    words = {
        Status.DIFFERENT: "both did the same work and gave different results",
        Status.MISMATCH: "what ran says another version than the build's",
        Status.NOT_COMPARED: "the two results could not be compared",
    }
    for status, names in odd.items():
        yield f"Careful with {listed(list(names)[:4])}: {words.get(status, f'a trial {status}')}."


def _of_builds(tables: Tables) -> First:
    """The conditions of the builds that were compared."""
    rows = sorted(
        (row for row in tables.rows if row.experiment), key=lambda row: (row.ratio is None, row.base == row.other)
    )
    measured = [row for row in rows if row.ratio is not None]
    shown = rows[:MOST_CONDITIONS]
    machines = sorted({row.machine for row in tables.rows})
    comparisons = {row.comparison for row in rows}

    def label(row: Row) -> str:
        words = f"{row.comparison} {row.condition}" if len(comparisons) > 1 else row.condition
        return line(words, 40) + (f", M{machines.index(row.machine) + 1}" if len(machines) > 1 else "")

    before: dict[str, Callable[[Row], str]] = {}
    if len(machines) > 1:
        before["machine"] = lambda row: f"M{machines.index(row.machine) + 1} {line(row.machine, 40)}"
    if len(comparisons) > 1:
        before["builds"] = lambda row: line(row.comparison, 60)
    apart = [row for row in measured if row.base != row.other] or measured  # else it is a build against itself
    title = "No condition has a ratio." if rows else "Nothing was measured yet."
    sides = ("base", "other")
    if measured:
        names = (apart[0].base, apart[0].other)
        base, other = map(sentences.build, names)
        sides = (base, other) if len(comparisons) == 1 else sides
        verdicts = [row.verdict or Verdict.CANNOT_TELL for row in apart if (row.base, row.other) == names]
        title = f"Against {base}, {sentences.counted_verdicts(verdicts, other)}"
    intervals = all(row.interval == "interval" for row in measured)
    reach = "its 95% interval" if intervals else "the range of its blocks"
    heads = (*before, "condition", *(f"{side} (s)" for side in sides), "ratio")
    cells = tuple((*(Cell(words(row)) for words in before.values()), *_condition(row)) for row in shown)
    return First(
        title=title,
        where=_where(tables),
        note="",
        table=Table(
            f"Median seconds, and the ratio with {reach}",
            heads,
            cells,
            frozenset(range(len(heads) - 3, len(heads))),
            f"{len(rows) - len(shown)} more conditions are in comparison.csv." if len(rows) > len(shown) else "",
        ),
        ladder_of="",
        steps=tuple((label(row), row.estimate, row.verdict or Verdict.CANNOT_TELL) for row in shown if row.estimate),
        why="",
        do="" if rows else f"Measure: {command('bench-all --quick')}",
        code=(),
        warnings=tuple(dict.fromkeys(_missing(tables.rows)))[:3],
    )


def _missing(rows: Sequence[Row]) -> Iterator[str]:
    """What could not be had, or failed, and why."""
    for row in rows:
        for reason, figures in row.reasons:
            if reason is Reason.UNAVAILABLE:
                yield line(figures[0] if figures else row.status, 200)
            elif reason is Reason.TRIALS_FAILED:
                why = f": {line(figures[2], 120)}" if len(figures) > 2 else "."
                yield f"{line(row.condition, 40)}: {line(' of '.join(figures[:2]), 40)} trials failed{why}"


def _condition(row: Row) -> tuple[Cell, ...]:
    verdict = row.verdict or Verdict.CANNOT_TELL
    return (
        Cell(line(row.condition, 40)),
        Cell(seconds(row.base_median_s)),
        Cell(seconds(row.other_median_s)),
        _judged_cell(row.estimate, verdict) if row.estimate else Cell(row.status, "bad"),
    )


def _where(tables: Tables) -> str:
    """Where and how it was measured, in one line."""
    machines = {row.machine: row for row in tables.rows if row.experiment}
    blocks = sorted({row.blocks for row in tables.rows if row.blocks})
    reach = f"{blocks[0]} to {counted(blocks[-1], 'block')}" if len(blocks) > 1 else counted(sum(blocks), "block")
    method = f"{reach} of fresh processes a condition, both paths in the same rounds" if blocks else ""
    if len(machines) == 1:
        ((name, row),) = machines.items()
        cores = f", {counted(row.physical_cores, 'core')}" if row.physical_cores else ""
        place = f"{line(row.cpu or name, 60)}{cores}, {line(row.platform, 20)}"
    else:
        place = counted(len(machines), "machine")
    when = sorted(session.started_utc[:10] for session in tables.sessions)
    return ". ".join(part for part in (place + (f", {line(when[-1], 10)}" if when else ""), method) if part) + "."
