"""Take names of people, machines and folders out of text that leaves this machine.

Failure notes quote the last lines of logs, and logs name the files they read and the host they ran on.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from repro.layout import ROOT
from repro.system import ignores_case

_SHORTEST = 3
"""Shorter user and host names ("me", "vm") are parts of ordinary words; only whole words are replaced."""
_LOG_BYTES = 1 << 20


def scrub(text: str) -> str:
    """The text without the checkout's and home's folders, user and host names."""
    for pattern, word in _replacements():
        text = pattern.sub(word, text)
    return text


@contextlib.contextmanager
def clean_logs(machine_folder: Path) -> Iterator[None]:
    """Scrub the workers' logs afterwards, also those that a killed run has left; only their ends are kept."""
    try:
        yield
    finally:
        for log in machine_folder.glob("*/logs/*.log"):
            with contextlib.suppress(OSError), log.open("r+b") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _LOG_BYTES))
                text = stream.read().decode("utf-8", errors="replace")
                if size > _LOG_BYTES or scrub(text) != text:
                    stream.seek(0)
                    stream.truncate()
                    stream.write(scrub(text).encode())


@cache
def _replacements() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(_patterns(ROOT, Path.home(), _user(), socket.gethostname()))


def _patterns(root: Path, home: Path, user: str, host: str) -> Iterator[tuple[re.Pattern[str], str]]:
    """What is replaced by what, longer paths first; Windows writes its paths with either slash."""
    for path, word in ((root, "<checkout>"), (home, "~")):
        text = str(path)
        if len(path.parts) > 1:
            either = r"[/\\]+".join(re.escape(part) for part in re.split(r"[/\\]", text) if part)
            start = "/" if text.startswith("/") else ""
            yield re.compile(start + either, re.IGNORECASE if ignores_case() else 0), word
    for name, word in ((host, "<host>"), (user, "<user>")):
        for part in (name, name.split(".")[0]):
            if len(part) >= _SHORTEST and part not in ("root", "localhost"):
                yield re.compile(rf"(?<![\w-]){re.escape(part)}(?![\w-])"), word
    # A path of anybody's home, as tracebacks of wheels carry their builder's.
    yield re.compile(r"(/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s:]+"), r"\1<user>"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
