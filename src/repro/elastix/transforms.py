"""Transforms as elastix writes them: what they do to points, and how far two of them are apart.

A registration ends in TransformParameters.0.txt, .1.txt, ...: one for each parameter file in a row. Point x of the
fixed image goes to T(x) in the moving image. Of two in a row, "Compose" means T1(T0(x)) and "Add" T0(x) + T1(x) - x.

All is in physical units and double precision; arrays of points or displacements have the shape (dimension, points).
The geometry of images is that of the ITK Software Guide, the transforms are those that elastix's manual names. Every
kind of transform, order of B-spline and way of combining was compared with the displacement fields of transformix 5.2.0
and 5.3.1 in 2-D and 3-D; tests/elastix/data keeps some of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from repro.elastix import parameters
from repro.elastix.parameters import ParameterFile, excerpt
from repro.errors import ConfigError
from repro.model import digest

Array: TypeAlias = NDArray[np.float64]

MAX_POINTS = 2**18
"""Larger images are compared on a lattice: along each axis every n-th point, see ``lattice_step``."""
_GEOMETRY = ("Size", "Index", "Spacing", "Origin", "Direction")
# What makes the result; the rest of a transform file is about files, versions and resampling.
_RESULT_KEYS = (
    *("Transform", "TransformParameters", "HowToCombineTransforms", "CenterOfRotationPoint", "ComputeZYX"),
    *("BSplineTransformSplineOrder", "UseCyclicTransform", "UseDirectionCosines"),
    *_GEOMETRY,
    *(f"Grid{key}" for key in _GEOMETRY),
)


class UnknownTransformError(ConfigError):
    """A transform that elastix writes and that cannot be evaluated here: results are not compared."""


def lattice_step(size: Sequence[int]) -> int:
    """The smallest power of two n such that every n-th point along each axis gives at most MAX_POINTS."""
    step = 1
    while math.prod(-(-length // step) for length in size) > MAX_POINTS:
        step *= 2
    return step


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A grid of points in space: index i lies at origin + direction @ (spacing * i)."""

    size: tuple[int, ...]
    index: Array
    """Index of the first point."""
    spacing: Array
    origin: Array
    direction: Array

    def points(self) -> Array:
        """The grid's points, in physical units; of more than MAX_POINTS a lattice, evenly spread and with both ends."""
        step = lattice_step(self.size)
        axes = [np.round(np.linspace(0, size - 1, -(-size // step))) for size in self.size]
        indices = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(self.size), -1)
        scaled = self.spacing[:, None] * (indices + self.index[:, None])
        return np.asarray(self.direction @ scaled + self.origin[:, None])

    def indices(self, points: Array) -> Array:
        """Continuous indices of the points, counted from the grid's first point."""
        return self.vectors(points - self.origin[:, None]) - self.index[:, None]

    def vectors(self, vectors: Array) -> Array:
        """Physical vectors in the unit of the grid's own steps (pixels)."""
        return np.asarray(np.linalg.inv(self.direction) @ vectors) / self.spacing[:, None]

    def lengths_px(self, vectors: Array) -> tuple[float, float]:
        """Mean and greatest length of physical vectors, in pixels. Raises ConfigError where they are too large."""
        in_pixels = self.vectors(vectors)
        lengths = np.sqrt(np.sum(in_pixels * in_pixels, axis=0))
        mean, maximum = float(lengths.mean()), float(lengths.max())
        if not (math.isfinite(mean) and math.isfinite(maximum)):
            raise ConfigError("the results hold numbers too large to compare")
        return mean, maximum

    def like(self, other: Grid) -> bool:
        """Whether the grids are the same, but for the digits that elastix versions write."""
        return (
            self.size == other.size
            and np.array_equal(self.index, other.index)
            and np.allclose(self.spacing, other.spacing, rtol=1e-6, atol=0)
            and np.allclose(self.origin / self.spacing, other.origin / self.spacing, rtol=1e-6, atol=1e-3)
            and np.allclose(self.direction, other.direction, rtol=0, atol=1e-6)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """x -> matrix @ (x - center) + center + translation."""

    matrix: Array
    center: Array
    translation: Array

    def displacement(self, points: Array) -> Array:
        """T(x) - x at the points."""
        turned = (self.matrix - np.eye(len(self.center))) @ (points - self.center[:, None])
        return np.asarray(turned + self.translation[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class BSpline:
    """A displacement field spanned by a grid of B-spline coefficients."""

    grid: Grid
    order: int
    coefficients: tuple[Array, ...]
    """One array for each axis of space, of the grid's size."""

    def displacement(self, points: Array) -> Array:
        """T(x) - x at the points; as in ITK it is zero where a point's support leaves the grid."""
        indices = self.grid.indices(points)
        margin = (self.order - 1) / 2
        ends = np.array(self.grid.size)[:, None] - 1 - margin
        inside = np.all((indices >= margin) & (indices < ends), axis=0)
        moved = np.zeros_like(points)
        for axis, coefficients in enumerate(self.coefficients):
            moved[axis, inside] = ndimage.map_coordinates(
                coefficients, indices[:, inside], order=self.order, mode="nearest", prefilter=False
            )
        return moved


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The transforms of a registration, first to last."""

    grid: Grid
    """Of the fixed image."""
    transforms: tuple[tuple[str, Linear | BSpline], ...]
    """Each with the word that combines it with those before: "Compose" or "Add"."""
    turned: bool
    """See ``is_turned``."""
    digest: str
    source: str
    """The last file's name, for messages."""

    def displacement(self, points: Array) -> Array:
        """T(x) - x of the whole chain at the points."""
        moved = np.zeros_like(points)
        for combine, transform in self.transforms:
            moved = moved + transform.displacement(points + moved if combine == "Compose" else points)
        return moved


@np.errstate(all="ignore")  # what overflows is found at the end
def read_chain(files: Sequence[Path]) -> Chain:
    """The transforms in the files TransformParameters.0.txt, .1.txt, ... in this order.

    The order of the files counts, not the names by which they refer to each other: files may be moved. An initial
    transform given by the user comes first. Raises ConfigError for what cannot be read, and UnknownTransformError for a
    transform that cannot be evaluated here.
    """
    read = _read(files)
    for key in ("InitialTransformParameterFileName", "InitialTransformParametersFileName"):  # of 5.2 and of 5.0
        if read[0].values.get(key, ("NoInitialTransform",)) != ("NoInitialTransform",):
            raise UnknownTransformError(f"{read[0].source}: {key} names another transform; give that file first")
    grids = [read_grid(file) for file in read]
    for file, grid in zip(read, grids, strict=True):
        if len(grid.size) != len(grids[0].size):
            raise ConfigError(f"{file.source}: has another dimension than {read[0].source}")
    transforms = tuple(
        (_choice(file, "HowToCombineTransforms", ("Compose", "Add")), _transform(file, len(grid.size)))
        for file, grid in zip(read, grids, strict=True)
    )
    return Chain(grids[-1], transforms, any(map(is_turned, read)), _digest(read), read[-1].source)


def is_turned(file: ParameterFile) -> bool:
    """Whether the axes of the fixed image are rotated and UseDirectionCosines is "false".

    The executable then leaves the rotation out, itk-elastix does not (tried on 5.3.1 and 0.25.4), and the files of both
    look alike.
    """
    size = file.values.get("Size", ())
    identity = np.eye(len(size)).reshape(-1)
    direction = _numbers(file, "Direction", len(size) ** 2, identity)
    return file.values.get("UseDirectionCosines") == ("false",) and not np.allclose(direction, identity, atol=1e-6)


def result_digest(files: Sequence[Path]) -> str:
    """Digest (32 hex digits) of the transforms' numbers and geometry, of any kind of transform.

    File names, notations of the same number and what elastix versions write besides do not count.
    Raises ConfigError for what cannot be read.
    """
    return _digest(_read(files))


@np.errstate(all="ignore")
def difference_px(a: Chain, b: Chain) -> tuple[float, float]:
    """Mean and maximum of |T_a(x) - T_b(x)| in pixels of the fixed image, over its Grid.points.

    Chains of the same numbers are exactly 0.0 apart. Raises ConfigError where the fixed images
    differ or the numbers are too large to compare, and UnknownTransformError where the axes are not known.
    """
    if not a.grid.like(b.grid):
        raise ConfigError(f"{a.source} and {b.source}: were made with fixed images of different geometry")
    if a.digest == b.digest:
        return 0.0, 0.0
    if a.turned or b.turned:
        raise UnknownTransformError(
            f'{a.source} and {b.source}: cannot be compared with (UseDirectionCosines "false") on images with rotated '
            "axes: the executable leaves the rotation out, itk-elastix does not"
        )
    points = a.grid.points()
    return a.grid.lengths_px(a.displacement(points) - b.displacement(points))


def _read(files: Sequence[Path]) -> list[ParameterFile]:
    if not files:
        raise ConfigError("no transform files; a registration that succeeds writes TransformParameters.0.txt")
    read = [parameters.read(path) for path in files]
    for file in read:
        count = _numbers(file, "NumberOfParameters", 1)[0]
        found = len(file.values.get("TransformParameters", ()))
        if count != found:
            raise ConfigError(
                f"{file.source}: {found} values in TransformParameters, NumberOfParameters says {count:g}"
            )
    return read


def _digest(read: Sequence[ParameterFile]) -> str:
    return digest([{key: _notation_free(file, key) for key in _RESULT_KEYS if key in file.values} for file in read])


def _notation_free(file: ParameterFile, key: str) -> list[float | str]:
    values: list[float | str] = []
    for value in file.values[key]:
        try:
            values.append(float(value) + 0.0)  # -0.0 becomes 0.0
        except ValueError:
            values.append(value)
    return values


def _numbers(file: ParameterFile, key: str, count: int, default: Array | None = None) -> Array:
    """The parameter's values as numbers. Raises ConfigError unless there are ``count`` finite ones."""
    if default is not None and key not in file.values:
        return default
    values = file.values.get(key, ())
    try:
        numbers = np.fromiter(map(float, values), np.float64, len(values))
    except ValueError as error:
        raise ConfigError(f"{file.source}: {key} must hold numbers: {str(error)[:120]}") from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ConfigError(f"{file.source}: {key} must hold {count} finite numbers, it has {len(numbers)} values")
    return numbers


def _choice(file: ParameterFile, key: str, choices: Sequence[str]) -> str:
    """One of the words; the first where the file does not say."""
    value = file.first(key) if key in file.values else choices[0]
    if value not in choices:
        raise ConfigError(f"{file.source}: {key} is {excerpt(value)}; known here: {', '.join(choices)}")
    return value


def read_grid(file: ParameterFile, prefix: str = "") -> Grid:
    """The grid of the fixed image, or with the prefix "Grid" that of the B-spline's coefficients."""
    size = file.values.get(prefix + "Size", ())
    dimension = len(size)
    if dimension not in (2, 3) or not all(re.fullmatch("[1-9][0-9]{0,9}", number) for number in size):
        raise ConfigError(f"{file.source}: {prefix}Size must hold 2 or 3 whole numbers above 0")
    identity = np.eye(dimension).reshape(-1)
    # Column by column, unlike the matrix of an affine transform.
    direction = _numbers(file, prefix + "Direction", dimension**2, identity).reshape(dimension, dimension).T
    if not prefix and _choice(file, "UseDirectionCosines", ("true", "false")) == "false":
        direction = np.eye(dimension)
    spacing = _numbers(file, prefix + "Spacing", dimension)
    if not (np.all(spacing > 0) and 1e-6 < abs(np.linalg.det(direction)) < 1e6):
        raise ConfigError(f"{file.source}: {prefix}Spacing must be above 0 and {prefix}Direction have an inverse")
    return Grid(
        size=tuple(map(int, size)),
        index=_numbers(file, prefix + "Index", dimension, np.zeros(dimension)),
        spacing=spacing,
        origin=_numbers(file, prefix + "Origin", dimension),
        direction=direction,
    )


def _transform(file: ParameterFile, dimension: int) -> Linear | BSpline:
    name = file.first("Transform")
    if name in ("BSplineTransform", "RecursiveBSplineTransform"):
        return _bspline(file, dimension)
    if name not in _LINEAR:
        known = ", ".join(["BSplineTransform", "RecursiveBSplineTransform", *_LINEAR])
        raise UnknownTransformError(
            f"{file.source}: transform {excerpt(name)} cannot be evaluated here; known: {known}"
        )
    return _linear(file, name, dimension)


def _bspline(file: ParameterFile, dimension: int) -> BSpline:
    _choice(file, "UseCyclicTransform", ("false",))
    grid = read_grid(file, "Grid")
    if len(grid.size) != dimension:
        raise ConfigError(f"{file.source}: GridSize must hold {dimension} numbers")
    numbers = _numbers(file, "TransformParameters", dimension * math.prod(grid.size))
    # In the file the first axis runs fastest, hence the order of Fortran.
    coefficients = tuple(part.reshape(grid.size, order="F") for part in np.split(numbers, dimension))
    return BSpline(grid, int(_choice(file, "BSplineTransformSplineOrder", ("3", "1", "2"))), coefficients)


# Numbers of parameters in 2-D and in 3-D.
_LINEAR = {
    "TranslationTransform": (2, 3),
    "EulerTransform": (3, 6),
    "SimilarityTransform": (4, 7),
    "AffineTransform": (6, 12),
    "AffineLogTransform": (6, 12),
}


def _linear(file: ParameterFile, name: str, dimension: int) -> Linear:
    """Matrix and translation from the parameters, in the order in which ITK keeps them."""
    p = _numbers(file, "TransformParameters", _LINEAR[name][dimension - 2])
    matrix, translation = np.eye(dimension), p[-dimension:]
    if name == "TranslationTransform":
        return Linear(matrix, np.zeros(dimension), translation)
    if name == "AffineTransform":
        matrix = p[:-dimension].reshape(dimension, dimension)
    elif name == "AffineLogTransform":  # the logarithm of the matrix
        matrix = expm(p[:-dimension].reshape(dimension, dimension))
    elif dimension == 2:  # [scale,] angle, translation
        scale, angle = (p[0], p[1]) if name == "SimilarityTransform" else (1.0, p[0])
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    elif name == "EulerTransform":  # angles about x, y, z, translation
        x, y, z = p[:3]
        zyx = _choice(file, "ComputeZYX", ("false", "true")) == "true"
        matrix = (Rotation.from_euler("ZYX", [z, y, x]) if zyx else Rotation.from_euler("ZXY", [z, x, y])).as_matrix()
    else:  # versor (vector part of a unit quaternion), translation, scale
        translation = p[3:6]
        rest = 1.0 - sum(number * number for number in p[:3].tolist())
        if rest < -1e-3:
            raise ConfigError(f"{file.source}: the versor in TransformParameters is longer than 1")
        w = math.sqrt(max(0.0, rest))
        matrix = p[6] * Rotation.from_quat([*p[:3], w]).as_matrix()
    return Linear(matrix, _numbers(file, "CenterOfRotationPoint", dimension), translation)
