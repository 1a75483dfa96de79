"""An elastix executable out of Debian's packages: only what it loads, nothing installed.

Of the packages that apt would install only those are downloaded that own a library which elastix
loads, and of these only the libraries are kept: for 5.3.1, 56 packages of 44 MB in place of 322 of
339 MB, and a folder of 110 MB in place of 1.8 GB (measured in November 2026). The executable is started
through the dynamic loader of the same packages, so it runs on releases of Debian older than its own.

With trixie's 5.2.0 the loader says on stderr that a symbol of itk::TransformBaseTemplate "has
different size": the package was built with ITK 5.4.0, and trixie's ITK 5.4.3 has four more virtual
functions in that class. Registrations do not go through them: with 2 threads the posted one gives the
same coefficients, to the last digit, as 5.3.1. Transforms that it writes in ITK's own format
(ITKTransformOutputFileNameExtension) are wrong, all zeros; nothing here asks for these.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from repro.builds import staging
from repro.builds.apt import Apt, Record
from repro.builds.downloads import UnreachableError
from repro.errors import FetchError
from repro.system.environment import child_environment

PACKAGE = "elastix"
LARGE_BYTES = 16 << 20
"""A package of this size waits until no smaller one can help: VTK, which ITK's package depends on
and elastix does not load, is more than all the others together."""
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Unpacked:
    """What was put into the folder, and from where."""

    suite: str
    package_version: str
    debs: Mapping[str, str]
    """File name of each package -> sha256, from apt's signed index."""
    loader: str
    """Name of the dynamic loader in ``lib/``, which starts the executable."""


def unpack(
    version: str,
    suites: Iterable[str],
    folder: Path,
    *,
    cache: Path,
    offline: bool,
    say: Callable[[str], None],
) -> Unpacked:
    """Put elastix of this version, the libraries it loads and its licence into the folder.

    The suites are tried in order; the first whose package is that version is used. The packages
    stay in the cache for the next pair. Raises UnreachableError where no suite has it or no mirror
    answers, with a reason for each suite.
    """
    reasons = []
    for suite in suites:
        try:
            return _from_suite(suite, version, folder, cache / suite, offline, say)
        except UnreachableError as error:
            reasons.append(f"{suite}: {error}")
    raise UnreachableError("; ".join(reasons) or f"no Debian suite is known to have {version}")


def upstream_version(version: str) -> str:
    """The release that a Debian version stands for: "5.3.1" of "1:5.3.1+dfsg-1+b2"."""
    without_epoch = version.partition(":")[2] or version
    return (without_epoch.rpartition("-")[0] or without_epoch).partition("+")[0]


def _from_suite(
    suite: str, version: str, folder: Path, root: Path, offline: bool, say: Callable[[str], None]
) -> Unpacked:
    """Follow the dependencies only of packages whose libraries are loaded, until none is missing."""
    apt = Apt.prepare(suite, root)
    if not offline:
        apt.update()
    found = apt.records([PACKAGE]).get(PACKAGE)
    if found is None:
        raise UnreachableError("it has no package elastix, or its index was never read and --offline is on")
    if upstream_version(found.version) != version:
        raise UnreachableError(f"its elastix is {found.version}, not {version}")
    records = apt.closure(PACKAGE)
    work = folder.with_name(folder.name + ".unpacking")
    stage = _Stage(work)
    used: dict[str, Record] = {}
    wave = {PACKAGE}
    while wave:
        files = apt.packages([records[name] for name in sorted(wave)], offline)
        for name, file in zip(sorted(wave), files, strict=True):
            stage.add(name, file)
            used[name] = records[name]
        missing = stage.missing()
        if not missing:
            break
        needs = {need for name in stage.owners() & used.keys() for need in records[name].needs}
        wave = {name for name, one in records.items() if needs & {name, *one.provides}} - used.keys()
        wave = {name for name in wave if records[name].bytes < LARGE_BYTES} or wave or records.keys() - used.keys()
    if missing:
        raise FetchError(f"Debian {apt.suite}: no package of elastix has {', '.join(sorted(missing)[:5])}; "
                         "give another executable with --source PATH")  # fmt: skip
    say(f"Debian {apt.suite}: unpacked elastix {found.version} and {len(used) - 1} packages that it loads")
    kept, loader = stage.keep(folder), stage.loader.name
    shutil.rmtree(work)
    apt.tidy(one.file for one in used.values())
    debs = {used[name].file: used[name].sha256 for name in sorted(kept)}
    return Unpacked(apt.suite, found.version, debs, loader)


class _Stage:
    """Packages unpacked one by one into one flat folder of libraries."""

    def __init__(self, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        self.work, self.lib = work.resolve(), work.resolve() / "lib"
        self.lib.mkdir(parents=True)
        self.owner: dict[str, str] = {}
        """File name in lib -> package."""

    @property
    def loader(self) -> Path:
        """The dynamic loader, which libc6 brings; a path that is not there before."""
        return next(self.lib.glob("ld-linux*.so.*"), self.lib / "ld-linux.so")

    @property
    def programs(self) -> list[Path]:
        """elastix, and transformix where the package has it."""
        found = [self.work / PACKAGE / "usr/bin" / name for name in (PACKAGE, "transformix")]
        return [one for one in found if one == found[0] or one.is_file()]

    def add(self, package: str, deb: Path) -> None:
        """Unpack the package and move its libraries over. Links among them point into the same folder there.

        Files come before links: a link to a library in another folder has the library's own name, as that of the loader
        in lib64 has, and must not take its place.
        """
        tree = self.work / package
        _run(["dpkg-deb", "--extract", str(deb), str(tree)])
        found = [Path(folder) / name for folder, _, names in os.walk(tree) for name in names if ".so" in name]
        for file in sorted(found, key=lambda one: (one.is_symlink(), one)):
            place = self.lib / file.name
            if file.is_symlink():
                target = file.readlink().name
                if target != file.name and not os.path.lexists(place):
                    place.symlink_to(target)
                    self.owner[file.name] = package
            elif not place.is_file() or place.is_symlink():
                file.replace(place)
                self.owner[file.name] = package
        if package != PACKAGE:
            shutil.rmtree(tree)

    def loaded(self) -> dict[str, Path | None]:
        """What the programs load: name -> file in the folder, or None where it is not there.

        The machine's own libraries do not count: the loader would fall back to them.
        """
        if not self.loader.is_file():
            return {"the dynamic loader": None}
        # What ldd does: unlike --list, this goes on where a library is missing.
        command = [str(self.loader), "--inhibit-cache", "--library-path", str(self.lib)]
        shown = "".join(_run([*command, str(program)], {"LD_TRACE_LOADED_OBJECTS": "1"}) for program in self.programs)
        listed = re.findall(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", shown, re.MULTILINE)
        files = {name: self.lib / Path(path).name for name, path in listed}
        return {
            name: file if file.is_file() and str(file) == dict(listed)[name] else None for name, file in files.items()
        }

    def missing(self) -> set[str]:
        """Names of the libraries that are not there yet."""
        return {name for name, file in self.loaded().items() if file is None}

    def owners(self) -> set[str]:
        """The packages that something loaded comes from."""
        files = [self.loader, *filter(None, self.loaded().values())]
        return {PACKAGE} | {self.owner[file.name] for file in files if file.name in self.owner}

    def keep(self, folder: Path) -> set[str]:
        """Copy what is loaded, the programs and their licence into the folder; the owners."""
        owners = self.owners()
        (folder / "lib").mkdir(parents=True)
        for file in {self.loader, *filter(None, self.loaded().values())}:
            shutil.copy2(file.resolve(), folder / "lib" / file.name)
        for program in self.programs:
            shutil.copy2(program, folder / program.name)
        shutil.copy2(self.work / PACKAGE / "usr/share/doc" / PACKAGE / "copyright", folder / "copyright")
        return owners


def _run(command: list[str], environment: Mapping[str, str] = {}) -> str:
    done = subprocess.run(
        command, check=False, env=child_environment(environment), capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    if done.returncode:
        staging.raise_if_full(done.stderr, Path(command[-1]))
        raise FetchError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
