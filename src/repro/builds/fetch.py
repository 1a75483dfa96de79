"""Put the parts of a pair onto this machine: wheels and executable, verified, as one unit.

An API-only entry is fetched in the same way, without an executable.

Everything is put together in ``.pairs/.tmp-<pair>-<process>`` and renamed when it is whole, so
that deleting a pair and fetching it again is always safe, and so is stopping at any moment.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repro import layout
from repro import system as platforms
from repro.builds import downloads, executables, installed, wheels
from repro.builds.installed import Installed
from repro.errors import FetchError, UnavailableError
from repro.model import Pair, digest

NEEDED_BYTES = 2 << 30
"""Free disk asked for before a pair is fetched: 1.7 GB of wheels, 0.1 GB of executable (measured)."""
LONGEST_WAIT_S = 3600
_LEFTOVER = re.compile(r"\.tmp-.*-(\d+)")


def fetch_pair(
    pair: Pair,
    *,
    source: str = "auto",
    offline: bool = False,
    require_pinned: bool = False,
    root: Path = layout.PAIRS,
    cache: Path = layout.CACHE,
    say: Callable[[str], None] = lambda _: None,
) -> Installed:
    """The pair, fetched where it is not there yet as it is asked for.

    ``source`` is "auto" (release, then Debian), "release", "debian", or the path of an executable
    or its folder. Raises UnavailableError where the pair cannot be had here, with the reason, which
    is kept for ``installed.load``; FetchError where something must not be used or has no room.
    """
    _check_writable(root)
    remove_leftovers(root, cache)
    if there := _is_there(pair, source, require_pinned, root):
        return there
    with _alone(cache, say):
        if there := _is_there(pair, source, require_pinned, root):
            return there
        try:
            _fetch(pair, source, offline, require_pinned, root, cache, say)
        except FetchError as error:
            reason = {"reason": str(error), "platform": platforms.current_platform(), "utc": _now()}
            downloads.write_atomically(installed.unavailable_file(pair, root), json.dumps(reason, indent=1) + "\n")
            raise
        installed.unavailable_file(pair, root).unlink(missing_ok=True)
    return installed.load(pair, root)


def remove_leftovers(*folders: Path) -> None:
    """Delete what runs that are no more have left half done."""
    for folder in folders:
        for one in [*folder.glob(".tmp-*"), *folder.glob("*/.tmp-*"), *folder.glob("*/*/.tmp-*")]:
            import psutil

            found = _LEFTOVER.fullmatch(one.name)
            if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))):
                _remove(one) if one.is_dir() else one.unlink(missing_ok=True)


@contextmanager
def _alone(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One fetch at a time: they share the cache. The lock is the system's and goes with its process."""
    from filelock import FileLock, Timeout

    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another fetch is under way ({layout.shown(cache / '.lock')}): waiting for it")
        try:
            lock.acquire(timeout=LONGEST_WAIT_S)
        except Timeout as error:
            raise FetchError(
                f"another fetch has been under way for {LONGEST_WAIT_S} s; end it and try again"
            ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch(
    pair: Pair, source: str, offline: bool, require_pinned: bool, root: Path, cache: Path, say: Callable[[str], None]
) -> None:
    platform = platforms.current_platform()
    if reason := pair.unavailable.get(platform):
        raise UnavailableError(f"cannot be had on {platform}: {reason}")
    _check_disk(root)
    with _new_folder(pair, root) as folder:
        # The executable first: it is small, and without it the wheels of a pair are of no use.
        provided = None
        if pair.executable:
            request = executables.Request(
                pair.executable,
                platform,
                folder / "elastix",
                cache,
                offline,
                require_pinned,
                lambda text: say(f"{pair.name}: {text}"),
            )
            provided = executables.provide(request, source)
            say(f"{pair.name}: elastix {pair.elastix} from {provided.source}")
        say(f"{pair.name}: now the wheels, 300 MB if uv has none of them")
        wheels.install(pair, folder / "site-packages", offline=offline, say=say)
        _check_wheels(pair, folder / "site-packages")
        _describe(pair, platform, folder, provided)
        _swap_in(folder, root / pair.name)
    say(f"{pair.name}: fetched")


def _is_there(pair: Pair, source: str, require_pinned: bool, root: Path) -> Installed | None:
    try:
        there = installed.load(pair, root)
    except UnavailableError:
        return None
    return there if _is_as_asked(there, source, require_pinned) else None


def _is_as_asked(there: Installed, source: str, require_pinned: bool) -> bool:
    if there.pair.api_only:
        return True
    if require_pinned and not _is_pinned(there):
        return False
    if source == "auto":
        return True
    if source in ("release", "debian"):
        return there.cli_source.split()[0] == source
    given = executables.from_path(Path(source))
    return there.cli_source == "given" and there.elastix_command == given.command


def _is_pinned(there: Installed) -> bool:
    """Whether its executable had a checksum from outside; of a damaged provenance, no."""
    elastix = there.provenance
    for key in ("parts", "elastix"):
        elastix = elastix.get(key, {}) if isinstance(elastix, Mapping) else {}
    return isinstance(elastix, Mapping) and elastix.get("pinned") is True


def _check_writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"{layout.shown(root)}: cannot be made: {error.strerror}") from error
    if not os.access(root, os.W_OK):
        raise FetchError(f"{layout.shown(root)}: no write permission; fetch as the user who owns the checkout")


def _check_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise FetchError(
            f"{layout.shown(root)}: {free / 1e9:.1f} GB of disk are free, a pair needs {NEEDED_BYTES / 1e9:.1f} GB; "
            "make room, or delete pairs that are no longer needed"
        )


def _check_wheels(pair: Pair, site_packages: Path) -> None:
    """Compare the versions that are there with those asked for and locked, without importing."""
    found = {one.name: one.version for one in wheels.installed_packages(site_packages)}
    if found.get("itk-elastix") != pair.itk_elastix:
        raise FetchError(
            f"{pair.name}: the wheels hold itk-elastix {found.get('itk-elastix')}, not {pair.itk_elastix}; "
            f"{layout.shown(wheels.lock_file(pair))} is not the lock of this pair"
        )
    locked = wheels.locked_versions(pair)
    for name, version in found.items():
        if version not in locked.get(name, ()):
            raise FetchError(f"{pair.name}: {name} {version} was installed, the lock has {locked.get(name) or 'none'}")


@contextmanager
def _new_folder(pair: Pair, root: Path) -> Iterator[Path]:
    folder = root / f".tmp-{pair.name}-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    except OSError as error:
        raise FetchError(f"{pair.name}: {layout.shown(folder)} cannot be written: {error}") from error
    finally:
        _remove(folder)


def _swap_in(folder: Path, place: Path) -> None:
    old = folder.with_name(f".tmp-old-{folder.name.removeprefix('.tmp-')}")
    if place.exists():
        place.rename(old)
    folder.rename(place)
    _remove(old)


def _remove(folder: Path) -> None:
    """Also where uv has written deeper than Windows lets others reach."""
    shutil.rmtree(platforms.long_path(folder), ignore_errors=True)


def _describe(pair: Pair, platform: str, folder: Path, provided: executables.Provided | None) -> None:
    """Write installed.json, which may hold local paths, and provenance.json, which holds none."""
    files = dict(provided.files) if provided else {}
    lock = downloads.sha256_of(wheels.lock_file(pair))
    tag = wheels.python_tag(wheels.target_python(pair))
    packages = wheels.installed_packages(folder / "site-packages")
    state: dict[str, Any] = {
        "format": installed.FORMAT,
        "platform": platform,
        "elastix": pair.elastix,
        "python_tag": tag,
        "wheels_sha256": lock,
        "command": [part.replace(str(folder), installed.HERE) for part in (provided.command if provided else ())],
        "environment": {
            name: value.replace(str(folder), installed.HERE)
            for name, value in (provided.environment if provided else {}).items()
        },
        "cli_source": provided.source if provided else "",
        "files": files,
        "records": {one.record: downloads.sha256_of(folder / "site-packages" / one.record) for one in packages},
        "lock": installed.lock_digest(lock, files, tag),
    }
    parts: dict[str, Any] = {}
    if provided:
        parts["elastix"] = {
            "source": provided.source,
            "version": pair.elastix,
            "licence": executables.LICENCE,
            "fetched_utc": _now(),
            "files_digest": digest(files),
            **provided.facts,
        }
    parts["wheels"] = {
        "source": "package index, by uv with hashes",
        "as_of": pair.as_of.isoformat(),
        "fetched_utc": _now(),
        "lock": wheels.lock_file(pair).name,
        "sha256": lock,
        "python_tag": tag,
        "packages": {one.name: {"version": one.version, "licence": one.licence} for one in packages},
    }
    provenance = {
        "format": installed.FORMAT,
        "pair": pair.name,
        "platform": platform,
        "parts": parts,
    }
    _write(folder / "installed.json", state)
    _write(folder / "provenance.json", provenance)
    if provided and platforms.can_run_scripts():
        runner = folder / "run-elastix"
        runner.write_text(_runner(state["command"], state["environment"]), encoding="utf-8")
        runner.chmod(0o755)


def _runner(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A script with which people start the pair's executable by hand; trials do not use it."""

    def word(text: str) -> str:
        return '"$here"'.join(shlex.quote(part) if part else "" for part in text.split(installed.HERE))

    words = [*(f"{name}={word(value)}" for name, value in environment.items()), *map(word, command)]
    return f"""#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) && exec env {" ".join(words)} "$@"
"""


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
