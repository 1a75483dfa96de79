"""The scripts of tasks/, which are no package, as modules."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from repro.paths import ROOT

TASKS = ROOT / "tasks"


def task(name: str) -> Any:
    """The module of this name; those that it imports are found beside it."""
    if str(TASKS) not in sys.path:
        sys.path.append(str(TASKS))
    return importlib.import_module(name)
