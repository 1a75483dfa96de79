"""The scripts of studies/ as modules."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from repro.paths import ROOT

sys.path.insert(0, str(ROOT / "studies"))
coverage: Any = importlib.import_module("coverage")
repeat: Any = importlib.import_module("repeat")
