"""One machine's results as one zip file that can be given away: raw lines, and the transforms that they refer to.

Texts are cleaned of users, hosts and folders once more. A manifest has the sha256 of every file; the same results give
the same bytes. The checksums show damage and hasty edits; they do not prove who measured.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from repro import __version__
from repro.errors import ConfigError, StoreError
from repro.files import adapter, replacing
from repro.model import SCHEMA, read_line
from repro.paths import shown
from repro.text import command, line, scrub

FORMAT, VERSION = "elastix comparison", 2
MANIFEST = "manifest.json"
TRANSFORM_BYTES = 32 << 20
"""Transforms beyond this are left out: they are for looking closer, no figure is made of them."""
_MOST_FILES, _MOST_BYTES, _MOST_TIMES = 20_000, 256 << 20, 200
"""Files of a pack, bytes that they unpack to, and how many times the pack's own; raw lines unpack to about 15 times."""
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TEXTS = frozenset(
    ("note", "problem", "reason", "question", "command", "fingerprint", "builds", "state", "source", "harness")
)
"""Fields of a line that hold text of somebody's making; the rest are figures, digests and names of ours."""
_NAMES = frozenset(("machine", "experiment", "comparison", "name", "images", "parameter_files", "overrides"))
"""Fields that name things: cleaned they would name others, so a private name in them stops the packing."""
_STARTS_FROM = re.compile(
    rb'(Initial\w*FileNames?[\s="\[]+(?=[^"]))(?!NoInitialTransform"|(?:[^"]*[/\\])?TransformParameters\.\d+\.\w+")[^"]*'
)
"""Where a transform file names the one that it starts from; none, or one of the same result, may stay."""


def pack(results: Path, target: Path, machine: str | None = None) -> Path:
    """Pack a machine's raw results into the file ``target`` (*.zip), or into <machine>.zip in the folder ``target``.

    Without ``machine`` there must be results of one alone. Raises ConfigError where it is not clear which machine is
    meant; StoreError where there is nothing to pack, it cannot be written, or a name cannot be taken out.
    """
    folder = _machine_folder(results / "raw", machine)
    file = target if target.suffix == ".zip" else target / f"{folder.name}.zip"
    lines = {path: list(_cleaned(path, folder.name)) for path in sorted(folder.rglob("*.jsonl"))}
    transforms, left_out = _transforms(
        folder, {str(one["result_digest"]) for its in lines.values() for one in its if "result_digest" in one}
    )
    packed = {path: "".join(f"{json.dumps(one)}\n" for one in its).encode() for path, its in lines.items()}
    packed |= {path: _without_paths(path) for path in transforms}
    contents = {path.relative_to(folder.parent).as_posix(): content for path, content in packed.items()}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "schema": SCHEMA,
        "made_by": __version__,
        "machine": folder.name,
        "transforms_left_out": left_out,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())},
    }
    contents[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    if len(contents) > _MOST_FILES:
        raise StoreError(f"{len(contents):,} files are too many for one pack, at most {_MOST_FILES:,}")
    with replacing(file) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(entry, contents[name])
    return file


def _machine_folder(raw: Path, machine: str | None) -> Path:
    found = sorted(folder.name for folder in raw.glob("*") if any(folder.rglob("*.jsonl"))) if raw.is_dir() else []
    if not found:
        raise StoreError(f"no raw results below {shown(raw)}; run `{command('bench')}` first")
    if machine is None and len(found) > 1:
        raise ConfigError(f"{shown(raw)} has results of several machines, name one of them: {', '.join(found)}")
    if machine is not None and machine not in found:
        raise ConfigError(f"no results of the machine {machine!r} below {shown(raw)}; there are: {', '.join(found)}")
    return raw / (machine or found[0])


# ---- what leaves the machine


def _cleaned(file: Path, machine: str) -> Iterator[dict[str, Any]]:
    """Every whole line without private names; what is none (torn, or another program's) is left out."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StoreError(f"{shown(file)}: cannot be read: {error.strerror}") from error
    for number, text in enumerate(content.splitlines(), 1):
        try:
            read_line(text)
            fields = json.loads(text)
        except ValueError:
            continue
        if fields.get("machine", machine) != machine:
            raise StoreError(
                f"{shown(file)}, line {number}: is of the machine {line(fields['machine'], 100)}: set it apart first"
            )
        if left := next(_private(fields), ""):
            raise StoreError(
                f"{shown(file)}, line {number}: {left!r} names a user, a host or a folder and cannot be taken out, so "
                "nothing was packed: rename what holds it (an experiment or a condition, say), and measure again"
            )
        yield {name: _scrubbed(one) if name in TEXTS else one for name, one in fields.items()}


def _scrubbed(value: Any) -> Any:
    """The value with every text in it cleaned."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrubbed(one) for one in value]
    if isinstance(value, dict):
        return {scrub(name): _scrubbed(one) for name, one in value.items()}
    return value


def _private(value: Any, inside: bool = False) -> Iterator[str]:
    """Names of things that hold a private name."""
    if isinstance(value, str):
        if inside and scrub(value) != value:
            yield value
    elif isinstance(value, list):
        for one in value:
            yield from _private(one, inside)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name not in TEXTS:
                yield from _private(one, inside or name in _NAMES)


def _transforms(folder: Path, digests: Iterable[str]) -> tuple[list[Path], int]:
    """Files of the results that the lines refer to, up to the limit, and how many are left out."""
    files = sorted(
        file
        for digest in digests
        if re.fullmatch(r"[0-9a-f]{1,64}", digest)
        for file in (folder / "transforms" / digest).glob("TransformParameters.*")
        if file.is_file()
    )
    kept, size = [], 0
    for file in files:
        size += file.stat().st_size
        if size > TRANSFORM_BYTES:
            break
        kept.append(file)
    return kept, len(files) - len(kept)


def _without_paths(transform: Path) -> bytes:
    """The transform file without the name of a file of its owner's that it starts from."""
    content = transform.read_bytes()
    if transform.suffix not in (".txt", ".toml"):
        return content
    text = _STARTS_FROM.sub(rb"\g<1><file>", content).decode("utf-8", "surrogateescape")
    return scrub(text).encode("utf-8", "surrogateescape")


# ---- what comes in


def read_pack(file: Path) -> tuple[str, Mapping[str, bytes]]:
    """The machine, and name and content of each raw file of a pack, after all of it was checked.

    Nothing is unpacked to disk. Raises StoreError where it is no pack, is damaged, was changed, is of another version,
    or would unpack to more than a pack can hold.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _checked(file, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError) as error:
        raise _refused(file, f"it is no zip file, or is damaged ({line(error, 100)})") from error
    except OSError as error:
        raise StoreError(f"{shown(file)}: cannot be read: {error.strerror or error}") from error


def _checked(file: Path, archive: zipfile.ZipFile) -> tuple[str, Mapping[str, bytes]]:
    entries = archive.infolist()
    size, most = sum(entry.file_size for entry in entries), min(_MOST_BYTES, _MOST_TIMES * file.stat().st_size)
    if len(entries) > _MOST_FILES or size > most:
        raise _refused(file, f"{len(entries):,} files of {size:,} bytes in all cannot be a pack")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise _refused(file, "it is compressed in another way than `pack` does")
    if MANIFEST not in archive.namelist():
        raise _refused(file, f"it has no {MANIFEST}, so `pack` did not make it")
    machine, digests = _manifest(file, archive.read(MANIFEST))
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise _refused(file, "a file is in it twice")
    for name in sorted({*digests, *names} - {MANIFEST}):
        if name not in digests or name not in names:
            raise _refused(file, f"{name!r} is {'missing' if name in digests else 'not in its manifest'}")
        if PurePosixPath(name).parts[0] != machine:
            raise _refused(file, f"{name!r} is not below the machine's folder")
    found = {}
    for name in sorted(digests):
        content = archive.read(name)
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise _refused(file, f"{name!r} was changed after it was packed")
        if name.endswith(".jsonl"):
            found[name] = content
    return machine, found


def _manifest(file: Path, content: bytes) -> tuple[str, dict[str, str]]:
    """Machine and digests. RecursionError and the like end as ValueError of pydantic."""
    manifest = adapter(dict[str, Any]).validate_json(content)
    if manifest.get("format") != FORMAT:
        raise _refused(file, "`pack` did not make it")
    if (manifest.get("version"), manifest.get("schema")) != (VERSION, SCHEMA):
        version, schema, by = (line(manifest.get(name), 50) for name in ("version", "schema", "made_by"))
        raise StoreError(
            f"{shown(file)}: version {version}, schema {schema}, but this checkout reads version {VERSION}, schema "
            f"{SCHEMA}; merge it with the version of the project that packed it ({by})"
        )
    machine, files = str(manifest.get("machine")), adapter(dict[str, str]).validate_python(manifest.get("files"))
    if not _MACHINE.fullmatch(machine):
        raise _refused(file, f"{line(machine, 100)} is no name of a machine")
    return machine, files


def _refused(file: Path, why: str) -> StoreError:
    return StoreError(f"{shown(file)}: {why}: refused; ask for it again, or leave it out")
