"""What ``fetch`` left on this machine: the parts of a pair, found, read and verified.

A pair is the folder ``.pairs/<pair>``: ``site-packages/``, ``elastix/``, ``installed.json`` (how
to start it) and ``provenance.json`` (where each part is from). It appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import layout
from repro import system as platforms
from repro.builds import downloads, wheels
from repro.errors import UnavailableError
from repro.model import Pair, digest

FORMAT = 1
HERE = "{pair}"
"""Stands for the pair's folder in installed.json: the folder can be moved."""


@dataclass(frozen=True)
class Installed:
    """A pair on this machine, ready to run."""

    pair: Pair
    folder: Path
    site_packages: Path
    python_tag: str
    """Tag of the Python that the wheels are for, as "cp311"."""
    elastix_command: tuple[str, ...]
    """How the executable is started: its arguments are appended to this."""
    elastix_env: Mapping[str, str]
    """Variables that it needs besides."""
    cli_source: str
    """ "release", "debian <suite>" or "given"."""
    lock: str
    """Digest of what is installed: wheel lock, executable, Python."""
    provenance: Mapping[str, Any]
    """Source, version, checksum, date and licence of each part; names no local path."""


def load(pair: Pair, root: Path = layout.PAIRS) -> Installed:
    """The pair as it was fetched; takes milliseconds, compares versions but no checksums (verify.py does).

    Raises UnavailableError where it was not fetched, was fetched for other wheels or another Python,
    or cannot be had on this machine.
    """
    folder = root / pair.name
    platform = platforms.current_platform()
    if reason := pair.unavailable.get(platform):
        raise UnavailableError(f"cannot be had on {platform}: {reason}")
    try:
        state = read(folder / "installed.json")
        problem = _stale(pair, state, platform)
        there = None if problem else _installed(pair, folder, state)
    except FileNotFoundError:
        raise UnavailableError(_why_absent(pair, root)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnavailableError(f"{layout.shown(folder)} is damaged ({error!r}); delete it and fetch again") from error
    if there is None:
        raise UnavailableError(f"{problem}; run: python -m repro fetch {pair.name}")
    return there


def _installed(pair: Pair, folder: Path, state: Mapping[str, Any]) -> Installed:
    return Installed(
        pair=pair,
        folder=folder,
        site_packages=folder / "site-packages",
        python_tag=state["python_tag"],
        elastix_command=tuple(part.replace(HERE, str(folder)) for part in state["command"]),
        elastix_env={name: value.replace(HERE, str(folder)) for name, value in state["environment"].items()},
        cli_source=state["cli_source"],
        lock=state["lock"],
        provenance=read(folder / "provenance.json"),
    )


def lock_digest(wheels_sha256: str, files: Mapping[str, str], python_tag: str) -> str:
    """The digest that tells one installation from another: wheel lock, executable's files, Python."""
    return digest([FORMAT, wheels_sha256, dict(files), python_tag])


def unavailable_file(pair: Pair, root: Path = layout.PAIRS) -> Path:
    """Where the reason is kept why the pair could not be fetched."""
    return root / f"{pair.name}.unavailable.json"


def read(file: Path) -> dict[str, Any]:
    """The object in a JSON file of ours. Raises OSError, ValueError or RecursionError."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} holds no object")
    return content


def _why_absent(pair: Pair, root: Path) -> str:
    try:
        return str(read(unavailable_file(pair, root))["reason"])
    except (OSError, ValueError, KeyError, RecursionError):
        return f"is not fetched; run: python -m repro fetch {pair.name}"


def _stale(pair: Pair, state: Mapping[str, Any], platform: str) -> str:
    """Why what is there is not what the pair asks for now; empty if it is."""
    expected = {
        "format": (FORMAT, "it was fetched by another version of this project"),
        "platform": (platform, f"it was fetched on {state.get('platform')}, this is {platform}"),
        "elastix": (pair.elastix, f"it was fetched with elastix {state.get('elastix')}"),
        "python_tag": (
            wheels.python_tag(wheels.target_python(pair)),
            f"its wheels are for {state.get('python_tag')}, needed are those for Python {wheels.target_python(pair)}",
        ),
        "wheels_sha256": (
            _lock_sha256(pair),
            f"{layout.shown(wheels.lock_file(pair))} was changed since it was fetched",
        ),
    }
    for name, (value, problem) in expected.items():
        if state.get(name) != value:
            return problem
    return _given_changed(state) if state["cli_source"] == "given" else ""


def _given_changed(state: Mapping[str, Any]) -> str:
    """What happened to an executable that stays where the user has it; empty: nothing."""
    program = Path(state["command"][0])
    if not program.is_file():
        return f"the executable given, {program}, is gone"
    same = downloads.sha256_of(program) == state["files"][program.name]
    return "" if same else f"the executable given, {program}, was changed since it was fetched"


def _lock_sha256(pair: Pair) -> str:
    lock = wheels.lock_file(pair)
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
