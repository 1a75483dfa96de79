"""Add a pair or a release: entries in builds.toml, a wheel lock, an environment in pixi.toml; all of it or nothing.

The files are edited as text, so that comments and order stay, and each new text is read again and compared with what it
must say. pixi.lock is solved afterwards, by ``tasks/lock.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from repro.builds import downloads, wheels
from repro.builds.catalogue import OWN_PACKAGES, Catalogue, CatalogueBuild, Pair, environment_name, load_catalogue
from repro.errors import ConfigError, FetchError, StoreError
from repro.files import replacing
from repro.model import PLATFORMS
from repro.paths import ROOT, shown
from repro.text import command

OLDEST_PYTHON = "3.11"
_LOCK_TIMEOUT_S = 300
_VERSION = re.compile(r"\d+(\.\d+){1,3}")
# How elastix names the archives of its releases since 5.3.0; earlier ones are named otherwise.
_ARCHIVES = {"linux-64": "ubuntu", "osx-arm64": "macos", "win-64": "windows"}
_ARCHIVES_SINCE = Version("5.3")
# uv's names of the platforms. macOS wheels may ask for the macOS of their day.
_UV_PLATFORMS = {
    "linux-64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "osx-64": "x86_64-apple-darwin",
    "osx-arm64": "aarch64-apple-darwin",
    "win-64": "x86_64-pc-windows-msvc",
}
_NEWEST_MACOS = "26.0"
_NO_WHEELS = re.compile(r"[Bb]ecause (\S+?)==(\S+) has no wheels with a matching")


def add_pair(
    api: str,
    cli: str,
    as_of: datetime.date,
    *,
    python: str = "3.14",
    about: str = "",
    also: tuple[str, ...] = (),
    root: Path = ROOT,
    say: Callable[[str], None] = lambda _: None,
) -> Pair | CatalogueBuild:
    """Write what is new of an itk-elastix release, an elastix release and their pair; without ``cli`` the first alone.

    The wheels are those as of that day (UTC). Needs network where the release is new. Raises ConfigError where the pair
    cannot be added as asked for, FetchError where its wheels cannot be had; nothing is written then.
    """
    builds_toml, pixi_toml = root / "params" / "builds.toml", root / "pixi.toml"
    catalogue, text = load_catalogue(builds_toml), builds_toml.read_text(encoding="utf-8")
    _check_asked(api, cli, as_of, python, catalogue)
    name = f"{api}-{cli}" if cli else f"api:{api}"
    texts: dict[Path, str] = {}
    build = catalogue.builds.get(f"api:{api}")
    if build is None:
        say(f"resolves the wheels of itk-elastix {api} as of {as_of}")
        build = CatalogueBuild("api", api, python, as_of, also)
        texts[root / "params" / "wheels" / build.lock.name] = lock_wheels(build)
        build = dataclasses.replace(build, unavailable=_unavailable(build))
        entry = {"python": python, "as_of": as_of, "also": list(also), "unavailable": build.unavailable}
        text = _with_table(text, "api", api, {key: value for key, value in entry.items() if value})
    if cli and f"cli:{cli}" not in catalogue.builds:
        archives = {platform: f"elastix-{cli}-{system}.zip" for platform, system in _ARCHIVES.items()}
        text = _with_table(text, "cli", cli, {"archives": archives})
        say(f"archives of elastix {cli}: named by the convention of its releases, not pinned by sha256 yet")
    if cli:
        entry = {"about": about or f"added for its wheels as of {build.as_of}", "cli": cli, "api": api}
        text = _with_table(text, "pair", name, entry)
        texts[pixi_toml] = with_environment(pixi_toml.read_text(encoding="utf-8"), name, build.python)
    _write_all({**texts, builds_toml: text})
    load_catalogue.cache_clear()
    for platform, reason in build.unavailable.items():
        say(f"{name} is unavailable on {platform}: {reason}")
    say(f"added {name}; next: {command('lock') + ', then ' if cli else ''}{command(f'fetch {name}')}")
    added = load_catalogue(builds_toml)
    return added.pairs[name] if cli else added.builds[name]


def _check_asked(api: str, cli: str, as_of: datetime.date, python: str, catalogue: Catalogue) -> None:
    for what, version in (("itk-elastix", api), *([("elastix", cli)] if cli else [])):
        if not _VERSION.fullmatch(version):
            raise ConfigError(f"{what} {version!r} is not a version; write it as 5.3.1")
    if not re.fullmatch(r"3\.\d+", python) or Version(python) < Version(OLDEST_PYTHON):
        raise ConfigError(f"--python {python!r} must be 3.11 or later; write it as 3.14")
    today = datetime.datetime.now(datetime.UTC).date()
    if as_of > today:
        raise ConfigError(f"--as-of {as_of} is to come: its wheels are not known yet; today is {today} (UTC)")
    if f"{api}-{cli}" in catalogue.pairs or (not cli and f"api:{api}" in catalogue.builds):
        raise ConfigError(f"params/builds.toml has {api}{'-' if cli else ''}{cli} already; fetch and bench know it")
    pythons = sorted({pair.python for pair in catalogue.pairs.values()})
    if not cli and python not in pythons:
        raise ConfigError(f"--python {python}: a release without a pair is measured in a pair's environment; "
                          f"they have {', '.join(pythons)}")  # fmt: skip
    if cli and f"cli:{cli}" not in catalogue.builds and Version(cli) < _ARCHIVES_SINCE:
        raise ConfigError(
            f'elastix {cli} is new here, and its archives are named in a way of their own: write [cli."{cli}"] into '
            "params/builds.toml by hand (docs/adding-a-build.md), and add the pair then"
        )


# ---- wheels, as uv resolves them


def lock_wheels(build: CatalogueBuild) -> str:
    """Resolve the build's wheels as of its date; the text of the lock.

    Needs network. Raises FetchError with uv's own words where there is no solution.
    """
    options = ["--universal", "--generate-hashes", f"--python-version={OLDEST_PYTHON}", _until(build)]
    asked = " and ".join(requirements(build))
    done = _compile(build, [*options, "--no-annotate"])
    if done.returncode:
        raise FetchError(f"{build.name}: no wheel lock for {asked} as of {build.as_of}; uv says: {done.stderr.strip()}")
    return (
        f"# Wheels of {build.path} {build.version} for every platform and Python {OLDEST_PYTHON} or later, "
        f"as of {build.as_of}.\n# Made by `pair add`: {asked} as the only input of\n"
        f"# `uv pip compile {' '.join(options)}`.\n" + done.stdout
    )


def requirements(build: CatalogueBuild) -> tuple[str, ...]:
    """What uv is asked to resolve."""
    return (f"{OWN_PACKAGES[build.path]}=={build.version}", *build.also)


def missing_wheels(build: CatalogueBuild, platform: str) -> str:
    """Why the platform has not all wheels of the build for its Python; empty: it has.

    The universal lock cannot tell: it names hashes, no files. So uv resolves once more for the platform alone, from
    wheels only. Raises FetchError where that fails for another reason.
    """
    options = [f"--python-platform={_UV_PLATFORMS[platform]}", f"--python-version={build.python}"]
    done = _compile(build, [*options, "--only-binary=:all:", _until(build)])
    if done.returncode == 0:
        return ""
    if found := _NO_WHEELS.search(" ".join(done.stderr.split())):
        return f"{found[1]} {found[2]} has no {platform} wheels for Python {build.python}"
    raise FetchError(f"{build.name}: cannot find out whether {platform} has its wheels; uv says: {done.stderr.strip()}")


def _unavailable(build: CatalogueBuild) -> dict[str, str]:
    """Platform -> why it has not all of the build's wheels. Raises ConfigError where none has."""
    found = {platform: reason for platform in PLATFORMS if (reason := missing_wheels(build, platform))}
    if len(found) == len(PLATFORMS):
        raise ConfigError(
            f"no platform has the wheels of {build.name} for Python {build.python}; {found[PLATFORMS[0]]}"
        )
    return found


def _until(build: CatalogueBuild) -> str:
    """uv's option for the index as it stood at the end of the build's day."""
    assert build.as_of is not None
    return f"--exclude-newer={build.as_of + datetime.timedelta(days=1)}T00:00:00Z"


def _compile(build: CatalogueBuild, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Let uv resolve what the build needs. Raises FetchError where it gives no answer in time."""
    try:
        return subprocess.run(
            [str(wheels.find_uv()), "pip", "compile", *options, "--no-header", "--quiet", "-"],
            check=False,
            input="".join(f"{line}\n" for line in requirements(build)),
            env=downloads.for_uv() | {"MACOSX_DEPLOYMENT_TARGET": _NEWEST_MACOS},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_LOCK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{build.name}: uv gave no wheels within {_LOCK_TIMEOUT_S} s; try again") from error


# ---- files


def _with_table(text: str, kind: str, name: str, entry: Mapping[str, Any]) -> str:
    """builds.toml with this table at its end."""
    new = tomllib.loads(text)
    new.setdefault(kind, {})[name] = entry
    head = f"{kind}.{_toml(name)}"
    lines = [f"[{head}]", *(f"{key} = {_toml(value)}" for key, value in entry.items() if not isinstance(value, dict))]
    for key, value in entry.items():
        if isinstance(value, dict):
            lines += [f"[{head}.{key}]", *(f"{inner} = {_toml(one)}" for inner, one in value.items())]
    return _checked("params/builds.toml", text.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n", new)


def with_environment(text: str, pair: str, python: str) -> str:
    """pixi.toml with the pair's environment, and its place in bench-all, each last."""
    new, name, version = tomllib.loads(text), environment_name(pair), "py" + python.replace(".", "")
    features: Sequence[str] = [version, "pair"]
    new["environments"][name] = {"features": features, "no-default-feature": True}
    new["tasks"]["bench-all"]["depends-on"].append({"task": "_ready", "environment": name})
    line = f"{name} = {{ features = {json.dumps(features)}, no-default-feature = true }}\n"
    text = _after_last(r"^pair-[\w-]+ = \{ features = .*\n", text, line)
    step = f'    {{ task = "_ready", environment = "{name}" }},\n'
    text = _after_last(r'^ *\{ task = "_ready", environment = .*\n', text, step)
    if version not in new["feature"]:
        new["feature"][version] = {"dependencies": {"python": f"{python}.*"}}
        added = f'\n[feature.{version}.dependencies]\npython = "{python}.*"\n'
        text = _after_last(r'^\[feature\.py\d+\.dependencies\]\npython = ".*"\n', text, added)
    return _checked("pixi.toml", text, new)


def _after_last(pattern: str, text: str, added: str) -> str:
    """The text with something after the last match; unchanged where there is none."""
    ends = [found.end() for found in re.finditer(pattern, text, re.MULTILINE)]
    return text[: ends[-1]] + added + text[ends[-1] :] if ends else text


def _checked(name: str, text: str, expected: Mapping[str, Any]) -> str:
    """The text, if it says what is expected; else it is not laid out as this module knows it."""
    try:
        says = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        says = {}
    if says != expected:
        raise ConfigError(
            f"{name} is laid out in a way that `pair add` does not know, nothing was written; "
            "add the pair by hand, see docs/adding-a-build.md"
        )
    return text


def _write_all(texts: Mapping[Path, str]) -> None:
    """Write every file beside its place before the first takes it: what the disk refuses changes nothing."""
    try:
        with contextlib.ExitStack() as written:
            for file, text in texts.items():
                stream = written.enter_context(replacing(file))
                stream.write(text.encode())
                stream.flush()
    except StoreError as error:
        problem = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise ConfigError(
            f"{', '.join(shown(file) for file in texts)} cannot be written: {problem}; nothing was changed"
        ) from error


def _toml(value: Any) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    # JSON leaves DEL as it is, TOML does not allow it.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
