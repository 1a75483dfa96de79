"""The elastix executable of a pair: a path that the user gives, the GitHub release, or Debian.

Whichever it is, nothing of it runs before its checksum was verified (or kept, on first use),
and it must then say the pair's version itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro import layout
from repro import system as platforms
from repro.builds import archives, debian, downloads
from repro.errors import FetchError, UnavailableError
from repro.model import Executable
from repro.system.environment import child_environment

RELEASES = "https://github.com/SuperElastix/elastix/releases/download"
LICENCE = "Apache-2.0"
_VERSION_TIMEOUT_S = 60


class DoesNotRunError(FetchError):
    """The executable does not run on this machine; one from another source may."""


@dataclass(frozen=True)
class Provided:
    """An executable that was put into a folder, or stays where the user has it."""

    source: str
    """ "release", "debian <suite>" or "given"."""
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """File, below the folder -> sha256."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What provenance.json says of it besides."""


@dataclass(frozen=True)
class Request:
    """What is asked of a source."""

    executable: Executable
    platform: str
    folder: Path
    """Where it is to be put; does not exist yet."""
    cache: Path = layout.CACHE
    offline: bool = False
    require_pinned: bool = False
    say: Callable[[str], None] = lambda _: None


def provide(request: Request, source: str = "auto") -> Provided:
    """The executable from this source: "auto", "release", "debian", or the path of one.

    "auto" is the release, then Debian. Raises UnavailableError with the reason of each source
    tried where none has it, FetchError where what was found must not be used.
    """
    sources = {"release": from_release, "debian": from_debian}
    if source != "auto" and source not in sources:
        provided = from_path(Path(source))
        check_version(provided, request.executable.version)
        return provided
    if request.folder.exists():
        raise FetchError(f"{layout.shown(request.folder)} is there already, an executable cannot be put there")
    reasons = []
    for name in sources if source == "auto" else [source]:
        try:
            provided = sources[name](request)
            check_version(provided, request.executable.version)
            return provided
        except (downloads.UnreachableError, DoesNotRunError) as error:
            reasons.append(f"{name}: {error}")
            request.say(f"elastix {request.executable.version}: {name}: {error}")
            shutil.rmtree(request.folder, ignore_errors=True)
    raise UnavailableError(f"no executable of elastix {request.executable.version}: {'; '.join(reasons)}; "
                           "one of your own can be given with --source PATH")  # fmt: skip


def from_release(request: Request) -> Provided:
    """Out of the archive of the GitHub release for this platform."""
    executable = request.executable
    archive = executable.archives.get(request.platform)
    if archive is None:
        raise downloads.UnreachableError(f"no archive for {request.platform}")
    file = downloads.download(
        f"{RELEASES}/{executable.tag}/{archive.name}",
        archive.name,
        sha256=archive.sha256,
        folder=request.cache / "releases",
        offline=request.offline,
        require_pinned=request.require_pinned,
        say=request.say,
    )
    unpacked = archives.unpack(file, request.folder)
    program = _find(request.folder)
    if program is None:
        raise FetchError(
            f"{archive.name}: holds no {_program()}; give the path of an elastix of your own with --source"
        )
    program.chmod(0o755)
    facts = {
        "archive": archive.name,
        "sha256": downloads.sha256_of(file),
        "pinned": bool(archive.sha256),
        "url": f"{RELEASES}/{executable.tag}/{archive.name}",
    }
    files = {one.relative_to(request.folder).as_posix(): downloads.sha256_of(one) for one in unpacked}
    return Provided("release", (str(program),), _libraries(program), files, facts)


def from_debian(request: Request) -> Provided:
    """Out of Debian's packages, started through the loader that came with them."""
    if not request.platform.startswith("linux-"):
        raise downloads.UnreachableError(f"not on {request.platform}")
    if not request.executable.debian_suites:
        raise downloads.UnreachableError("no suite is known to have this version")
    unpacked = debian.unpack(
        request.executable.version,
        request.executable.debian_suites,
        request.folder,
        cache=request.cache / "debian",
        offline=request.offline,
        say=request.say,
    )
    lib = request.folder / "lib"
    command = (str(lib / unpacked.loader), "--library-path", str(lib), str(request.folder / debian.PACKAGE))
    files = {
        one.relative_to(request.folder).as_posix(): downloads.sha256_of(one)
        for one in sorted(request.folder.rglob("*"))
        if one.is_file()
    }
    facts = {
        "package_version": unpacked.package_version,
        "sha256": files[debian.PACKAGE],
        "pinned": True,
        "verified_by": "apt",
        "debs": unpacked.debs,
    }
    return Provided(f"debian {unpacked.suite}", command, {}, files, facts)


def from_path(path: Path) -> Provided:
    """The executable at this path, or in this folder, used where it is."""
    path = path.expanduser().absolute()
    program = _find(path) if path.is_dir() else path
    if program is None or not program.is_file():
        problem = f"there is no {_program()} in it" if path.is_dir() else "there is no such file"
        raise FetchError(
            f"elastix executable {path}: {problem}; give the path of one, or of the folder that has it "
            "(fetch --source also takes auto, release, debian)"
        )
    if not os.access(program, os.X_OK):
        raise FetchError(f"elastix executable {path}: may not be executed; make it executable (chmod +x)")
    files = {program.name: downloads.sha256_of(program)}
    facts = {"sha256": files[program.name], "pinned": True}
    return Provided("given", (str(program),), _libraries(program), files, facts)


def check_version(provided: Provided, expected: str) -> None:
    """Ask the executable for its version.

    Raises DoesNotRunError where it gives none (its libraries or processor are not this machine's,
    or it is no elastix), FetchError where it is not the expected one.
    """
    program = layout.shown(Path(provided.command[-1]))
    try:
        done = _asked(provided.command, provided.environment, "--version")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DoesNotRunError(f"{program}: does not run here: {error}") from error
    found = re.search(r"elastix version:\s*(\S+)", done.stdout)
    if not found:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise DoesNotRunError(f"{program}: is no elastix that runs here: asked for its version it ended with status "
                         f"{done.returncode} and said: {' | '.join(said) or 'nothing'}")  # fmt: skip
    if found[1] != expected:
        raise FetchError(f"{program}: is elastix {found[1]}, the pair needs {expected}; give another one")


def built_with(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """What the executable says of its build: day, compiler, CMake, ITK; empty where it says nothing."""
    try:
        said = _asked(command, environment, "--extended-version").stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(
        re.findall(r"^(?:Build date|Compiler|Memory address size|CMake version|ITK version): .{1,100}$", said, re.M)
    )


def _asked(command: Sequence[str], environment: Mapping[str, str], option: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, option],
        check=False,
        env=child_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_VERSION_TIMEOUT_S,
    )


def _program() -> str:
    return platforms.executable_name("elastix")


def _find(folder: Path) -> Path | None:
    """The executable in a folder laid out as a release: at the top (Windows) or in bin/, perhaps
    inside the one folder that the archive wraps around all."""
    tops = [folder, *(one for one in sorted(folder.iterdir()) if one.is_dir())]
    candidates = [top / part / _program() for top in tops for part in ("bin", "")]
    return next((one for one in candidates if one.is_file()), None)


def _libraries(program: Path) -> dict[str, str]:
    """The variable that shows the loader the libraries which came with the executable."""
    lib = platforms.libraries_beside(program)
    return {platforms.library_path_variable(): str(lib)} if lib else {}
