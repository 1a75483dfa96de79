"""What a finished registration left in its output folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from repro.elastix import log, transforms
from repro.errors import ConfigError, TrialError
from repro.system.children import tail_of

_FINAL = re.compile(r"TransformParameters\.(\d{1,9})\.(txt|toml)", re.ASCII)


def facts(folder: Path) -> dict[str, Any]:
    """What log and transforms say, as fields of a Measurement. Raises TrialError where no transform was written."""
    said = log.read_log(folder)
    written = transform_files(folder)
    if not written:
        file = folder / "elastix.log"
        reason = "; ".join(log.read_errors(folder)) or tail_of(file) or "there is no elastix.log either"
        raise TrialError(f"elastix wrote no transform: {reason}", facts=said)
    try:
        return {**said, "result_digest": transforms.result_digest(written)}
    except ConfigError as error:  # cut short, as where the disk is full
        raise TrialError(f"elastix wrote a transform that cannot be read: {error}", facts=said) from error


def transform_files(folder: Path) -> list[Path]:
    """The final transforms, one a parameter file, in the order in which they ran.

    With WriteTransformParametersEachResolution or EachIteration elastix writes others beside them
    (TransformParameters.0.R0.txt), which are no part of the result.
    """
    found = {int(match[1]): file for file in folder.iterdir() if (match := _FINAL.fullmatch(file.name))}
    return [found[number] for number in sorted(found)]
