"""The words of the project as data: build, settings, arm, condition, block, trial, measurement.

Frozen and pure. Units are in the names: ``_s`` seconds, ``_bytes``, ``_px`` pixels. What is not known is None, never 0.
docs/architecture.md defines the words. The last part of this file is the raw line: what ``measure`` writes is read back
by the same code into the same class, for every later stage.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 2
TOLERANCE_PX = 0.5
"""Two results that are nowhere further apart, in pixels of the fixed image, are the same registration."""
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")

Path_ = Literal["cli", "api", "sitk"]
"""How a registration is called. ``cli``: the executable, a process for each; ``api``: itk.ElastixRegistrationMethod in
a Python worker; ``sitk``: SimpleITK's ElastixImageFilter in a Python worker."""
PATHS: tuple[Path_, ...] = ("cli", "api", "sitk")
Side = Literal["base", "other"]
"""Which arm of a condition. Its ratio is other over base: above 1 the other is slower."""
SIDES: tuple[Side, ...] = ("base", "other")
Threads = int | Literal["cores", "share", "default"]
"""Threads asked for. ``cores``: the physical cores; ``share``: those over the registrations side by side, at least 1;
``default``: none are asked for."""
ThreadsBy = Literal["option", "parameter", "method"]
"""``option``: the executable's ``-threads``; ``parameter``: the parameter map's NumberOfThreads, as posted; ``method``:
SetNumberOfThreads of the API and of SimpleITK."""
Threader = Literal["Platform", "Pool", "TBB"]
Strategy = Literal["threads", "spawned", "plugin", "forked", "pool"]
"""How one Python program runs registrations side by side: threads of one process; workers that are spawned, spawned and
loaded by a plain ``import itk`` as the plugin of the post does, or forked; the pool of recipe/elastix_pool.py."""
Phase = Literal["start", "warmup", "measure"]
TrialStatus = Literal["ok", "failed", "timeout"]


# ---- what is compared ----


@dataclass(frozen=True, slots=True, order=True)
class Build:
    """One thing that can register."""

    path: Path_
    version: str
    """What its maker calls its version."""
    digest: str
    """32 hex digits over its files and the Python they are for: two builds of one version are two builds."""
    own: bool = False
    """The user's own, not a release of the catalogue."""

    @property
    def name(self) -> str:
        """``api:0.25.4``, or with 8 digits of the digest the user's own: ``api:0.25.5.dev3+1a2b3c4d``."""
        return f"{self.path}:{self.version}" + (f"+{self.digest[:8]}" if self.own else "")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an arm is asked to do about threads."""

    threads: Threads = "default"
    by: ThreadsBy = "method"
    threader: Threader | None = None
    """None: the default of the build."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A build with settings."""

    build: Build
    settings: Settings


@dataclass(frozen=True, slots=True)
class Registration:
    """What both arms are given to do."""

    parameter_files: tuple[str, ...]
    """Names in params/elastix, or for a user's own files their last parts; several are run in a row."""
    images: str
    """Name of an image set of data/images.toml, or "custom" for files given by the user."""
    overrides: tuple[tuple[str, str], ...] = ()
    """Parameters replaced in every parameter file: (name, value as elastix writes it)."""
    pixels: Literal["float", "double"] = "float"
    """Of the images that a Python program hands over. Inside, all paths register in float: neither the executables nor
    the wheels that were tried are built for FixedInternalImagePixelType "double"."""


@dataclass(frozen=True, slots=True)
class RegistrationCondition:
    """Two arms, each one registration a trial."""

    name: str
    base: Arm
    other: Arm
    registration: Registration
    machine_threads: int | None = None
    """Threads that ITK is made to believe the machine has; None: what it finds."""
    kind: Literal["registration"] = "registration"

    def arm(self, side: Side) -> Arm:
        """The arm of this side."""
        return self.base if side == "base" else self.other


@dataclass(frozen=True, slots=True)
class BatchCondition:
    """Two arms, each several registrations side by side a trial. The ratio is that of the batches' wall seconds.

    A cli arm runs so many executables at a time, a Python arm one program by the strategy.
    """

    name: str
    base: Arm
    other: Arm
    registration: Registration
    strategy: Strategy
    jobs: int | Literal["cores"]
    """Registrations side by side."""
    registrations: int | Literal["jobs"] = "jobs"
    """Registrations of a trial."""
    machine_threads: int | None = None
    kind: Literal["batch"] = "batch"

    def arm(self, side: Side) -> Arm:
        """The arm of this side."""
        return self.base if side == "base" else self.other


Condition = RegistrationCondition | BatchCondition


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two builds that are measured against each other."""

    name: str
    """Name of the pair, or ``<base> <other>`` of two builds that are none."""
    base: Build
    other: Build


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files that a trial reads, as digests: ratios never mix them."""

    fixed_sha256: str
    moving_sha256: str
    params_sha256: str
    """Of the parameter files as they are given to elastix, overrides applied."""
    extra_sha256: str = ""
    """Of masks, initial transform and point sets; empty: there are none."""
    size_px: tuple[int, ...] = ()
    """Of the fixed image, as the build reads it."""
    transform: str = ""
    """Transform of each parameter file, joined by " + "."""
    metric: str = ""
    """Metric of each parameter file, joined by " + "."""
    sampler: str = ""
    """ImageSampler of each parameter file, joined by " + "."""
    masks: tuple[str, ...] = ()
    """``fixed_mask``, ``moving_mask``: those that are given."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one arm in one round of one block."""

    block: int
    """From 1."""
    round: int
    """From 1; the warm-up is 0."""
    side: Side
    position: int
    """From 0: its place in the round."""

    @property
    def phase(self) -> Phase:
        """``warmup`` in round 0."""
        return "measure" if self.round else "warmup"


def condition_key(condition: Condition, inputs: Inputs) -> str:
    """Digest of all that decides what a condition measures: its arms' builds and settings, what they read, and how.

    The size of the image follows from its digest, and may be known only once a build has read it: it is left out.
    """
    read = dataclasses.replace(inputs, size_px=())
    return digest([SCHEMA, dataclasses.asdict(condition), dataclasses.asdict(read)])


def digest(content: Any) -> str:
    """First 32 hex digits of the SHA-256 of the content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# ---- the raw line ----
#
# A raw file, results/raw/<machine>/<experiment>/<comparison>.jsonl, is append-only. A session line stands before the
# first line of each session, a condition line before the condition's first measurement in it. A block counts once its
# block line is there; the measurements of a block that was cut stay in the file and are not counted.


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """One start of a command that measures."""

    kind: Literal["session"] = "session"
    schema: int = SCHEMA
    session: str
    machine: str
    identity: str
    """Random, made once in a checkout: two machines of one name are told apart by it."""
    started_utc: str
    command: tuple[str, ...]
    """Without folders and file names of the user."""
    comparison: str
    builds: Mapping[str, Mapping[str, Any]]
    """Build name -> what its build.json says, without local paths."""
    fingerprint: Mapping[str, Any]
    seed: int
    harness: str
    """Version of this project, and of the Python that runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionLine:
    """What the measurements under one key have in common."""

    kind: Literal["condition"] = "condition"
    session: str
    key: str
    experiment: str
    question: str
    comparison: str
    condition: Condition
    inputs: Inputs
    blocks: int
    """At most, as asked for."""
    rounds: int
    """In a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One trial's outcome. Failures are measurements too."""

    kind: Literal["measurement"] = "measurement"
    session: str
    key: str
    life: str
    """Which life of the workers: one attempt at a block."""
    block: int
    round: int
    side: Side
    position: int
    phase: Phase
    status: TrialStatus
    started_utc: str
    note: str = ""
    """Why it failed, with the last lines of its log."""
    exit_status: int | None = None

    # time
    wall_s: float | None = None
    """The executable from start to exit, as the post timed it; the call of a Python worker, without loading. A batch:
    from its start to its last result."""
    load_s: float | None = None
    """First trial of a worker: interpreter start to images read and class loaded."""
    load_parts_s: Mapping[str, float] | None = None
    resolutions_s: tuple[float, ...] | None = None
    """From elastix.log: "Time spent in resolution", over all parameter files in a row."""
    estimation_s: tuple[float, ...] | None = None
    """From elastix.log: "Automatic parameter estimation took", one a resolution."""
    user_s: float | None = None
    system_s: float | None = None

    # memory and scheduling: the child's own
    peak_bytes: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    other_cores: float | None = None
    """Cores that other processes kept busy while the trial ran, on average."""
    stolen_cores: float | None = None
    """Cores that a hypervisor gave to others although this machine had work."""

    # asked for, and in effect
    threads: int | None = None
    """Asked for, as a number; None: not asked for."""
    log_threads: str | None = None
    """What elastix.log says after ``-threads``: a number, or "unspecified"."""
    threader: str | None = None
    default_threads: int | None = None
    maximum_threads: int | None = None
    work_units: int | None = None
    """That ITK gives a filter where elastix is told no number of threads."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Versions as the running build says them: ``elastix``, ``itk``, ``itk_elastix``, ``simpleitk``, ``python``."""

    # result
    final_metric: float | None = None
    result_digest: str | None = None
    """Digest of the transforms' numbers; the files are kept under transforms/<digest>/. Of a batch: its first."""

    # a batch
    jobs: int = 1
    registrations: int = 1
    jobs_s: tuple[float, ...] | None = None
    """Wall seconds of each registration of a batch, from when its turn came."""
    first_s: float | None = None
    """From the start of a batch to its first result."""
    results: int | None = None
    """Different results in a batch."""
    tree_peak_bytes: int | None = None
    """Warm-up of a batch: memory of all its processes together, shared pages counted once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementLine:
    """How far apart the two results of a round are, over the fixed image's grid."""

    kind: Literal["agreement"] = "agreement"
    session: str
    key: str
    life: str
    block: int
    round: int
    digests: tuple[str, str]
    mean_px: float | None = None
    max_px: float | None = None
    problem: str = ""
    """Why they could not be compared; empty: they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """A block is whole: all its trials were tried."""

    kind: Literal["block"] = "block"
    session: str
    key: str
    life: str
    block: int
    environment_bytes: int
    """Added to the environment of its children, so that memory is not laid out alike in every block."""
    folder_length: int
    """Characters of the working folder's path."""
    ended_utc: str
    state: Mapping[str, Any] = field(default_factory=dict)
    """Load, memory and power of the machine then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableLine:
    """A comparison that this machine cannot have."""

    kind: Literal["unavailable"] = "unavailable"
    session: str
    comparison: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionLine:
    """What a build does, asked of itself in workers of its own; stands in results/raw/<machine>/inspect.jsonl."""

    kind: Literal["inspection"] = "inspection"
    machine: str
    identity: str
    started_utc: str
    build: Build
    source: str = ""
    """Where its files came from, as build.json says."""
    itk: str | None = None
    elastix: str | None = None
    commit: str | None = None
    python: str | None = None
    default_threader: str | None = None
    threads_2: int | None = None
    """Threads that the build uses where ITK sees 2."""
    work_units_2: int | None = None
    threads_28: int | None = None
    """Where ITK sees 28."""
    work_units_28: int | None = None
    parameter_honoured: bool | None = None
    """Whether NumberOfThreads in the parameter map takes effect."""
    method_honoured: bool | None = None
    """Whether SetNumberOfThreads does."""
    option_honoured: bool | None = None
    """Whether ``-threads`` does."""
    environment_honoured: bool | None = None
    """Whether ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS does."""
    lock_ticks: int | None = None
    """How often a thread that ticks every 5 ms ticked during a registration."""
    lock_ticks_expected: int | None = None
    """How often it would have, were Python's lock released."""
    import_s: float | None = None
    import_modules: int | None = None
    first_object_s: float | None = None
    """From ``import itk`` to the first registration object; of an executable its start."""
    first_object_modules: int | None = None
    resident_bytes: int | None = None
    later_calls_same: bool | None = None
    """Whether a second and third call of one process give the first call's result."""
    transformix_reads: bool | None = None
    """Whether the executable's transformix reads the API's transform files as they are."""
    problem: str = ""


Line = SessionLine | ConditionLine | Measurement | AgreementLine | BlockLine | UnavailableLine | InspectionLine


def write_line(line: Line) -> str:
    """The line as JSON, without its end."""
    return json.dumps(dataclasses.asdict(line), allow_nan=False)


def read_line(text: str | bytes) -> Line:
    """The line that this JSON holds. Raises ValueError, with the field, for what is none."""
    return _lines().validate_json(text)


@cache
def _lines() -> TypeAdapter[Line]:
    from typing import Annotated

    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[Line, Field(discriminator="kind")])


# ---- what is found ----


class Verdict(enum.StrEnum):
    """What a ratio with its interval says, with the noise floor beside it."""

    SLOWER = "slower"
    FASTER = "faster"
    NO_DIFFERENCE = "no difference"
    CANNOT_TELL = "cannot tell"


class Status(enum.StrEnum):
    """How a row of the comparison is to be taken, the gravest last."""

    OK = "ok"
    """Measured, and both results are the same."""
    EXPLAINED = "explained"
    """The results differ for a known reason: unequal work units, other random samples."""
    PARTIAL = "partial"
    """Fewer blocks than an interval needs, though more were asked for."""
    NOT_COMPARED = "not compared"
    """The results could not be compared."""
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DIFFERENT = "different"
    """Both arms did the same work and gave different results."""
    MISMATCH = "mismatch"
    """What ran says another version than the build's."""


class Reason(enum.StrEnum):
    """What a reader of a row has to know. Each stands in the row with its figures, as ``name(figure, figure)``."""

    UNEQUAL_WORK_UNITS = "unequal_work_units"  # base, other
    OTHER_SAMPLES = "other_samples"  # elastix before 5.3.0 takes new random samples at each call of a process
    MASKED_RANDOM_SAMPLER = "masked_random_sampler"  # with a fixed mask, elastix draws other samples at each run
    WORK_UNITS_UNKNOWN = "work_units_unknown"  # results apart, and whether both did the same work is not known
    LATER_CALLS_DIFFER = "later_calls_differ"
    NOT_HONOURED = "not_honoured"  # side, threads asked, what elastix.log says
    THREADER_NOT_HONOURED = "threader_not_honoured"  # side, asked, in effect
    MACHINE_THREADS_NOT_SEEN = "machine_threads_not_seen"  # side, asked, seen
    NOT_DETERMINISTIC = "not_deterministic"  # side, different results
    SETTINGS_VARY = "settings_vary"  # side, field
    RESULTS_APART = "results_apart"  # px
    NOT_COMPARED = "not_compared"  # rounds, problem
    TRIALS_FAILED = "trials_failed"  # failed, of, first problem
    FEW_BLOCKS = "few_blocks"  # whole
    DRIFT = "drift"  # per block
    OUTLIERS = "outliers"  # rounds
    DISTURBED = "disturbed"  # rounds
    FLOOR_OFF_ONE = "floor_off_one"  # a build against itself does not give 1
    VERSION_MISMATCH = "version_mismatch"  # side, build, said
    ONE_ARM = "one_arm"  # side that ran
    UNAVAILABLE = "unavailable"  # why


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio or factor with the ends of its 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None
    interval: Literal["interval", "range", "single"] = "single"
    """``interval``: 95%, from six blocks on; ``range``: of fewer blocks; ``single``: of one."""
    blocks: int = 1
    between_sd: float | None = None
    """Standard deviation of the blocks' log ratios."""
    within_sd: float | None = None
    """Standard deviation of the rounds' log ratios inside their blocks."""


Figures = Mapping[str, Any]
"""By name: an Estimate, a number, a word, or None where it isn't known. Seconds end in `_s`, bytes in `_bytes`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about; empty where it is about all of them."""

    machine: str = ""
    comparison: str = ""
    experiment: str = ""
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact made from comparisons, as data. Sentences are made from it at the edge (report/sentences.py)."""

    kind: str
    """Kinds that are said have a sentence of this name in report/sentences.py; the others fill charts and tables."""
    subject: Subject
    figures: Figures

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
