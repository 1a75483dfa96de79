"""Read raw lines, typed, from results folders, raw folders and packs of any number of machines.

Every whole line is kept. A crash can tear the last line of a file; any other line that cannot be used is named, and the
rest is kept. A machine's name is no proof of who measured: what two sources say of one machine has to agree, and what
lies in this checkout's own results/raw cannot be added to by any other source.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from repro.errors import StoreError
from repro.files import problem
from repro.model import (
    SCHEMA,
    AgreementLine,
    BlockLine,
    ConditionLine,
    InspectionLine,
    Line,
    Measurement,
    SessionLine,
    UnavailableLine,
    read_line,
)
from repro.paths import RESULTS, shown
from repro.results.pack import TEXTS, read_pack
from repro.text import command, counted, line

_NEXT = re.compile(rb"\s*+(\S[^\n]*)")
"""The next line that is not blank; possessive, so that blank lines cost one step each."""
_KINDS = bytes(ord("0") if 48 <= byte < 58 else ord(".") if byte in b".abcdef" else ord(" ") for byte in range(256))
_LONG_INTEGER = b" " + 17 * b"0"
"""How an integer of over 16 digits looks once each byte is replaced by its kind; a fraction or a digest does not."""
_MOST_S, _LEAST_S, _MOST = 1e15, 1e-9, 1 << 62
_NAMED = 3
"""Broken lines of a file that are named one by one."""
_TELLING: Mapping[type, Callable[[Any], tuple[Any, ...]]] = {
    SessionLine: attrgetter("kind", "session", "comparison"),
    UnavailableLine: attrgetter("kind", "session"),
    InspectionLine: attrgetter("kind", "build", "started_utc"),
    ConditionLine: attrgetter("kind", "session"),
    BlockLine: attrgetter("kind", "session", "life", "block"),
    AgreementLine: attrgetter("kind", "session", "life", "block", "round", "digests"),
    Measurement: attrgetter("kind", "session", "life", "block", "round", "side", "phase", "position"),
}
"""What tells a line from the others of its place."""

Place = tuple[str, str, str]
"""Comparison, experiment and key of a condition; empty strings where a line is of none."""
_What = tuple[Any, ...]
"""Place of a line, and what tells it from the others there."""


@dataclass(frozen=True)
class ConditionRecord:
    """What was measured of one condition on one machine."""

    session: SessionLine
    """The last that measured it."""
    line: ConditionLine
    """The last: it says how many blocks were asked for."""
    measurements: list[Measurement]
    """In the order of measuring."""
    agreements: list[AgreementLine]
    blocks: list[BlockLine]


@dataclass
class Raw:
    """All that the sources hold, each line once, in an order that does not depend on theirs."""

    records: list[ConditionRecord] = field(default_factory=list)
    sessions: list[SessionLine] = field(default_factory=list)
    unavailable: list[tuple[SessionLine, UnavailableLine]] = field(default_factory=list)
    inspections: list[InspectionLine] = field(default_factory=list)
    files: int = 0
    duplicates: int = 0
    """Lines that were there more than once."""
    torn: int = 0
    """Last lines that a crash has torn."""
    broken: list[str] = field(default_factory=list)
    """Other lines that could not be used: where, and why."""

    @property
    def measurements(self) -> int:
        """How many there are."""
        return sum(len(record.measurements) for record in self.records)


def read_raw(sources: Sequence[Path], own: Path | None = None) -> Raw:
    """Every usable line below the sources: results folders, raw folders, folders of machines, packs (.zip).

    ``own`` is the checkout's own raw folder (results/raw). Raises StoreError where a source is missing or holds
    nothing, a pack is damaged, a line is of another schema (its numbers could mean something else), or two sources say
    different things of one machine.
    """
    own = (own or RESULTS / "raw").resolve()
    raw = Raw()
    origins = _origins(sources, own)
    machines: dict[str, list[_Origin]] = {}
    for origin in origins:
        origin.read(raw)
        for machine in origin.machines:
            machines.setdefault(machine, []).append(origin)
    for machine, those in sorted(machines.items()):
        kinds = {origin.kind for origin in those}
        witness = _witness(own, machine) if "pack" in kinds and "own" not in kinds else []
        for one, other in combinations(sorted([*witness, *those], key=lambda its: its.kind != "own"), 2):
            _check_agreement(machine, one, other)
        _gather(raw, machine, those)
    raw.broken.sort()
    return raw


# ---- sources


@dataclass
class _Machine:
    """The lines of one machine from one source."""

    identities: dict[str, str] = field(default_factory=dict)
    """Identity -> file that says it."""
    lines: dict[_What, tuple[Line, str]] = field(default_factory=dict)
    """What a line is -> the line and its file."""


@dataclass
class _Origin:
    kind: str
    """`own`, `folder` or `pack`."""
    files: Sequence[Path]
    machines: dict[str, _Machine] = field(default_factory=dict)

    def read(self, raw: Raw) -> None:
        """Read the files, and count in ``raw`` what there is to say of them."""
        for name, content, machine in self._contents():
            raw.files += 1
            self._read_file(raw, name, content, machine)

    def _contents(self) -> Iterator[tuple[str, bytes, str]]:
        """Name and content of each raw file, and of a pack the machine that it is of."""
        for file in self.files:
            if self.kind == "pack":
                machine, files = read_pack(file)
                yield from ((f"{shown(file)}, {name}", content, machine) for name, content in files.items())
                continue
            try:
                yield shown(file), file.read_bytes(), ""
            except OSError as error:
                raise StoreError(
                    f"{shown(file)}: cannot be read: {error.strerror}; make it readable or leave it out"
                ) from error

    def _read_file(self, raw: Raw, name: str, content: bytes, machine: str) -> None:
        """Add the usable lines of a file to its machine: the given one, or else the one of its first line."""
        sessions: set[str] = set()
        places: dict[str, Place] = {}
        problems: list[tuple[int, str]] = []
        identity, at, odd = "", 0, _is_odd(content)
        while found := _NEXT.match(content, at):
            at = found.end()
            try:
                one = _line(found[1])
                if odd:
                    _check_numbers(found[1])
            except ValueError as error:
                said = _json(found[1])
                schema = said.get("schema") if isinstance(said, dict) else None
                if isinstance(schema, int) and schema != SCHEMA:
                    raise StoreError(
                        f"{name}, line {_number(content, at)}: schema {schema}, but this version reads {SCHEMA}; "
                        "merge it with the version that wrote it, or leave the file out"
                    ) from error
                if said is None and not _NEXT.match(content, at):
                    raw.torn += 1
                else:
                    problems.append((at, str(error)))
                continue
            place: Place = ("", "", "")
            why = ""
            if isinstance(one, (SessionLine, InspectionLine)):
                machine, identity = machine or one.machine, identity or one.identity
                if (one.machine, one.identity) != (machine, identity):
                    why = "of another machine than the rest of the file"
                elif isinstance(one, SessionLine):
                    sessions.add(one.session)
            elif one.session not in sessions:
                why = "its session has no line before it"
            elif isinstance(one, UnavailableLine):
                place = (one.comparison, "", "")
            else:
                if isinstance(one, ConditionLine):
                    places[one.key] = (one.comparison, one.experiment, one.key)
                if one.key in places:
                    place = places[one.key]
                else:
                    why = "its condition has no line before it"
            if why:
                problems.append((at, why))
                continue
            its = self.machines.setdefault(machine, _Machine())
            its.identities.setdefault(identity, name)
            what = place + _TELLING[type(one)](one)
            raw.duplicates += what in its.lines
            its.lines.setdefault(what, (one, name))
        raw.broken += [f"{name}, line {_number(content, at)}: left out: {why}" for at, why in problems[:_NAMED]]
        if len(problems) > _NAMED:
            raw.broken.append(f"{name}: {counted(len(problems) - _NAMED, 'more line')} left out")


def _origins(sources: Sequence[Path], own: Path) -> list[_Origin]:
    """The sources, sorted, each file once; the files of this checkout's own raw folder are one source."""
    seen: set[Path] = set()
    mine: list[Path] = []
    others: list[_Origin] = []
    for source in sorted(source.resolve() for source in sources):
        if source.is_file():
            kind, files = "pack", {source}
        elif source.is_dir():
            kind, files = "folder", set(_raw_files(source / "raw" if (source / "raw").is_dir() else source))
        else:
            raise StoreError(f"{shown(source)}: no such folder or file; name a folder of results or a pack (.zip)")
        new = sorted(files - seen)
        seen |= files
        mine += [file for file in new if kind == "folder" and file.is_relative_to(own)]
        others.append(_Origin(kind, [file for file in new if kind == "pack" or not file.is_relative_to(own)]))
    found = [origin for origin in (_Origin("own", mine), *others) if origin.files]
    if not found:
        listed = ", ".join(shown(source) for source in sources)
        raise StoreError(f"no raw results (*.jsonl) below {listed}; run `{command('bench')}` first")
    return found


def _raw_files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (Path(top, name).resolve() for name in names if name.endswith(".jsonl"))


def _witness(own: Path, machine: str) -> list[_Origin]:
    """This checkout's own results of that machine, where a pack has its name."""
    origin = _Origin("own", sorted(_raw_files(own / machine)))
    origin.read(Raw())
    return [origin] if machine in origin.machines else []


# ---- lines


def _line(text: bytes) -> Line:
    """The line. Raises ValueError, with the words for it, where it is none or cannot be."""
    try:
        one = read_line(text)
    except ValidationError as error:
        raise ValueError(line(problem(error), 200)) from error
    if isinstance(one, SessionLine) and one.schema != SCHEMA:
        raise ValueError("another schema")
    if isinstance(one, Measurement) and one.status == "ok" and not (one.wall_s and _LEAST_S < one.wall_s < _MOST_S):
        raise ValueError("a good trial without seconds")
    return one


def _is_odd(text: bytes) -> bool:
    """Whether a number in the text may be one that cannot be."""
    return b"NaN" in text or b"Infinity" in text or _LONG_INTEGER in text.translate(_KINDS)


def _check_numbers(text: bytes) -> None:
    """Raise ValueError where a number in the line cannot be."""
    if _is_odd(text):
        json.loads(text, parse_int=_check_number, parse_float=_check_number, parse_constant=_check_number)


def _check_number(number: str) -> None:
    if not abs(float(number)) <= _MOST:  # true of NaN, too
        raise ValueError("a number in it cannot be")


def _json(text: bytes) -> Any:
    """What the text says; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1


# ---- what several sources say of one machine


def _check_agreement(machine: str, one: _Origin, other: _Origin) -> None:
    """Raise StoreError where the two sources cannot both be of this machine.

    Our own results hold all that another source may say. Of two others one has to hold all that the other says; of two
    folders that of each condition, so that a machine's runs into several folders can be put side by side.
    """
    first, second = one.machines[machine], other.machines[machine]
    if first.identities.keys().isdisjoint(second.identities):
        raise StoreError(
            f"{next(iter(first.identities.values()))} and {next(iter(second.identities.values()))} are of two machines "
            f"of one name, {line(machine, 100)}: merge them apart, each with an --out of its own"
        )
    missing, more = _missing(second, first), _missing(first, second)
    if one.kind != "own" and not more:
        return
    if one.kind == other.kind == "folder":
        conflicts = {what[:3] for what in more if what[2]}
        missing = [what for what in missing if what[:3] in conflicts]
    if missing:
        what = next((its for its in missing if its[2]), missing[0])
        file = second.lines[what][1]
        beside = next((name for its, (_, name) in first.lines.items() if its[:2] == what[:2]), "")
        raise StoreError(
            f"{file} and {beside or next(iter(first.identities.values()))} say different things of the machine "
            f"{line(machine, 100)}: leave one of them out, or merge it apart with an --out of its own"
        )


def _missing(part: _Machine, whole: _Machine) -> list[_What]:
    """What lines of the part the whole does not have, or has with other figures."""
    return [
        what for what, (one, _) in part.lines.items() if what not in whole.lines or not _same(whole.lines[what][0], one)
    ]


def _same(one: Line, other: Line) -> bool:
    """Whether two lines of one kind say the same but for the texts that a pack may have cleaned."""
    return one == other or all(
        getattr(one, its.name) == getattr(other, its.name) for its in dataclasses.fields(one) if its.name not in TEXTS
    )


def _gather(raw: Raw, machine: str, origins: Iterable[_Origin]) -> None:
    """Put together what the sources say of the machine."""
    lines: dict[_What, Line] = {}
    # What one of our own files says stands before what a pack of it says, whose texts were cleaned.
    for origin in sorted(origins, key=lambda its: ("own", "folder", "pack").index(its.kind)):
        for what, (one, _) in origin.machines[machine].lines.items():
            raw.duplicates += what in lines
            lines.setdefault(what, one)
    sessions: dict[str, SessionLine] = {}
    places: dict[Place, list[Line]] = {}
    for what, one in sorted(lines.items(), key=_order):
        if isinstance(one, SessionLine):
            sessions.setdefault(one.session, one)
            sessions[f"{one.session} {one.comparison}"] = one
            raw.sessions.append(one)
        elif isinstance(one, InspectionLine):
            raw.inspections.append(one)
        elif isinstance(one, UnavailableLine):
            raw.unavailable.append((sessions[one.session], one))
        else:
            places.setdefault((what[0], what[1], what[2]), []).append(one)
    raw.records.extend(_record(its, sessions) for _, its in sorted(places.items()))


def _order(item: tuple[_What, Line]) -> tuple[Any, ...]:
    """Sessions first, then by time."""
    what, one = item
    return one.kind != "session", getattr(one, "started_utc", ""), what


def _record(lines: Iterable[Line], sessions: Mapping[str, SessionLine]) -> ConditionRecord:
    its: dict[type, list[Any]] = {}
    for one in lines:
        its.setdefault(type(one), []).append(one)
    last = max(its[ConditionLine], key=lambda one: (sessions[one.session].started_utc, one.session))
    session = sessions.get(f"{last.session} {last.comparison}", sessions[last.session])
    return ConditionRecord(session, last, its.get(Measurement, []), its.get(AgreementLine, []), its.get(BlockLine, []))
