"""Files: whole or absent, digests, and TOML and JSON read into dataclasses. Each is written here once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

from repro.errors import ConfigError, StoreError
from repro.paths import shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
TEMPORARY = ".tmp-"
"""Start of the names of what is being written; what a killed process leaves of it may be deleted."""


class Strict:
    """Base of dataclasses that are read from a file: a key that they don't have is refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that takes its place as a whole, or not at all. Raises StoreError where the system refuses."""
    with named_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{file.name}-", dir=file.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
            temporary.chmod(0o666 & ~_umask())  # mkstemp gives it to its owner alone
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Write the text as UTF-8 with LF, so that a reader finds the old file or the new one."""
    with replacing(file) as stream:
        stream.write(text.encode())


def write_json(file: Path, content: Any) -> None:
    """Write the content as indented JSON, whole or not at all."""
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


def sha256(file: Path) -> str:
    """SHA-256 of the file in hex digits. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_toml(file: Path, kind: type[T]) -> T:
    """The TOML file as this dataclass. Raises ConfigError that names the file and the key."""
    try:
        return adapter(kind).validate_python(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{shown(file)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # pydantic's and tomllib's are ValueErrors
        from pydantic import ValidationError

        why = problem(error) if isinstance(error, ValidationError) else f"is not valid TOML: {error}"
        raise ConfigError(f"{shown(file)}: {why}") from error


def read_json(file: Path, kind: type[T]) -> T:
    """The JSON file as this dataclass. Raises OSError, or ValueError for what does not fit."""
    return adapter(kind).validate_json(file.read_bytes())


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """What checks and converts values of this type."""
    hashable: Any = kind
    return _adapter(hashable)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def problem(error: ValidationError) -> str:
    """The first problem of a validation as `key: what is wrong`."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"key {where!r}: unknown key; look for a typing error"
    if first["type"] in ("missing", "missing_argument"):
        return f"key {where!r} is missing"
    return f"key {where!r}: {first['msg'].removeprefix('Value error, ')}, found {str(first['input'])[:80]!r}"


@contextlib.contextmanager
def named_errors(place: Path) -> Iterator[None]:
    """What the system refuses of a file inside, as a StoreError that names the file and the cure."""
    try:
        yield
    except OSError as error:
        where = shown(Path(error.filename)) if isinstance(error.filename, str) else shown(place)
        raise StoreError(
            f"{where}: cannot be written: {error.strerror or error}; what was measured so far is kept: make room, "
            "close the file in other programs, or choose another folder with --out, then run the same command again"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
