"""Parameter files and transform files as elastix reads and writes them.

A line holds one parameter, ``(Name value value ...)``; text stands in double quotes and ``//`` starts a comment. The
rules are those of elastix's own reader (Common/ParameterFileParser/itkParameterFileParser.cxx), each tried on the
executables 5.2.0 and 5.3.1: a duplicate name, an odd number of quotes, a line outside parentheses and a parameter
without a value are refused. Two things that elastix lets pass are refused as well, for they hide a mistake: a space or
quote before the name (elastix reads an empty name and the parameter is lost) and parentheses inside a line (two
parameters become one).

Quotes mean nothing to elastix once a line is split, so text() can write its own. Files that end in .toml hold the same
as TOML (elastix >= 5.3; tried on 5.3.1 and itk-elastix 0.25.4): a boolean is "true" or "false", an array many values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from repro.errors import ConfigError
from repro.paths import shown

MAX_BYTES = 64 * 2**20
"""Larger files are refused: 64 MiB hold some three million B-spline coefficients."""

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_VALUE = re.compile(r'"([^"]*)"|([^ "]+)')
_NAME_END = re.compile('[ "]')
# The characters that elastix refuses in a name; those from & to + are one range there.
_NOT_IN_NAMES = re.compile(r"[.,:;!@#$%^&'()*+|<>?]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what is left of bytes that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class ParameterFile:
    """The parameters of one file by name, in the order of the file."""

    values: Mapping[str, tuple[str, ...]]
    """Name -> values without their quotes; a value never holds a quote or ``//``."""
    source: str = field(default="parameter file", compare=False)
    """The file's name, for messages."""

    def text(self) -> str:
        """The file as it is given to elastix: a line per parameter, comments left out."""
        return "".join(f"({name} {_written(values)})\n" for name, values in self.values.items())

    def first(self, name: str) -> str:
        """The parameter's only or first value. Raises ConfigError where there is none."""
        values = self.values.get(name)
        if not values:
            raise ConfigError(f'{self.source}: parameter {name!r} is missing; add a line ({name} "...")')
        return values[0]

    @property
    def dimension(self) -> int | None:
        """Dimension of the fixed image; None where the file leaves it to the image (elastix >= 4.6).

        Raises ConfigError where the file says something that is no dimension.
        """
        if "FixedImageDimension" not in self.values:
            return None
        value = self.first("FixedImageDimension")
        if value not in ("2", "3", "4"):
            raise ConfigError(f"{self.source}: FixedImageDimension is {excerpt(value)}; it must be 2, 3 or 4")
        return int(value)


def read(path: Path) -> ParameterFile:
    """The parameter file at the path.

    Raises ConfigError, naming file and line, where it cannot be read, is larger than MAX_BYTES or no parameter file.
    """
    source = shown(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{source}: cannot be read: {problem}; give an elastix parameter file") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source}: is larger than {MAX_BYTES} bytes; give an elastix parameter file")
    return parse_toml(data, source) if path.suffix.lower() == ".toml" else parse(data, source)


def parse(data: bytes, source: str = "parameter file") -> ParameterFile:
    """The parameters in the bytes of a file; ``source`` names it in messages. Raises ConfigError."""
    values: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    # Comments may be in any encoding; what elastix reads must be UTF-8 (see _entry).
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), start=1):
        entry = _entry(line, f"{source}, line {number}")
        if entry is None:
            continue
        name, found = entry
        if name in values:
            raise ConfigError(
                f"{source}, line {number}: parameter {name!r} was given in line {lines[name]} already; remove one"
            )
        values[name], lines[name] = found, number
    return ParameterFile(MappingProxyType(values), source)


def parse_toml(data: bytes, source: str = "parameter file") -> ParameterFile:
    """The parameters in the bytes of a TOML file. Raises ConfigError."""
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: is not valid TOML: {error}") from error
    values = {}
    for name, value in table.items():
        found = tuple(_toml_word(one, f"{source}: {name}") for one in (value if isinstance(value, list) else [value]))
        if not found:
            raise ConfigError(f"{source}: {name} has no value")
        values[name] = found
    return ParameterFile(MappingProxyType(values), source)


def override(file: ParameterFile, pairs: Iterable[tuple[str, str]]) -> ParameterFile:
    """The file with parameters replaced, or added at its end.

    A value stands as elastix writes it, several separated by spaces: ``("NumberOfHistogramBins",
    "32")``, ``("WriteResultImage", '"true"')``. Raises ConfigError where a pair makes no parameter.
    """
    values = dict(file.values)
    for name, value in pairs:
        line = f"({name} {value})"
        entry = _entry(line, f"override {name!r} of {file.source}")
        if entry is None or entry[0] != name:
            raise ConfigError(
                f"override {name!r} of {file.source}: {excerpt(line)} is not one parameter with its values"
            )
        values[name] = entry[1]
    return replace(file, values=MappingProxyType(values))


def without(file: ParameterFile, names: Iterable[str]) -> ParameterFile:
    """The file without these parameters."""
    left_out = set(names)
    kept = {name: values for name, values in file.values.items() if name not in left_out}
    return replace(file, values=MappingProxyType(kept))


def excerpt(text: str) -> str:
    """The text, quoted and cut for a message."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _entry(line: str, where: str) -> tuple[str, tuple[str, ...]] | None:
    """Name and values of the line; None where it holds only space or a comment."""
    body = line.removesuffix("\r").replace("\t", " ").partition("//")[0].strip(" ")
    if not body:
        return None

    def fail(problem: str) -> ConfigError:
        return ConfigError(f"{where}: {problem}: {excerpt(line)}")

    if not (body.startswith("(") and body.endswith(")")):
        raise fail("is not of the form (Name value ...)")
    if _CONTROL.search(body):
        raise fail("holds characters that are not UTF-8 text")
    body = body[1:-1]
    if body.count('"') % 2:
        raise fail("has a quote without its partner")
    if body.startswith((" ", '"')) or not body:
        raise fail("has no name right after the parenthesis")
    name = _NAME_END.split(body, maxsplit=1)[0]
    if bad := _NOT_IN_NAMES.search(name):
        raise fail(f"the name {excerpt(name)} holds {bad.group()!r}, which elastix refuses")
    if " " not in body.rstrip(" "):
        raise fail("has a name without a value")
    found = []
    for match in _VALUE.finditer(body, len(name)):
        quoted, bare = match.groups(default="")
        if "(" in bare or ")" in bare:
            raise fail("has a parenthesis inside; give each parameter a line of its own")
        if quoted or bare:
            found.append(quoted or bare)
    return name, tuple(found)


def _toml_word(value: Any, where: str) -> str:
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, str | int | float) or '"' in word or _CONTROL.search(word):
        raise ConfigError(f"{where}: {excerpt(word)} is neither a number, a word nor true or false")
    return word


def _written(values: tuple[str, ...]) -> str:
    return " ".join(value if _NUMBER.fullmatch(value) else f'"{value}"' for value in values) or '""'
