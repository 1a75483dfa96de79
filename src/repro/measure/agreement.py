"""How far apart the two results of a round are: by our own evaluation, else by that of a build.

Our own (``elastix.transforms``) takes milliseconds and knows most kinds of transform. For the others a build itself
writes the displacements of every pixel: transformix of a cli build, or TransformixFilter in a worker, so that every
transform that elastix writes can be compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repro.builds.installed import InstalledBuild
from repro.elastix import parameters, transforms
from repro.elastix.output import transform_files
from repro.elastix.parameters import ParameterFile
from repro.elastix.transforms import Array, UnknownTransformError
from repro.errors import ConfigError, TrialError
from repro.measure.arms import Limits, Place, loading, start_worker
from repro.model import PATHS
from repro.plan.prepare import Prepared
from repro.system.children import Command, Launcher, tail_of
from repro.system.environment import child_environment

_INITIAL = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")
"""Of elastix 5.2 and later, and before."""
_TYPES = {"MET_FLOAT": "f4", "MET_DOUBLE": "f8"}


@dataclass(frozen=True, slots=True)
class Apart:
    """Mean and largest distance of two results in pixels of the fixed image, or why they could not be compared."""

    mean_px: float | None = None
    max_px: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Comparer:
    """Compares the results of one condition."""

    prepared: Prepared
    builds: Sequence[InstalledBuild]
    place: Place
    limits: Limits

    def compare(self, base: Path, other: Path) -> Apart:
        """The results whose transform files are in the two folders."""
        before = self.prepared.images.extras.get("initial_transform")
        chains = [[*([before] if before else []), *transform_files(folder)] for folder in (base, other)]
        try:
            if reason := self._other_geometry(chains):
                return Apart(problem=reason)
            try:
                mean_px, max_px = transforms.difference_px(*map(transforms.read_chain, chains))
            except UnknownTransformError as error:
                mean_px, max_px = self._by_build(chains, error)
        except (ConfigError, TrialError) as error:
            return Apart(problem=str(error))
        return Apart(mean_px, max_px)

    def _other_geometry(self, chains: Sequence[Sequence[Path]]) -> str:
        """Why points of the two results are not the same points; empty: they are."""
        heeding = {build.build.path == "cli" for build in self.builds}
        if len(heeding) > 1 and transforms.is_turned(parameters.read(chains[0][-1])):
            return (
                'UseDirectionCosines is "false" and the axes of the fixed image are rotated: the executable leaves the '
                "rotation out, itk-elastix and SimpleITK do not, so the results are of different spaces"
            )
        return ""

    def _by_build(self, chains: Sequence[Sequence[Path]], unknown: UnknownTransformError) -> tuple[float, float]:
        """The difference by the first build that evaluates both chains. Raises TrialError where none does."""
        problems = [str(unknown)]
        for build in sorted(self.builds, key=lambda one: PATHS.index(one.build.path)):
            folder = self.place.work / "compare"
            try:
                fields = self._displacements(build, chains, folder)
            except TrialError as error:
                problems.append(f"{build.name}: {error}")
                continue
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if fields[0].shape != fields[1].shape:
                raise TrialError("the two results are of fixed images of different size")
            last = parameters.read(chains[0][-1])
            if build.build.path != "cli":  # the libraries heed the axes, whatever the file says
                last = parameters.override(last, [("UseDirectionCosines", '"true"')])
            return transforms.read_grid(last).lengths_px(fields[0] - fields[1])
        raise TrialError("; ".join(problems))

    def _displacements(self, build: InstalledBuild, chains: Sequence[Sequence[Path]], folder: Path) -> list[Array]:
        """The displacements by each chain, in physical units, as (dimension, points)."""
        outputs = []
        for number, chain in enumerate(chains):
            outputs.append((folder / str(number), _copied(chain, folder / str(number), self.place)))
        if build.build.path == "cli":
            self._by_transformix(build, outputs)
        else:
            self._by_worker(build, outputs)
        return [_read_field(output) for output, _ in outputs]

    def _by_transformix(self, build: InstalledBuild, outputs: Sequence[tuple[Path, list[str]]]) -> None:
        program = build.transformix()
        if program is None:
            raise TrialError("has no transformix")
        with Launcher() as launcher:
            for output, chain in outputs:
                command = Command(
                    argv=(*program, "-def", "all", "-out", self.place.near(output), "-tp", chain[-1]),
                    env=child_environment(dict(build.environment)),
                    cwd=self.place.work,
                    stderr=output / "stderr.txt",
                    timeout_s=self.limits.timeout_s,
                )
                outcome = launcher.run(command)
                if outcome.exit_status != 0:
                    raise TrialError(f"transformix {outcome.how}: {tail_of(output / 'transformix.log')[-400:]}")

    def _by_worker(self, build: InstalledBuild, outputs: Sequence[tuple[Path, list[str]]]) -> None:
        with start_worker(build, child_environment({}), self.place, self.limits) as worker:
            requests = [{"op": "load", **loading(build, self.prepared, self.place)}]
            requests += [
                {"op": "deform", "transform_files": chain, "output": self.place.near(output)}
                for output, chain in outputs
            ]
            for request in requests:
                worker.ask(request, self.limits.timeout_s)


def _copied(chain: Sequence[Path], folder: Path, place: Place) -> list[str]:
    """Copies of the files that name each other where they are now, the last with a grid of at most ``MAX_POINTS``."""
    folder.mkdir(parents=True)
    names: list[str] = []
    for number, file in enumerate(chain):
        read = parameters.read(file)
        changes = [(key, f'"{names[-1]}"') for key in _INITIAL if number and key in read.values]
        if number == len(chain) - 1:
            changes += [*_lattice(read), ("ResultImageFormat", '"mhd"'), ("CompressResultImage", '"false"')]
        copy = folder / f"chain.{number}.txt"
        copy.write_text(parameters.override(read, tuple(changes)).text(), encoding="utf-8", newline="\n")
        names.append(place.near(copy))
    return names


def _lattice(file: ParameterFile) -> list[tuple[str, str]]:
    """Every n-th pixel along each axis of a large image."""
    size = [int(number) for number in file.values["Size"]]
    step = transforms.lattice_step(size)
    if step == 1 or any(float(index) for index in file.values.get("Index", ())):
        return []
    return [
        ("Size", " ".join(str(-(-length // step)) for length in size)),
        ("Spacing", " ".join(repr(float(one) * step) for one in file.values["Spacing"])),
    ]


def _read_field(folder: Path) -> Array:
    """The displacements in deformationField.mhd. Raises TrialError where there are none."""
    try:
        lines = (folder / "deformationField.mhd").read_text(encoding="utf-8").splitlines()
        header = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        order = ">" if header.get("ElementByteOrderMSB", header.get("BinaryDataByteOrderMSB")) == "True" else "<"
        data = (folder / header["ElementDataFile"]).read_bytes()
        values = np.frombuffer(data, order + _TYPES[header["ElementType"]]).astype(np.float64)
        return values.reshape(-1, int(header["ElementNumberOfChannels"])).T
    except (OSError, KeyError, ValueError) as error:
        raise TrialError(f"wrote no displacements that can be read: {error!r}") from error
