"""The exceptions of the project, and the exit statuses that they become.

A message says what happened, where (file, key, trial) and what to do next. Only ``cli/main.py`` prints it and turns it
into the status of the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXIT_OK = 0
"""Done, whatever was found."""
EXIT_FAILED = 1
"""A trial failed, or two arms that did the same work gave different results."""
EXIT_USAGE = 2
"""Usage or configuration, or nothing could be measured of what was asked for."""
EXIT_THRESHOLD = 3
"""``compare --fail-if`` says so."""
EXIT_INTERRUPTED = 130


class ReproError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_status = EXIT_USAGE


class ConfigError(ReproError):
    """Something that the user or the project wrote cannot be used."""


class FetchError(ReproError):
    """Something that a build needs could not be downloaded, verified or unpacked."""


class UnavailableError(FetchError):
    """A build cannot be had on this machine, or is not there; others still can."""


class TrialError(ReproError):
    """One trial gave no measurement; it is recorded and the run goes on."""

    exit_status = EXIT_FAILED

    def __init__(self, message: str, *, timed_out: bool = False, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.facts = facts or {}
        """Fields of a Measurement that were found out all the same."""


class StoreError(ReproError):
    """Measurements could not be read from or written to the results folder."""
