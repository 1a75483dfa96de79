"""Read raw lines, typed, from results folders, raw folders and packs of any number of machines.

Every whole line is kept. A crash can tear the last line of a file; any other line that cannot be used is named, and the
rest is kept. A machine's name is no proof of who measured: what two sources say of one machine has to agree, and what
lies in this checkout's own results/raw cannot be added to by any other source.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
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
from repro.results.pack import read_pack
from repro.text import command, counted, line

_NEXT = re.compile(rb"\s*+(\S[^\n]*)")
"""The next line that is not blank; possessive, so that blank lines cost one step each."""
_KINDS = bytes(ord("0") if 48 <= byte < 58 else ord(".") if byte in b".abcdef" else ord(" ") for byte in range(256))
_LONG_INTEGER = b" " + 17 * b"0"
"""How an integer of over 16 digits looks once each byte is replaced by its kind; a fraction or a digest does not."""
_MOST, _LEAST = 1e15, 1e-9
_NAMED = 3
"""Broken lines of a file that are named one by one."""
_TEXTS = frozenset(("note", "problem", "reason", "question", "command", "fingerprint", "builds", "state", "source"))
"""Fields that a pack may have cleaned of names; they decide nothing."""

Place = tuple[str, str, str]
"""Comparison, experiment and key of a condition."""


@dataclass(frozen=True)
class ConditionRecord:
    """What was measured of one condition on one machine."""

    session: SessionLine
    """The last that measured it."""
    line: ConditionLine
    """The last: it says how many blocks were asked for."""
    measurements: list[Measurement]
    agreements: list[AgreementLine]
    blocks: list[BlockLine]


@dataclass(frozen=True)
class Raw:
    """All that the sources hold, each line once, in an order that does not depend on theirs."""

    records: list[ConditionRecord]
    sessions: list[SessionLine]
    unavailable: list[tuple[SessionLine, UnavailableLine]]
    inspections: list[InspectionLine]
    files: int = 0
    duplicates: int = 0
    """Lines that were there more than once."""
    torn: int = 0
    """Last lines that a crash has torn."""
    broken: tuple[str, ...] = ()
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
    origins = _origins(sources, own)
    reading = _Reading()
    machines: dict[str, list[_Origin]] = {}
    for origin in origins:
        for name, content, machine in origin.contents():
            reading.read(origin, name, content, machine)
    for origin in origins:
        for machine in origin.machines:
            machines.setdefault(machine, []).append(origin)
    for machine, those in sorted(machines.items()):
        kinds = {origin.kind for origin in those}
        witness = _witness(own, machine) if "pack" in kinds and "own" not in kinds else []
        for one, other in combinations(sorted([*witness, *those], key=lambda its: its.kind != "own"), 2):
            _check_agreement(machine, one, other)
    return _gathered(machines, reading)


# ---- sources


@dataclass
class _Machine:
    """The lines of one machine from one source."""

    identities: dict[str, str] = field(default_factory=dict)
    """Identity -> file that says it."""
    lines: dict[tuple[Any, ...], tuple[Line, str]] = field(default_factory=dict)
    """What a line is -> the line and its file."""


@dataclass
class _Origin:
    kind: str
    """`own`, `folder` or `pack`."""
    files: Sequence[Path]
    machines: dict[str, _Machine] = field(default_factory=dict)

    def contents(self) -> Iterator[tuple[str, bytes, str]]:
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


def _origins(sources: Sequence[Path], own: Path) -> list[_Origin]:
    """The sources, sorted, each file once; the files of this checkout's own raw folder are one source."""
    seen: set[Path] = set()
    mine: list[Path] = []
    others: list[_Origin] = []
    for source in sorted(source.resolve() for source in sources):
        if source.is_file():
            files, kind = [source], "pack"
        elif source.is_dir():
            files, kind = sorted(_raw_files(source / "raw" if (source / "raw").is_dir() else source)), "folder"
        else:
            raise StoreError(f"{shown(source)}: no such folder or file; name a folder of results or a pack (.zip)")
        files = [file for file in files if file not in seen and not seen.add(file)]  # type: ignore[func-returns-value]
        mine += [file for file in files if kind == "folder" and file.is_relative_to(own)]
        others.append(_Origin(kind, [file for file in files if kind == "pack" or not file.is_relative_to(own)]))
    found = [origin for origin in (_Origin("own", mine), *others) if origin.files]
    if not found:
        listed = ", ".join(shown(source) for source in sources)
        raise StoreError(f"no raw results (*.jsonl) below {listed}; run `{command('bench')}` first")
    return found


def _raw_files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith(".") and name not in ("transforms", "logs"))
        yield from (Path(top, name).resolve() for name in names if name.endswith(".jsonl"))


def _witness(own: Path, machine: str) -> list[_Origin]:
    """This checkout's own results of that machine, where a pack has its name."""
    files = sorted(_raw_files(own / machine)) if (own / machine).is_dir() else []
    origin, reading = _Origin("own", files), _Reading()
    for name, content, _ in origin.contents():
        reading.read(origin, name, content, machine)
    return [origin] if machine in origin.machines else []


# ---- lines


@dataclass
class _Reading:
    files: int = 0
    duplicates: int = 0
    torn: int = 0
    broken: list[str] = field(default_factory=list)

    def read(self, origin: _Origin, name: str, content: bytes, machine: str) -> None:
        """Add the usable lines of a file to its machine: the given one, or else the one of its first line."""
        self.files += 1
        sessions: dict[str, SessionLine] = {}
        conditions: dict[str, ConditionLine] = {}
        problems: list[tuple[int, str]] = []
        identity, at = "", 0
        while found := _NEXT.match(content, at):
            at = found.end()
            try:
                one = _line(found[1])
            except _UnusableError as error:
                if error.torn and not content[at:].strip():
                    self.torn += 1
                elif error.schema is not None:
                    raise StoreError(
                        f"{name}, line {_number(content, at)}: schema {error.schema}, but this version reads {SCHEMA}; "
                        "merge it with the version that wrote it, or leave the file out"
                    ) from error
                else:
                    problems.append((at, str(error)))
                continue
            if isinstance(one, SessionLine | InspectionLine):
                machine, identity = machine or one.machine, identity or one.identity
                if (one.machine, one.identity) != (machine, identity):
                    problems.append((at, "of another machine than the rest of the file"))
                    continue
            if isinstance(one, SessionLine):
                sessions[one.session] = one
            elif not isinstance(one, InspectionLine) and one.session not in sessions:
                problems.append((at, "its session has no line before it"))
                continue
            if isinstance(one, ConditionLine):
                conditions[one.key] = one
            elif isinstance(one, Measurement | AgreementLine | BlockLine) and one.key not in conditions:
                problems.append((at, "its condition has no line before it"))
                continue
            its = origin.machines.setdefault(machine, _Machine())
            its.identities.setdefault(identity, name)
            what = _identity(one, conditions)
            self.duplicates += what in its.lines
            its.lines.setdefault(what, (one, name))
        self._name(name, content, problems)

    def _name(self, name: str, content: bytes, problems: Sequence[tuple[int, str]]) -> None:
        for at, why in problems[:_NAMED]:
            self.broken.append(f"{name}, line {_number(content, at)}: left out: {why}")
        if len(problems) > _NAMED:
            self.broken.append(f"{name}: {counted(len(problems) - _NAMED, 'more line')} left out")


def _number(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1


class _UnusableError(Exception):
    torn = False
    schema: int | None = None


def _line(text: bytes) -> Line:
    try:
        one = read_line(text)
    except ValidationError as error:
        unusable = _UnusableError(line(problem(error), 200))
        unusable.torn = error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"
        unusable.schema = None if unusable.torn else _other_schema(text)
        raise unusable from error
    odd = b"NaN" in text or b"Infinity" in text or _LONG_INTEGER in text.translate(_KINDS)
    if odd and not all(map(_plausible, _numbers(dataclasses.asdict(one)))):
        raise _UnusableError("a number in it cannot be")
    if isinstance(one, SessionLine) and one.schema != SCHEMA:
        unusable = _UnusableError()
        unusable.schema = one.schema
        raise unusable
    if isinstance(one, Measurement) and one.status == "ok" and not (one.wall_s and _LEAST < one.wall_s < _MOST):
        raise _UnusableError("a good trial without seconds")
    return one


def _other_schema(text: bytes) -> int | None:
    """The schema that a line says which is none of this version's."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    schema = found.get("schema") if isinstance(found, dict) else None
    return schema if isinstance(schema, int) and schema != SCHEMA else None


def _plausible(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _MOST if isinstance(number, float) else abs(number) <= 1 << 62


def _numbers(value: object) -> Iterator[int | float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _numbers(one)


def _identity(one: Line, conditions: Mapping[str, ConditionLine]) -> tuple[Any, ...]:
    """What tells a line from all others of its machine; the first three say which condition it belongs to."""
    if isinstance(one, SessionLine):
        return "", "", "", one.kind, one.session, one.comparison
    if isinstance(one, UnavailableLine):
        return one.comparison, "", "", one.kind, one.session
    if isinstance(one, InspectionLine):
        return "", "", "", one.kind, one.build, one.started_utc
    its = conditions[one.key]
    place = (its.comparison, its.experiment, its.key, one.kind, one.session)
    if isinstance(one, ConditionLine):
        return place
    if isinstance(one, BlockLine):
        return *place, one.life, one.block
    if isinstance(one, AgreementLine):
        return *place, one.life, one.block, one.round, one.digests
    return *place, one.life, one.block, one.round, one.side, one.phase, one.position


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


def _missing(part: _Machine, whole: _Machine) -> list[tuple[Any, ...]]:
    """What lines of the part the whole does not have, or has with other figures."""
    return [
        what
        for what, (one, _) in part.lines.items()
        if what not in whole.lines or (whole.lines[what][0] != one and not _same(whole.lines[what][0], one))
    ]


def _same(one: Line, other: Line) -> bool:
    """Whether two lines say the same but for the texts that a pack may have cleaned."""
    return type(one) is type(other) and all(
        getattr(one, its.name) == getattr(other, its.name)
        for its in dataclasses.fields(one)
        if its.name not in _TEXTS and its.name != "harness"
    )


def _gathered(machines: Mapping[str, Sequence[_Origin]], reading: _Reading) -> Raw:
    raw = Raw([], [], [], [])
    for machine in sorted(machines):
        lines: dict[tuple[Any, ...], Line] = {}
        # What one of our own files says stands before what a pack of it says, whose texts were cleaned.
        for origin in sorted(machines[machine], key=lambda its: ("own", "folder", "pack").index(its.kind)):
            for what, (one, _) in origin.machines[machine].lines.items():
                reading.duplicates += what in lines
                lines.setdefault(what, one)
        sessions: dict[str, SessionLine] = {}
        places: dict[Place, list[Line]] = {}
        for what, one in sorted(lines.items(), key=lambda its: _order(its[1])):
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
    return dataclasses.replace(
        raw,
        files=reading.files,
        duplicates=reading.duplicates,
        torn=reading.torn,
        broken=tuple(sorted(reading.broken)),
    )


def _order(one: Line) -> tuple[Any, ...]:
    """Sessions first, then by time."""
    if isinstance(one, SessionLine):
        return 0, one.started_utc, one.kind, one.session, one.comparison
    if isinstance(one, InspectionLine):
        return 1, one.started_utc, one.kind, one.build
    if isinstance(one, Measurement):
        return 1, one.started_utc, one.kind, one.life, one.block, one.round, one.position, one.side
    if isinstance(one, BlockLine):
        return 1, one.ended_utc, one.kind, one.life, one.block
    if isinstance(one, AgreementLine):
        return 1, "", one.kind, one.life, one.block, one.round, one.digests
    return 1, "", one.kind, one.session


def _record(lines: Iterable[Line], sessions: Mapping[str, SessionLine]) -> ConditionRecord:
    its: dict[type, list[Any]] = {}
    for one in lines:
        its.setdefault(type(one), []).append(one)
    last = max(its[ConditionLine], key=lambda one: (sessions[one.session].started_utc, one.session))
    session = sessions.get(f"{last.session} {last.comparison}", sessions[last.session])
    return ConditionRecord(session, last, its.get(Measurement, []), its.get(AgreementLine, []), its.get(BlockLine, []))
