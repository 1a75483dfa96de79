"""Make a condition ready to run: check its inputs and write the parameter files elastix gets.

Everything that can be wrong with what the user gave is found here, before anything long starts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from repro.elastix import imagefiles, parameters
from repro.elastix.parameters import ParameterFile
from repro.errors import ConfigError
from repro.layout import shown
from repro.model import SHARE, Condition, Inputs, Path_, Settings
from repro.plan.experiments import parameter_path
from repro.plan.images import ImageSet


@dataclass(frozen=True, slots=True)
class Prepared:
    """A condition with its inputs resolved."""

    condition: Condition
    images: ImageSet
    parameter_texts: tuple[str, ...]
    """The parameter files as both paths get them, overrides applied."""
    transform: str
    physical_cores: int

    @property
    def inputs(self) -> Inputs:
        """Digests of everything that the registration reads."""
        params = hashlib.sha256("\0".join(self.parameter_texts).encode()).hexdigest()
        return Inputs(self.images.fixed_sha256, self.images.moving_sha256, params)

    def threads(self, path: Path_) -> int | None:
        """Threads that the path is asked for: 0 and SHARE resolved."""
        settings: Settings = self.condition.settings(path)
        if settings.threads == SHARE:
            return max(1, self.physical_cores // self.jobs)
        return self.physical_cores if settings.threads == 0 else settings.threads

    @property
    def jobs(self) -> int:
        """Registrations side by side: 0 resolved to the physical cores."""
        return self.condition.jobs or self.physical_cores

    @property
    def registrations(self) -> int:
        """Registrations of a trial."""
        return self.condition.registrations or self.jobs

    def write_parameters(self, folder: Path) -> tuple[Path, ...]:
        """Write the parameter files into the folder, in the order in which they run."""
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for index, text in enumerate(self.parameter_texts):
            file = folder / f"parameters.{index}.txt"
            file.write_text(text, encoding="utf-8")
            files.append(file)
        return tuple(files)


def prepare(condition: Condition, images: ImageSet, physical_cores: int) -> Prepared:
    """The condition with its inputs read and checked.

    Raises ConfigError: a missing or malformed parameter file, an unreadable image, images of
    different dimensions, or a dimension that the parameter file does not expect.
    """
    read = [parameters.read(parameter_path(name)) for name in condition.parameter_files]
    if not read:
        raise ConfigError(f"condition {condition.name!r} names no parameter file; give one with parameter_files")
    files = [parameters.override(file, condition.overrides) for file in read]
    _check_dimensions(images, files, condition)
    return Prepared(
        condition=condition,
        images=images,
        parameter_texts=tuple(file.text() for file in files),
        transform=" + ".join(file.transform for file in files),
        physical_cores=physical_cores,
    )


def custom_images(fixed: Path, moving: Path) -> ImageSet:
    """Images given by the user, by path. Raises ConfigError where one cannot be read."""
    for file in (fixed, moving):
        imagefiles.dimension(file)
    return ImageSet("custom", fixed.resolve(), moving.resolve(), _sha256(fixed), _sha256(moving), "")


def _check_dimensions(images: ImageSet, files: list[ParameterFile], condition: Condition) -> None:
    found = {file: imagefiles.dimension(file) for file in (images.fixed, images.moving)}
    expected = {file.dimension for file in files if file.dimension is not None}
    for image, dimension in found.items():
        if dimension is None:
            continue
        if dimension not in (2, 3):
            raise ConfigError(f"image {shown(image)} is {dimension}-D; only 2-D and 3-D images can be registered here")
        if expected and dimension not in expected:
            raise ConfigError(
                f"image {shown(image)} is {dimension}-D, but {', '.join(condition.parameter_files)} expects "
                f"{'-D, '.join(map(str, sorted(expected)))}-D images; give other images or another --params"
            )
    if len(set(found.values()) - {None}) > 1:
        raise ConfigError(
            f"{shown(images.fixed)} and {shown(images.moving)} have different dimensions; give two images of the same"
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
