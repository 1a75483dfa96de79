"""What a finished registration left in its output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repro.elastix import elastixlog, transforms
from repro.errors import ConfigError, TrialError
from repro.system.children import tail_of


def facts(folder: Path) -> dict[str, Any]:
    """What the log and the transforms say.

    Raises TrialError where no transform was written.
    """
    log = folder / "elastix.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    said = elastixlog.parse(text)
    written = files(folder)
    if not written:
        reason = "; ".join(said.errors) or tail_of(log) or "there is no elastix.log either"
        raise TrialError(f"elastix wrote no transform: {reason}")
    try:
        digest = transforms.result_digest(written)
    except ConfigError as error:  # cut short, as where the disk is full
        raise TrialError(f"elastix wrote a transform that cannot be read: {error}") from error
    return {
        "resolutions_s": said.resolutions_s,
        "estimation_s": said.estimation_s,
        "log_threads": said.threads,
        "elastix": said.elastix,
        # Wheels say their ITK themselves; the executable says it in its log.
        **({"itk": said.itk} if said.itk else {}),
        "final_metric": said.final_metric,
        "result_digest": digest,
    }


def files(folder: Path) -> list[Path]:
    """TransformParameters.<n>.txt of every parameter file, in order."""
    return sorted(folder.glob("TransformParameters.*.txt"), key=lambda file: int(file.name.split(".")[1]))
