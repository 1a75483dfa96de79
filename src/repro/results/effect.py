"""What took effect in an arm of a condition, from what its trials say of themselves."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from packaging.version import InvalidVersion, Version

from repro.model import Arm, Measurement, Reason, Side

ITK_MAX_THREADS = 128
"""Most threads, and work units of all threaders but TBB, of ITK as the releases build it."""
UNITS = {"Pool": 4, "Platform": 1}
"""Threader -> work units that it makes of each default thread. Pool is the executable's own."""
NEW_SAMPLES_BEFORE = "5.3.0"
"""elastix before that draws other random samples at each call of one process; docs/method.md has the proof."""
_SAME = ("threads", "log_threads", "threader", "default_threads", "work_units")
"""What should be the same in all trials of an arm."""
_VERSION_OF = {"cli": "elastix", "api": "itk_elastix", "sitk": "simpleitk"}
Reasons = Iterator[tuple[Reason, tuple[object, ...]]]


@dataclass(frozen=True)
class ArmEffect:
    """An arm with its good trials of blocks that count, warm-ups too."""

    side: Side
    arm: Arm
    trials: Sequence[Measurement]
    machine_threads: int | None
    """That ITK was to find."""
    logical_cores: int | None

    @property
    def measured(self) -> list[Measurement]:
        """The trials that times are made of."""
        return [one for one in self.trials if one.phase == "measure"]

    def median(self, name: str) -> float | None:
        """Median of a field over the measured trials; None where none has it."""
        return median(getattr(one, name) for one in self.measured)

    def value(self, name: str) -> Any:
        """What all trials say of a field; None where they say nothing or different things."""
        found = self._values(name)
        return next(iter(found)) if len(found) == 1 else None

    def _values(self, name: str) -> set[Any]:
        found = {getattr(one, name) for one in self.trials if one.phase != "start"}
        return found - {None}

    @property
    def told(self) -> int | None:
        """Threads that elastix was told, as its log says; None: none."""
        text = self.value("log_threads")
        return int(text) if text and text.isdecimal() and len(text) < 10 else None

    @property
    def threads(self) -> int | None:
        """Threads in effect."""
        return self.value("default_threads") or self.told or self._threads_of_itk()

    @cached_property
    def work_units(self) -> int | None:
        """Work units of the metric, each with a joint histogram of its own.

        As many as the threads that elastix was told, or, told none, as many as ITK gives a filter
        (SuperElastix/elastix, Core/ComponentBaseClasses/elxMetricBase.hxx, BeforeEachResolutionBase). All threaders
        but TBB stop at ITK_MAX_THREADS: measured, the executable gives the same coefficients for 128, 256, 512 and
        1024 threads, the API with TBB other ones for each.
        """
        if self.told:
            return self.told if self.value("threader") == "TBB" else min(self.told, ITK_MAX_THREADS)
        if reported := self.value("work_units"):
            return int(reported)
        threads, each = self._threads_of_itk(), UNITS.get(self.arm.settings.threader or "Pool")
        return min(ITK_MAX_THREADS, each * threads) if threads and each else None

    def _threads_of_itk(self) -> int | None:
        """Of an executable that was told none: as many as ITK finds, which it doesn't report."""
        if self.arm.build.path != "cli" or self.value("log_threads") != "unspecified":
            return None
        found = self.machine_threads or self.logical_cores
        return min(found, ITK_MAX_THREADS) if found else None

    @property
    def results(self) -> int:
        """How many different results its trials gave, warm-ups too, inside a batch and from trial to trial."""
        digests = {one.result_digest for one in self.trials} - {None}
        return max([len(digests), *(one.results or 0 for one in self.trials)])

    @property
    def draws_new_samples(self) -> bool:
        """Whether each call of its worker registers with other random samples."""
        said = {one.said.get("elastix") for one in self.trials} - {None}
        return self.arm.build.path != "cli" and any(_older(str(version), NEW_SAMPLES_BEFORE) for version in said)

    def wrong_versions(self) -> list[str]:
        """Versions that the running build said and that are not the build's."""
        said = {one.said.get(_VERSION_OF[self.arm.build.path]) for one in self.trials} - {None}
        return sorted(str(version) for version in said if _release(str(version)) != _release(self.arm.build.version))

    def unheeded(self) -> Reasons:
        """What was asked for and had no effect, and what differs between trials."""
        settings, said, asked = self.arm.settings, self.value("log_threads"), self.value("threads")
        if settings.threads != "default" and said:
            heard = said != "unspecified" if settings.by == "parameter" else asked is None or said == str(asked)
            if not heard:
                yield Reason.NOT_HONOURED, (self.side, asked, said)
        threader, found = self.value("threader"), self.value("default_threads")
        if settings.threader and threader and threader != settings.threader:
            yield Reason.THREADER_NOT_HONOURED, (self.side, settings.threader, threader)
        told = settings.threads != "default" and settings.by in ("option", "method")
        if self.machine_threads and found and found != self.machine_threads and not told:
            yield Reason.MACHINE_THREADS_NOT_SEEN, (self.side, self.machine_threads, found)
        if self.results > 1:
            yield Reason.NOT_DETERMINISTIC, (self.side, self.results)
        yield from ((Reason.SETTINGS_VARY, (self.side, name)) for name in _SAME if len(self._values(name)) > 1)


def median(values: Iterable[float | None]) -> float | None:
    """The median of what is known; None where nothing is."""
    known = [one for one in values if one is not None]
    return statistics.median(known) if known else None


def _release(version: str) -> object:
    """What tells two releases apart; builds say less than their file names of pre-releases, so that is left out."""
    try:
        numbers = [*Version(version).release]
    except InvalidVersion:
        return version
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _older(version: str, than: str) -> bool:
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False
