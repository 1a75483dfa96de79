"""How the systems name the variables of an environment, and which of them a child cannot do without."""

from __future__ import annotations

import re

from repro.system.system import SYSTEM

_KEPT = {
    "posix": ("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TZ", "LC_.*"),
    # What Windows programs and the loader cannot do without.
    "win32": (
        *("PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "USERPROFILE"),
        *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_.*"),
    ),
}


def is_kept(name: str, system: str = SYSTEM) -> bool:
    """Whether a child gets this variable of ours."""
    return re.fullmatch("|".join(_KEPT.get(system, _KEPT["posix"])), name) is not None


def known_as(name: str, system: str = SYSTEM) -> str:
    """The variable's name: Windows does not tell cases apart, and Python writes them all in capitals there."""
    return name.upper() if system == "win32" else name


def path_separator(system: str = SYSTEM) -> str:
    """What stands between the folders of a variable such as PATH."""
    return ";" if system == "win32" else ":"
