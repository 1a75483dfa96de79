"""Read the project's TOML files; every error names the file, the line and the key."""

from __future__ import annotations

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
_TYPE_WORDS = {
    str: "text",
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
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(file)}: is not valid TOML: {error}") from error


def load_pairs(file: Path = PAIRS_TOML) -> dict[str, Pair]:
    """Every pair by name, in the order of the file."""
    root = read_toml(file)
    root.only("pair", "elastix")
    executables = {name: _executable(root.table("elastix"), name) for name in root.table("elastix").values}
    pairs = root.table("pair")
    return {name: _pair(pairs, name, executables) for name in pairs.values}


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
        archives[platform] = Archive(entry.get("name", str), sha256)
    return Executable(version, table.get("tag", str), archives, table.texts("debian_suites"))


def _pair(tables: Table, name: str, executables: Mapping[str, Executable]) -> Pair:
    table = tables.table(name)
    table.only("about", "itk_elastix", "elastix", "python", "as_of", "unavailable")
    itk_elastix, elastix = table.get("itk_elastix", str), table.get("elastix", str)
    if name != f"{itk_elastix}-{elastix}":
        raise table.fail(None, f"the name must be '<itk_elastix>-<elastix>', here '{itk_elastix}-{elastix}'")
    if elastix not in executables:
        raise table.fail("elastix", f'no table [elastix."{elastix}"] says where it can be had')
    unavailable = table.table("unavailable", optional=True)
    for platform in unavailable.values:
        _known_platform(unavailable, platform)
    return Pair(
        name=name,
        itk_elastix=itk_elastix,
        executable=executables[elastix],
        python=table.get("python", str),
        as_of=table.get("as_of", datetime.date),
        unavailable={platform: unavailable.get(platform, str) for platform in unavailable.values},
    )


def _known_platform(table: Table, platform: str) -> None:
    if platform not in PLATFORMS:
        raise table.fail(platform, f"unknown platform; known: {', '.join(PLATFORMS)}")
