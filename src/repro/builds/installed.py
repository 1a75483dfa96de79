"""A build on this machine: the folder ``.builds/<path>-<version>``, described by its ``build.json``.

The digest of a build covers its command, its environment and every file that is loaded, so two builds of one version
are two builds, wherever their files came from. ``load`` compares the description with the digest, ``check`` the files'
sizes and times with the description, ``verify`` every byte.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.builds import pythons
from repro.builds.catalogue import Catalogue, CatalogueBuild, load_catalogue
from repro.errors import ConfigError, FetchError, UnavailableError
from repro.files import read_json, sha256, write_json, write_text
from repro.model import Build, Path_, digest
from repro.paths import BUILDS, shown
from repro.system.platforms import (
    SYSTEM,
    current_platform,
    executable_name,
    long_path,
    path_separator,
)
from repro.text import command, utc_now

FORMAT = 2
HERE, GIVEN = "{build}", "{given}"
"""Stand for the build's folder, and for the folder of an executable that stays where the user has it."""
DESCRIPTION = "build.json"
SITE_PACKAGES, PROGRAMS, SHIMS = "site-packages", "elastix", "bin"
"""Folders of a build: its wheels; its executable with its libraries; scripts that start it."""
_UV_LOCK = f"{SITE_PACKAGES}/.lock"
_NOT_LOADED = re.compile(r"\.pyc$|/[^/]*\.dist-info/(?!METADATA$)|^site-packages/(bin|Scripts)/|/copyright$")
"""Files that no registration loads, or that are made here and differ from place to place."""


@dataclass(frozen=True)
class FileState:
    """A file as it was when the build was fetched."""

    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """The content of build.json. ``command``, ``environment`` and ``files`` begin paths with HERE or GIVEN."""

    format: int = FORMAT
    build: Build
    called: str = ""
    """Name that the user gave it (`build add --as`)."""
    source: str
    """ "release", "debian <suite>", "index" or "given"."""
    platform: str = field(default_factory=current_platform)
    python_tag: str = ""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    """Folder of an executable that stays where the user has it."""
    lock_sha256: str = ""
    """Of the wheel lock; empty for executables."""
    asked_sha256: str = ""
    """Of the user's files, by which they are known again."""
    fetched_utc: str = field(default_factory=utc_now)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Where each part came from: versions, checksums, licences, addresses; no local path."""
    files: Mapping[str, FileState] = field(default_factory=dict)


@dataclass(frozen=True)
class InstalledBuild:
    """A build on this machine, ready to run."""

    folder: Path
    description: Description = field(repr=False)

    @property
    def build(self) -> Build:
        """Path, version and digest."""
        return self.description.build

    @property
    def name(self) -> str:
        """As it is given on the command line: ``api:0.25.4``."""
        return self.build.name

    @property
    def site_packages(self) -> Path | None:
        """The folder of its wheels; None of an executable."""
        return self.folder / SITE_PACKAGES if self.description.python_tag else None

    @property
    def python_tag(self) -> str:
        """Tag of the Python that its wheels are for, as "cp311"; empty of an executable."""
        return self.description.python_tag

    @property
    def command(self) -> tuple[str, ...]:
        """How the executable is started: its arguments are appended to this. Empty of wheels."""
        return tuple(map(self._placed, self.description.command))

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that the executable needs besides."""
        return {name: self._placed(value) for name, value in self.description.environment.items()}

    @property
    def source(self) -> str:
        """Where it came from: "release", "debian <suite>", "index" or "given"."""
        return self.description.source

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What build.json says of its parts, without local paths, for raw lines and tables."""
        told = {"source": self.source, "digest": self.build.digest, "platform": self.description.platform}
        return {**told, "python_tag": self.python_tag, **self.description.facts}

    def interpreter(self) -> Path:
        """The Python that its wheels were installed for. Raises UnavailableError where it is gone."""
        python = pythons.version(self.python_tag)
        if found := pythons.find(python):
            return found
        raise UnavailableError(
            f"{self.name} is installed for Python {python}, which is not here any more; "
            f"run: {command(f'fetch {self.name}')}"
        )

    def transformix(self) -> tuple[str, ...] | None:
        """How the transformix beside the executable is started; None: there is none."""
        if not self.command:
            return None
        *loader, program = self.command
        transformix = Path(program).with_name(executable_name("transformix"))
        return (*loader, str(transformix)) if transformix.is_file() else None

    def environment_for_user(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The user's environment in which ``elastix`` is this executable, or ``python`` has these wheels.

        Of several builds each takes the environment of the one before. The wheels come last on the module path, and
        no bytecode is written into them.
        """
        found, separator = dict(environment), path_separator()
        programs = self.interpreter().parent if self.python_tag else self.folder / SHIMS
        found["PATH"] = separator.join(filter(None, (str(programs), found.get("PATH", ""))))
        if self.site_packages:
            found["PYTHONPATH"] = separator.join(filter(None, (found.get("PYTHONPATH", ""), str(self.site_packages))))
            found["PYTHONDONTWRITEBYTECODE"] = "1"
        return found

    def _placed(self, text: str) -> str:
        return text.replace(HERE, str(self.folder)).replace(GIVEN, self.description.place)


def load(name: str, root: Path = BUILDS, catalogue: Catalogue | None = None) -> InstalledBuild:
    """The build of this name as it was fetched; reads its description and no other file.

    ``name`` is one of the catalogue, or of a build of the user's own that is here. Raises UnavailableError where it is
    not fetched, was fetched for another lock or Python, or cannot be had on this platform.
    """
    known = (catalogue or load_catalogue()).builds.get(name)
    if known is None:
        for one in own_builds(root):
            if name in (one.name, one.description.called):
                return one
        raise UnavailableError(
            f"{name} is neither in the catalogue (`{command('pairs')}` lists it) nor a build of your own that is here; "
            "give the file itself again"
        )
    if reason := known.unavailable.get(current_platform()):
        raise UnavailableError(f"{name} cannot be had on {current_platform()}: {reason}")
    again = f"run: {command(f'fetch {name}')}"
    there = read(folder_of(known, root), f"{name} is not fetched; {again}")
    if there.description.lock_sha256 != lock_sha256(known):
        raise UnavailableError(f"{name}: {shown(known.lock)} was changed since it was fetched; {again}")
    return there


def folder_of(build: CatalogueBuild, root: Path = BUILDS) -> Path:
    """Where the build belongs: ``api-0.25.4``, with the Python's tag where it is not the build's own."""
    other = pythons.target(build) if build.python else ""
    return root / (f"{build.path}-{build.version}" + (f"-{pythons.tag(other)}" if other != build.python else ""))


def lock_sha256(build: CatalogueBuild) -> str:
    """Digest of the build's wheel lock; empty of an executable. Raises FetchError where the lock is missing."""
    try:
        return sha256(build.lock) if build.python else ""
    except OSError as error:
        raise FetchError(
            f"{shown(build.lock)}: cannot be read ({error.strerror}); restore it from the repository"
        ) from error


def read(folder: Path, absent: str) -> InstalledBuild:
    """The build in this folder. Raises UnavailableError, with the words ``absent`` where there is none."""
    damaged = f"{shown(folder)} is damaged; delete it and fetch again"
    try:
        stated = read_json(folder / DESCRIPTION, Description)
    except FileNotFoundError:
        raise UnavailableError(damaged if folder.exists() else absent) from None
    except (OSError, ValueError) as error:
        raise UnavailableError(damaged) from error
    if (stated.format, stated.platform) != (FORMAT, current_platform()):
        raise UnavailableError(
            f"{shown(folder)} was fetched on {stated.platform} by another version of this project, or on another "
            "machine; delete it and fetch again"
        )
    if stated.build.digest != _digest(stated.python_tag, stated.command, stated.environment, stated.files):
        raise UnavailableError(f"{shown(folder / DESCRIPTION)} was changed since it was fetched; "
                               f"delete {shown(folder)} and fetch again")  # fmt: skip
    return InstalledBuild(folder, stated)


def own_builds(root: Path = BUILDS) -> list[InstalledBuild]:
    """The user's own builds that are here; what cannot be read is left out."""
    found = []
    for folder in sorted(root.glob("*+????????")):
        try:
            found.append(read(folder, ""))
        except UnavailableError:
            continue
    return found


def check(installed: InstalledBuild) -> None:
    """Compare sizes and times of the build's files with those at the time of fetching, and the digests of what changed.

    Raises ConfigError that names the first file that is not what it was: it would be measured under the wrong name.
    """
    if problems := list(_problems(installed, every_byte=False)):
        cure = "give it again, it is another build now" if installed.build.own else "delete the folder and fetch again"
        raise ConfigError(
            f"{installed.name} is not what was fetched: {problems[0]}"
            + (f" (and {len(problems) - 1} more)" if problems[1:] else "")
            + f"; {cure}"
        )


def verify(installed: InstalledBuild) -> list[str]:
    """What differs from what was fetched, a line each, compared byte by byte; empty: nothing."""
    return list(_problems(installed, every_byte=True))


def _problems(installed: InstalledBuild, *, every_byte: bool) -> Iterator[str]:
    stated = installed.description
    for name, state in stated.files.items():
        file = Path(long_path(Path(installed._placed(name))))
        try:
            now = file.stat()
            same = (now.st_size, now.st_mtime_ns) == (state.bytes, state.mtime_ns)
            if (every_byte or not same) and (found := sha256(file)) != state.sha256:
                yield f"{shown(file)}: sha256 expected {state.sha256}, found {found}"
        except OSError as error:
            yield f"{shown(file)}: {'is missing' if isinstance(error, FileNotFoundError) else error.strerror}"
    shims = _shims(stated)
    for name, text in shims.items():
        file = installed.folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            yield f"{shown(file)}: is missing or was changed"
    known = {*stated.files, *(f"{HERE}/{name}" for name in (*shims, DESCRIPTION, _UV_LOCK))}
    for name in _walk(installed.folder):
        if f"{HERE}/{name}" not in known:
            yield f"{shown(installed.folder / name)}: was not there when the build was fetched"


def write(
    folder: Path,
    *,
    path: Path_,
    version: str,
    source: str,
    own: bool = False,
    python_tag: str = "",
    command: tuple[str, ...] = (),
    environment: Mapping[str, str] = {},
    place: Path | None = None,
    **told: Any,
) -> None:
    """Describe the build that was put into the folder, which may be moved afterwards.

    ``command`` and ``environment`` name the folder, or ``place``, as they are. ``told`` are other fields of
    Description.
    """

    def free(text: str) -> str:
        freed = (text.replace(str(place), GIVEN) if place else text).replace(str(folder), HERE)
        return freed.replace("\\", "/") if freed != text else text

    command = tuple(map(free, command))
    environment = {name: free(value) for name, value in environment.items()}
    files = (
        dict(_states_given(place, Path(command[-1].replace(GIVEN, str(place)))))
        if place
        else dict(_states(folder, locked=source == "index"))
    )
    build = Build(path, version, _digest(python_tag, command, environment, files), own)
    described = Description(
        build=build, source=source, python_tag=python_tag, command=command, environment=environment,
        place=str(place or ""), files=files, **told,
    )  # fmt: skip
    for name, text in _shims(described).items():
        write_text(folder / name, text)
        (folder / name).chmod(0o755)
    write_json(folder / DESCRIPTION, asdict(described))


def _digest(
    python_tag: str, command: tuple[str, ...], environment: Mapping[str, str], files: Mapping[str, FileState]
) -> str:
    loaded = {name: state.sha256 for name, state in files.items() if not _NOT_LOADED.search(name.partition("/")[2])}
    return digest([FORMAT, python_tag, command, dict(environment), loaded])


def _states(folder: Path, *, locked: bool) -> Iterator[tuple[str, FileState]]:
    """Every file of the folder. ``locked``: the wheels are those of a lock, so what their own lists say must be true.

    uv compares a wheel with its hash when it downloads it, and not what it installs from its cache later. Raises
    FetchError for a file that is another. The list in a user's wheel need not be true: he may have changed a file.
    """
    recorded = {f"{SITE_PACKAGES}/{name}": found for name, found in _recorded(folder / SITE_PACKAGES)} if locked else {}
    for name in sorted(_walk(folder)):
        if name == _UV_LOCK:
            continue
        state = _state(folder / name)
        if state.sha256 != recorded.get(name, state.sha256):
            raise FetchError(
                f"{name}: sha256 expected {recorded[name]}, found {state.sha256}: it was changed in uv's cache, from "
                "which other projects install too; run `uv cache clean`, then fetch again"
            )
        yield f"{HERE}/{name}", state


def _states_given(place: Path, program: Path) -> Iterator[tuple[str, FileState]]:
    """The executable that stays in its place, its transformix, and the libraries that came with them."""
    beside = [program.with_name(executable_name("transformix"))]
    library = re.compile(r"\.dll$" if SYSTEM == "win32" else r"\.(so|dylib)(\.|$)")
    folder = program.parent if SYSTEM == "win32" else place / "lib"
    beside += sorted(one for one in folder.glob("*") if library.search(one.name))
    for file in [program, *(one for one in beside if one.is_file())]:
        yield f"{GIVEN}/{file.relative_to(place).as_posix()}", _state(file)


def _state(file: Path) -> FileState:
    file = Path(long_path(file))
    found = file.stat()
    return FileState(sha256(file), found.st_size, found.st_mtime_ns)


def _recorded(site_packages: Path) -> Iterator[tuple[str, str]]:
    for package in metadata.distributions(path=[long_path(site_packages)]):
        for file in package.files or ():
            if file.hash and file.hash.mode == "sha256" and file.suffix != ".pyc":
                yield file.as_posix(), base64.urlsafe_b64decode(file.hash.value + "=").hex()


def _walk(folder: Path) -> Iterator[str]:
    top = long_path(folder)  # uv writes deeper than Windows lets others reach
    for where, _, names in os.walk(top):
        for name in names:
            yield Path(os.path.relpath(Path(where, name), top)).as_posix()


def _shims(stated: Description) -> dict[str, str]:
    """Scripts with which people start elastix and transformix by name; what is measured is the command itself."""
    if not stated.command:
        return {}
    end = ".bat" if SYSTEM == "win32" else ""
    *loader, program = stated.command
    found = {}
    for name in ("elastix", "transformix"):
        one = program.rpartition("/")[0] + "/" + executable_name(name)
        words = [*loader, program if name == "elastix" else one]
        if name == "elastix" or one in stated.files:
            found[f"{SHIMS}/{name}{end}"] = _batch(words, stated.place) if end else _script(words, stated)
    return found


def _script(words: list[str], stated: Description) -> str:
    def quoted(text: str) -> str:
        return '"$here"'.join(
            shlex.quote(part) if part else "" for part in text.replace(GIVEN, stated.place).split(HERE)
        )

    told = [f"{name}={quoted(value)}" for name, value in stated.environment.items()]
    return (
        '#!/bin/sh\nhere=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) && '
        f'exec env {" ".join([*told, *map(quoted, words)])} "$@"\n'
    )


def _batch(words: list[str], place: str) -> str:
    told = " ".join(f'"{word.replace(GIVEN, place).replace(HERE, "%~dp0..")}"' for word in words)
    return f"@{told} %*\n".replace("/", "\\")
