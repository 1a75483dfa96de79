"""What a trial gave, and the line of JSON that keeps it.

A raw file (``results/raw/<machine>/<pair>/<experiment>.jsonl``) holds lines of four kinds, told
apart by ``kind``: ``session`` (one start of ``bench``: machine fingerprint, versions, command),
``measurement`` (below), ``agreement`` (the two transforms of one round compared) and ``end`` (the
machine's load, memory and power after a condition; the session line has them before it).
What is not known is null, never 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro.model import SCHEMA, Measures, Path_, Phase, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One trial's outcome. Failures are measurements too."""

    key: str
    """Digest of trial, inputs and lock; a rerun skips keys that have status ``ok``."""
    session: str
    machine: str
    pair: str
    experiment: str
    condition: str
    arm: int
    path: Path_
    phase: Phase
    round: int
    position: int
    """From 0: its place in the round."""
    status: Status
    started_utc: str
    repeat: int = 0
    """From 0: which of its arm's trials in the round."""
    note: str = ""
    """Why it failed, with the last lines of its log; or a flag worth reading."""
    exit_status: int | None = None

    # time
    wall_s: float | None = None
    """What the ratio is made of: the executable from start to exit, as the post timed it; the
    API call, without loading. A batch: from its start to its last result. Where something else
    is measured (``measures``), that."""
    load_s: float | None = None
    """API, first trial of a worker: interpreter start to images read and class loaded."""
    first_s: float | None = None
    """From the start of several registrations to their first result."""
    results_s: tuple[float, ...] | None = None
    """Of several registrations: seconds from the start of the first process until each result
    was there, in the order in which they came."""
    load_parts_s: Mapping[str, float] | None = None
    """API: load_s by part: interpreter, import_itk, read_images, registration_class."""
    resolutions_s: tuple[float, ...] | None = None
    """From elastix.log: "Time spent in resolution", over all parameter files in a row."""
    estimation_s: tuple[float, ...] | None = None
    """From elastix.log: "Automatic parameter estimation took", one a resolution."""
    user_s: float | None = None
    system_s: float | None = None

    # memory and scheduling: the child's own
    peak_bytes: int | None = None
    disk_bytes: int | None = None
    """Read from the disk while loading (Linux); 0: everything was in the file cache."""
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None

    other_cores: float | None = None
    """Cores that other processes kept busy while the trial ran, on average."""
    stolen_cores: float | None = None
    """Cores that a hypervisor gave to others although this machine had work."""

    # asked for and in effect
    threads: int | None = None
    """Asked for, 0 resolved to the physical cores; None: not asked for."""
    machine_threads: int | None = None
    log_threads: str | None = None
    """What elastix.log says after ``-threads``: a number, or "unspecified"."""
    threader: str | None = None
    default_threads: int | None = None
    maximum_threads: int | None = None
    work_units: int | None = None
    itk: str | None = None
    itk_elastix: str | None = None
    elastix: str | None = None
    """As elastix.log says it."""
    python: str | None = None
    cli_source: str | None = None

    # result
    final_metric: float | None = None
    result_digest: str | None = None
    """Digest of the transform's numbers; the files are kept under transforms/<digest>/. Of a batch: its first."""

    # inputs
    fixed_sha256: str = ""
    moving_sha256: str = ""
    params_sha256: str = ""
    transform: str = ""
    """Transform of each parameter file, joined by " + "."""

    # a batch: wall_s, user_s and system_s are those of all its registrations
    jobs: int = 1
    registrations: int = 1
    strategy: str = ""
    measures: Measures = "registration"
    jobs_s: tuple[float, ...] | None = None
    """Wall seconds of each registration of a batch, from when its turn came."""
    tree_peak_bytes: int | None = None
    """Warm-up of a batch: largest memory of all its processes together, shared pages counted once."""

    def line(self) -> dict[str, Any]:
        """The measurement as a JSON-ready mapping."""
        return {"kind": "measurement", "schema": SCHEMA, **dataclasses.asdict(self)}


TOLERANCE_PX = 0.5
"""Largest distance of two results that did the same work; docs/method.md has the measurements behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far apart the two transforms of one round are, over the fixed image's grid."""

    session: str
    machine: str
    pair: str
    experiment: str
    condition: str
    round: int
    mean_px: float
    max_px: float
    digests: tuple[str, str]
    keys: tuple[str, str] = ("", "")
    """Keys of the two measurements that are compared."""

    def line(self) -> dict[str, Any]:
        """The comparison as a JSON-ready mapping."""
        return {"kind": "agreement", "schema": SCHEMA, **dataclasses.asdict(self)}
