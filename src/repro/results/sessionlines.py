"""Which session lines can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_session(line: Mapping[str, Any]) -> bool:
    """Whether the tables in a session line are tables, so that their values can be asked for."""
    experiment, fingerprint = line.get("experiment", {}), line.get("fingerprint", {})
    tables = [experiment.get(name, {}) for name in ("conditions", "own_rounds")] if isinstance(experiment, dict) else []
    if not tables or not all(isinstance(table, dict) for table in (fingerprint, *tables)) or not _fits(fingerprint):
        return False
    conditions = tables[0]
    settings = [
        c.get(path, {}) if isinstance(c, dict) else None for c in conditions.values() for path in ("cli", "api")
    ]
    return all(isinstance(value, dict) for value in settings)


def _fits(value: object) -> bool:
    """Whether the whole numbers in it have no more than the 64 bits of a column."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_fits, inside)) and not (isinstance(value, int) and abs(value) >= 1 << 63)
