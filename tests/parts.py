"""Made-up parts of a pair, small and quick: an executable, a release archive, wheels, a transform."""

from __future__ import annotations

import base64
import datetime
import hashlib
import stat
import sys
import zipfile
from pathlib import Path

from madeup.elastix import TRANSFORM as TRANSFORM
from repro.model import PLATFORMS, Archive, Executable, Pair


def pair(
    itk_elastix: str = "0.25.4", elastix: str = "5.3.1", *, sha256: str = "", suites: tuple[str, ...] = ()
) -> Pair:
    """A pair that every platform can have."""
    archives = {platform: Archive(f"elastix-{elastix}.zip", sha256) for platform in PLATFORMS}
    executable = Executable(elastix, elastix, archives, suites)
    return Pair(f"{itk_elastix}-{elastix}", itk_elastix, executable, "3.14", datetime.date(2026, 8, 22))


def script(version: str = "5.3.1", *, says: str = "elastix version: {}", status: int = 0) -> str:
    """A program that answers --version as elastix does."""
    return f"#!{sys.executable} -IS\nimport sys\nprint({says.format(version)!r})\nsys.exit({status})\n"


def program(file: Path, text: str | None = None) -> Path:
    """The script as an executable file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script() if text is None else text)
    file.chmod(0o755)
    return file


def release(file: Path, text: str | None = None, *, name: str = "elastix-5/bin/elastix") -> Path:
    """An archive laid out as a GitHub release."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for entry, content in ((name, script() if text is None else text), ("elastix-5/lib/libANNlib.so", "library")):
            info = zipfile.ZipInfo(entry)
            info.external_attr = (stat.S_IFREG | (0o755 if "bin/" in entry else 0o644)) << 16
            archive.writestr(info, content)
    return file


def wheels(site_packages: Path, versions: dict[str, str]) -> None:
    """Installed packages: a module and the metadata of each."""
    for name, version in versions.items():
        about = site_packages / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        module = site_packages / f"{name.replace('-', '_')}.py"
        module.write_text(f"version = {version!r}\n")
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: Apache-2.0\n"
        )
        checksum = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).decode().rstrip("=")
        (about / "RECORD").write_text(
            f"{module.name},sha256={checksum},{module.stat().st_size}\n{about.name}/METADATA,,\n{about.name}/RECORD,,\n"
        )


def lock(versions: dict[str, str]) -> str:
    """A wheel lock with these versions."""
    return "# a comment\n" + "".join(
        f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(name.encode()).hexdigest()}\n"
        for name, version in versions.items()
    )
