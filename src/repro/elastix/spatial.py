"""What transforms do to points in space.

All is in physical units and double precision; arrays of points or displacements have the shape
(dimension, points). The geometry of images is that of the ITK Software Guide, the transforms are
those that elastix's manual names; transforms.py says how they were checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array: TypeAlias = NDArray[np.float64]

MAX_POINTS = 2**18
"""Larger images are compared on a lattice: see Grid.points."""


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
        """The grid's points, in physical units.

        Of more than MAX_POINTS only a lattice: along each axis the n-th part of the points,
        evenly spread and with both ends, n being the smallest power of two that suffices.
        """
        step = 1
        while math.prod(-(-size // step) for size in self.size) > MAX_POINTS:
            step *= 2
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
