"""What pairs there are and how far each is fetched, as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repro import installed
from repro.errors import UnavailableError
from repro.model import Pair
from repro.platforms import current_platform
from repro.tables import Rows

HEADS = ("pair", "itk-elastix", "elastix", "python", "wheels as of", "here")


def facts(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """One mapping a pair: its versions, and whether it can be run on this platform now."""
    return [
        {
            "pair": pair.name,
            "itk_elastix": pair.itk_elastix,
            "elastix": pair.elastix,
            "python": pair.python,
            "as_of": pair.as_of.isoformat(),
            "environment": pair.environment,
            "platform": current_platform(),
            **_state(pair),
        }
        for pair in pairs
    ]


def rows(pairs: Sequence[Pair]) -> Rows:
    """The same as a table."""
    listed = tuple(
        (
            fact["pair"],
            fact["itk_elastix"],
            fact["elastix"],
            fact["python"],
            fact["as_of"],
            _words(fact),
        )
        for fact in facts(pairs)
    )
    return Rows(title=f"Pairs on {current_platform()}", heads=HEADS, rows=listed)


def _state(pair: Pair) -> dict[str, str]:
    try:
        parts = installed.load(pair)
    except UnavailableError as error:
        return {"state": "unavailable", "reason": str(error), "cli_source": "", "wheels_for_python": ""}
    return {
        "state": "fetched",
        "reason": "",
        "cli_source": parts.cli_source,
        "wheels_for_python": parts.python_tag,
    }


def _words(fact: dict[str, Any]) -> str:
    if fact["state"] == "fetched":
        return f"fetched: executable from {fact['cli_source']}, wheels for Python {fact['wheels_for_python']}"
    return f"unavailable: {fact['reason']}"
