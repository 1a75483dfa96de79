"""A condition made ready to run: its inputs found and checked, the parameter files as elastix gets them.

What is wrong with what the user gave is found here, before anything long starts.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro import files
from repro.elastix import parameters
from repro.elastix.parameters import ParameterFile
from repro.errors import ConfigError
from repro.model import BatchCondition, Condition, Inputs, Side, condition_key, digest
from repro.paths import PARAMETER_FILES, called_from, shown
from repro.plan import images as image_sets
from repro.plan.images import ImageSet

OUTPUT_FORMAT = (
    "ITKTransformOutputFileNameExtension",
    "OutputTransformParameterFileFormat",
    "UseBinaryFormatForTransformationParameters",
)
"""Parameters that decide how transforms are written, not what they are. They are left out, so that the results of both
paths can be read and compared."""
FILE_NAMES = ("SubTransforms", "InitialTransformParameterFileName", "InitialTransformParametersFileName")
"""Parameters that name files, which elastix looks for where it is called."""
_NONE = "NoInitialTransform"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A condition with its inputs resolved."""

    condition: Condition
    images: ImageSet
    parameter_texts: tuple[str, ...]
    """The parameter files as all paths get them, overrides applied."""
    inputs: Inputs
    physical_cores: int
    dimension: int | None = None
    """Of the images, as the parameter files have it; None: they leave it to the images."""
    notes: tuple[str, ...] = ()
    """What the user should be told, once."""

    @property
    def key(self) -> str:
        """The condition's key."""
        return condition_key(self.condition, self.inputs)

    @property
    def jobs(self) -> int:
        """Registrations side by side; 1 where the condition is no batch."""
        if not isinstance(self.condition, BatchCondition):
            return 1
        return self.physical_cores if self.condition.jobs == "cores" else self.condition.jobs

    @property
    def registrations(self) -> int:
        """Registrations of a trial."""
        if not isinstance(self.condition, BatchCondition):
            return 1
        return self.jobs if self.condition.registrations == "jobs" else self.condition.registrations

    def threads(self, side: Side) -> int | None:
        """Threads that the arm is asked to use; None: it is not asked."""
        asked = self.condition.arm(side).settings.threads
        if asked == "default":
            return None
        if asked == "share":
            return max(1, self.physical_cores // self.jobs)
        return self.physical_cores if asked == "cores" else asked

    def check_size(self, size_px: Sequence[int]) -> None:
        """Raise ConfigError where the parameter files are for images of another dimension than the build has read."""
        if self.dimension is not None and len(size_px) != self.dimension:
            names = ", ".join(self.condition.registration.parameter_files)
            raise ConfigError(
                f"the images are {len(size_px)}-D, {names} is for {self.dimension}-D images (FixedImageDimension); "
                "give other images or another --params"
            )

    def write_parameters(self, folder: Path) -> tuple[Path, ...]:
        """Write the parameter files into the folder, in the order in which they run."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for index, text in enumerate(self.parameter_texts):
            file = folder / f"parameters.{index}.txt"
            file.write_text(text, encoding="utf-8", newline="\n")
            written.append(file)
        return tuple(written)


def prepare(condition: Condition, images: ImageSet, physical_cores: int, cwd: Path | None = None) -> Prepared:
    """The condition with its inputs read and checked.

    Parameter files are ours of params/elastix, else files of the user, found from ``cwd`` (default: where the command
    was typed). The condition of the result names those ``custom-1.txt``, ...: it goes into raw lines.
    Raises ConfigError.
    """
    cwd = cwd or called_from()
    registration = condition.registration
    found = [_parameter_file(name, cwd) for name in registration.parameter_files]
    read = [parameters.override(parameters.read(file), registration.overrides) for file in found]
    names = [
        file.name if file.parent == PARAMETER_FILES else f"custom-{number}.txt"
        for number, file in enumerate(found, start=1)
    ]
    notes = []
    if left_out := sorted({key for file in read for key in OUTPUT_FORMAT if key in file.values}):
        notes.append(
            f"{', '.join(left_out)} is left out: transforms are written as text, so that results can be compared"
        )
    read = [parameters.without(file, OUTPUT_FORMAT) for file in read]
    inside = [_files_inside(file, cwd) for file in read]
    dimensions = {file.dimension for file in read} - {None}
    if len(dimensions) > 1:
        raise ConfigError(f"{', '.join(names)} are for images of different dimensions; give files of one dimension")
    named = digest([files.sha256(file) for one in inside for file in one.values()]) if any(inside) else ""
    prepared = Prepared(
        condition=dataclasses.replace(
            condition, registration=dataclasses.replace(registration, parameter_files=tuple(names))
        ),
        images=images,
        parameter_texts=tuple(
            parameters.override(file, _absolute(file, one)).text() for file, one in zip(read, inside, strict=True)
        ),
        inputs=Inputs(
            fixed_sha256=images.fixed_sha256,
            moving_sha256=images.moving_sha256,
            params_sha256=hashlib.sha256("\0".join(file.text() for file in read).encode()).hexdigest(),
            extra_sha256=digest([images.extra_sha256, named]) if named else images.extra_sha256,
            size_px=images.size_px,
            transform=" + ".join(file.first("Transform") for file in read),
            metric=" + ".join(" ".join(file.values.get("Metric", ())) for file in read),
            sampler=" + ".join(" ".join(file.values.get("ImageSampler", ())) for file in read),
            masks=tuple(name for name in images.extras if name.endswith("mask")),
        ),
        physical_cores=physical_cores,
        dimension=next(iter(dimensions), None),
        notes=tuple(notes),
    )
    if images.size_px:
        prepared.check_size(images.size_px)
    return prepared


def given_parameters(words: Sequence[str], cwd: Path | None = None) -> list[str]:
    """What the user gave with --params: his own files, as absolute paths, before ours of the same name.

    Raises ConfigError that says where a name was looked for.
    """
    folder = cwd or called_from()
    found = []
    for word in words:
        own = folder / Path(word).expanduser()
        if own.is_file():
            found.append(str(image_sets.find(own, "--params")))
        elif (PARAMETER_FILES / word).is_file():
            found.append(word)
        else:
            raise ConfigError(
                f"--params {word}: there is no such file in {folder}, where the command was started, nor in "
                f"{shown(PARAMETER_FILES)}; check the name"
            )
    return found


def _parameter_file(name: str, cwd: Path) -> Path:
    ours = PARAMETER_FILES / name
    return ours if ours.is_file() else image_sets.find(name, "parameter file", cwd)


def _files_inside(file: ParameterFile, cwd: Path) -> dict[str, Path]:
    """The files that a parameter file names, by their names in it, found from where the command was typed."""
    names = [value for key in FILE_NAMES for value in file.values.get(key, ()) if value != _NONE]
    return {name: image_sets.find(name, f"{file.source} names the file", cwd) for name in names}


def _absolute(file: ParameterFile, inside: dict[str, Path]) -> list[tuple[str, str]]:
    keys = [key for key in FILE_NAMES if inside and key in file.values]
    return [(key, " ".join(f'"{inside.get(value, value)}"' for value in file.values[key])) for key in keys]
