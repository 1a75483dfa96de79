"""Take out of what leaves this machine who measured and where: homes, folders, users, hosts.

`scrub.py` keeps this machine's own names out of notes as they are written. Here whole logs and the results of any
machine are cleaned, so names are also learned from the texts themselves, and every absolute path is cut. What
cannot be told from an ordinary word (a user called "test") is only taken out where its place gives it away.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from repro import layout
from repro.measure.measurement import Agreement, Measurement
from repro.model import Condition, Experiment, Settings

HOME, FOLDER, USER, HOST, ADDRESS = "<home>", "<folder>", "<user>", "<host>", "<address>"
_ORDINARY = {field.name for kind in (Measurement, Agreement, Condition, Experiment, Settings) for field in fields(kind)}
_ORDINARY |= {
    *("root", "user", "users", "admin", "administrator", "runner", "test", "localhost", "local", "home", "data"),
    *("build", "tmp", "temp", "unknown", "none", "true", "false", "elastix", "itk", "python", "repro", "linux"),
    *("windows", "darwin", "macos", "ubuntu", "debian", "posted", "auto", "ok", "failed", "timeout", "measure"),
    *("warmup", "start", "cli", "api", "pool", "tbb", "platform", "option", "method", "parameter", "session"),
    *("agreement", "end", "kind", "schema", "fingerprint", "provenance", "parts", "wheels", "files", "records"),
    *("packages", "sha256", "debs", "source", "question", "conditions", "command", "results", "work", "logs", "raw"),
}
"""Words of ours, and names that many machines share and that identify nobody."""
_PUBLIC = ("/usr/", "/lib/", "/lib64/", "/bin/", "/etc/", "/proc/", "/sys/", "/dev/")
"""Folders that are the same on every machine: their paths stay."""
_TELLING = ("site-packages", ".pairs", "results", "params", "src", "tests")
"""From these folders on a path is ours and stays."""

# Every repetition is bounded or cannot start again inside what it has passed: hostile logs cost linear time.
_SLASH = r"[\\/]{1,4}"
_PART = r"[^\\/\s\"'<>|:*?]+(?: [^\\/\s\"'<>|:*?]+)*"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]{1,200}@")
_SHARE = re.compile(rf"(?<![\w\\:])\\{{2,4}}{_PART}(?=[\\/])")
_HOME = re.compile(
    rf"(?:\b[A-Za-z]:|(?<![\\/])){_SLASH}(?:Users|home|homes|Documents and Settings){_SLASH}"
    rf"({_PART}(?=[\\/])|[^\\/\s\"'<>|:]+)"
)
_ROOT_HOME = re.compile(r"(?<![\w./\\>-])(?:/var)?/root\b(?![\w-])")
_RUNS_AT = re.compile(r"(elastix runs at:[ \t]*)([^\s<]\S*)")
_PATH = re.compile(rf"(?<![\w.>/\\])(?:\b[A-Za-z]:{_SLASH}|/(?!/))(?:{_PART}{_SLASH})+[^\\/\s\"'<>|:*?]*")
_BELOW = re.compile(rf"({HOME}|{FOLDER})((?:{_SLASH}{_PART}(?=[\\/]))+{_SLASH}[^\\/\s\"'<>|:*?]*)")
_MAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){0,8}")


@dataclass(frozen=True)
class Names:
    """What is to be taken out."""

    users: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    def __or__(self, other: Names) -> Names:
        return Names(self.users | other.users, self.hosts | other.hosts, self.folders | other.folders)


def names_here() -> Names:
    """Users, hosts and folders of the machine and checkout that this runs on."""
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")} | {Path.home().name}
    with suppress(OSError, KeyError, ImportError):  # a user without a name, as in some containers
        users.add(getpass.getuser())
    hosts = {platform.node(), os.environ.get("HOSTNAME", ""), os.environ.get("COMPUTERNAME", "")}
    hosts |= {host.split(".")[0] for host in hosts}
    folders = {str(folder) for folder in (Path.home(), layout.ROOT, Path(tempfile.gettempdir()))}
    return Names(frozenset(users - {""}), frozenset(hosts - {""}), frozenset(folders - {"/", "/tmp"}))


def names_in(texts: Iterable[str]) -> Names:
    """Users and hosts that the texts give away themselves: homes, and where elastix says that it ran."""
    users: set[str] = set()
    hosts: set[str] = set()
    for text in texts:
        users.update(found[1].strip() for found in _HOME.finditer(text))
        for found in _RUNS_AT.finditer(text):
            hosts |= {found[2], found[2].split(".")[0]}
    return Names(frozenset(users - {""}), frozenset(hosts - {""}))


class Scrubber:
    """Takes the names out of any number of texts, always in the same way."""

    def __init__(self, names: Names, keep: Iterable[str] = ()) -> None:
        """`keep` are further words that stay where they stand alone."""
        ordinary = _ORDINARY | {word.lower() for word in keep}
        self._users = _words(names.users, ordinary)
        self._hosts = _words(names.hosts, ordinary, r"(?:\.[A-Za-z0-9-]{1,64}){0,8}")
        self._folders = _folders(names.folders)
        self.text = lru_cache(maxsize=1 << 16)(self._text)

    def _text(self, text: str) -> str:
        """The text without the names."""
        text = _CREDENTIALS.sub("", text)
        text = _RUNS_AT.sub(rf"\g<1>{HOST}", text)
        text = self._folders.sub(FOLDER, text)
        text = _SHARE.sub(HOST, text)
        text = _HOME.sub(HOME, text)
        text = _ROOT_HOME.sub(HOME, text)
        text = _PATH.sub(lambda found: found[0] if found[0].startswith(_PUBLIC) else _short(FOLDER, found[0]), text)
        text = _BELOW.sub(lambda found: _short(found[1], found[2]), text)
        text = _MAIL.sub(ADDRESS, text)
        return self._users.sub(USER, self._hosts.sub(HOST, text))

    def left(self, text: str) -> str:
        """The first name that is still in a text; empty: none is."""
        found = self._users.search(text) or self._hosts.search(text) or self._folders.search(text)
        return found[0] if found else ""


def _words(names: Iterable[str], ordinary: set[str], more: str = "") -> re.Pattern[str]:
    """Any of the names as a whole word, the longest first; a single letter is no name."""
    telling = sorted((name for name in names if len(name) > 1 and name.lower() not in ordinary), key=len, reverse=True)
    either = "|".join(map(re.escape, telling))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{either}){more}(?![A-Za-z0-9])" if either else r"(?!)", re.IGNORECASE)


def _folders(names: Iterable[str]) -> re.Pattern[str]:
    """Any of the folders with either slash, the longest first: a checkout may lie inside a home."""
    split = (re.split(r"[\\/]+", name) for name in sorted(names, key=len, reverse=True))
    either = "|".join(_SLASH.join(map(re.escape, parts)) for parts in split)
    return re.compile(rf"(?:{either})(?![\w-])" if either else r"(?!)", re.IGNORECASE)


def _short(start: str, path: str) -> str:
    """A path without the folders that only its owner knows."""
    parts = re.split(r"[\\/]+", path)
    ours = next((n for n, part in enumerate(parts) if part in _TELLING), len(parts) - 1)
    return "/".join((start, *parts[ours:]))
