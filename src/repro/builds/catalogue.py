"""The builds and pairs that the project knows: params/builds.toml as data."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from repro.errors import ConfigError
from repro.files import Strict, adapter, problem, read_toml
from repro.model import PATHS, PLATFORMS, Path_
from repro.paths import BUILDS_TOML, WHEEL_LOCKS, shown

OWN_PACKAGES: dict[Path_, str] = {"api": "itk-elastix", "sitk": "simpleitk-simpleelastix"}
"""Path -> the package whose version is the build's."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", re.ASCII)
_VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){1,5}([A-Za-z0-9.]{0,30})", re.ASCII)


@dataclass(frozen=True)
class CatalogueBuild(Strict):
    """A release that the project knows where to get."""

    path: Path_
    version: str
    python: str = ""
    """Python in which wheels are measured, as "3.14"; empty for an executable."""
    as_of: datetime.date | None = None
    """Day (UTC) as of which wheels were resolved, that day included."""
    also: tuple[str, ...] = ()
    """Requirements locked besides the package itself."""
    archives: Mapping[str, str] = field(default_factory=dict)
    """Platform -> archive of the GitHub release."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Platform -> sha256 of the archive, where it is pinned."""
    debian_suites: tuple[str, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Platform -> why it cannot be had there."""
    environment: str = ""
    """The pixi environment that has its Python."""

    @property
    def name(self) -> str:
        """As it is given on the command line: ``cli:5.3.1``."""
        return f"{self.path}:{self.version}"

    @property
    def lock(self) -> Path:
        """Its wheels with their hashes, for every platform."""
        return WHEEL_LOCKS / f"{self.path}-{self.version}.txt"


@dataclass(frozen=True)
class Pair:
    """An executable and an itk-elastix that belong together, and for some a SimpleITK. Each is a build name."""

    name: str
    cli: str
    api: str
    sitk: str | None
    about: str
    python: str

    @property
    def environment(self) -> str:
        """Name of its pixi environment: ``pair-0-25-4-5-3-1``."""
        return environment_name(self.name)


@dataclass(frozen=True)
class Catalogue:
    """Builds and pairs by name, in the order of the file."""

    builds: Mapping[str, CatalogueBuild]
    pairs: Mapping[str, Pair]

    def build(self, name: str) -> CatalogueBuild:
        """The build of this name. Raises ConfigError."""
        if name not in self.builds:
            raise ConfigError(
                f"{name}: no build of this name; {shown(BUILDS_TOML)} has {', '.join(self.builds)}; a wheel, a folder "
                "or an executable of your own is given by its path"
            )
        return self.builds[name]

    def releases(self) -> tuple[CatalogueBuild, ...]:
        """The api builds, oldest first."""
        from packaging.version import Version

        apis = [build for build in self.builds.values() if build.path == "api"]
        return tuple(sorted(apis, key=lambda build: Version(build.version)))

    def newest_pair(self) -> Pair:
        """The pair with the newest itk-elastix."""
        newest = {build.name: place for place, build in enumerate(self.releases())}
        return max(self.pairs.values(), key=lambda pair: newest[pair.api])


def environment_name(pair: str) -> str:
    """Name of the pixi environment of the pair; pixi takes no dots."""
    return "pair-" + pair.replace(".", "-")


@dataclass(frozen=True)
class _Pair(Strict):
    cli: str
    api: str
    sitk: str | None = None
    about: str = ""


@dataclass(frozen=True)
class _File(Strict):
    """builds.toml as it stands."""

    pair: Mapping[str, _Pair] = field(default_factory=dict)
    cli: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    api: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sitk: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def load_catalogue(file: Path = BUILDS_TOML) -> Catalogue:
    """Every build and pair. Raises ConfigError that names the file and the key."""
    from pydantic import ValidationError

    content = read_toml(file, _File)

    def fail(key: str, what: str) -> ConfigError:
        return ConfigError(f"{shown(file)}: key {key!r}: {what}")

    builds: dict[str, CatalogueBuild] = {}
    for path in PATHS:
        for version, entry in getattr(content, path).items():
            key = f"{path}.{version}"
            try:
                build = adapter(CatalogueBuild).validate_python({**entry, "path": path, "version": version})
            except ValidationError as error:
                raise fail(key, problem(error)) from error
            if path != "cli" and not (build.python and build.as_of):
                raise fail(key, "python and as_of are needed")
            if not _VERSION.fullmatch(version):
                raise fail(key, "the name must be a version, as 0.25.4")
            if build.python and not re.fullmatch(r"3\.\d{1,3}", build.python):
                raise fail(f"{key}.python", f"{build.python!r} must be a Python version, as 3.14")
            for word in (*build.archives.values(), *build.debian_suites):
                if not _WORD.fullmatch(word):  # becomes a part of a path or an address
                    raise fail(key, f"{word!r} must be made of letters, digits, '.', '_', '+' and '-'")
            for platform in (*build.archives, *build.sha256, *build.unavailable):
                if platform not in PLATFORMS:
                    raise fail(key, f"{platform!r} is no platform; known: {', '.join(PLATFORMS)}")
            for digest in build.sha256.values():
                if not re.fullmatch(r"[0-9a-f]{64}", digest):
                    raise fail(f"{key}.sha256", "must be 64 lowercase hexadecimal digits")
            builds[build.name] = build
    pairs: dict[str, Pair] = {}
    for name, one in content.pair.items():
        if name != f"{one.api}-{one.cli}":
            raise fail(f"pair.{name}", f"the name must be '<api>-<cli>', here '{one.api}-{one.cli}'")
        parts = {path: f"{path}:{version}" for path in PATHS if (version := getattr(one, path))}
        if missing := [part for part in parts.values() if part not in builds]:
            raise fail(f"pair.{name}", f"no entry of its own says where {missing[0]} can be had")
        pairs[name] = Pair(name, parts["cli"], parts["api"], parts.get("sitk"), one.about, builds[parts["api"]].python)
    return Catalogue(_with_environments(builds, pairs), pairs)


def _with_environments(builds: Mapping[str, CatalogueBuild], pairs: Mapping[str, Pair]) -> dict[str, CatalogueBuild]:
    """The builds, each with the environment of its own pair, or of the first pair with the same Python."""

    def environment(build: CatalogueBuild) -> str:
        own = [pair for pair in pairs.values() if build.name in (pair.api, pair.sitk)]
        same = [pair for pair in pairs.values() if pair.python == build.python]
        return next((pair.environment for pair in own + same), "")

    return {name: replace(build, environment=environment(build)) for name, build in builds.items()}
