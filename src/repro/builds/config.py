"""Read the project's TOML files; every error names the file, the line and the key."""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from repro.errors import ConfigError
from repro.layout import PAIRS_TOML, shown
from repro.model import PLATFORMS, Archive, Executable, Pair

T = TypeVar("T")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", re.ASCII)
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){1,5}", re.ASCII)
_TYPE_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    datetime.date: "a date",
}


@dataclass(frozen=True)
class Table:
    """One TOML table that knows where it stands, for messages that a person can act on."""

    file: Path
    text: str
    where: tuple[str, ...]
    values: Mapping[str, Any]
    start: int = 0
    """Index of the line from which keys are looked for; 0: from the table's header."""

    def fail(self, key: str | None, problem: str) -> ConfigError:
        """The error that points at the key, or at the table itself."""
        path = ".".join((*self.where, key) if key else self.where)
        return ConfigError(f"{shown(self.file)}, line {self.line(key)}, key {path!r}: {problem}")

    def line(self, key: str | None) -> int:
        """Line of the key, or of the table's header; 1 where the text does not show it."""
        lines, start = self.text.splitlines(), self.start
        for name in self.where if not self.start else ():
            header = re.compile(rf"""^\s*(\[.*?["'.\[ ]?{re.escape(name)}["'\].]|["']?{re.escape(name)}["']?\s*=)""")
            start = _first(lines, header, start, start)
        if key is not None:
            entry = re.compile(rf"""^\s*(.*[{{,]\s*)?["']?{re.escape(key)}["']?\s*=""")
            start = _first(lines, entry, start, _first(lines, entry, 0, start))
        return start + 1

    def nth(self, key: str, index: int, values: Mapping[str, Any]) -> Table:
        """An entry of the array of tables ``[[<where>.<key>]]``, with the values it is to have."""
        header = re.compile(rf"^\s*\[\[.*{re.escape(key)}[\"'\s]*\]\]")
        lines, start = self.text.splitlines(), self.line(None) - 1
        inline = _first(lines, re.compile(rf"^\s*{re.escape(key)}\s*=\s*\["), start, len(lines))
        if inline < _first(lines, header, start, len(lines)):
            header, start = re.compile(r"^\s*\{"), inline
        for _ in range(index + 1):
            start = _first(lines, header, start + 1, start)
        return Table(self.file, self.text, self.where, values, start)

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of the key; without a default the key must be there. Raises ConfigError."""
        if key not in self.values:
            if default is not None:
                return default
            raise self.fail(None, f"{key!r} is missing; it must be {_TYPE_WORDS[kind]}")
        value = self.values[key]
        # Python counts True among the numbers, and a time among the dates.
        if not isinstance(value, kind) or (isinstance(value, bool | datetime.datetime) and type(value) is not kind):
            raise self.fail(key, f"{value!r} must be {_TYPE_WORDS[kind]}")
        return value

    def table(self, key: str, *, optional: bool = False) -> Table:
        """The table under the key; an optional one that is absent is empty."""
        values = self.get(key, dict, {} if optional else None)
        return Table(self.file, self.text, (*self.where, key), values, self.start)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; an absent key is an empty one."""
        values = self.get(key, list, [])
        for value in values:
            if not isinstance(value, str):
                raise self.fail(key, f"{value!r} must be text")
        return tuple(values)

    def only(self, *allowed: str) -> None:
        """Refuse keys that nothing reads: a typing error must not pass in silence."""
        for key in self.values:
            if key not in allowed:
                raise self.fail(key, f"unknown key; known here: {', '.join(allowed)}")


def _first(lines: list[str], pattern: re.Pattern[str], start: int, otherwise: int) -> int:
    return next((i for i in range(start, len(lines)) if pattern.match(lines[i])), otherwise)


def read_toml(file: Path) -> Table:
    """The file as its root table.

    Raises ConfigError where the file cannot be read or is not TOML.
    """
    try:
        text = file.read_text(encoding="utf-8")
        return Table(file, text, (), tomllib.loads(text))
    except OSError as error:
        raise ConfigError(f"{shown(file)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        # Also what tomllib lets out: numbers of too many digits, tables nested too deep.
        raise ConfigError(f"{shown(file)}: is not valid TOML: {error}") from error


def load_pairs(file: Path = PAIRS_TOML) -> dict[str, Pair]:
    """Every pair by name, in the order of the file."""
    root = _root(file)
    executables = {name: _executable(root.table("elastix"), name) for name in root.table("elastix").values}
    pairs = root.table("pair")
    return {name: _pair(pairs, name, executables) for name in pairs.values}


def load_releases(file: Path = PAIRS_TOML) -> dict[str, Pair]:
    """Every itk-elastix release as an API-only entry by its version, the oldest first.

    Those of the tables ``[release."<version>"]``, and those of the pairs, which have the wheels of
    the first pair with that version: they stand in where its executable cannot be had.
    """
    tables, pairs = _root(file).table("release", optional=True), load_pairs(file)
    found = {version: _release(tables, version, pairs) for version in tables.values}
    for pair in pairs.values():
        if pair.itk_elastix not in found:
            found[pair.itk_elastix] = dataclasses.replace(
                pair, name=pair.itk_elastix, executable=None, environment_of=pair.name, wheels_of=pair.name
            )
    return dict(sorted(found.items(), key=lambda one: [int(part) for part in one[0].split(".")]))


def _root(file: Path) -> Table:
    root = read_toml(file)
    root.only("pair", "release", "elastix")
    return root


def _executable(tables: Table, version: str) -> Executable:
    table = tables.table(version)
    table.only("tag", "debian_suites", "archive")
    archives = {}
    listed = table.table("archive", optional=True)
    for platform in listed.values:
        _known_platform(listed, platform)
        entry = listed.table(platform)
        entry.only("name", "sha256")
        sha256 = entry.get("sha256", str, "")
        if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise entry.fail("sha256", "must be 64 lowercase hexadecimal digits, or left out")
        archives[platform] = Archive(_word(entry, "name"), sha256)
    suites = table.texts("debian_suites")
    if bad := [suite for suite in suites if not _WORD.fullmatch(suite)]:
        raise table.fail("debian_suites", f"{bad[0]!r} must be the name of a suite")
    return Executable(version, _word(table, "tag"), archives, suites)


def _word(table: Table, key: str) -> str:
    """A value that becomes a part of a path or an address."""
    value = table.get(key, str)
    if not _WORD.fullmatch(value):
        raise table.fail(key, f"{value!r} must be made of letters, digits, '.', '_', '+' and '-'")
    return value


def _pair(tables: Table, name: str, executables: Mapping[str, Executable]) -> Pair:
    table = tables.table(name)
    table.only("about", "itk_elastix", "elastix", "python", "as_of", "unavailable")
    itk_elastix, elastix = _word(table, "itk_elastix"), _word(table, "elastix")
    if not _VERSION.fullmatch(itk_elastix):
        raise table.fail("itk_elastix", f"{itk_elastix!r} must be a version, as 0.25.4")
    if name != f"{itk_elastix}-{elastix}":
        raise table.fail(None, f"the name must be '<itk_elastix>-<elastix>', here '{itk_elastix}-{elastix}'")
    if elastix not in executables:
        raise table.fail("elastix", f'no table [elastix."{elastix}"] says where it can be had')
    return Pair(
        name=name,
        itk_elastix=itk_elastix,
        executable=executables[elastix],
        python=table.get("python", str),
        as_of=table.get("as_of", datetime.date),
        unavailable=_unavailable(table),
    )


def _release(tables: Table, version: str, pairs: Mapping[str, Pair]) -> Pair:
    table = tables.table(version)
    table.only("python", "as_of", "also", "unavailable")
    if not _VERSION.fullmatch(version):
        raise table.fail(None, "the name must be an itk-elastix version, as 0.19.1")
    if there := [pair.name for pair in pairs.values() if pair.itk_elastix == version]:
        raise table.fail(None, f"the pair {there[0]} has this release already; delete one of the two")
    python = table.get("python", str)
    fitting = [pair.name for pair in pairs.values() if pair.python == python]
    if not fitting:
        raise table.fail("python", f"no pair has Python {python}, and a release is measured in a pair's environment")
    return Pair(
        name=version,
        itk_elastix=version,
        executable=None,
        python=python,
        as_of=table.get("as_of", datetime.date),
        unavailable=_unavailable(table),
        also=table.texts("also"),
        environment_of=fitting[0],
    )


def _unavailable(table: Table) -> dict[str, str]:
    listed = table.table("unavailable", optional=True)
    for platform in listed.values:
        _known_platform(listed, platform)
    return {platform: listed.get(platform, str) for platform in listed.values}


def _known_platform(table: Table, platform: str) -> None:
    if platform not in PLATFORMS:
        raise table.fail(platform, f"unknown platform; known: {', '.join(PLATFORMS)}")
