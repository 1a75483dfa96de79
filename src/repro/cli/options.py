"""The options that commands share, with the bounds of every number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.errors import ConfigError


def number(least: float, most: float, *, whole: bool = True) -> Callable[[Any], Any]:
    """Reads a number between these bounds; refuses others, NaN and infinity in words."""

    def read(value: Any) -> Any:
        try:
            found = int(str(value)) if whole else float(str(value))
        except ValueError:
            found = math.nan
        if not least <= found <= most:  # false of NaN, too
            kind = "whole number" if whole else "number"
            raise typer.BadParameter(f"{str(value)[:40]!r} is not a {kind} from {least:,} to {most:,}")
        return found

    return read


def _counted(help_: str, least: float, most: float, *, whole: bool = True, **more: Any) -> Any:
    return typer.Option(help=help_, parser=number(least, most, whole=whole), metavar="N", **more)


PairNames = Annotated[list[str] | None, typer.Argument(metavar="[PAIR]...", help="Pairs; none: all of this platform.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[BUILD|PAIR]...", help="Builds or pairs; none: all pairs.")]
Results = Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Results folder, the same as --out.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Results folder.", show_default="results")]
Offline = Annotated[bool, typer.Option("--offline", help="Never open a connection; say what is missing.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show details.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Experiments = Annotated[
    list[str] | None, typer.Option("--experiment", metavar="NAME", help="Experiment; may be repeated.")
]
ExperimentsFile = Annotated[
    Path | None, typer.Option("--experiments", metavar="FILE", help="Your own experiments instead of the project's.")
]
Quick = Annotated[bool, typer.Option("--quick", help="A quick look in minutes: the experiment `quick` alone.")]
Blocks = Annotated[int | None, _counted("Blocks of a condition, at most; default: the experiment's.", 1, 1000)]
Rounds = Annotated[int | None, _counted("Rounds of a block; default: the experiment's.", 1, 1000)]
Runs = Annotated[int | None, _counted("As posted: one block of so many runs, the first a warm-up.", 2, 1000)]
Precision = Annotated[
    float, _counted("Stop at this relative half width of the interval, from six blocks on.", 0.0001, 1, whole=False)
]
Threads = Annotated[int | None, _counted("Threads asked for on every path; 0: the physical cores.", 0, 1024)]
Jobs = Annotated[list[int] | None, _counted("Registrations side by side in a batch; may be repeated.", 1, 256)]
Seed = Annotated[int, _counted("Seed of the order of the trials.", 0, 2**32 - 1)]
Timeout = Annotated[float, _counted("Seconds after which a trial is stopped.", 1, 7 * 86400, whole=False)]
MemoryLimit = Annotated[int | None, _counted("MiB that a process may use, where the system can bound it.", 64, 2**24)]
Fresh = Annotated[bool, typer.Option("--fresh", help="Set earlier measurements of these conditions aside, start over.")]
Elastix = Annotated[Path | None, typer.Option(metavar="PATH", help="Use this elastix executable.")]
NoCli = Annotated[bool, typer.Option("--no-cli", help="Leave the executable out.")]
NoItk = Annotated[bool, typer.Option("--no-itk", help="Leave the Python API out.")]
Params = Annotated[
    list[str] | None, typer.Option(metavar="FILE", help="Parameter file; repeat to run several in a row.")
]


def _file(help_: str) -> Any:
    return typer.Option(metavar="FILE", help=help_)


Fixed = Annotated[Path | None, _file("Fixed image instead of the experiment's.")]
Moving = Annotated[Path | None, _file("Moving image instead of the experiment's.")]
FixedMask = Annotated[Path | None, _file("Mask of the fixed image.")]
MovingMask = Annotated[Path | None, _file("Mask of the moving image.")]
InitialTransform = Annotated[Path | None, _file("Initial transform, as elastix writes them.")]
FixedPoints = Annotated[Path | None, _file("Points in the fixed image, for metrics that use them.")]
MovingPoints = Annotated[Path | None, _file("Their positions in the moving image.")]


def threshold(words: str | None) -> float | None:
    """`slower:5%` as 0.05, `faster:5%` as -0.05. Raises ConfigError."""
    if words is None:
        return None
    kind, colon, amount = words.partition(":")
    try:
        share = float(amount.removesuffix("%")) / 100 if amount.endswith("%") else math.nan
    except ValueError:
        share = math.nan
    if kind not in ("slower", "faster") or not colon or not 0 < share < (1 if kind == "faster" else 1000):
        raise ConfigError(f"--fail-if {words!r} is no threshold; write it as slower:5% or faster:5%")
    return share if kind == "slower" else -share
