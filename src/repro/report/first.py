"""The first screen: the answer, one table, the ladder, and what to type; for terminal, Markdown and page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from repro.explain.headline import BAD
from repro.explain.ladder import SETTINGS
from repro.explain.measured import MATTERS
from repro.model import Estimate, Finding, Reason, Status, Verdict
from repro.report import sentences
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


class Cell(NamedTuple):
    """One cell of a table."""

    text: str
    tone: str = ""
    """A verdict, ``bad`` or ``code``: colour in the page, never the only carrier of a meaning."""
    small: str = ""
    """Words under the figure: its interval and verdict."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its head."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    figures: frozenset[int] = frozenset()
    """Columns of figures, which stand to the right."""
    note: str = ""


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
    steps: tuple[tuple[str, Estimate, str], ...]
    """(label, ratio, verdict), from posted to cured."""
    why: str
    do: str
    code: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def first_screen(tables: Tables, findings: Sequence[Finding]) -> First:
    """Of pairs where any was run as posted, else of the builds that were compared."""
    pairs = [one for one in findings if one.kind == "pair"]
    return _of_pairs(tables, findings, pairs) if pairs else _of_builds(tables)


def worst(pairs: Sequence[Finding]) -> Finding:
    """The pair and machine with the largest posted ratio."""
    return max(pairs, key=lambda one: max(_value(one, "many"), _value(one, "own")))


def _of_pairs(tables: Tables, findings: Sequence[Finding], pairs: Sequence[Finding]) -> First:
    top = worst(pairs)
    quick = [say(one) for one in findings if one.kind == "quick"]
    family = [say(one) for one in findings if one.kind == "family" and one.figures["headlines"]]
    why = next((say(one) for one in findings if one.kind == "why" and _place(one) == _place(top)), "")
    slower = any(_may_be_slower(one, name) for one in pairs for name in ("many", "own"))
    ladder_of, steps = _steps(findings, top)
    do, code = _do(findings, pairs, top) if slower else ("Nothing: the API was not slower here.", ())
    return First(
        title=sentences.headline(pairs),
        where=_where(tables),
        note=(quick or family or [""])[0],
        table=_pair_table(tables, pairs),
        ladder_of=ladder_of,
        steps=steps,
        why=why if slower else "",
        do=do,
        code=code,
        warnings=tuple(_warnings(pairs)),
    )


def _pair_table(tables: Tables, pairs: Sequence[Finding]) -> Table:
    """A row a pair; of several machines the reach of their ratios."""
    by_pair: dict[str, list[Finding]] = {}
    for one in pairs:
        by_pair.setdefault(one.subject.comparison, []).append(one)
    threads = sorted({int(n) for one in pairs if isinstance(n := one.figures["threads"], int)})
    own = sorted({int(n) for one in pairs if isinstance(n := one.figures["own_threads"], int)})
    several = len({one.subject.machine for one in pairs}) > 1
    own_words = "the machine's own threads" if several or len(own) != 1 else f"{own[0]} threads (this machine)"
    many_words = f"{listed(map(str, threads))} threads" if threads else "more threads"
    heads = ("itk-elastix and elastix", f"as posted, {many_words}", f"as posted, {own_words}", "with the cure")
    shown = list(by_pair.items())[:MOST_PAIRS]
    rows = [(Cell(line(pair, 40)), *(_cell(its, name) for name in _COLUMNS)) for pair, its in shown]
    away = [row for row in tables.rows if row.status is Status.UNAVAILABLE and row.comparison not in by_pair]
    names = list(dict.fromkeys(line(row.comparison, 40) for row in away))
    note = f"Not measured here: {listed(names[:6])}." if names else ""
    if len(by_pair) > MOST_PAIRS:
        note = f"{len(by_pair) - MOST_PAIRS} more pairs are in comparison.csv. {note}".strip()
    kinds = {found.interval for its in pairs for name in _COLUMNS if isinstance(found := its.figures[name], Estimate)}
    reach = "95% interval" if kinds == {"interval"} else "range of the blocks"
    if several:
        reach = "reach over the machines"
    caption = f"How many times the executable's time the API takes, with the {reach}"
    return Table(caption, heads, tuple(rows), frozenset({1, 2, 3}), note)


def _cell(its: Sequence[Finding], name: str) -> Cell:
    found = [(one.figures[name], one.figures[f"{name}_verdict"]) for one in its]
    known = [(value, verdict) for value, verdict in found if isinstance(value, Estimate)]
    if not known:
        failed = next((one.figures[f"{name}_status"] for one in its if one.figures[f"{name}_status"]), None)
        return Cell(line(failed, 20), "bad") if failed else Cell(UNKNOWN)
    verdicts = Counter(str(verdict or Verdict.CANNOT_TELL) for _, verdict in known)
    ((most, number),) = verdicts.most_common(1)
    tone = most if number == len(known) else str(Verdict.CANNOT_TELL)
    if len(known) == 1:
        return judged_cell(known[0][0], most, TIMES)
    parts = [f"{sentences.verdict_words(verdict) or 'no verdict'} on {n}" for verdict, n in verdicts.most_common()]
    words = ", ".join(parts)
    if len(verdicts) == 1:
        words = f"{sentences.verdict_words(most)} on {counted(number, 'machine')}".strip()
    return Cell(sentences.reach([value.value for value, _ in known]) + TIMES, tone, words)


def judged_cell(found: Estimate, verdict: str, unit: str = "") -> Cell:
    """The ratio, and under it its interval and verdict."""
    ends = estimate(found).partition(" ")[2]
    return Cell(ratio(found.value) + unit, verdict, f"{ends} {sentences.verdict_words(verdict)}".strip())


Steps = tuple[tuple[str, Estimate, str], ...]


def _steps(findings: Sequence[Finding], top: Finding) -> tuple[str, Steps]:
    """From posted to cured: the settings that a user of the API can make, as far as they were measured."""
    many = isinstance(top.figures["many"], Estimate)
    where = line(top.subject.comparison, 40) + (f", {top.figures['threads']} threads seen" if many else "")
    rungs: dict[str, tuple[object, object]] = {}
    for one in findings:
        own = one.subject.experiment.startswith("causes-own")
        if one.kind == "rung" and _place(one) == _place(top) and own != many:
            rungs[str(one.figures["changes"])] = (one.figures["ratio"], one.figures["verdict"])
    ladder = _ladder(findings, top)
    cure = str(ladder.figures["cure"] or "threads") if ladder else "threads"
    if "" in rungs and len(rungs) > 1:
        between = [
            name for name in rungs if set(name.split("+")) <= SETTINGS and "threads" not in name and name != cure
        ]
        steps = _judged((sentences.changes(name), *rungs[name]) for name in between)
        steps = tuple(sorted(steps, key=lambda one: -one[1].value))[: MOST_STEPS - 2]
        last = [(sentences.changes(cure), *rungs[cure])] if cure in rungs else []
        return where, (*_judged([(sentences.changes(""), *rungs[""])]), *steps, *_judged(last))
    named = (("many" if many else "own", ""), ("cured", "threads"))
    ends = ((sentences.changes(change), top.figures[name], top.figures[f"{name}_verdict"]) for name, change in named)
    return where, _judged(ends)


def _judged(found: Iterable[tuple[str, object, object]]) -> Steps:
    known = ((label, value, str(verdict or Verdict.CANNOT_TELL)) for label, value, verdict in found)
    return tuple((label, value, verdict) for label, value, verdict in known if isinstance(value, Estimate))


def _ladder(findings: Sequence[Finding], top: Finding) -> Finding | None:
    """The ladder of the same place and threads."""
    found = (one for one in findings if one.kind == "ladder" and _place(one) == _place(top))
    return next((one for one in found if one.figures["threads"] == top.figures["threads"]), None)


def _do(findings: Sequence[Finding], pairs: Sequence[Finding], top: Finding) -> tuple[str, tuple[str, ...]]:
    """What to type: the cure, unless it failed where it was measured."""
    cores = {one.figures["cores"] for one in pairs}
    number = str(cores.pop()) if len(cores) == 1 and None not in cores else "n"
    lines = [
        "registration = itk.ElastixRegistrationMethod.New(fixed, moving)",
        f"registration.SetNumberOfThreads({number})  # physical cores",
    ]
    ladder = _ladder(findings, top)
    cure = set(str(ladder.figures["cure"] or "").split("+")) if ladder else {"threads"}
    if threader := next((name for name in ("pool", "platform") if name in cure), ""):
        env = f'os.environ["ITK_GLOBAL_DEFAULT_THREADER"] = "{threader.capitalize()}"  # before importing itk'
        lines = [env, *lines] if "threads" in cure else [env]
    if problem := next((one.figures["cured_reason"] for one in pairs if one.figures["cured_reason"]), None):
        return f"SetNumberOfThreads failed here ({line(problem, 80)}): try it before you rely on it.", tuple(lines)
    crashed = [
        say(one) for one in findings if one.kind == "advice" and one.figures["crashed"] and _place(one) == _place(top)
    ]
    return crashed[0] if crashed else "Tell the API its number of threads:", tuple(lines)


def _warnings(pairs: Sequence[Finding]) -> list[str]:
    """What is known against a figure of the table."""
    odd: dict[str, list[str]] = {}
    for one in pairs:
        for name in _COLUMNS:
            if isinstance(one.figures[name], Estimate) and one.figures[f"{name}_status"] in BAD:
                odd.setdefault(str(one.figures[f"{name}_status"]), []).append(line(one.subject.comparison, 40))
    words = {
        Status.DIFFERENT: "both did the same work and gave different results",
        Status.MISMATCH: "what ran says another version than the build's",
        Status.NOT_COMPARED: "the two results could not be compared",
    }
    names = {status: listed(dict.fromkeys(pairs[:4])) for status, pairs in odd.items()}
    return [f"Careful with {name}: {words.get(Status(status), f'a trial {status}')}." for status, name in names.items()]


def _of_builds(tables: Tables) -> First:
    """The conditions of the builds that were compared."""
    rows = [row for row in tables.rows if row.experiment and row.ratio is not None]
    shown = rows[:MOST_CONDITIONS]
    several = len({(row.machine, row.comparison) for row in rows}) > 1
    cells = [(*((Cell(line(row.comparison, 60)),) if several else ()), *_condition(row)) for row in shown]
    note = f"{len(rows) - len(shown)} more conditions are in comparison.csv." if len(rows) > len(shown) else ""
    names = list(dict.fromkeys((row.base, row.other) for row in rows))
    title, sides = "Nothing was measured yet.", ("base", "other")
    if len(names) == 1:
        sides = (sentences.build(names[0][0]), sentences.build(names[0][1]))
    heads = (*(("builds",) if several else ()), "condition", *(f"{side} (s)" for side in sides), "ratio")
    if rows:
        base, other = names[0]
        verdicts = [row.verdict or Verdict.CANNOT_TELL for row in rows if (row.base, row.other) == names[0]]
        title = sentences.conditions(base or "", other or "", verdicts)
    steps = tuple(
        (line(row.condition, 40), one, str(row.verdict or Verdict.CANNOT_TELL))
        for row in shown
        if (one := row.estimate)
    )
    missing = [
        line(figures[0] if figures else row.status, 200)
        for row in tables.rows
        for reason, figures in row.reasons
        if reason is Reason.UNAVAILABLE
    ]
    do = "" if rows else f"Measure: {command('bench-all --quick')}"
    first = len(heads) - 3
    table = Table(
        "Median seconds, and the ratio with its 95% interval",
        heads,
        tuple(cells),
        frozenset({first, first + 1, first + 2}),
        note,
    )
    return First(title, _where(tables), "", table, "", steps, "", do, (), tuple(dict.fromkeys(missing[:3])))


def _condition(row: Row) -> tuple[Cell, ...]:
    verdict = str(row.verdict or Verdict.CANNOT_TELL)
    return (
        Cell(line(row.condition, 40)),
        Cell(seconds(row.base_median_s)),
        Cell(seconds(row.other_median_s)),
        judged_cell(row.estimate, verdict) if row.estimate else Cell(UNKNOWN),
    )


def _where(tables: Tables) -> str:
    """Where and how it was measured, in one line."""
    machines = {row.machine: row for row in tables.rows if row.experiment}
    blocks = sorted({row.blocks for row in tables.rows if row.blocks})
    reach = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else "".join(map(str, blocks))
    method = f"{reach} blocks of fresh processes a condition, both paths in the same rounds" if blocks else ""
    if len(machines) == 1:
        ((name, row),) = machines.items()
        cores = f", {counted(row.physical_cores, 'core')}" if row.physical_cores else ""
        place = f"{line(row.cpu or name, 60)}{cores}, {line(row.platform, 20)}"
    else:
        place = counted(len(machines), "machine")
    when = sorted(session.started_utc[:10] for session in tables.sessions)
    return ". ".join(part for part in (place + (f", {line(when[-1], 10)}" if when else ""), method) if part) + "."


def _may_be_slower(one: Finding, name: str) -> bool:
    """Whether the API is slower, be it in too few blocks to call it so."""
    verdict = one.figures[f"{name}_verdict"]
    return verdict == Verdict.SLOWER or (verdict == Verdict.CANNOT_TELL and _value(one, name) > MATTERS)


def _place(one: Finding) -> tuple[str, str]:
    return one.subject.machine, one.subject.comparison


def _value(one: Finding, name: str) -> float:
    found = one.figures[name]
    return found.value if isinstance(found, Estimate) else 0.0
