"""One machine's results as a small archive that can be given away, and back.

The archive is a zip file with the raw lines, the logs and the transforms of the results, cleaned by packnames.py, and
a manifest with the sha256 of each. The same results give the same bytes. The checksums show damage and hasty
edits; they do not prove who made an archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.builds import archives
from repro.errors import ConfigError, FetchError, StoreError
from repro.layout import shown
from repro.measure.store import read_lines
from repro.model import SCHEMA
from repro.results import packnames
from repro.results.packnames import Scrubber

FORMAT, VERSION = "elastix comparison", 1
MANIFEST = "manifest.json"
BOUNDS = archives.Bounds(entries=60_000, entry_bytes=1 << 29, total_bytes=1 << 31)
TRANSFORM_BYTES = 32 << 20
"""Transforms beyond this are left out: they are for looking closer, no figure is made of them."""
LOG_BYTES = 256 << 10
"""Of a longer log the end is kept."""
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ADVICE = "Ask for it again, or leave it out"
_AS_IT_IS = frozenset(
    ("kind", "key", "keys", "session", "machine", "pair", "lock", "status", "phase", "path", "digests", "arms")
)
"""Fields that hold no text of a person's making."""

Line = dict[str, Any]


def pack(results: Path, machine: str | None, target: Path) -> Path:
    """Pack a machine's raw results into the file `target` (*.zip), or into <machine>.zip in the folder `target`.

    Without `machine` there must be results of one alone. Raises ConfigError where it is not clear which machine is
    meant, StoreError where there is nothing to pack, it cannot be written, or a name could not be taken out.
    """
    folder = _machine_folder(results / "raw", machine)
    file = target if target.suffix == ".zip" else target / f"{folder.name}.zip"
    lines = {path: list(_lines(path, folder.name)) for path in sorted(folder.glob("*/*.jsonl"))}
    texts = {path: _log(path) for path in sorted(folder.glob("*/logs/*.log"))}
    transforms, left_out = _transforms(folder)
    texts |= {path: path.read_text(encoding="utf-8", errors="replace") for path in transforms}
    fingerprint = _fingerprint(lines)
    names = (
        packnames.names_here() | packnames.names_in(texts.values()) | packnames.names_in(_strings([*lines.values()]))
    )
    scrubber = Scrubber(names, keep=(*re.split(r"\W+", folder.name), *fingerprint))
    contents = {path: "".join(f"{json.dumps(_clean(line, scrubber))}\n" for line in its) for path, its in lines.items()}
    contents |= {path: scrubber.text(text) for path, text in texts.items()}
    packed = {_name(path, folder, scrubber): content.encode() for path, content in contents.items()}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "schema": SCHEMA,
        "made_by": _project_version(),
        "machine": folder.name,
        "fingerprint": _clean(fingerprint, scrubber),
        "transforms_left_out": left_out,
        "files": {
            name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in sorted(packed.items())
        },
    }
    packed[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    _refuse_names(packed, scrubber)
    _write(file, packed)
    return file


def unpack_checked(archive: Path, folder: Path) -> Path:
    """Unpack an archive of `pack` below the folder, after checking all of it; returns the new folder.

    The folder's name is that of the machine with a digest of the contents: unpacking twice is once. Raises
    StoreError, leaving nothing behind, where the archive is damaged, was changed, is of another version, or mixes
    machines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        into = Path(temporary) / "archive"
        try:
            files = archives.unpack(archive, into, BOUNDS, _ADVICE)
        except FetchError as error:
            raise StoreError(str(error)) from error
        except OSError as error:
            raise StoreError(f"{shown(archive)}: cannot be unpacked: {error.strerror}") from error
        manifest = _manifest(archive, into)
        _check_files(archive, into, files, manifest)
        _check_lines(archive, into, manifest["machine"])
        target = folder / f"{manifest['machine']}-{_sha256((into / MANIFEST).read_bytes())[:12]}"
        if not target.exists():
            into.replace(target)
    return target


def folders_of(sources: Sequence[Path], folder: Path) -> tuple[list[Path], list[str]]:
    """The sources of a merge as folders, archives unpacked below `folder`; and why some were refused."""
    folders, refused = [], []
    for source in sources:
        if not source.is_file():
            folders.append(source)
            continue
        try:
            folders.append(unpack_checked(source, folder))
        except StoreError as error:
            refused.append(str(error))
    return folders, refused


def _machine_folder(raw: Path, machine: str | None) -> Path:
    found = sorted(folder.name for folder in raw.glob("*") if any(folder.glob("*/*.jsonl"))) if raw.is_dir() else []
    if not found:
        raise StoreError(f"no raw results below {shown(raw)}; run `bench` first")
    if machine is None and len(found) > 1:
        raise ConfigError(f"{shown(raw)} has results of several machines, name one of them: {', '.join(found)}")
    if machine is not None and machine not in found:
        raise ConfigError(f"no results of the machine {machine!r} below {shown(raw)}; there are: {', '.join(found)}")
    return raw / (machine or found[0])


def _lines(file: Path, machine: str) -> Iterator[Line]:
    """Every whole line; a torn one is left out."""
    for line in read_lines(file):
        if line.get("machine") != machine:
            raise StoreError(
                f"{shown(file)}: holds lines of the machine {line.get('machine')!r}, too; set it apart first"
            )
        yield line


def _log(file: Path) -> str:
    content = file.read_bytes()
    cut = f"[the first {len(content) - LOG_BYTES:,} bytes are left out]\n" if len(content) > LOG_BYTES else ""
    return cut + content[-LOG_BYTES:].decode("utf-8", errors="replace")


def _transforms(folder: Path) -> tuple[list[Path], int]:
    """Transform files up to the limit, and how many are left out."""
    kept, size = [], 0
    files = sorted(folder.glob("*/transforms/*/TransformParameters.*.txt"))
    for file in files:
        size += file.stat().st_size
        if size > TRANSFORM_BYTES:
            break
        kept.append(file)
    return kept, len(files) - len(kept)


def _fingerprint(lines: Mapping[Path, Sequence[Line]]) -> Mapping[str, Any]:
    """The latest session's."""
    sessions = [line for its in lines.values() for line in its if isinstance(line.get("fingerprint"), dict)]
    latest = max(sessions, key=lambda line: str(line.get("started_utc")), default={})
    found: Mapping[str, Any] = latest.get("fingerprint", {})
    return found


def _strings(value: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)


def _clean(value: Any, scrubber: Scrubber) -> Any:
    """The value with every text scrubbed, keys too; fields that name things stay as they are."""
    if isinstance(value, str):
        return scrubber.text(value)
    if isinstance(value, list):
        return [_clean(one, scrubber) for one in value]
    if isinstance(value, dict):
        return {
            scrubber.text(key): one if key in _AS_IT_IS and _plain(one) else _clean(one, scrubber)
            for key, one in value.items()
        }
    return value


def _plain(value: Any) -> bool:
    """Whether a field that names something does so: digests, versions and words without a path in them."""
    return all(re.fullmatch(r"[\w.+-]{0,100}", text) for text in _strings(value))


def _name(file: Path, folder: Path, scrubber: Scrubber) -> str:
    """Name in the archive: machine, pair and what is below, possible on every system."""
    parts = file.relative_to(folder.parent).parts
    return "/".join((parts[0], *(re.sub(r'[<>:"|?*\\]', "_", scrubber.text(part)) for part in parts[1:])))


def _refuse_names(packed: Mapping[str, bytes], scrubber: Scrubber) -> None:
    """The last look: nothing leaves with a name in it."""
    for name, content in packed.items():
        if left := scrubber.left(name) or scrubber.left(content.decode()):
            raise StoreError(
                f"{name}: {left!r} names a user, a host or a folder and could not be taken out, so nothing was packed; "
                "rename what holds it (an experiment or a condition, say) and pack again"
            )


def _write(file: Path, packed: Mapping[str, bytes]) -> None:
    if len(packed) > BOUNDS.entries:
        raise StoreError(f"{len(packed):,} files are too many for one archive, at most {BOUNDS.entries:,}")
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(packed):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
                archive.writestr(entry, packed[name])
        temporary.replace(file)
    except OSError as error:
        raise StoreError(f"{shown(file)}: cannot be written: {error.strerror}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def _manifest(archive: Path, into: Path) -> Mapping[str, Any]:
    try:
        manifest = json.loads((into / MANIFEST).read_text(encoding="utf-8"))
        kind, version, schema = manifest["format"], manifest["version"], manifest["schema"]
        known = kind == FORMAT and isinstance(manifest["files"], dict) and _MACHINE.fullmatch(manifest["machine"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{archive.name}: has no {MANIFEST} that can be read; `python -m repro pack` makes one"
        ) from error
    if not known:
        raise StoreError(f"{archive.name}: is no archive of `python -m repro pack`")
    if (version, schema) != (VERSION, SCHEMA):
        raise StoreError(
            f"{archive.name}: version {version}, schema {schema}, but this checkout reads version {VERSION}, schema "
            f"{SCHEMA}; merge it with the version of the project that packed it ({manifest.get('made_by')})"
        )
    found: Mapping[str, Any] = manifest
    return found


def _check_files(archive: Path, into: Path, files: Sequence[Path], manifest: Mapping[str, Any]) -> None:
    """Refuse a file that is missing, was added or changed, or lies outside of the machine's folder."""
    there = {file.relative_to(into).as_posix(): file for file in files}
    listed = {*manifest["files"], MANIFEST}
    problems = [f"{name!r} is missing" for name in sorted(listed - there.keys())]
    problems += [f"{name!r} is not in its manifest" for name in sorted(there.keys() - listed)]
    for name, file in there.items():
        said = manifest["files"].get(name)
        if file.is_symlink() or not name.startswith((f"{manifest['machine']}/", MANIFEST)):
            problems.append(f"{name!r} does not belong there")
        elif name in listed - {MANIFEST} and (
            not isinstance(said, dict) or said.get("sha256") != _sha256(file.read_bytes())
        ):
            problems.append(f"{name!r} was changed after it was packed")
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise StoreError(f"{archive.name}: {problems[0]}{more}: refused. {_ADVICE}")


def _check_lines(archive: Path, into: Path, machine: str) -> None:
    """Refuse lines of another machine or schema: their figures would be taken for others."""
    for file in sorted(into.rglob("*.jsonl")):
        for number, line in enumerate(read_lines(file), 1):
            if line.get("machine") != machine or line.get("schema") != SCHEMA:
                raise StoreError(
                    f"{archive.name}: line {number} of {file.name} is of machine {line.get('machine')!r}, schema "
                    f"{line.get('schema')!r}, not of {machine!r}, schema {SCHEMA}: mixed, refused. {_ADVICE}"
                )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _project_version() -> str:
    try:
        return metadata.version("repro")
    except metadata.PackageNotFoundError:  # run from the checkout, not installed
        return "checkout"
