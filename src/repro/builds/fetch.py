"""Put a build of the catalogue onto this machine: verified, and as a whole.

It is put together in ``.builds/.tmp-...`` and renamed when it is whole, so that deleting a build and fetching it again
is always safe, and so is stopping at any moment.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from repro.builds import archives, debian, downloads, executables, installed, pythons, staging, wheels
from repro.builds.catalogue import OWN_PACKAGES, Catalogue, CatalogueBuild
from repro.builds.executables import DoesNotRunError, Executable
from repro.builds.installed import PROGRAMS, SITE_PACKAGES, InstalledBuild
from repro.errors import FetchError, UnavailableError
from repro.files import sha256
from repro.paths import BUILDS, CACHE, shown
from repro.system.platforms import current_platform

RELEASES = "https://github.com/SuperElastix/elastix/releases/download"
SOURCES = ("release", "debian")
"""Of executables, in the order in which they are tried."""
NEEDED_BYTES = {"cli": 1 << 29, "api": 2 << 30, "sitk": 1 << 29}
"""Free disk asked for: 1.7 GB of wheels, 0.1 GB of executable, 0.2 GB of SimpleITK (measured)."""
Say = Callable[[str], None]


def fetch(
    build: CatalogueBuild,
    *,
    source: str = "auto",
    offline: bool = False,
    require_pinned: bool = False,
    root: Path = BUILDS,
    cache: Path = CACHE,
    say: Say = lambda _: None,
) -> InstalledBuild:
    """The build, fetched where it is not there yet as it is asked for.

    ``source`` is of executables: "auto" (release, then Debian), "release", "debian", or the path of an executable or
    its folder, which stays where it is. Raises UnavailableError where the build cannot be had here, FetchError where
    something must not be used or has no room.
    """
    if reason := build.unavailable.get(current_platform()):
        raise UnavailableError(f"{build.name} cannot be had on {current_platform()}: {reason}")
    if there := _is_there(build, source, require_pinned, root):
        return there
    with staging.alone(root, cache / "releases", cache / "debian", say=say):
        if there := _is_there(build, source, require_pinned, root):
            return there
        with staging.new_folder(root, NEEDED_BYTES[build.path]) as folder:
            if build.path != "cli":
                _put_wheels(build, folder, offline, say)
            elif source in ("auto", *SOURCES):
                _provide(build, folder / PROGRAMS, source, cache, offline, require_pinned, say).describe(folder)
            else:
                given = executables.from_path(executables.path_of(source))
                executables.asked(given, build.version).describe(folder)
            place = installed.folder_of(build, root)
            staging.swap_in(folder, place)
        fetched = installed.read(place, f"{build.name} is not fetched")
        say(f"{build.name}: fetched ({fetched.source})")
        return fetched


def _is_there(build: CatalogueBuild, source: str, require_pinned: bool, root: Path) -> InstalledBuild | None:
    """The build as it is asked for. Raises UnavailableError where pixi has no Python for it."""
    if build.python:
        pythons.target(build)
    try:
        there = installed.load(build.name, root, Catalogue({build.name: build}, {}))
    except UnavailableError:
        return None
    if build.path != "cli":
        return there
    if source in ("auto", *SOURCES):
        fits = source in ("auto", there.source.split()[0]) and (not require_pinned or there.facts["pinned"])
    else:
        given = executables.from_path(executables.path_of(source))
        fits = there.source == "given" and there.command == given.command and not installed.verify(there)
    return there if fits else None


def _put_wheels(build: CatalogueBuild, folder: Path, offline: bool, say: Say) -> None:
    lock_sha256 = installed.lock_sha256(build)
    python = pythons.target(build)
    interpreter = pythons.find(python)
    assert interpreter is not None
    say(f"{build.name}: installs its wheels for Python {python}")
    wheels.install(build.name, build.lock, folder / SITE_PACKAGES, interpreter, offline=offline, say=say)
    facts = wheels.facts(folder / SITE_PACKAGES)
    package = OWN_PACKAGES[build.path]
    version = facts["packages"].get(package, {}).get("version")
    if version != build.version:
        raise FetchError(f"{build.name}: its wheels hold {package} {version}; {shown(build.lock)} is not its lock")
    installed.write(
        folder,
        path=build.path,
        version=build.version,
        source="index",
        python_tag=pythons.tag(python),
        lock_sha256=lock_sha256,
        facts=facts | {"lock": build.lock.name, "as_of": str(build.as_of)},
    )


def _provide(
    build: CatalogueBuild, folder: Path, source: str, cache: Path, offline: bool, require_pinned: bool, say: Say
) -> Executable:
    """The executable from this source, or from the first that has it, in the folder, which does not exist yet.

    Raises UnavailableError with the reason of each source tried where none has it, FetchError where what was found must
    not be used.
    """
    reasons = []
    for name in SOURCES if source == "auto" else [source]:
        try:
            if name == "release":
                found = _from_release(build, folder, cache / "releases", offline, require_pinned, say)
            else:
                found = debian.unpack(
                    build.version, build.debian_suites, folder, cache=cache / "debian", offline=offline, say=say
                )
            return executables.asked(found, build.version)
        except (downloads.UnreachableError, DoesNotRunError) as error:
            reasons.append(f"{name}: {error}")
            shutil.rmtree(folder, ignore_errors=True)
    raise UnavailableError(f"no executable of elastix {build.version}: {'; '.join(reasons)}; "
                           "one of your own can be given with --source PATH")  # fmt: skip


def _from_release(
    build: CatalogueBuild, folder: Path, cache: Path, offline: bool, require_pinned: bool, say: Say
) -> Executable:
    """Out of the archive of the GitHub release for this platform."""
    platform = current_platform()
    archive, pinned = build.archives.get(platform), build.sha256.get(platform, "")
    if archive is None:
        raise downloads.UnreachableError(f"no archive for {platform}")
    url = f"{RELEASES}/{build.version}/{archive}"
    file = downloads.download(
        url, archive, sha256=pinned, folder=cache, offline=offline, require_pinned=require_pinned, say=say
    )
    archives.unpack(file, folder)
    facts = {"archive": archive, "sha256": sha256(file), "pinned": bool(pinned), "url": url}
    return replace(executables.from_path(folder), source="release", facts=facts, place=None)
