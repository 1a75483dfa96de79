"""The sections about where the figures come from: machines, posts, method, flags, commands, versions, checksums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repro.cli import doctor
from repro.explain.answers import POSTED
from repro.report import reported
from repro.report.page import Cell, Section, Table
from repro.report.reportdata import Data, Row
from repro.report.sections import MOST_ROWS, cut, label, tone
from repro.wording import UNKNOWN, counted, judged, mebibytes, ratio, seconds, text

_MOST_LINES = 40


def machines(data: Data) -> Section:
    """The machines and what would disturb a measurement on each."""
    title = "The machines"
    if not data.rows:
        return Section("machines", title, missing="No machine has measured anything yet.", command="pixi run bench")
    table = Table(
        caption="Machines by their fingerprint; the name is a salted digest of what the hardware is",
        heads=("machine", "system", "processor", "cores", "logical", "memory", "virtual machine", "governor", "pairs"),
        rows=tuple(_machine(data, name) for name in data.machines),
        figures=frozenset({3, 4, 5}),
    )
    disturbing = tuple(
        (Cell(text(name)), Cell(text(finding.what)), Cell(text(finding.why)), Cell(text(finding.cure)))
        for name in data.machines
        if (facts := data.fingerprint(name))
        for finding in _findings(facts)
        if finding.level != "ok"
    )
    heads = ("machine", "what was found", "what it does to a measurement", "what to do")
    tables = (table, Table("What may have disturbed the measurements", heads, disturbing[:MOST_ROWS]))
    return Section("machines", title, tables=tables if disturbing else tables[:1])


def _findings(facts: Mapping[str, Any]) -> list[doctor.Finding]:
    """What doctor says of a machine; of a damaged fingerprint, that it is one."""
    try:
        return list(doctor.checks(facts))
    except (TypeError, ValueError, AttributeError):
        return [
            doctor.Finding("warn", "its fingerprint is damaged", "what disturbed it is not known", "run doctor there")
        ]


def _machine(data: Data, name: str) -> tuple[Cell, ...]:
    first = next(row for row in data.rows if row["machine"] == name)
    facts = data.fingerprint(name)
    pairs = {row["pair"] for row in data.rows if row["machine"] == first["machine"] and row["status"] != "unavailable"}
    return (
        Cell(f"{data.short(name)}: {text(name)}" if len(data.machines) > 1 else text(name)),
        Cell(" ".join(text(part, 60) for part in (first["os"], facts.get("os_version"), first["arch"]) if part)),
        Cell(text(first["cpu"])),
        Cell(text(first["physical_cores"])),
        Cell(text(first["logical_cores"])),
        Cell(mebibytes(facts.get("memory_bytes"))),
        Cell(text(facts.get("virtualization"))),
        Cell(text(facts.get("governor"))),
        Cell(", ".join(text(pair, 40) for pair in data.pairs if pair in pairs)),
    )


def beside_posts(data: Data) -> Section:
    """Each posted row beside the nearest measured one."""
    title = "Reported beside reproduced"
    as_posted = {
        place
        for place in {(row["experiment"], row["condition"]) for row in data.compared}
        if _asks_as_posted(data, *place)
    }
    found = reported.matches(reported.read(), data.compared, as_posted)
    words = (
        "Every registration of the posts that this project knows (data/reported.csv, with its source): the median over "
        "its runs, beside the measured row that comes nearest to it, and what is different between the two."
    )
    table = Table(
        caption="Posted registrations and their nearest measured neighbours",
        heads=("posted", "by", "source", "CLI (s)", "API (s)", "API / CLI",
               "measured here", "CLI (s)", "API (s)", "API / CLI", "differences of ours from the post"),
        rows=tuple(_beside(data, match) for match in found),
        figures=frozenset({3, 4, 5, 7, 8, 9}),
    )  # fmt: skip
    missing = "" if any(match.measured for match in found) else "Nothing was measured that comes near to a post."
    command = "pixi run bench --experiment posted --experiment posted-28" if missing else ""
    return Section("reported", title, (words,), tables=(table,), missing=missing, command=command)


def _asks_as_posted(data: Data, experiment: str, condition: str) -> bool:
    told = data.conditions.get((experiment, condition))
    if told is None:
        return (experiment or "").startswith(POSTED)
    api = told.get("api")
    unchanged = not told.get("overrides") and (told.get("jobs") or 1) == 1
    return unchanged and isinstance(api, dict) and api.get("threads_by") == "parameter" and not api.get("threader")


def _beside(data: Data, match: reported.Match) -> tuple[Cell, ...]:
    posted, row = match.posted, match.measured
    versions = f"{posted.itk_elastix}-{posted.elastix}" if posted.itk_elastix else "versions not said"
    return (
        Cell(f"{posted.title} ({versions})"),
        Cell(f"{posted.reporter}, {posted.reported_on}"),
        Cell(text(posted.source) if posted.source else "unknown"),
        Cell(seconds(posted.cli_s)),
        Cell(seconds(posted.api_s)),
        Cell(ratio(posted.ratio)),
        *(_measured(data, row) if row else (Cell("not measured"), *[Cell(UNKNOWN)] * 3)),
        Cell("; ".join(match.differences) or UNKNOWN, "long"),
    )


def _measured(data: Data, row: Row) -> tuple[Cell, ...]:
    return (
        Cell(f"{text(row['pair'])} {label(data, row['experiment'], row['condition'])}"),
        Cell(seconds(row["cli_median_s"])),
        Cell(seconds(row["api_median_s"])),
        Cell(judged(row), tone(row["verdict"])),
    )


def method(data: Data) -> Section:
    """How it was measured, and whatever was flagged."""
    words = (
        "In each round both paths run once, in a seeded, balanced random order, after a warm-up round that is kept "
        "apart. The executable is timed from start to exit in a fresh process, as the post timed it; the API from "
        "making its objects to the end of the registration, in a persistent worker that has loaded itk and the images.",
        "The ratio is the exponential of the median of the rounds' log ratios, API over CLI; its 95% interval is that "
        "of the median from the order statistics, from 10 rounds on, and the range below that. The noise floor is "
        "the ratio of a path to itself (experiment aa); a ratio whose interval reaches it, or 1, is worded "
        "\N{LEFT DOUBLE QUOTATION MARK}no difference seen\N{RIGHT DOUBLE QUOTATION MARK}. Below 5 rounds nothing is "
        "called slower or faster. Outliers are flagged, never dropped. docs/method.md says it at length.",
    )
    flagged = [row for row in data.rows if next(_flags(row), "") or row["status"] not in ("ok", None)]
    rows = tuple(
        (
            Cell(text(row["pair"])),
            Cell(label(data, row["experiment"], row["condition"]) if row["experiment"] else UNKNOWN),
            Cell(text(row["machine"])),
            Cell(text(row["status"]), "" if row["status"] in ("ok", "unavailable") else "bad"),
            Cell("; ".join(_flags(row))),
        )
        for row in flagged[:MOST_ROWS]
    )
    table = Table("What was flagged", ("pair", "condition", "machine", "status", "flag"), rows, note=cut(len(flagged)))
    none = () if rows else ("Nothing was flagged.",)
    return Section(
        "method", "How it was measured, and what was flagged", (*words, *none), tables=(table,) if rows else ()
    )


def _flags(row: Row) -> Iterator[str]:
    if row["note"]:
        yield text(row["note"])
    for kind in ("outlier", "disturbed"):
        if rounds := (row[f"{kind}_rounds"] or "").split():
            yield f"{kind} {'round' if len(rounds) == 1 else 'rounds'} {text(', '.join(rounds), 100)}"


def origins(data: Data) -> Section:
    """The exact commands, versions and checksums."""
    return Section(
        "origins",
        "Commands, versions, checksums",
        ()
        if data.sessions
        else (
            "There is no sessions.ndjson beside comparison.csv, so the commands and some checksums are not known here.",
        ),
        tables=tuple(table for table in (_versions(data), _inputs(data), _parts(data)) if table.rows),
        lines=_commands(data),
    )


def _commands(data: Data) -> tuple[str, ...]:
    """Every different command, oldest first."""
    commands = (session.get("command") for session in data.sessions)
    written = (" ".join(text(part, 200) for part in one) for one in commands if isinstance(one, list))
    different = list(dict.fromkeys(f"python -m repro {one}" for one in written))
    more = len(different) - _MOST_LINES
    return (*different[:_MOST_LINES], *((f"# and {counted(more, 'more command')}",) if more > 0 else ()))


def _versions(data: Data) -> Table:
    names = ("pair", "itk_elastix", "itk", "elastix", "cli_source", "python", "lock")
    found = dict.fromkeys(tuple(text(row[name]) for name in names) for row in data.compared or data.rows)
    return Table(
        "Versions in effect",
        (
            "pair",
            "itk-elastix",
            "ITK of the wheels",
            "elastix",
            "executable from",
            "Python",
            "digest of what was installed",
        ),
        tuple((*map(Cell, row[:-1]), Cell(row[-1], "code")) for row in list(found)[:MOST_ROWS]),
    )


def _inputs(data: Data) -> Table:
    """Digest of every image and parameter file, with what uses it."""
    used: dict[tuple[str, str], set[str]] = {}
    kinds = {"fixed_sha256": "fixed image", "moving_sha256": "moving image", "params_sha256": "parameter files"}
    for row in data.rows:
        for name, kind in kinds.items():
            if row[name]:
                used.setdefault((kind, row[name]), set()).add(text(row["experiment"], 40))
    return Table(
        "Inputs by their sha256 (parameter files as they were given to elastix)",
        ("input", "sha256", "used by"),
        tuple(
            (Cell(kind), Cell(text(sha256, 64), "code"), Cell(", ".join(sorted(by))))
            for (kind, sha256), by in sorted(used.items())[:MOST_ROWS]
        ),
    )


def _parts(data: Data) -> Table:
    """Checksums of executables and wheel locks, from what `fetch` wrote down."""
    found = dict.fromkeys(one for session in data.sessions for one in _part_rows(session))
    return Table(
        "Executables and wheels by their sha256",
        ("pair", "part", "sha256"),
        tuple((Cell(pair), Cell(part), Cell(sha256, "code")) for pair, part, sha256 in sorted(found)[:MOST_ROWS]),
    )


def _part_rows(session: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    pair, parts = text(session.get("pair")), _at(session, "provenance", "parts")
    elastix, wheels = _at(parts, "elastix"), _at(parts, "wheels")
    files = _at(elastix, "files")
    for name in ("elastix", "elastix.exe", "bin/elastix"):
        if name in files:
            yield pair, f"{name} ({text(elastix.get('source'), 60)})", text(files[name], 64)
    for name, sha256 in _at(session, "provenance", "given").items():
        yield pair, f"{text(name, 60)} (given)", text(sha256, 64)
    if wheels.get("sha256"):
        yield pair, f"{text(wheels.get('lock'), 80)}, as of {text(wheels.get('as_of'), 20)}", text(wheels["sha256"], 64)


def _at(value: object, *keys: str) -> Mapping[str, Any]:
    """The mapping below the keys, or an empty one: raw lines may hold anything."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def span(data: Data) -> str:
    """First and last day of the measurements."""
    days = sorted({str(session.get("started_utc"))[:10] for session in data.sessions if session.get("started_utc")})
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def measured_on(data: Data) -> str:
    """One line for the head of the page: where, when, how much."""
    trials: Sequence[str] = data.trials["status"].to_list() if data.trials.height else ()
    first = next(iter(data.rows), None)
    where = counted(len(data.machines), "machine")
    if first and len(data.machines) == 1:
        where = f"{text(first['cpu'], 60)}, {counted(first['physical_cores'] or 0, 'core')}, {text(first['os'], 20)}"
    return " \N{MIDDLE DOT} ".join(filter(None, (where, counted(len(trials), "trial"), span(data))))
