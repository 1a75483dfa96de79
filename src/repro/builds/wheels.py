"""Wheels: install them into a folder, read what is there and what a lock has. uv does the work.

A lock (``params/wheels/<build>.txt``) is universal: one file, with hashes, for every platform and every Python from
3.11 on, resolved as of the build's date (addition.py).
"""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.builds import downloads, staging
from repro.errors import FetchError
from repro.paths import shown
from repro.system.platforms import executable_name, long_path
from repro.system.processes import ending_with_us

INSTALL_TIMEOUT_S = 3600.0
"""300 MB at 0.7 Mbit/s."""
_KEPT_LINES = 12
_ASKED = "is the package index reachable?"
_CURE = (
    "look at the network, at HTTPS_PROXY and NO_PROXY, and at the index of uv (UV_DEFAULT_INDEX, uv.toml), then "
    "fetch again"
)


def install(
    name: str, requirements_file: Path, site_packages: Path, python: Path, *, offline: bool, say: Callable[[str], None]
) -> None:
    """Install the requirements into the folder for this Python, checked against their hashes, none of them built.

    Bytecode is compiled at once, by the Python that will load it: it costs 4 s and 115 MB a build on two cores and
    saves 11 s in the first process that loads ITK (measured with 0.25.4). Files are copied: a link shares its bytes
    with uv's cache and every other checkout, so that an edit here would be one there. Raises FetchError with the last
    lines of uv.
    """
    options = ["--require-hashes", "--only-binary=:all:", "--compile-bytecode", "--no-deps", "--strict"]
    options.append("--link-mode=copy")
    process = subprocess.Popen(
        [
            *(str(find_uv()), "pip", "install", f"--target={site_packages}", f"--python={python}", *options),
            *(f"--requirements={requirements_file}", *(["--offline"] if offline else [])),
        ],
        env=downloads.for_uv(),
        preexec_fn=ending_with_us(),  # noqa: PLW1509 - one call to the system
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
    downloading = False
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
                if line.startswith("Downloading") and not downloading:
                    say(f"{name}: uv downloads the wheels that it lacks, up to 300 MB")
                    downloading = True
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
        why, cure = ("uv has not kept them all", "run fetch once with network") if offline else (_ASKED, _CURE)
        raise FetchError(f"{name}: its wheels could not be installed ({why}); {cure}. uv says:\n"
                         + "\n".join(last))  # fmt: skip


def facts(site_packages: Path) -> dict[str, Any]:
    """Version and licence of each package in the folder, and the version of ITK, read without importing any of them."""
    found = {
        normalised(one.name): {"version": one.version, "licence": _licence(one.metadata)}
        for one in metadata.distributions(path=[long_path(site_packages)])
    }
    return {"itk": found.get("itk", {}).get("version"), "packages": dict(sorted(found.items()))}


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
