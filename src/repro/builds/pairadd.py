"""Add a pair: its entry in pairs.toml, its wheel lock, its place in pixi.toml; all of it or nothing.

An API-only release has no place in pixi.toml: it is measured in the environment of a pair.

The files are edited as text, so that comments and order stay, and each new text is read again and
compared with what it must say. pixi.lock is solved afterwards, by ``tasks/lock.py``.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import layout
from repro.builds import downloads, wheels
from repro.builds.config import load_pairs, load_releases
from repro.errors import ConfigError, FetchError
from repro.model import PLATFORMS, Archive, Executable, Pair

_VERSION = re.compile(r"\d+(\.\d+){1,3}")
_OLDEST_PYTHON = (3, 11)
# How elastix names the archives of its releases since 5.3.0; earlier ones are named otherwise.
_ARCHIVES = {"linux-64": "ubuntu", "osx-arm64": "macos", "win-64": "windows"}
_ARCHIVES_SINCE = (5, 3)
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
_STEP = r'^ *\{ task = "bench", .*\n'
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Uv:
    """What is asked of uv, so that a test can answer instead."""

    lock: Callable[[Pair], str]
    """The text of the pair's wheel lock."""
    missing: Callable[[Pair, str], str]
    """Why a platform has not all of the pair's wheels; empty: it has."""


def add_pair(
    itk_elastix: str,
    elastix: str,
    as_of: datetime.date,
    *,
    python: str = "3.14",
    about: str = "",
    also: tuple[str, ...] = (),
    root: Path = layout.ROOT,
    uv: Uv | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Pair:
    """Write the pair's entry, its wheels as of that day (UTC) and its pixi environment.

    Without an elastix version: the entry and the wheels of an API-only release. Needs network.
    Raises ConfigError where the pair cannot be added as asked for, FetchError where its wheels
    cannot be had; nothing is written then.
    """
    pairs_toml, pixi_toml = root / "params" / "pairs.toml", root / "pixi.toml"
    pairs, releases = load_pairs(pairs_toml), load_releases(pairs_toml)
    pairs_text = _read(pairs_toml)
    is_new = elastix != "" and elastix not in tomllib.loads(pairs_text)["elastix"]
    asked = dataclasses.replace(_asked_for(itk_elastix, elastix, as_of, python, is_new), also=also)
    if asked.name in pairs | releases:
        raise ConfigError(f"{layout.shown(pairs_toml)} has {asked.name} already; fetch and bench know it")
    _check_fits(asked, pairs, releases)
    pair, lock = _with_wheels(asked, uv or Uv(wheels.lock_wheels, missing_wheels), say)
    texts = {
        root / "params" / "wheels" / f"{pair.name}.txt": lock,
        pairs_toml: with_entry(pairs_text, pair, about or f"added for its wheels as of {as_of}"),
        **({} if pair.api_only else {pixi_toml: with_environment(_read(pixi_toml), pair)}),
    }
    _write_all(texts)
    for platform, reason in pair.unavailable.items():
        say(f"{pair.name} is unavailable on {platform}: {reason}")
    if is_new:
        say(f"archives of elastix {elastix}: named by the convention of its releases, not pinned by sha256 yet")
    lock_first = "" if pair.api_only else "python3 tasks/run.py lock, then "
    say(f"added {pair.name}; next: {lock_first}python3 tasks/run.py fetch {pair.name}")
    return (load_pairs(pairs_toml) | load_releases(pairs_toml))[pair.name]


def _asked_for(itk_elastix: str, elastix: str, as_of: datetime.date, python: str, is_new: bool) -> Pair:
    for what, version in (("itk-elastix", itk_elastix), *([("elastix", elastix)] if elastix else [])):
        if not _VERSION.fullmatch(version):
            raise ConfigError(f"{what} {version!r} is not a version; write it as 5.3.1")
    if not re.fullmatch(r"3\.\d+", python) or _numbers(python) < _OLDEST_PYTHON:
        raise ConfigError(f"--python {python!r} must be 3.11 or later; write it as 3.14")
    today = datetime.datetime.now(datetime.UTC).date()
    if as_of > today:
        raise ConfigError(f"--as-of {as_of} is to come: its wheels are not known yet; today is {today} (UTC)")
    if not elastix:
        return Pair(itk_elastix, itk_elastix, None, python, as_of)
    executable = _executable(elastix) if is_new else Executable(elastix, elastix)
    return Pair(f"{itk_elastix}-{elastix}", itk_elastix, executable, python, as_of)


def _check_fits(asked: Pair, pairs: Mapping[str, Pair], releases: Mapping[str, Pair]) -> None:
    """Refuse what would leave a pairs.toml that cannot be read."""
    if asked.also and not asked.api_only:
        raise ConfigError("--also is for API-only releases: leave the elastix version out, or --also")
    pythons = sorted({pair.python for pair in pairs.values()})
    if asked.api_only and asked.python not in pythons:
        raise ConfigError(
            f"--python {asked.python}: a release is measured in the environment of a pair; they have {pythons}"
        )
    if not asked.api_only and (there := releases.get(asked.itk_elastix)) and not there.wheels_of:
        raise ConfigError(
            f"itk-elastix {asked.itk_elastix} is an API-only release: delete its table in params/pairs.toml and "
            f"params/wheels/{asked.itk_elastix}.txt, and add the pair then"
        )


def _executable(version: str) -> Executable:
    if _numbers(version) < _ARCHIVES_SINCE:
        raise ConfigError(
            f"elastix {version} is new here, and its archives are named in a way of their own: write "
            f'[elastix."{version}"] into params/pairs.toml by hand (docs/adding-a-pair.md), and add the pair then'
        )
    archives = {platform: Archive(f"elastix-{version}-{system}.zip") for platform, system in _ARCHIVES.items()}
    return Executable(version, version, archives)


def _with_wheels(pair: Pair, uv: Uv, say: Callable[[str], None]) -> tuple[Pair, str]:
    """The pair with the platforms that cannot have it, and its wheel lock."""
    say(f"resolves the wheels of itk-elastix {pair.itk_elastix} as of {pair.as_of}")
    lock = uv.lock(pair)
    unavailable = {}
    for platform in PLATFORMS:
        say(f"looks for wheels of {platform}")
        if reason := uv.missing(pair, platform):
            unavailable[platform] = reason
    if len(unavailable) == len(PLATFORMS):
        raise ConfigError(
            f"no platform has the wheels of {pair.name} for Python {pair.python}; {unavailable[PLATFORMS[0]]}"
        )
    return dataclasses.replace(pair, unavailable=unavailable), lock


def missing_wheels(pair: Pair, platform: str) -> str:
    """Why the platform has not all wheels of the pair for its Python; empty: it has.

    The universal lock cannot tell: it names hashes, no files. So uv resolves once more for the
    platform alone, from wheels only. Raises FetchError where that fails for another reason.
    """
    end = f"{pair.as_of + datetime.timedelta(days=1)}T00:00:00Z"
    options = [f"--python-platform={_UV_PLATFORMS[platform]}", f"--python-version={pair.python}"]
    options += ["--only-binary=:all:", f"--exclude-newer={end}", "--quiet", "--no-header"]
    try:
        done = subprocess.run(
            [str(wheels.find_uv()), "pip", "compile", *options, "-"],
            input=wheels.requirements(pair),
            env=wheels.environment() | {"MACOSX_DEPLOYMENT_TARGET": _NEWEST_MACOS},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{pair.name}: uv gave no wheels of {platform} within {_TIMEOUT_S} s; try again") from error
    if done.returncode == 0:
        return ""
    return reason_of(done.stderr, pair, platform)


def reason_of(said: str, pair: Pair, platform: str) -> str:
    """What uv's words about a platform mean. Raises FetchError where they are not about wheels."""
    if found := _NO_WHEELS.search(" ".join(said.split())):
        return f"{found[1]} {found[2]} has no {platform} wheels for Python {pair.python}"
    raise FetchError(f"{pair.name}: cannot find out whether {platform} has its wheels; uv says: {said.strip()}")


def with_entry(text: str, pair: Pair, about: str) -> str:
    """pairs.toml with the pair or release at its end, and with its executable where that is new."""
    new = tomllib.loads(text)
    kind = "release" if pair.api_only else "pair"
    versions = {"about": about, "itk_elastix": pair.itk_elastix, "elastix": pair.elastix}
    entry = {**({} if pair.api_only else versions), "python": pair.python}
    lines = [f"[{kind}.{_quoted(pair.name)}]", *(f"{key} = {_quoted(value)}" for key, value in entry.items())]
    lines.append(f"as_of = {pair.as_of}")
    table: dict[str, Any] = {**entry, "as_of": pair.as_of}
    if pair.also:
        lines.append(f"also = {json.dumps(pair.also)}")
        table["also"] = list(pair.also)
    if pair.unavailable:
        lines.append(f"[{kind}.{_quoted(pair.name)}.unavailable]")
        lines += [f"{platform} = {_quoted(reason)}" for platform, reason in pair.unavailable.items()]
        table["unavailable"] = dict(pair.unavailable)
    new.setdefault(kind, {})[pair.name] = table
    if pair.executable and pair.elastix not in new["elastix"]:
        lines += ["", f"[elastix.{_quoted(pair.elastix)}]", f"tag = {_quoted(pair.executable.tag)}"]
        lines.append(f"[elastix.{_quoted(pair.elastix)}.archive]")
        archives = pair.executable.archives.items()
        lines += [f"{platform} = {{ name = {_quoted(archive.name)} }}" for platform, archive in archives]
        listed = {platform: {"name": archive.name} for platform, archive in archives}
        new["elastix"][pair.elastix] = {"tag": pair.executable.tag, "archive": listed}
    return _checked("params/pairs.toml", text.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n", new)


def with_environment(text: str, pair: Pair) -> str:
    """pixi.toml with the pair's environment, its variable and its step of bench-all, each last."""
    new, name, version = tomllib.loads(text), pair.environment, "py" + pair.python.replace(".", "")
    features = ["core", version, name]
    new["environments"][name] = {"features": features, "no-default-feature": True}
    new["feature"][name] = {"activation": {"env": {"REPRO_PAIR": pair.name}}}
    chain: list[dict[str, Any]] = new["tasks"]["bench-all"]["depends-on"]
    last = max(index for index, step in enumerate(chain) if step["task"] == "bench")
    chain.insert(last + 1, {**chain[last], "environment": name})

    line = f"{name} = {{ features = {json.dumps(features)}, no-default-feature = true }}\n"
    text = _after_last(r"^pair-[\w-]+ = \{ features = .*\n", text, line)
    step = "".join(re.findall(_STEP, text, re.MULTILINE)[-1:])
    text = _after_last(_STEP, text, re.sub(r'"pair-[\w-]+"', f'"{name}"', step))
    variable = f"\n[feature.{name}.activation.env]\nREPRO_PAIR = {_quoted(pair.name)}\n"
    text = _after_last(r"^REPRO_PAIR = .*\n", text, variable)
    if version not in new["feature"]:
        new["feature"][version] = {"dependencies": {"python": f"{pair.python}.*"}}
        python = f'\n[feature.{version}.dependencies]\npython = "{pair.python}.*"\n'
        text = _after_last(r'^\[feature\.py\d+\.dependencies\]\npython = ".*"\n', text, python)
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
            "add the pair by hand, see docs/adding-a-pair.md"
        )
    return text


def _write_all(texts: Mapping[Path, str]) -> None:
    """Write every file, or leave every file as it was."""
    before = {file: file.read_bytes() if file.exists() else None for file in texts}
    try:
        for file, text in texts.items():
            downloads.write_atomically(file, text)
    except OSError as error:
        for file, content in before.items():
            if content is None:
                file.unlink(missing_ok=True)
            elif file.read_bytes() != content:
                file.write_bytes(content)
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}; nothing was changed") from error


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _quoted(text: str) -> str:
    # JSON leaves DEL as it is, TOML does not allow it.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
