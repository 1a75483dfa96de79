"""What pairs there are and how far each is fetched, as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repro.builds import installed
from repro.cli.tables import Rows
from repro.errors import UnavailableError
from repro.model import Pair
from repro.system import current_platform


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
    """The same as a table; the reasons of those that cannot be run stand below it."""
    known = facts(pairs)
    return Rows(
        title=f"Pairs on {current_platform()}",
        heads=("pair", "itk-elastix", "elastix", "python", "wheels as of", "here", "executable", "wheels for"),
        rows=tuple(
            (
                *(fact[name] for name in ("pair", "itk_elastix", "elastix", "python", "as_of", "state")),
                fact["cli_source"],
                fact["wheels_for_python"],
            )
            for fact in known
        ),
        remark="\n".join(f"{fact['pair']}: {fact['reason']}" for fact in known if fact["reason"]),
    )


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
