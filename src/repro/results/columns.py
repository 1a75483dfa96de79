"""The columns of comparison.csv, trials.csv and builds.csv: a row is a dataclass, written and read back by tables.py.

docs/columns.md is made from the meanings here (``python -m repro.results.columns``).
"""
# ruff: noqa: RUF009  (column() and required() return fields)

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from repro.files import write_text
from repro.model import Estimate, Path_, Phase, Reason, Settings, Side, Status, TrialStatus, Verdict
from repro.paths import ROOT

DOCUMENT = ROOT / "docs" / "columns.md"


def required(meaning: str) -> Any:
    """A field that every row has, with what it means."""
    return field(metadata={"meaning": meaning})


def column(meaning: str, default: Any = None) -> Any:
    """A field that is empty unless it is known, with what it means."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One condition of one comparison on one machine, with the builds, settings and files of its key."""

    # where
    machine: str = required("Where it ran: platform, processor, cores, and a digest of hardware and checkout.")
    platform: str | None = column("As conda names it: `linux-64`.")
    cpu: str | None = column("Processor model.")
    physical_cores: int | None = column("Physical cores.")
    logical_cores: int | None = column("Logical cores.")
    # what
    comparison: str = required("Name of the pair, or the two builds.")
    experiment: str = column("Experiment of `params/experiments.toml`; empty: the comparison is unavailable here.", "")
    condition: str = column("Condition of that experiment.", "")
    transform: str | None = column("Transform of each parameter file, joined by ` + `.")
    size_px: str | None = column("Size of the fixed image, as `256x254`.")
    overrides: str | None = column("Parameters replaced in every parameter file, as `name=value`, joined by `; `.")
    machine_threads: int | None = column("Threads that ITK was made to believe the machine has; empty: its own.")
    strategy: str | None = column("A batch: how the Python program ran its jobs.")
    jobs: int | None = column("A batch: registrations side by side.")
    registrations: int | None = column("A batch: registrations of a trial.")
    # the two arms
    base: str | None = column("Build of the base arm, as `cli:5.3.1`.")
    base_digest: str | None = column("First 8 digits of the digest of its files.")
    base_asked: str | None = column(
        "What it was asked for: `option:2`, `parameter:2`, `method:2`, `default`, with `+Pool` a threader."
    )
    base_median_s: float | None = column("Median seconds of its trials in blocks that count.")
    other: str | None = column("Build of the other arm.")
    other_digest: str | None = column("First 8 digits of the digest of its files.")
    other_asked: str | None = column("What it was asked for.")
    other_median_s: float | None = column("Median seconds of its trials in blocks that count.")
    # the ratio
    ratio: float | None = column("Other over base: above 1 the other is slower. Median over blocks.")
    ratio_low: float | None = column("Lower end of its interval.")
    ratio_high: float | None = column("Upper end of its interval.")
    interval: str | None = column("`interval`: 95%, from six blocks on; `range` of fewer; `single`.")
    blocks: int | None = column("Blocks that count: lives of the workers.")
    rounds: int | None = column("Complete rounds in them.")
    between_sd: float | None = column("Standard deviation of the blocks' log ratios.")
    within_sd: float | None = column("Standard deviation of the rounds' log ratios inside their blocks.")
    floor_low: float | None = column("Noise floor of its kind: a build against itself, lower end.")
    floor_high: float | None = column("Noise floor, upper end.")
    verdict: Verdict | None = column("`slower`, `faster`, `no difference` or `cannot tell`, of the other.")
    status: Status = column(
        "`ok`, `explained`, `partial`, `not compared`, `unavailable`, `timeout`, `failed`, `different` or `mismatch`.",
        Status.OK,
    )
    reason: str | None = column("What a reader has to know, as `name(figures)`, joined by `; `.")
    agreement_px: float | None = column(
        "Largest distance of the two results over the fixed image, in its pixels; empty: not all were compared."
    )
    agreement_mean_px: float | None = column("Mean distance, the largest of the rounds.")
    # what took effect
    base_threads: int | None = column("Threads that the base ran with.")
    base_threader: str | None = column("Its multi-threader, where the path reports it.")
    base_work_units: int | None = column("Work units of its metric.")
    base_peak_bytes: int | None = column("Its peak resident memory, median.")
    other_threads: int | None = column("Threads that the other ran with.")
    other_threader: str | None = column("Its multi-threader, where the path reports it.")
    other_work_units: int | None = column("Work units of its metric.")
    other_peak_bytes: int | None = column("Its peak resident memory, median.")
    other_load_s: float | None = column("Its seconds of loading, median.")
    key: str | None = column("Digest of the condition: builds, settings, inputs.")

    @property
    def base_path(self) -> Path_:
        """Path of the base arm."""
        return _path(self.base)

    @property
    def other_path(self) -> Path_:
        """Path of the other arm."""
        return _path(self.other)

    @property
    def estimate(self) -> Estimate | None:
        """The ratio with its interval."""
        if self.ratio is None:
            return None
        kind: Any = self.interval or "single"
        return Estimate(
            self.ratio, self.ratio_low, self.ratio_high, kind, self.blocks or 1, self.between_sd, self.within_sd
        )

    @property
    def floor(self) -> tuple[float, float] | None:
        """The noise floor beside it."""
        return None if self.floor_low is None or self.floor_high is None else (self.floor_low, self.floor_high)

    @property
    def reasons(self) -> list[tuple[Reason, tuple[str, ...]]]:
        """The reasons with their figures."""
        return read_reasons(self.reason)


@dataclass(slots=True, kw_only=True)  # not frozen: 60,000 take 0.1 s to make, not 0.4
class TrialRow:
    """One trial: failures, timeouts and warm-ups too."""

    machine: str = required("Where it ran.")
    comparison: str = required("Name of the pair, or the two builds.")
    experiment: str = required("Experiment.")
    condition: str = required("Condition.")
    key: str = required("Digest of the condition.")
    life: str = required("Which life of the workers.")
    block: int = required("From 1.")
    whole: bool = required("Whether its block counts: it is whole, and no rerun made up for failures in it.")
    round: int = required("From 1; the warm-up is 0.")
    side: Side = required("`base` or `other`.")
    build: str = required("Its build.")
    position: int = required("From 0: its place in the round.")
    phase: Phase = required("`start` (executable asked for nothing), `warmup` or `measure`.")
    status: TrialStatus = required("`ok`, `failed` or `timeout`.")
    wall_s: float | None = column(
        "Executable: start to exit. Python: the call, without loading. Batch: to its last result."
    )
    outlier: bool | None = column(
        "Whether its round is an outlier (robust z beyond 3.5). Flagged, never dropped. Empty: not counted."
    )
    load_s: float | None = column("First trial of a worker: interpreter start to images read and class loaded.")
    user_s: float | None = column("User CPU seconds.")
    system_s: float | None = column("System CPU seconds.")
    peak_bytes: int | None = column("Peak resident memory; of a batch, of its largest process.")
    tree_peak_bytes: int | None = column("Warm-up of a batch: memory of all its processes, shared pages counted once.")
    voluntary_switches: int | None = column("Context switches it asked for.")
    involuntary_switches: int | None = column("Context switches forced on it.")
    other_cores: float | None = column("Cores that other processes kept busy during the trial, on average.")
    stolen_cores: float | None = column("Cores that a hypervisor gave to others.")
    threads: int | None = column("Threads asked for.")
    log_threads: str | None = column("What elastix.log says after `-threads`.")
    threader: str | None = column("ITK's multi-threader in effect.")
    default_threads: int | None = column("ITK's default number of threads in effect.")
    work_units: int | None = column("Work units that ITK gives a filter where elastix is told no number of threads.")
    said: str | None = column("Versions as the running build says them, as `name=version`, joined by `; `.")
    final_metric: float | None = column("Final metric value, from elastix.log.")
    resolutions_s: str | None = column("Seconds of each resolution, from elastix.log, with blanks between them.")
    first_s: float | None = column("A batch: seconds to its first result.")
    result_digest: str | None = column("Digest of the transform's numbers.")
    max_px: float | None = column("Largest distance of the round's two results, in pixels; empty: not compared.")
    started_utc: str | None = column("When the trial started.")
    session: str | None = column("The start of the command that it belongs to.")
    note: str | None = column("Why it failed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """One build on one machine: what was measured or inspected there, by its digest."""

    machine: str = required("Where it ran.")
    build: str = required("Its name, as `api:0.25.4`.")
    digest: str = required("Digest of its files: two builds of one version are two rows.")
    source: str | None = column("Where its files came from.")
    itk: str | None = column("ITK, as the build says.")
    elastix: str | None = column("elastix, as the build says.")
    python: str | None = column("Python that runs it.")
    inspected_utc: str | None = column("When `inspect` asked it for what follows; empty: it did not.")
    commit: str | None = column("Commit that it knows.")
    default_threader: str | None = column("ITK's multi-threader where none is asked for.")
    threads_2: int | None = column("Threads that it uses where ITK sees 2.")
    work_units_2: int | None = column("Work units then.")
    threads_28: int | None = column("Threads that it uses where ITK sees 28.")
    work_units_28: int | None = column("Work units then.")
    parameter_honoured: bool | None = column("Whether NumberOfThreads in the parameter map takes effect.")
    method_honoured: bool | None = column("Whether SetNumberOfThreads does.")
    option_honoured: bool | None = column("Whether `-threads` does.")
    environment_honoured: bool | None = column("Whether ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS does.")
    lock_ticks: int | None = column("Ticks of a thread that ticks every 5 ms, during a registration.")
    lock_ticks_expected: int | None = column("Ticks it would have had, were Python's lock released.")
    import_s: float | None = column("Seconds of `import itk`.")
    import_modules: int | None = column("Modules loaded by it.")
    first_object_s: float | None = column(
        "Seconds from `import itk` to the first registration object; of an executable its start."
    )
    first_object_modules: int | None = column("Modules loaded then.")
    resident_bytes: int | None = column("Resident memory then.")
    later_calls_same: bool | None = column("Whether later calls of one process give the first call's result.")
    transformix_reads: bool | None = column("Whether transformix reads its transform files as they are.")
    problem: str | None = column("What could not be asked.")


# ---- cells that hold several values


def asked(settings: Settings, threads: int | None) -> str:
    """The settings as the columns have them: `option:2`, `default+Pool`; `threads` is the number that they come to."""
    words = "default" if settings.threads == "default" else f"{settings.by}:{threads or settings.threads}"
    return words + (f"+{settings.threader}" if settings.threader else "")


def read_asked(text: str | None) -> Settings:
    """The settings that the column says."""
    words, _, threader = (text or "default").partition("+")
    by, _, number = words.partition(":")
    chosen: Any = threader or None
    if by == "default":
        return Settings("default", threader=chosen)
    how: Any = by
    threads: Any = int(number) if number.isdecimal() else number
    return Settings(threads, how, chosen)


def write_reasons(reasons: list[tuple[Reason, tuple[object, ...]]]) -> str:
    """Reasons as the column has them; what would end a figure is replaced."""
    return "; ".join(
        f"{reason}({', '.join(_figure(figure) for figure in figures)})" if figures else str(reason)
        for reason, figures in reasons
    )


def read_reasons(text: str | None) -> list[tuple[Reason, tuple[str, ...]]]:
    """The reasons that the column says; unknown ones, of another version, are left out."""
    found = []
    for one in filter(None, (text or "").split("; ")):
        name, _, figures = one.partition("(")
        if name in Reason.__members__.values():
            found.append((Reason(name), tuple(filter(None, figures.removesuffix(")").split(", ")))))
    return found


def _figure(figure: object) -> str:
    words = f"{figure:.4g}" if isinstance(figure, float) else str(figure)
    return " ".join(words.split()).replace(";", ",").replace(", ", " ").replace("(", "[").replace(")", "]")


def _path(build: str | None) -> Path_:
    name = (build or "").partition(":")[0]
    return "api" if name == "api" else "sitk" if name == "sitk" else "cli"


# ---- the document

_FILES = {"comparison.csv": Row, "trials.csv": TrialRow, "builds.csv": BuildRow}
_HEAD = """\
# Columns of the result files

Made from `src/repro/results/columns.py` by `python -m repro.results.columns`. Seconds end in `_s`, bytes in `_bytes`,
pixels in `_px`. What is not known is empty, never 0. A text cell that a spreadsheet would take for a formula starts
with an apostrophe, and so does one that starts with an apostrophe itself. [method.md](method.md) says how the figures
are made.

A reason is one of: {reasons}.
"""


def document() -> str:
    """docs/columns.md."""
    return _HEAD.format(reasons=", ".join(f"`{one}`" for one in Reason)) + "".join(
        "\n".join(("", f"## {name}", "", *_table(row), "")) for name, row in _FILES.items()
    )


def _table(row: type) -> Iterator[str]:
    yield f"A row: {str(row.__doc__)[0].lower()}{str(row.__doc__)[1:]}"
    yield ""
    yield "| column | kind | meaning |"
    yield "|---|---|---|"
    hints = typing.get_type_hints(row)
    for one in dataclasses.fields(row):
        yield f"| `{one.name}` | {_kind(hints[one.name])} | {one.metadata['meaning']} |"


def _kind(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if isinstance(hint, enum.EnumMeta):
        return "word"
    return {int: "whole", float: "number", bool: "yes or no"}.get(hint, "text")


if __name__ == "__main__":
    write_text(DOCUMENT, document())
