"""Raw results on disk: append-only lines that survive a crash at any moment, and the transforms that they name.

A line is written in one call and synced before the next trial starts. A crash can only tear the last line; the next
writer cuts it off.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from repro import stats
from repro.elastix.output import transform_files
from repro.errors import StoreError
from repro.files import named_errors
from repro.model import (
    AgreementLine,
    BlockLine,
    ConditionLine,
    Estimate,
    Line,
    Measurement,
    SessionLine,
    Side,
    read_line,
    write_line,
)
from repro.paths import shown
from repro.text import scrub, utc_now

WORK = ".work"
"""Folder, in a machine's, of what is of use only while a trial runs."""
LOGS = "logs"
TRANSFORMS = "transforms"
_FOLDER_OF_FILE = re.compile(rb'((?:^|\()InitialTransformParameters?FileName[ =\[]+")[^"\n]*[/\\]', re.MULTILINE)
"""elastix names the transform before this one by its path, and that names users and homes."""


class RawFile:
    """One raw file, open for appending."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with named_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what could not be written must not linger and be written later.
            self._stream = file.open("ab", buffering=0)
            self._stream.truncate(file.read_bytes().rfind(b"\n") + 1)  # cuts off a torn line
            _sync_folder(file.parent)

    def append(self, line: Line) -> None:
        """Write one line and have it on disk before returning; where that fails the file is as before."""
        data = write_line(line).encode() + b"\n"
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


def read_lines(file: Path) -> Iterator[Line]:
    """Every line of a raw file that is one; what is damaged or of another version is passed over."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    for text in content.split(b"\n"):
        with contextlib.suppress(ValueError):
            yield read_line(text)


class ConditionLog(RawFile):
    """A raw file with what a condition has measured so far: the lines of its key."""

    def __init__(self, file: Path, key: str, sides: frozenset[Side]) -> None:
        """Read what earlier sessions left. A block of which one of these sides was not run is not whole."""
        super().__init__(file)  # first: it cuts off a torn line, which then must not count
        self._sides = sides
        self._measured: dict[str, list[Measurement]] = {}
        self._agreements: list[AgreementLine] = []
        self.whole: dict[int, str] = {}
        """Blocks that are whole -> the life that they were measured in."""
        self.opened = False
        for line in read_lines(file):
            if not isinstance(line, SessionLine) and getattr(line, "key", None) == key:
                self._count(line)

    def _count(self, line: Line) -> None:
        match line:
            case Measurement(phase="measure"):
                self._measured.setdefault(line.life, []).append(line)
            case AgreementLine():
                self._agreements.append(line)
            case BlockLine() if self._sides <= {one.side for one in self._measured.get(line.life, ())}:
                self.whole.setdefault(line.block, line.life)

    def open(self, session: SessionLine, condition: ConditionLine) -> None:
        """Write what stands before the first line of a session."""
        self.append(session)
        self.append(condition)
        self.opened = True

    def add(self, line: Measurement | AgreementLine | BlockLine) -> None:
        """Keep a line; it is on disk when this returns."""
        self.append(line)
        self._count(line)

    def block_logs(self) -> list[float]:
        """The log ratio of each whole block that has one."""
        return [statistics.median(rounds) for rounds in self._rounds().values() if rounds]

    def estimate(self) -> Estimate | None:
        """The ratio so far."""
        return stats.estimate(self._rounds())

    def medians_s(self) -> dict[Side, float]:
        """Median seconds of each arm over its trials in whole blocks."""
        seconds: dict[Side, list[float]] = {}
        for one in (one for life in self.whole.values() for one in self._measured.get(life, ())):
            if one.status == "ok" and one.wall_s is not None:
                seconds.setdefault(one.side, []).append(one.wall_s)
        return {side: statistics.median(values) for side, values in seconds.items()}

    def agreement(self, digests: tuple[str, str], session: str) -> AgreementLine | None:
        """What was found of these two results; None where nobody compared them, or an earlier session could not."""
        lines = (line for line in self._agreements if line.digests == digests)
        return next((line for line in lines if line.session == session or not line.problem), None)

    def _rounds(self) -> dict[int, list[float]]:
        """Log ratios of the complete rounds of each whole block."""
        found: dict[int, list[float]] = {}
        for block, life in sorted(self.whole.items()):
            seconds: dict[int, dict[Side, float]] = {}
            for one in self._measured.get(life, ()):
                if one.status == "ok" and one.wall_s:
                    seconds.setdefault(one.round, {})[one.side] = one.wall_s
            logs = [stats.round_log_ratio(by_side) for by_side in seconds.values()]
            found[block] = [one for one in logs if one is not None]
        return found


def set_aside(file: Path) -> None:
    """Rename a raw file so that nothing reads it any more. Measurements are never deleted."""
    if file.exists():
        names = (file.with_name(f"{file.name}.{number}.replaced") for number in itertools.count(1))
        with named_errors(file):
            file.rename(next(name for name in names if not name.exists()))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a machine's results folder against a second run; what a killed run left of its trials is removed.

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
            holder.write_text(json.dumps({"pid": os.getpid(), "since": utc_now()}), encoding="utf-8")
        shutil.rmtree(folder / WORK, ignore_errors=True)
        yield
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return f"process {held['pid']} since {held['since']}"
    except (OSError, ValueError, KeyError):
        return "another run"


@contextlib.contextmanager
def trial_folder(parent: Path) -> Iterator[Path]:
    """A new empty folder for one trial, gone afterwards."""
    with named_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="trial-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_transform(machine_folder: Path, digest: str, folder: Path) -> None:
    """Keep the transforms that a registration left in the folder, once for each different result, under its digest.

    They appear whole or not at all, and are on disk before the measurement that names them.
    """
    target = machine_folder / TRANSFORMS / digest
    if target.exists():
        return
    with trial_folder(machine_folder / WORK) as work, named_errors(target):
        temporary = work / digest  # with the rights of any folder; the work folder is private
        temporary.mkdir()
        for file in transform_files(folder):
            with (temporary / file.name).open("wb") as copy:
                copy.write(_FOLDER_OF_FILE.sub(rb"\1", file.read_bytes()))
                copy.flush()
                os.fsync(copy.fileno())
        target.parent.mkdir(exist_ok=True)
        temporary.replace(target)
        _sync_folder(target.parent)


@contextlib.contextmanager
def clean_logs(machine_folder: Path, private: Mapping[str, str]) -> Iterator[None]:
    """Take what names users, homes and images out of the logs at the end of a session, also of one that failed."""
    try:
        yield
    finally:
        for log in sorted((machine_folder / LOGS).glob("*.log")):
            with contextlib.suppress(OSError):
                text = log.read_text(encoding="utf-8", errors="replace")
                log.write_text(hide(text, private), encoding="utf-8")


def hide(text: str, private: Mapping[str, str]) -> str:
    """The text without the names of the user's files, homes and machine; file names are often patients' names."""
    for name in sorted(private, key=len, reverse=True):
        text = text.replace(name, private[name])
    return scrub(text)


def private_names(files: Mapping[str, Path]) -> dict[str, str]:
    """Every way in which elastix may name these files -> what stands for it: ``<fixed>``."""
    found: dict[str, str] = {}
    for what, file in files.items():
        found |= dict.fromkeys((str(file), file.as_posix(), file.name), f"<{what}>")
    return {name: word for name, word in found.items() if len(name) > 3}


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on disk, so that a new file outlives a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def raw_file(machine_folder: Path, experiment: str, comparison: str) -> Path:
    """Where the lines of an experiment of a comparison stand."""
    return machine_folder / experiment / f"{re.sub('[ :/]', '_', comparison)}.jsonl"
