"""Wheels: lock them, install them into a folder, read what is there. uv does the work.

A lock (``params/wheels/<build>.txt``) is universal: one file, with hashes, for every platform and every Python from
3.11 on, resolved as of the build's date.
"""

from __future__ import annotations

import collections
import datetime
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.builds import network, staging
from repro.builds.catalogue import OWN_PACKAGES, CatalogueBuild
from repro.errors import FetchError
from repro.paths import shown
from repro.system.platforms import executable_name, long_path
from repro.system.processes import ending_with_us

OLDEST_PYTHON = "3.11"
INSTALL_TIMEOUT_S = 3600.0
"""300 MB at 0.7 Mbit/s."""
_LOCK_TIMEOUT_S = 300
_KEPT_LINES = 12
_CURE = (
    "is the package index reachable? Look at the network, at HTTPS_PROXY and NO_PROXY, and at the index that uv is "
    "told of (UV_DEFAULT_INDEX, uv.toml), then fetch again"
)


@dataclass(frozen=True)
class Package:
    """A package in a folder of wheels, as its metadata says."""

    name: str
    """Normalised: lower case with hyphens."""
    version: str
    licence: str


def requirements(build: CatalogueBuild) -> tuple[str, ...]:
    """What uv is asked to resolve."""
    return (f"{OWN_PACKAGES[build.path]}=={build.version}", *build.also)


def lock(build: CatalogueBuild) -> str:
    """Resolve the build's wheels as of its date; the text of the lock.

    Needs network. Raises FetchError with uv's own words where there is no solution.
    """
    options = ["--universal", "--generate-hashes", f"--python-version={OLDEST_PYTHON}", until(build)]
    asked = " and ".join(requirements(build))
    done = compile_requirements(build, [*options, "--no-annotate"])
    if done.returncode:
        raise FetchError(f"{build.name}: no wheel lock for {asked} as of {build.as_of}; uv says: {done.stderr.strip()}")
    return (
        f"# Wheels of {build.path} {build.version} for every platform and Python {OLDEST_PYTHON} or later, "
        f"as of {build.as_of}.\n# Made by `pair add`: {asked} as the only input of\n"
        f"# `uv pip compile {' '.join(options)}`.\n" + done.stdout
    )


def until(build: CatalogueBuild) -> str:
    """uv's option for the index as it stood at the end of the build's day."""
    assert build.as_of is not None
    return f"--exclude-newer={build.as_of + datetime.timedelta(days=1)}T00:00:00Z"


def compile_requirements(
    build: CatalogueBuild, options: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Let uv resolve what the build needs. Raises FetchError where it gives no answer in time."""
    try:
        return subprocess.run(
            [str(find_uv()), "pip", "compile", *options, "--no-header", "--quiet", "-"],
            check=False,
            input="".join(f"{line}\n" for line in requirements(build)),
            env=network.for_uv() | (environment or {}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_LOCK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{build.name}: uv gave no wheels within {_LOCK_TIMEOUT_S} s; try again") from error


def install(
    name: str, requirements_file: Path, site_packages: Path, python: Path, *, offline: bool, say: Callable[[str], None]
) -> None:
    """Install the requirements into the folder for this Python, checked against their hashes, none of them built.

    Bytecode is compiled at once, by the Python that will load it: it costs 4 s and 115 MB a build on two cores and
    saves 11 s in the first process that loads ITK (measured with 0.25.4). Raises FetchError with the last lines of uv.
    """
    options = ["--require-hashes", "--only-binary=:all:", "--compile-bytecode", "--no-deps", "--strict"]
    process = subprocess.Popen(
        [
            *(str(find_uv()), "pip", "install", f"--target={site_packages}", f"--python={python}", *options),
            *(f"--requirements={requirements_file}", *(["--offline"] if offline else [])),
        ],
        env=network.for_uv(),
        preexec_fn=ending_with_us(),  # noqa: PLW1509 - one call to the system
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
    downloads = False
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(INSTALL_TIMEOUT_S, stop)
    timer.daemon = True
    timer.start()
    with process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last.append(line.rstrip())
                if line.startswith("Downloading") and not downloads:
                    say(f"{name}: uv downloads the wheels that it lacks, up to 300 MB")
                    downloads = True
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise FetchError(f"{name}: uv did not install the wheels within {INSTALL_TIMEOUT_S:g} s and was stopped; "
                         "fetch again: it goes on with the files that it has whole")  # fmt: skip
    if process.returncode:
        staging.raise_if_full("\n".join(last), site_packages)
        cure = "run fetch once with network" if offline else _CURE
        raise FetchError(f"{name}: its wheels could not be installed, nothing of them is used; {cure}. uv says:\n"
                         + "\n".join(last))  # fmt: skip


def packages(site_packages: Path) -> list[Package]:
    """The packages in the folder by name, read without importing any of them."""
    found = metadata.distributions(path=[long_path(site_packages)])
    return sorted((Package(normalised(one.name), one.version, _licence(one.metadata)) for one in found), key=_by_name)


def _by_name(package: Package) -> str:
    return package.name


def _licence(about: Any) -> str:
    """The licence as the metadata names it: its expression, else its classifier, else its text's start."""
    classified = [line.rsplit(" :: ", 1)[-1] for line in about.get_all("Classifier", []) if "License ::" in line]
    named = about.get("License-Expression") or ", ".join(classified) or about.get("License") or "not named"
    return str(named).strip().splitlines()[0]


def locked(lock_file: Path) -> dict[str, dict[str, str]]:
    """Package -> version -> its lines in the lock; several versions where they depend on the Python.

    Raises FetchError where the lock cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        text = lock_file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FetchError(f"{shown(lock_file)}: cannot be read ({error}); restore it from the repository") from error
    here = ("", "")
    for line in text.splitlines(keepends=True):
        name, _, rest = line.partition("==")
        if rest.strip() and not line.startswith(("#", " ")):
            here = normalised(name), rest.split()[0]
        if here[0] and not line.startswith("#"):
            versions = found.setdefault(here[0], {})
            versions[here[1]] = versions.get(here[1], "") + line
    return found


def find_uv() -> Path:
    """The uv of the running environment, else the one on PATH. Raises FetchError."""
    beside = Path(sys.executable).with_name(executable_name("uv"))
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise FetchError(
            "uv, which installs the wheels, is not found; start with tasks/run.py or pixi run, or install uv"
        )
    return Path(found)


def normalised(name: str) -> str:
    """The name as package indexes compare it: lower case with hyphens."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name.strip()))
