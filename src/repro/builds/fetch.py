"""Put a build of the catalogue onto this machine: verified, and as a whole.

It is put together in ``.builds/.tmp-...`` and renamed when it is whole, so that deleting a build and fetching it again
is always safe, and so is stopping at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repro.builds import executables, installed, pythons, staging, wheels
from repro.builds.catalogue import OWN_PACKAGES, Catalogue, CatalogueBuild
from repro.builds.installed import PROGRAMS, SITE_PACKAGES, InstalledBuild
from repro.errors import FetchError, UnavailableError
from repro.paths import BUILDS, CACHE, shown
from repro.system.platforms import current_platform

NEEDED_BYTES = {"cli": 1 << 29, "api": 2 << 30, "sitk": 1 << 29}
"""Free disk asked for: 1.7 GB of wheels, 0.1 GB of executable, 0.2 GB of SimpleITK (measured)."""


def fetch(
    build: CatalogueBuild,
    *,
    source: str = "auto",
    offline: bool = False,
    require_pinned: bool = False,
    root: Path = BUILDS,
    cache: Path = CACHE,
    say: Callable[[str], None] = lambda _: None,
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
            if build.path == "cli":
                request = executables.Request(build, folder / PROGRAMS, cache, offline, require_pinned, say)
                _put_executable(request, folder, source)
            else:
                _put_wheels(build, folder, offline, say)
            place = installed.folder_of(build, root)
            staging.swap_in(folder, place)
        fetched = installed.read(place, f"{build.name} is not fetched")
        say(f"{build.name}: fetched ({fetched.source})")
        return fetched


def _put_executable(request: executables.Request, folder: Path, source: str) -> None:
    build = request.build
    if source in ("auto", "release", "debian"):
        found, place = executables.provide(request, source), None
    else:
        given = executables.from_path(executables.path_of(source))
        found, place = executables.asked(given, build.version), executables.place_of(given)
    installed.write(
        folder,
        path=build.path,
        version=build.version,
        source=found.source,
        command=found.command,
        environment=found.environment,
        place=place,
        facts=found.facts,
    )


def _put_wheels(build: CatalogueBuild, folder: Path, offline: bool, say: Callable[[str], None]) -> None:
    lock_sha256 = installed.lock_sha256(build)
    python = pythons.target(build)
    interpreter = pythons.find(python)
    assert interpreter is not None
    say(f"{build.name}: installs its wheels for Python {python}")
    wheels.install(build.name, build.lock, folder / SITE_PACKAGES, interpreter, offline=offline, say=say)
    facts = wheel_facts(folder / SITE_PACKAGES) | {"lock": build.lock.name, "as_of": str(build.as_of)}
    _check_wheels(build, facts["packages"])
    installed.write(
        folder,
        path=build.path,
        version=build.version,
        source="index",
        python_tag=pythons.tag(python),
        lock_sha256=lock_sha256,
        facts=facts,
    )


def wheel_facts(site_packages: Path) -> dict[str, Any]:
    """Versions and licences of the packages in the folder, and the version of ITK."""
    found = {one.name: {"version": one.version, "licence": one.licence} for one in wheels.packages(site_packages)}
    return {"itk": found.get("itk", {}).get("version"), "packages": found}


def _check_wheels(build: CatalogueBuild, found: Mapping[str, Mapping[str, str]]) -> None:
    """Compare the versions that are there with those asked for and locked, without importing."""
    package = OWN_PACKAGES[build.path]
    version = found.get(package, {}).get("version")
    if version != build.version:
        raise FetchError(f"{build.name}: its wheels hold {package} {version}; {shown(build.lock)} is not its lock")


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
    if source in ("auto", "release", "debian"):
        fits = source in ("auto", there.source.split()[0]) and (not require_pinned or there.facts["pinned"])
    else:
        given = executables.from_path(executables.path_of(source))
        fits = there.source == "given" and there.command == given.command and not installed.verify(there)
    return there if fits else None
