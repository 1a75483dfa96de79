"""The columns of ``trials.csv`` and ``comparison.csv``: their names, order, kinds and meanings.

docs/columns.md is made from these tables; a test holds the two to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "whole", "number", "list"]
"""``list``: in the raw line a list of numbers, in the CSV one text with blanks between them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a CSV file."""

    name: str
    kind: Kind
    meaning: str


TRIALS = (
    Column("machine", "text", "Where it ran: a salted digest, no host name."),
    Column("pair", "text", "`<itk-elastix>-<elastix>`; of a release without an executable `<itk-elastix>`."),
    Column("experiment", "text", "Experiment of `params/experiments.toml`."),
    Column("condition", "text", "Condition of that experiment."),
    Column("phase", "text", "`start` (executable asked for nothing), `warmup`, or `measure`; only `measure` counts."),
    Column("round", "whole", "From 1; the warm-up round is 0."),
    Column("arm", "whole", "0 or 1: the ratio is arm 1 over arm 0."),
    Column("path", "text", "`cli` or `api`."),
    Column("position", "whole", "From 0: its place in the round."),
    Column("status", "text", "`ok`, `failed`, `timeout` or `unavailable`."),
    Column("measures", "text", "What wall_s is: `registration`, `loading` or `first-result`."),
    Column(
        "wall_s",
        "number",
        "Executable: start to exit. API: the registration call, without loading. Batch: to its last result.",
    ),
    Column(
        "robust_z", "number", "Distance of log(wall_s) from its arm's median, in MADs scaled to standard deviations."
    ),
    Column("outlier", "text", "`yes` where |robust_z| > 3.5. Flagged, never dropped."),
    Column("load_s", "number", "API, first trial of a worker: interpreter start to images read and class loaded."),
    Column("load_interpreter_s", "number", "Part of load_s: start of the interpreter."),
    Column("load_import_itk_s", "number", "Part of load_s: `import itk`."),
    Column("load_read_images_s", "number", "Part of load_s: reading both images."),
    Column("load_registration_class_s", "number", "Part of load_s: first use of the registration class."),
    Column("results_s", "list", "Of several registrations: seconds from the start until each result was there."),
    Column("resolutions_s", "list", "Seconds of each resolution, from elastix.log."),
    Column("estimation_s", "list", "Seconds of each automatic parameter estimation, from elastix.log."),
    Column("user_s", "number", "User CPU seconds of the child; of a batch, of all its processes."),
    Column("system_s", "number", "System CPU seconds of the child; of a batch, of all its processes."),
    Column("peak_bytes", "whole", "Peak resident memory of the child; of a batch, of its largest process."),
    Column("disk_bytes", "whole", "Bytes read from the disk while loading; 0: all of it was in the file cache."),
    Column("voluntary_switches", "whole", "Context switches the child asked for."),
    Column("involuntary_switches", "whole", "Context switches forced on the child."),
    Column("other_cores", "number", "Cores that other processes kept busy during the trial, on average."),
    Column("stolen_cores", "number", "Cores that a hypervisor gave to others although this machine had work."),
    Column("threads", "whole", "Threads asked for (0 already resolved to the physical cores)."),
    Column("machine_threads", "whole", "Threads that ITK was made to believe the machine has."),
    Column("log_threads", "text", "What elastix.log says after `-threads`: a number or `unspecified`."),
    Column("threader", "text", "ITK's multi-threader in effect."),
    Column("default_threads", "whole", "ITK's default number of threads in effect."),
    Column("maximum_threads", "whole", "ITK's maximum number of threads in effect."),
    Column("work_units", "whole", "Work units that ITK gives a filter where elastix is told no number of threads."),
    Column("itk", "text", "ITK version in effect."),
    Column("itk_elastix", "text", "itk-elastix version in effect."),
    Column("elastix", "text", "elastix version as elastix.log says it."),
    Column("python", "text", "Python of the trial."),
    Column("cli_source", "text", "Where the executable came from."),
    Column("transform", "text", "Transform of each parameter file, joined by ` + `."),
    Column("jobs", "whole", "Registrations run side by side."),
    Column(
        "strategy", "text", "How the API ran its jobs: `threads`, `spawned`, `forked`, `recipe`; empty: one by one."
    ),
    Column("final_metric", "number", "Final metric value, from elastix.log."),
    Column("result_digest", "text", "Digest of the transform's numbers."),
    Column("fixed_sha256", "text", "Digest of the fixed image."),
    Column("moving_sha256", "text", "Digest of the moving image."),
    Column("params_sha256", "text", "Digest of the parameter files as given to elastix."),
    Column("exit_status", "whole", "Exit status of the child."),
    Column("started_utc", "text", "When the trial started."),
    Column("session", "text", "The start of `bench` that it belongs to."),
    Column("key", "text", "Digest of trial, inputs and lock."),
    Column("note", "text", "Why it failed, or a flag worth reading."),
    Column("registrations", "whole", "Registrations of the trial; more than one are a batch."),
    Column("first_s", "number", "Seconds from the start of a batch to its first result."),
    Column("per_min", "number", "Registrations a minute: registrations over wall_s."),
    Column("jobs_s", "list", "Seconds of each registration of a batch, from when its turn came."),
    Column(
        "tree_peak_bytes",
        "whole",
        "Batch, sampled in its warm-up: memory of all its processes, shared pages counted once. Linux only.",
    ),
)

COMPARISON = (
    Column("machine", "text", "Where it ran: a salted digest, no host name."),
    Column("os", "text", "Operating system."),
    Column("arch", "text", "Processor architecture."),
    Column("cpu", "text", "Processor model."),
    Column("physical_cores", "whole", "Physical cores."),
    Column("logical_cores", "whole", "Logical cores."),
    Column("python", "text", "Python of the API path (of the executable's rows: of the launcher)."),
    Column("pair", "text", "`<itk-elastix>-<elastix>`; of a release without an executable `<itk-elastix>`."),
    Column("itk_elastix", "text", "itk-elastix version in effect."),
    Column("itk", "text", "ITK version of the API path in effect."),
    Column("elastix", "text", "elastix version of the executable, as elastix.log says it."),
    Column("cli_source", "text", "Where the executable came from."),
    Column("experiment", "text", "Experiment of `params/experiments.toml`; with its condition it names a question."),
    Column("condition", "text", "Condition of that experiment."),
    Column("transform", "text", "Transform of each parameter file, joined by ` + `."),
    Column("fixed_sha256", "text", "Digest of the fixed image."),
    Column("moving_sha256", "text", "Digest of the moving image."),
    Column("params_sha256", "text", "Digest of the parameter files as given to elastix."),
    Column("threads", "whole", "Threads asked for, of the executable where it ran, else of the API."),
    Column("machine_threads", "whole", "Threads that ITK was made to believe the machine has."),
    Column("jobs", "whole", "Registrations run side by side."),
    Column("threader", "text", "ITK's multi-threader of the API path in effect."),
    Column("work_units", "whole", "Work units of the API's metric in effect, each with a joint histogram of its own."),
    Column("api_threads", "whole", "ITK's default number of threads of the API path in effect."),
    Column("rounds", "whole", "Complete rounds: both arms `ok`. The ratio is made of these."),
    Column("cli_median_s", "number", "Median of wall_s over the executable's `ok` trials."),
    Column("cli_mad_s", "number", "Median absolute deviation of the same, not scaled."),
    Column("cli_min_s", "number", "Minimum of the same."),
    Column("api_median_s", "number", "Median of wall_s over the API's `ok` trials."),
    Column("api_mad_s", "number", "Median absolute deviation of the same, not scaled."),
    Column("api_min_s", "number", "Minimum of the same."),
    Column("ratio", "number", "exp(median over rounds of log(arm 1 / arm 0)); API over CLI, above 1: API slower."),
    Column("ratio_low", "number", "Lower end of the 95% interval, or of the range."),
    Column("ratio_high", "number", "Upper end of the 95% interval, or of the range."),
    Column("api_load_s", "number", "Median of load_s: what a fresh worker costs before its first registration."),
    Column("cli_start_s", "number", "Median of wall_s of the executable asked for nothing."),
    Column("cli_peak_bytes", "whole", "Largest peak resident memory of the executable."),
    Column("api_peak_bytes", "whole", "Largest peak resident memory of the API's worker."),
    Column(
        "agreement_px", "number", "Largest distance between the two transforms over the fixed grid, over all rounds."
    ),
    Column(
        "status",
        "text",
        "`ok`; `disagree`: the two results are more than 0.5 px apart; `failed`, `timeout`: a trial was; `partial`: "
        "fewer complete rounds than were asked for, and than the 10 from which on bench may stop; `unavailable`: the "
        "pair cannot be had there. The first of disagree, failed, timeout and partial that holds.",
    ),
    Column("note", "text", "What a reader of the row has to know, in words."),
    Column("interval", "text", "What ratio_low and ratio_high are: `interval` (10 rounds or more) or `range`."),
    Column("half_width", "number", "Half of log(ratio_high / ratio_low): relative precision of the ratio."),
    Column("floor_low", "number", "Lower end of the noise floor of this machine and pair."),
    Column("floor_high", "number", "Upper end of the noise floor of this machine and pair."),
    Column(
        "verdict",
        "text",
        "`slower`, `faster` (arm 1 than arm 0), `no difference seen`; empty: too few rounds to say.",
    ),
    Column("arms", "text", "The paths of arm 0 and arm 1, as `cli api`."),
    Column("outlier_rounds", "list", "Rounds whose log ratio has |robust z| > 3.5. Flagged, never dropped."),
    Column(
        "disturbed_rounds", "list", "Rounds in which others kept more than 0.25 cores busy. Flagged, never dropped."
    ),
    Column("drift_per_round", "number", "Theil-Sen slope of the log ratio over the rounds: relative change a round."),
    Column("drift_p", "number", "Mann-Kendall p value of that drift."),
    Column("cli_drift_per_round", "number", "The same slope of the executable's log seconds."),
    Column("cli_drift_p", "number", "Its p value."),
    Column("api_drift_per_round", "number", "The same slope of the API's log seconds."),
    Column("api_drift_p", "number", "Its p value."),
    Column("position_effect", "number", "Factor on the seconds of the path that goes second; taken out if seen."),
    Column("agreement_mean_px", "number", "Largest over the rounds of the mean distance over the fixed grid."),
    Column(
        "warmup_px", "number", "Largest distance of the warm-up round's two results: the first call of a fresh worker."
    ),
    Column("cli_threads", "whole", "Threads of the executable in effect."),
    Column("cli_work_units", "whole", "Work units of the executable's metric in effect."),
    Column("cli_itk", "text", "ITK version of the executable, where its log says it."),
    Column("api_elastix", "text", "elastix version inside itk-elastix, as its elastix.log says it."),
    Column("cli_results", "whole", "Different results of the executable's `ok` trials; 1: deterministic."),
    Column("api_results", "whole", "Different results of the API's `ok` trials; 1: deterministic."),
    Column("cli_resolutions_s", "number", "Median of the sum of the executable's resolutions, from elastix.log."),
    Column("api_resolutions_s", "number", "Median of the sum of the API's resolutions, from elastix.log."),
    Column("cli_estimation_s", "number", "Median of the sum of the executable's automatic parameter estimations."),
    Column("api_estimation_s", "number", "Median of the sum of the API's automatic parameter estimations."),
    Column("cli_cpu_s", "number", "Median CPU seconds, user plus system, of the executable, a registration."),
    Column("api_cpu_s", "number", "Median CPU seconds, user plus system, of the API's processes, a registration."),
    Column("cli_metric", "number", "Median final metric value of the executable."),
    Column("api_metric", "number", "Median final metric value of the API."),
    Column("failed", "whole", "Trials that failed, timeouts included, and were not made good by a rerun."),
    Column(
        "strategy",
        "text",
        "How the API ran its jobs: `threads`, `spawned`, `forked`, `recipe`, or of `first-result` `interpreters`, "
        "`worker`, `recipe`; empty: one by one.",
    ),
    Column("measures", "text", "What the seconds are: `registration`, `loading` or `first-result`."),
    Column("registrations", "whole", "Registrations of a trial; more than one are a batch, which wall_s is of."),
    Column("cli_first_s", "number", "Median seconds from the start of a batch to its first result, executable."),
    Column("api_first_s", "number", "The same of the API; of `first-result` from nothing, else its processes warm."),
    Column("cli_tenth_s", "number", "Of `first-result`: median seconds to the executable's 10th result."),
    Column("api_tenth_s", "number", "The same of the API."),
    Column("cli_hundredth_s", "number", "Of `first-result`: median seconds to the executable's 100th result."),
    Column("api_hundredth_s", "number", "The same of the API."),
    Column("cli_more_s", "number", "Seconds of each further result of the executable, on average, from these medians."),
    Column("api_more_s", "number", "The same of the API."),
    Column("ahead_after", "whole", "Results from which on the API is ahead of the executable; empty: none of these."),
    Column("sessions", "whole", "Starts of `bench` that the row is made of."),
    Column("lock", "text", "Digest of what was installed."),
    Column("cli_per_min", "number", "Median registrations a minute of the executable."),
    Column("api_per_min", "number", "Median registrations a minute of the API."),
    Column("cli_job_s", "number", "Median over the batches of their mean seconds of a registration, executable."),
    Column("api_job_s", "number", "The same of the API."),
    Column("cli_tree_peak_bytes", "whole", "Largest memory of all processes of a batch, executable."),
    Column("api_threads_by", "text", "How the API was asked for threads: `parameter`, `method` or `none`."),
    Column("api_threader_asked", "text", "ITK's multi-threader that the API was asked for; empty: its own."),
    Column("api_tree_peak_bytes", "whole", "The same of the API, idle processes of its strategy included."),
)


def markdown() -> str:
    """docs/columns.md."""
    head = (
        "# Columns of the result files\n\n"
        "Made from `src/repro/columns.py`. Seconds end in `_s`, bytes in `_bytes`, pixels in `_px`.\n"
        "What is not known is empty, never 0. A text cell that a spreadsheet would take for a formula\n"
        "starts with an apostrophe. [method.md](method.md) says how the figures are made.\n"
    )
    return head + "".join(
        f"\n## {file}\n\n{about}\n\n| column | kind | meaning |\n|---|---|---|\n"
        + "".join(f"| `{c.name}` | {c.kind} | {c.meaning.replace('|', chr(92) + '|')} |\n" for c in columns)
        for file, about, columns in (
            ("trials.csv", "One row a measurement: failures, timeouts and warm-ups too.", TRIALS),
            (
                "comparison.csv",
                "One row a machine, pair, experiment and condition with its inputs and lock.",
                COMPARISON,
            ),
        )
    )
