"""Wheels for tests: made up ones, and a real one repacked under another version."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from repro.builds.installed import InstalledBuild

FITS_ALL = "py3-none-any"


def make(
    folder: Path,
    name: str,
    version: str,
    *,
    needs: Iterable[str] = (),
    tag: str = FITS_ALL,
    files: Mapping[str, bytes | Path] | None = None,
    says: str = "",
) -> Path:
    """A wheel of these files; ``says`` is the version in its metadata where that is another."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace("-", "_")
    info = f"{stem}-{says or version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {says or version}"]
    texts: dict[str, bytes | Path] = {
        **(files if files is not None else {f"{stem}.py": f"VERSION = {version!r}\n".encode()}),
        f"{info}/METADATA": "\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = [f"{inside},{_hash(content)}" for inside, content in texts.items()]
    texts[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    file = folder / f"{stem}-{version}-{tag}.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened:
        for inside, content in texts.items():
            entry = zipfile.ZipInfo(inside)  # of no particular time, so that the same wheel is the same file
            opened.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
    return file


def repack(installed: InstalledBuild, version: str, folder: Path) -> Path:
    """The itk-elastix wheel of a fetched build, under another version."""
    assert installed.site_packages is not None
    found = metadata.Distribution.at(next(installed.site_packages.glob("itk_elastix-*.dist-info")))
    inside = [one for one in found.files or () if ".dist-info" not in one.as_posix() and one.suffix != ".pyc"]
    tag = next(line[5:] for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))
    files = {one.as_posix(): installed.site_packages / one for one in inside}
    return make(folder, "itk-elastix", version, needs=found.requires or (), tag=tag, files=files)


def _hash(content: bytes | Path) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest},{len(data)}"


def broken(wheel: Path) -> Path:
    """The wheel cut off in its middle."""
    half = wheel.with_name(wheel.name)
    content = wheel.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    return half


def changed(wheel: Path, inside: str, content: bytes) -> Path:
    """The wheel with another content of one file, its own list of files unchanged; in a folder of its own."""
    file = wheel.parent / "changed" / wheel.name
    file.parent.mkdir()
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(file, "w") as after:
        for entry in before.infolist():
            after.writestr(entry, content if entry.filename == inside else before.read(entry))
    return file


def copy(file: Path, folder: Path) -> Path:
    """The file in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(file, folder))
