"""Which Python runs a pair's worker."""

from __future__ import annotations

import sys
from pathlib import Path

from repro import system as platforms
from repro.builds.installed import Installed
from repro.builds.wheels import python_tag
from repro.errors import UnavailableError
from repro.layout import ROOT


def pair_interpreter(installed: Installed, root: Path = ROOT) -> str:
    """The interpreter that the pair's wheels were installed for.

    This one where its version is right, else that of the pair's pixi environment. Raises
    UnavailableError where there is neither.
    """
    running = python_tag(f"{sys.version_info.major}.{sys.version_info.minor}")
    if installed.python_tag == running:
        return sys.executable
    prefix = root / ".pixi" / "envs" / installed.pair.environment
    python = platforms.python_of(prefix)
    if python.is_file():
        return str(python)
    pair = installed.pair
    made = f"`pixi install -e {pair.environment}` first" if pair.api_only else f"`pixi run -e {pair.environment} bench`"
    raise UnavailableError(
        f"{pair.name}: its wheels are for {installed.python_tag} and this Python is {running}: "
        f"run {made}, or `fetch` again with this Python"
    )
