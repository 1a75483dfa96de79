"""Raw results on disk: append-only lines of JSON that survive a crash at any moment.

A line is written in one call, flushed and synced before the next trial starts. A crash can only
tear the last line; reading drops it and the next writer cuts it off.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repro.errors import StoreError
from repro.layout import shown


def utc_now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a raw file that is a JSON object."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


class RawFile:
    """One raw file, open for appending."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = file.open("ab")
            self._cut_torn_line()
        except OSError as error:
            raise StoreError(
                f"{shown(file)}: cannot be written: {error.strerror}; choose another folder with --out"
            ) from error

    def _cut_torn_line(self) -> None:
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._stream.truncate(whole)

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line and have it on disk before returning."""
        try:
            self._stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise StoreError(
                f"{shown(self.file)}: the measurement could not be written: {error.strerror}; "
                "make room or choose another folder with --out, then run the same command again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._stream.close()


def set_aside(file: Path) -> None:
    """Rename a raw file so that nothing reads it any more. Measurements are never deleted."""
    if file.exists():
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
        file.rename(file.with_name(f"{file.name}.{stamp}.replaced"))


def work_folder(machine_folder: Path) -> Path:
    """A new empty folder for one trial, on the disk that holds the results."""
    work = machine_folder / ".work"
    try:
        work.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="trial-", dir=work))
    except OSError as error:
        raise StoreError(f"{shown(work)}: cannot be written: {error.strerror}; choose another --out") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a machine's results folder against a second run.

    Raises StoreError saying who holds it. The lock is the system's, so it goes with its process.
    """
    holder = folder / ".lock-holder.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(
            f"{shown(folder)} is in use by {_holder(holder)}; wait for it or choose another --out"
        ) from error
    except OSError as error:
        raise StoreError(
            f"{shown(folder)}: cannot be written: {error.strerror}; choose another folder with --out"
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": utc_now()}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    try:
        held = json.loads(file.read_text())
        return f"process {held['pid']} since {held['since']}"
    except (OSError, ValueError, KeyError):
        return "another run"


def clear_work(machine_folder: Path) -> None:
    """Remove trial folders that a killed run has left. Only the holder of the lock may."""
    shutil.rmtree(machine_folder / ".work", ignore_errors=True)


def keep_transform(machine_folder: Path, digest: str, files: Sequence[Path]) -> None:
    """Keep the transform files of a trial once for each different result, named by its digest.

    The folder appears whole or not at all.
    """
    target = machine_folder / "transforms" / digest
    if target.exists():
        return
    temporary = target.with_name(f".{digest}-{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, temporary / file.name)
    try:
        temporary.replace(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.exists():
            raise


def transform_files(machine_folder: Path, digest: str) -> list[Path]:
    """The kept transform files of a result, in the order of the parameter files."""
    found = (machine_folder / "transforms" / digest).glob("TransformParameters.*.txt")
    return sorted(found, key=lambda file: int(file.name.split(".")[1]))
