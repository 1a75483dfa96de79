"""An elastix executable: found in a file or folder, asked for its version, described as a build.

Nothing of a download runs before its checksum was verified (or kept, on first use), and whatever it is, it must then
say its version itself.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from repro.builds import installed
from repro.errors import ConfigError, FetchError
from repro.files import sha256
from repro.paths import shown
from repro.system.environment import child_environment
from repro.system.platforms import current_platform, executable_name, libraries_beside, library_path_variable

LICENCE = "Apache-2.0"
_VERSION_TIMEOUT_S = 60
_SAYS_VERSION = re.compile(r"elastix[ -]version:\s*([a-z0-9][a-z0-9._+-]{0,60})(?!\S)", re.IGNORECASE | re.ASCII)
"""The version becomes the name of a folder, so not anything that a program may say."""
_SYSTEM_PREFIXES = {Path("/"), Path("/usr"), Path("/usr/local")}
"""Their libraries are the system's, which the loader finds by itself."""


class DoesNotRunError(FetchError):
    """The executable does not run on this machine; one from another source may."""


@dataclass(frozen=True)
class Executable:
    """An executable that was put into a build's folder, or stays where the user has it."""

    source: str
    """ "release", "debian <suite>" or "given"."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    place: Path | None = None
    """The folder of the user that has it and its libraries."""
    version: str = ""
    """As it says itself."""

    def describe(self, folder: Path, *, own: bool = False) -> None:
        """Write the description of the build in this folder."""
        installed.write(
            folder,
            path="cli",
            version=self.version,
            own=own,
            source=self.source,
            command=self.command,
            environment=self.environment,
            place=self.place,
            facts=self.facts,
        )


def path_of(text: str) -> Path:
    """The absolute path that the user wrote. Raises ConfigError where the system cannot even look for it."""
    try:
        path = Path(text).expanduser().absolute()
        str(path).encode()  # it becomes text in build.json and in scripts
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, in a closed folder, ~nobody, not UTF-8
        raise ConfigError(f"{text[:200]}: cannot be used as a path ({str(error)[:200]}); give another") from error
    return path


def from_path(path: Path) -> Executable:
    """The executable at this path, or in this folder, as it lies there. Raises ConfigError where there is none."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder; look for a typing error")
    program = _find(path) if path.is_dir() else path.resolve() if path.is_symlink() else path  # to its libraries
    if program is None or not program.is_file():
        raise ConfigError(
            f"{path.name}: holds no {executable_name('elastix')}, neither at its top nor in bin/; give the executable, "
            "or the folder or zip archive that has it"
        )
    if not os.access(program, os.X_OK):
        if not path.is_dir():
            raise ConfigError(
                f"{program.name}: is no executable, no wheel (.whl) and no zip archive (.zip); if it is an elastix, "
                "make it executable (chmod +x)"
            )
        for one in (program, program.with_name(executable_name("transformix"))):  # archives of CI lose the bit
            if one.is_file():
                one.chmod(0o755)
    facts = {"pinned": True, "sha256": sha256(program)}
    lib = libraries_beside(program)
    if lib is None or lib.parent in _SYSTEM_PREFIXES:
        return Executable("given", (str(program),), {}, facts, program.parent)
    return Executable("given", (str(program),), {library_path_variable(): str(lib)}, facts, lib.parent)


def asked(executable: Executable, expected: str = "") -> Executable:
    """The executable with the version that it says it is.

    Raises DoesNotRunError where it says none (its libraries or processor are not this machine's, or it is no elastix),
    FetchError where it is not the expected one.
    """
    program = Path(executable.command[-1])
    try:
        done = _run(executable, "--extended-version")  # with that of ITK
        if "version" not in done.stdout:
            done = _run(executable, "--version")
    except (OSError, subprocess.TimeoutExpired) as error:
        other = _made_for(program)
        reason = f"it is made for {other}, this is {current_platform()}" if other else str(error)
        raise DoesNotRunError(
            f"{shown(program)}: does not run here: {reason}; give one made for {current_platform()}"
        ) from error
    found = _SAYS_VERSION.search(done.stdout)
    if not found:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])[:300] or "nothing"
        raise DoesNotRunError(
            f"{shown(program)}: is no elastix that runs here: asked for its version it ended with status "
            f"{done.returncode} and said: {said}; give an elastix made for {current_platform()}, with its libraries "
            "in lib/"
        )
    if expected and found[1] != expected:
        raise FetchError(f"{shown(program)}: is elastix {found[1]}, expected {expected}; give another one")
    itk = re.search(r"^ITK version: (\S+)", done.stdout, re.MULTILINE)
    facts = {"elastix": found[1], "itk": itk[1] if itk else None, "licence": LICENCE, **executable.facts}
    return replace(executable, version=found[1], facts=facts)


def _run(executable: Executable, option: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*executable.command, option],
        check=False,
        env=child_environment(executable.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=_VERSION_TIMEOUT_S,
    )


def _find(folder: Path) -> Path | None:
    """The executable in a folder laid out as a release: at the top (Windows) or in bin/, perhaps
    inside the one folder that the archive wraps around all."""
    tops = [folder, *(one for one in sorted(folder.iterdir()) if one.is_dir())]
    candidates = [top / part / executable_name("elastix") for top in tops for part in ("bin", "")]
    return next((one for one in candidates if one.is_file()), None)


def _made_for(program: Path) -> str:
    """The platform that the program's first bytes name; empty: this one, or unknown."""
    with program.open("rb") as stream:
        start = stream.read(64)
    made = ""
    if start[:4] == b"\x7fELF" and len(start) >= 20:
        machines = {62: "linux-64", 183: "linux-aarch64"}
        made = machines.get(struct.unpack_from("<H", start, 18)[0], "another processor")
    elif start[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"):
        made = "macOS"
    elif start[:2] == b"MZ":
        made = "Windows"
    same = made == current_platform() or (made, current_platform()[:3]) in (("macOS", "osx"), ("Windows", "win"))
    return "" if same else made
