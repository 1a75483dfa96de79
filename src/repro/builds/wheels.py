"""The Python side of a pair: lock its wheels, install them into a folder, ask for their versions.

uv does the work. A lock (``params/wheels/<pair>.txt``) is universal: one file, with hashes, for
every platform and every Python from 3.11 on, resolved as of the pair's date.
"""

from __future__ import annotations

import collections
import datetime
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from repro import layout
from repro import system as platforms
from repro.builds import network, transfer
from repro.errors import FetchError
from repro.model import Pair

OLDEST_PYTHON = "3.11"
_LOCK_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 3600.0
"""300 MB at 0.7 Mbit/s."""
_KEPT_LINES = 12
_CURE = (
    "is the package index reachable? Look at the network, at HTTPS_PROXY and NO_PROXY, and at the index that uv is "
    "told of (UV_DEFAULT_INDEX, uv.toml), then fetch again"
)


def lock_file(pair: Pair) -> Path:
    """Where the pair's wheel lock is."""
    return layout.WHEEL_LOCKS / f"{pair.wheels_of or pair.name}.txt"


def lock_wheels(pair: Pair) -> str:
    """Resolve the pair's wheels as of its date, that day included (UTC); the text of the lock.

    Needs network. Raises FetchError with uv's own words where there is no solution.
    """
    end = f"{pair.as_of + datetime.timedelta(days=1)}T00:00:00Z"
    options = ["--universal", "--generate-hashes", f"--python-version={OLDEST_PYTHON}", f"--exclude-newer={end}"]
    command = [str(find_uv()), "pip", "compile", *options, "--no-annotate", "--no-header", "--quiet", "-"]
    asked = requirements(pair)
    named = " and ".join(asked.split())
    try:
        done = subprocess.run(
            command,
            check=False,
            input=asked,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=_LOCK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{pair.name}: uv gave no wheel lock within {_LOCK_TIMEOUT_S} s; try again") from error
    if done.returncode:
        raise FetchError(f"{pair.name}: no wheel lock for {named} as of {pair.as_of}; uv says: {done.stderr.strip()}")
    kind = "release" if pair.api_only else "pair"
    return (
        f"# Wheels of {kind} {pair.name} for every platform and Python {OLDEST_PYTHON} or later, as of {pair.as_of}.\n"
        f"# Made by `python -m repro pair add` with {named} as the only input of\n"
        f"# `uv pip compile {' '.join(options)}`.\n" + done.stdout
    )


def requirements(pair: Pair) -> str:
    """What uv is asked to resolve, a line each."""
    return "".join(f"{line}\n" for line in (f"itk-elastix=={pair.itk_elastix}", *pair.also))


def target_python(pair: Pair) -> str:
    """The Python that will load the wheels, as "3.11": the pair's own under pixi, else this one."""
    if os.environ.get("PIXI_PROJECT_ROOT"):
        return pair.python
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def python_tag(python: str) -> str:
    """The tag of CPython wheels for "3.11": "cp311"."""
    return "cp" + python.replace(".", "")


def install(pair: Pair, target: Path, *, offline: bool = False, say: Callable[[str], None] = lambda _: None) -> None:
    """Install the locked wheels into the folder, checked against their hashes, none of them built.

    Bytecode is compiled at once, as pip does: it costs 4 s and 115 MB a pair on two cores and
    saves 11 s in the first process that loads ITK (measured with 0.25.4), in every one where
    PYTHONDONTWRITEBYTECODE is set, and so keeps loading times comparable.

    Raises FetchError with the last lines of uv.
    """
    lock = lock_file(pair)
    if not lock.is_file():
        raise FetchError(f"{layout.shown(lock)} is missing; make it with: python -m repro pair add")
    options = ["--require-hashes", "--only-binary=:all:", "--compile-bytecode", "--no-deps", "--strict"]
    command = [str(find_uv()), "pip", "install", f"--target={target}", *options]
    command += [f"--python={sys.executable}", f"--python-version={target_python(pair)}", f"--requirements={lock}"]
    process = subprocess.Popen(
        [*command, *(["--offline"] if offline else [])],
        env=environment(),
        preexec_fn=platforms.ending_with_us(),  # noqa: PLW1509 - one call to the system
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
    start = time.monotonic()
    late = threading.Timer(INSTALL_TIMEOUT_S, process.kill)
    late.daemon = True
    late.start()
    with process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last.append(line.rstrip())
                if line.startswith(("Downloading", " Downloaded")):
                    say(f"{pair.name}: {line.strip()}")
        except BaseException:
            process.kill()
            raise
        finally:
            late.cancel()
    if time.monotonic() - start >= INSTALL_TIMEOUT_S:
        raise FetchError(f"{pair.name}: uv did not install the wheels within {INSTALL_TIMEOUT_S:g} s and was stopped; "
                         "fetch again: it goes on with the files that it has whole")  # fmt: skip
    if process.returncode:
        cure = "run fetch once with network" if offline else _CURE
        raise FetchError(
            f"{pair.name}: the wheels of {layout.shown(lock)} could not be installed, nothing of them is used; {cure}. "
            "uv says:\n" + "\n".join(last)
        )


@dataclass(frozen=True)
class Package:
    """A package that a wheel brought, as its metadata says."""

    name: str
    """Normalised: lower case with hyphens."""
    version: str
    licence: str
    record: str
    """The wheel's list of its files, below the folder."""


def installed_packages(site_packages: Path) -> list[Package]:
    """The packages in the folder by name, read without importing any of them."""
    found = metadata.distributions(path=[str(site_packages)])
    return sorted((_package(one) for one in found), key=lambda one: one.name)


def _package(one: metadata.Distribution) -> Package:
    record = next((file for file in one.files or () if file.name == "RECORD"), None)
    if record is None:
        raise FetchError(f"{one.name} {one.version} came without a list of its files (RECORD); fetch again")
    return Package(_normalised(one.name), one.version, _licence(one.metadata), record.as_posix())


def _licence(about: Any) -> str:
    """The licence as the metadata names it: its expression, else its classifier, else its text's start."""
    classified = [line.rsplit(" :: ", 1)[-1] for line in about.get_all("Classifier", []) if "License ::" in line]
    named = about.get("License-Expression") or ", ".join(classified) or about.get("License") or "not named"
    return str(named).splitlines()[0]


def locked_versions(pair: Pair) -> dict[str, set[str]]:
    """The versions that the pair's lock names for each package; more than one where they depend
    on the Python. Raises FetchError where the lock cannot be read."""
    return versions_in(lock_file(pair))


def versions_in(lock: Path) -> dict[str, set[str]]:
    """The same of any lock."""
    locked: dict[str, set[str]] = {}
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FetchError(f"{layout.shown(lock)}: cannot be read ({error}); restore it from the repository") from error
    for line in text.splitlines():
        name, _, rest = line.partition("==")
        if rest.strip() and not line.startswith(("#", " ")):
            locked.setdefault(_normalised(name), set()).add(rest.split()[0])
    return locked


def find_uv() -> Path:
    """The uv of the running environment, else the one on PATH. Raises FetchError."""
    beside = Path(sys.executable).with_name(platforms.executable_name("uv"))
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise FetchError(
            "uv, which installs the wheels, is not found; start with tasks/run.py or pixi run, or install uv"
        )
    return Path(found)


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-").strip()


def environment() -> dict[str, str]:
    """The user's own, so that proxies and indexes set for uv hold, with the CA bundle that other
    tools are told of."""
    bounds = {"UV_HTTP_CONNECT_TIMEOUT": f"{transfer.CONNECT_S:g}", "UV_HTTP_TIMEOUT": f"{transfer.READ_S:g}"}
    return {**bounds, **os.environ, **network.for_uv(), "UV_NO_PROGRESS": "1"}
