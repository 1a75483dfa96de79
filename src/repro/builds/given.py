"""The user's own builds: wheels, executables, and what upstream's CI uploads.

Each is named by what it says of itself and by its digest, ``api:0.25.5.dev3+1a2b3c4d``, and stands in ``.builds``
beside the releases. What cannot be used is refused in one sentence, and nothing of it is left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.builds import archives, executables, installed, pythons, staging, wheels
from repro.builds.catalogue import OWN_PACKAGES, Catalogue, CatalogueBuild, load_catalogue
from repro.builds.fetch import NEEDED_BYTES, fetch
from repro.builds.installed import PROGRAMS, SITE_PACKAGES, InstalledBuild
from repro.errors import ConfigError, UnavailableError
from repro.files import sha256, write_json
from repro.model import Path_, digest
from repro.paths import BUILDS, CACHE, shown
from repro.system.platforms import current_platform

if TYPE_CHECKING:
    from filelock import FileLock
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", re.ASCII)
_LONGEST_METADATA = 1 << 20
_PATHS = {package: path for path, package in OWN_PACKAGES.items()}
_IN_USE: dict[Path, FileLock] = {}
"""Locks of this process on own builds without a name that it was given; the system ends them with it."""
Say = Callable[[str], None]


def resolve(
    text: str,
    *,
    itk: str | None = None,
    offline: bool = False,
    root: Path = BUILDS,
    cache: Path = CACHE,
    say: Say = lambda _: None,
) -> InstalledBuild:
    """The build that the user names, put into ``.builds`` where it is not there yet.

    ``text`` is a name of the catalogue or of an own build, else the path of a wheel, of a folder of wheels, of an
    executable, or of a folder or zip archive that has bin/ and lib/. ``itk`` is the version of ITK under a wheel: that
    of a lock of the catalogue; without it the ITK wheels beside the wheel are taken, else the newest lock that fits.
    Raises ConfigError or FetchError with one sentence about what is wrong and the cure.
    """
    catalogue = load_catalogue()
    if text in catalogue.builds:
        return fetch(catalogue.builds[text], offline=offline, root=root, cache=cache, say=say)
    if pair := catalogue.pairs.get(text):
        raise ConfigError(f"{text} is a pair; name one of its builds: {pair.cli} or {pair.api}")
    path = executables.path_of(text)
    if text and Path(text).name == text:  # a name, which no file of the current folder may take over
        with contextlib.suppress(UnavailableError):
            return _use(installed.load(text, root, catalogue))
    if not path.exists() and ("/" in text or path.suffix in (".whl", ".zip")):
        raise ConfigError(f"{text}: there is no such file or folder; look for a typing error")
    if not path.exists():
        return _use(installed.load(text, root, catalogue))
    with staging.alone(root, say=say):
        return _use(_put(path, itk, catalogue, root, offline, say))


def keep(
    text: str,
    name: str,
    *,
    itk: str | None = None,
    offline: bool = False,
    root: Path = BUILDS,
    say: Say = lambda _: None,
) -> InstalledBuild:
    """The user's own build, known by this name from now on. Raises ConfigError where the name cannot be used."""
    if not _NAME.fullmatch(name) or name in load_catalogue().builds or name in load_catalogue().pairs:
        raise ConfigError(
            f"--as {name!r}: give a name of letters, digits, '.', '_' and '-' that no build and no pair has"
        )
    path = executables.path_of(text)
    build = resolve(str(path) if path.exists() else text, itk=itk, offline=offline, root=root, say=say)
    if not build.build.own:
        raise ConfigError(f"{text} is {build.name} of the catalogue, which has its name already")
    for other in installed.own_builds(root):
        if other.description.called == name and other.folder != build.folder:
            discard(build)
            raise ConfigError(
                f"--as {name!r}: {other.name} has this name; choose another, or delete {shown(other.folder)}"
            )
    return _call(build, name)


def discard(build: InstalledBuild) -> None:
    """Delete an own build that `resolve` gave, unless it has a name by now or another process uses it."""
    if not (lock := _IN_USE.pop(build.folder, None)):
        return
    root = build.folder.parent
    with staging.alone(root, say=lambda _: None):
        lock.release()
        named = any(one.folder == build.folder and one.description.called for one in installed.own_builds(root))
        if not named and not any(map(_is_held, root.glob(f".{build.folder.name}-*.lock"))):
            staging.remove(build.folder)


def _call(build: InstalledBuild, name: str) -> InstalledBuild:
    named = dataclasses.replace(build.description, called=name)
    write_json(build.folder / installed.DESCRIPTION, dataclasses.asdict(named))
    return dataclasses.replace(build, description=named)


def _use(build: InstalledBuild) -> InstalledBuild:
    """The build, which no other process discards as long as this one lives."""
    from filelock import FileLock

    if build.build.own and not build.description.called and build.folder not in _IN_USE:
        lock = FileLock(build.folder.with_name(f".{build.folder.name}-{secrets.token_hex(4)}.lock"))
        with contextlib.suppress(OSError):  # where nothing can be written nothing can be deleted
            lock.acquire(timeout=0)
            _IN_USE[build.folder] = lock
    return build


def _is_held(file: Path) -> bool:
    from filelock import FileLock

    try:
        with FileLock(file, timeout=0):
            pass
    except OSError:  # filelock's Timeout is one
        return True
    file.unlink(missing_ok=True)  # of a process that has ended
    return False


def _put(path: Path, itk: str | None, catalogue: Catalogue, root: Path, offline: bool, say: Say) -> InstalledBuild:
    """The build of these files; where it is there already, and whole, that one."""
    with staging.new_folder(root, NEEDED_BYTES["cli"]) as folder:
        zipped = path.is_file() and path.suffix == ".zip"
        inside = folder / PROGRAMS if zipped else path
        if zipped:
            archives.unpack(path, inside)
        if found := [inside] if path.suffix == ".whl" else sorted([*inside.glob("*.whl"), *inside.glob("*/*.whl")]):
            chosen = _choose(found, itk, catalogue, only=path.suffix == ".whl")
            for one in installed.own_builds(root):
                if one.description.asked_sha256 == chosen.asked_sha256 and _is_whole(one):
                    return one
            _install(chosen, folder, offline, say)
        else:
            executable = executables.asked(executables.from_path(inside))
            dataclasses.replace(executable, place=None if zipped else executable.place).describe(folder, own=True)
        new = installed.read(folder, "")
        for one in installed.own_builds(root):
            if one.build != new.build:
                continue
            if one.description.place == new.description.place and _is_whole(one):
                return one
            _call(new, one.description.called)  # the same files at another place
        place = root / new.name.replace(":", "-")
        staging.swap_in(folder, place)
        return installed.read(place, "")


def _is_whole(build: InstalledBuild) -> bool:
    try:
        installed.check(build)
    except ConfigError:
        return False
    return True


# ---- wheels


@dataclass(frozen=True)
class Wheel:
    """A wheel file and what it says of itself."""

    file: Path
    name: str
    version: str
    requires: tuple[Requirement, ...]
    requires_python: SpecifierSet
    tags: frozenset[Any]
    """Of packaging: Python, ABI and platform."""


@dataclass(frozen=True)
class _Chosen:
    """What is to be installed, and for which Python."""

    own: Wheel
    local: tuple[Wheel, ...]
    """Files of the user, the own wheel among them."""
    base: CatalogueBuild
    """Its lock gives the other packages."""
    python: str
    asked_sha256: str

    @property
    def path(self) -> Path_:
        return _PATHS[self.own.name]


def read_wheel(file: Path) -> Wheel:
    """What the wheel says of itself. Raises ConfigError for what is no wheel."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.utils import InvalidWheelFilename, canonicalize_name, canonicalize_version, parse_wheel_filename

    try:
        name, version, _, tags = parse_wheel_filename(file.name)
        with zipfile.ZipFile(file) as opened:
            inside = [one for one in opened.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename)]
            if len(inside) != 1 or inside[0].file_size > _LONGEST_METADATA:
                raise zipfile.BadZipFile("it has no METADATA")
            if opened.testzip():
                raise zipfile.BadZipFile("a file in it is damaged")
            said = HeaderParser().parsestr(opened.read(inside[0]).decode(errors="replace"))
        requires = tuple(Requirement(line) for line in said.get_all("Requires-Dist", []))
        requires_python = SpecifierSet(said["Requires-Python"] or "")
    except InvalidWheelFilename as error:
        raise ConfigError(
            f"{file.name}: is not named as wheels are; give it the name that it was built with"
        ) from error
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        problem = (
            "says what it needs in a way that cannot be read"
            if isinstance(error, (InvalidRequirement, InvalidSpecifier))
            else "is broken"
        )
        raise ConfigError(f"{file.name}: {problem} ({error}); build or download it again") from error
    if (canonicalize_name(said["Name"] or ""), canonicalize_version(said["Version"] or "")) != (
        name,
        canonicalize_version(version),
    ):
        raise ConfigError(
            f"{file.name}: says inside that it is {said['Name']} {said['Version']}; give it the name that it was "
            "built with"
        )
    return Wheel(file, str(name), said["Version"], requires, requires_python, frozenset(tags))


def _choose(files: Sequence[Path], itk: str | None, catalogue: Catalogue, *, only: bool) -> _Chosen:
    """The wheels to install. ``only``: one file was named, and those beside it are taken where they are its ITK."""
    given = [read_wheel(file) for file in files]
    newest = catalogue.build(catalogue.newest_pair().api)
    python = pythons.target(newest)
    owns = [wheel for wheel in given if wheel.name in _PATHS]
    if not owns:
        raise ConfigError(f"{files[0].name}: is a wheel of {given[0].name}; give one of {' or '.join(_PATHS)}")
    fitting = [wheel for wheel in owns if not (reason := _unfit(wheel, python))]
    if not fitting:
        raise ConfigError(f"{owns[0].file.name}: {reason}; give the wheel that was built for this")
    if len(fitting) > 1:
        raise ConfigError(
            f"{fitting[0].file.name} and {fitting[1].file.name}: two builds; give one of the files, or a folder that "
            "has one"
        )
    own = fitting[0]
    if own.name != OWN_PACKAGES["api"]:
        base, beside = [one for one in catalogue.builds.values() if one.path == "sitk"][-1], []
    else:
        others = [] if itk else _beside(own, given, python, only=only, known=wheels.locked(newest.lock))
        base, beside = newest if others else _base(own, itk, catalogue), others
    chosen = (own, *beside)
    _check_together(chosen, base, python)
    asked = [pythons.tag(python), sha256(base.lock), sorted(sha256(wheel.file) for wheel in chosen)]
    return _Chosen(own, chosen, base, python, digest(asked))


def _beside(own: Wheel, given: Sequence[Wheel], python: str, *, only: bool, known: Mapping[str, Any]) -> list[Wheel]:
    """The wheels of ITK, and what it needs, that lie with the own wheel and fit this Python."""
    if only:
        given = [read_wheel(file) for file in sorted(own.file.parent.glob("itk*.whl")) if file != own.file]
    others = [one for one in given if one.name != own.name]
    strange = [one for one in others if one.name not in known]
    if strange and not only:
        raise ConfigError(
            f"{strange[0].file.name}: is a wheel of {strange[0].name}, which {own.name} does not need; take it away"
        )
    return [one for one in others if one.name in known and not _unfit(one, python)]


def _unfit(wheel: Wheel, python: str) -> str:
    """Why the wheel cannot be installed here; empty: it can."""
    from packaging import tags

    number = (int(python.split(".")[0]), int(python.split(".")[1]))
    here = [*tags.cpython_tags(number), *tags.compatible_tags(number)]
    if wheel.tags.isdisjoint(here):
        made = min(map(str, wheel.tags))
        return f"is made for {made}, here Python {python} on {current_platform()} loads it"
    if not wheel.requires_python.contains(f"{python}.99"):
        return f"needs Python {wheel.requires_python}, here Python {python} loads it"
    return ""


def _base(own: Wheel, itk: str | None, catalogue: Catalogue) -> CatalogueBuild:
    """The newest release whose lock has the ITK that is asked for, or that the wheel needs."""
    versions = [(one, next(iter(wheels.locked(one.lock)["itk"]))) for one in reversed(catalogue.releases())]
    needed = [one.specifier for one in own.requires if wheels.normalised(one.name) == "itk"]
    for build, version in versions:
        if version == itk if itk else all(one.contains(version, prereleases=True) for one in needed):
            return build
    there = ", ".join(dict.fromkeys(version for _, version in reversed(versions)))
    asked = f"ITK {itk}" if itk else f"itk{needed[0]}"
    raise ConfigError(
        f"{own.file.name}: no lock of the catalogue has {asked}, they have {there}; put the wheels of ITK beside it"
        + (" and leave --itk out" if itk else "")
    )


def _check_together(chosen: Sequence[Wheel], base: CatalogueBuild, python: str) -> None:
    """Refuse wheels that need another ITK than the one that they would get."""
    there = {name: (list(versions), base.lock.name) for name, versions in wheels.locked(base.lock).items()}
    there |= {wheel.name: ([wheel.version], wheel.file.name) for wheel in chosen}
    cure = "give wheels of one ITK, or its version with --itk"
    for wheel in chosen:
        for need in wheel.requires:
            if need.marker and not need.marker.evaluate({"python_version": python, "extra": ""}):
                continue
            versions, where = there.get(wheels.normalised(need.name), ([], ""))
            if not any(need.specifier.contains(version, prereleases=True) for version in versions):
                has = f"{where} has {versions[0]}" if versions else "there is none"
                raise ConfigError(f"{wheel.file.name}: needs {need.name}{need.specifier}, {has}; {cure}")
    parts = {name: one for name, one in there.items() if name.startswith("itk") and name not in _PATHS}
    for name, (versions, where) in parts.items():
        first = next(iter(parts.values()))
        if versions != first[0]:
            raise ConfigError(f"{where}: {name} is of ITK {versions[0]}, and {first[1]} of ITK {first[0][0]}; {cure}")


def _install(chosen: _Chosen, folder: Path, offline: bool, say: Say) -> None:
    """Install the user's wheels, and from the lock of the base what they need besides."""
    local = {wheel.name: sha256(wheel.file) for wheel in chosen.local}
    lines = [f"{wheel.name} @ {wheel.file.as_uri()} --hash=sha256:{local[wheel.name]}\n" for wheel in chosen.local]
    for name, versions in wheels.locked(chosen.base.lock).items():
        if name not in local and name not in _PATHS:
            lines += versions.values()
    asked = folder / "requirements.txt"
    asked.write_text("".join(lines), encoding="utf-8")
    interpreter = pythons.find(chosen.python)
    assert interpreter is not None
    name = f"{chosen.path}:{chosen.own.version}"
    say(f"{name}: installs {chosen.own.file.name}, with what {chosen.base.lock.name} has besides")
    wheels.install(name, asked, folder / SITE_PACKAGES, interpreter, offline=offline, say=say)
    asked.unlink()
    staging.remove(folder / PROGRAMS)
    told = {"lock": chosen.base.lock.name, "wheels": {wheel.file.name: local[wheel.name] for wheel in chosen.local}}
    installed.write(
        folder,
        path=chosen.path,
        version=chosen.own.version,
        own=True,
        source="given",
        python_tag=pythons.tag(chosen.python),
        lock_sha256=sha256(chosen.base.lock),
        asked_sha256=chosen.asked_sha256,
        facts=wheels.facts(folder / SITE_PACKAGES) | told,
    )
