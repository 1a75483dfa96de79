"""The exceptions of the project.

A message says what happened, where (file, line, key, trial) and what to do next. Only
``cli.py`` prints it and turns ``exit_status`` into the status of the process.
"""

from collections.abc import Mapping
from typing import Any

EXIT_OK = 0
EXIT_TRIAL_FAILED = 1
EXIT_USAGE = 2
EXIT_DISAGREE = 3
EXIT_INTERRUPTED = 130


class ReproError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_status = EXIT_USAGE


class ConfigError(ReproError):
    """A file that the user or the project wrote holds something that cannot be used."""


class FetchError(ReproError):
    """Something that a pair needs could not be downloaded, verified or unpacked."""


class UnavailableError(FetchError):
    """A pair cannot be had on this machine; the other pairs still can."""


class TrialError(ReproError):
    """One trial gave no measurement; it is recorded and the run goes on."""

    exit_status = EXIT_TRIAL_FAILED

    def __init__(self, message: str, *, timed_out: bool = False, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.facts = facts or {}
        """Fields of a Measurement that were found out all the same."""


class StoreError(ReproError):
    """Measurements could not be read from or written to the results folder."""
