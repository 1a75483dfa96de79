"""Raw results on disk: append-only lines of JSON that survive a crash at any moment.

A line is written in one call and synced before the next trial starts. A crash can only tear the
last line; the next writer cuts it off.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from repro.errors import StoreError
from repro.layout import shown

WORK = ".work"
"""Folder of what is of use only while a trial runs."""
_FOLDER_OF_INITIAL = re.compile(rb'(\(InitialTransformParameters?FileName ")[^"\n]*[/\\]')
"""elastix names the transform before this one by its path, and that names users and homes."""


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
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


class RawFile:
    """One raw file, open for appending."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with named_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what could not be written must not linger and be written later.
            self._stream = file.open("ab", buffering=0)
            self._cut_torn_line()
            _sync_folder(file.parent)

    def _cut_torn_line(self) -> None:
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._stream.truncate(whole)

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line and have it on disk before returning; where that fails the file is as before."""
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._stream.fileno()).st_size
        with named_errors(self.file):
            try:
                while data:
                    data = data[self._stream.write(data) or 0 :]
                os.fsync(self._stream.fileno())
            except BaseException as error:  # a full disk takes a part; Ctrl-C may come between two parts
                if data or isinstance(error, OSError):
                    with contextlib.suppress(OSError):
                        self._stream.truncate(end)
                raise

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._stream.close()


@contextlib.contextmanager
def named_errors(place: Path) -> Iterator[None]:
    """What the system refuses inside, as a StoreError that names the file and the cure."""
    try:
        yield
    except OSError as error:
        where = shown(Path(error.filename)) if isinstance(error.filename, str) else shown(place)
        raise StoreError(
            f"{where}: cannot be written: {error.strerror or error}; everything measured so far is kept: "
            "make room, or choose another folder with --out, then run the same command again"
        ) from error


def drop_abandoned(file: Path) -> None:
    """Remove what killed processes have left of writing this file: `.<name>.<process number>.tmp`."""
    for temporary in file.parent.glob(f".{file.name}.*.tmp"):
        number = temporary.name.split(".")[-2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on disk, so that a new file outlives a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def set_aside(file: Path) -> None:
    """Rename a raw file so that nothing reads it any more. Measurements are never deleted."""
    if file.exists():
        taken = {other.name for other in file.parent.iterdir()}
        free = (f"{file.name}.{number}.replaced" for number in itertools.count(1))
        file.rename(file.with_name(next(name for name in free if name not in taken)))


def work_folder(machine_folder: Path) -> Path:
    """A new empty folder for one trial, on the disk that holds the results."""
    work = machine_folder / WORK
    with named_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="trial-", dir=work))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a machine's results folder against a second run; trial folders that a killed run left are removed.

    Raises StoreError saying who holds it. The lock is the system's, so it goes with its process.
    """
    holder = folder / ".lock-holder.json"
    lock = FileLock(folder / ".lock")
    with named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                f"{shown(folder)} is in use by {_holder(holder)}; wait for it or choose another --out"
            ) from error
    try:
        with named_errors(folder):
            holder.write_text(json.dumps({"pid": os.getpid(), "since": utc_now()}))
        _clear_work(folder)
        yield
    finally:
        _clear_work(folder)
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    try:
        held = json.loads(file.read_text())
        return f"process {held['pid']} since {held['since']}"
    except (OSError, ValueError, KeyError):
        return "another run"


def _clear_work(machine_folder: Path) -> None:
    """Only the holder of the lock may."""
    shutil.rmtree(machine_folder / WORK, ignore_errors=True)


def keep_transform(machine_folder: Path, digest: str, files: Sequence[Path]) -> None:
    """Keep the transform files of a trial once for each different result, named by its digest.

    The folder appears whole or not at all, and is on disk before the measurement that names it.
    """
    target = machine_folder / "transforms" / digest
    if target.exists():
        return
    work = work_folder(machine_folder)
    temporary = work / digest  # with the rights of any folder; the work folder is private
    try:
        with named_errors(target):
            temporary.mkdir()
            for file in files:
                with (temporary / file.name).open("wb") as copy:
                    copy.write(_FOLDER_OF_INITIAL.sub(rb"\1", file.read_bytes()))
                    copy.flush()
                    os.fsync(copy.fileno())
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
            _sync_folder(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def transform_files(machine_folder: Path, digest: str) -> list[Path]:
    """The kept transform files of a result, in the order of the parameter files."""
    found = (machine_folder / "transforms" / digest).glob("TransformParameters.*.txt")
    return sorted(found, key=lambda file: int(file.name.split(".")[1]))
