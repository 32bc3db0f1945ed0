"""The platelets of the phantom, in nanometres. Each is drawn from the seed and its lattice site alone."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Site = tuple[int, int, int]

VOXEL_SIZE_NM = (40.0, 10.0, 10.0)
SPACING_NM = np.array([1090.0, 990.0, 1300.0])
REACH_NM = np.array([1700.0, 1400.0, 1800.0])  # a platelet stays within this of its lattice site
GAP_NM = 60.0  # background left where two platelets would touch
MEMBRANE_NM = 22.0  # of a platelet
_SITE_OFFSET = 8  # sites at the low border of the volume are negative
_WAVELENGTHS_NM = np.array([1300.0, 650.0, 300.0, 160.0])
_AMPLITUDES_NM = np.array([55.0, 26.0, 11.0, 5.0])


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return the random stream of one part of the phantom: a site, a slice, a tile of noise."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def site_key(site: Site) -> tuple[int, ...]:
    """Return a lattice site as part of a spawn key, which can't be negative."""
    return tuple(i + _SITE_OFFSET for i in site)


def directions(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return unit vectors (*shape, 3), even over the sphere."""
    vectors = rng.standard_normal((*shape, 3))
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


@dataclass(frozen=True)
class Platelet:
    """A tilted ellipsoid whose surface is pushed in and out by plane waves.

    Attributes:
        centre: (z, y, x) in nm.
        metric: (3, 3), symmetric, in 1/nm²: p @ metric @ p = 1 on the ellipsoid around the centre.
        waves: (W, 3) wave vectors in rad/nm.
        phases: (W,) in rad.
        brightness: Grey levels that the whole platelet is brighter than the mean.
    """

    centre: Array
    metric: Array
    waves: Array
    phases: Array
    brightness: float

    @cached_property
    def half_extent(self) -> Array:
        """Half of the bounding box (3,) in nm, including the gap around the platelet."""
        half: Array = np.sqrt(np.diag(np.linalg.inv(self.metric))) + _AMPLITUDES_NM.sum() + GAP_NM
        return half

    @cached_property
    def squared_metric(self) -> Array:
        """The metric times itself, (3, 3) in 1/nm⁴; it gives the slope of the ellipsoid's equation."""
        return self.metric @ self.metric

    def meets(self, middle: Array, half: Array) -> bool:
        """Say whether the bounding box meets another, given by its middle and half its size, (3,) in nm."""
        return bool((np.abs(self.centre - middle) < self.half_extent + half).all())

    def distance(self, points: Array) -> Array:
        """Return the signed distance in nm from the surface, negative inside: (..., 3) -> (...).

        It is of first order (value over slope), good near the surface.
        """
        p = points - self.centre
        value = (p @ self.metric * p).sum(axis=-1)
        slope = np.sqrt((p @ self.squared_metric * p).sum(axis=-1))
        ripple = np.sin(p @ self.waves.T + self.phases) @ _AMPLITUDES_NM
        distance: Array = (value - np.sqrt(value)) / np.maximum(slope, 1e-9) + ripple
        return distance

    def distance_in_slice(self, z_nm: float, y_nm: Array, x_nm: Array) -> NDArray[np.float32]:
        """Return the same as `distance` for a grid of points: (Y,), (X,) -> (Y, X).

        Everything splits into rows and columns, so no sine is taken per pixel.
        """
        z, y, x = z_nm - self.centre[0], y_nm - self.centre[1], x_nm - self.centre[2]
        value = _quadratic_form(self.metric, z, y, x)
        slope = np.sqrt(_quadratic_form(self.squared_metric, z, y, x))
        distance = value - np.sqrt(value)
        distance /= np.maximum(slope, np.float32(1e-9), out=slope)
        for (kz, ky, kx), phase, amplitude in zip(self.waves, self.phases, _AMPLITUDES_NM, strict=True):
            row, column = kz * z + ky * y + phase, kx * x
            distance += _outer(amplitude * np.sin(row), np.cos(column))
            distance += _outer(amplitude * np.cos(row), np.sin(column))
        return distance


def _outer(y: Array, x: Array) -> NDArray[np.float32]:
    # By broadcasting: a matrix product may round differently for another crop of the same platelet.
    return y.astype(np.float32)[:, None] * x.astype(np.float32)


def _quadratic_form(m: Array, z: float, y: Array, x: Array) -> NDArray[np.float32]:
    rows = m[0, 0] * z * z + 2 * m[0, 1] * z * y + m[1, 1] * y * y
    columns = 2 * m[0, 2] * z * x + m[2, 2] * x * x
    form = _outer(2 * m[1, 2] * y, x)
    form += rows.astype(np.float32)[:, None]
    form += columns.astype(np.float32)
    return np.maximum(form, np.float32(0), out=form)  # rounding near the centre


def draw_platelet(seed: int, site: Site) -> Platelet:
    """Draw the platelet of a lattice site: its place, shape and brightness."""
    rng = generator(seed, 0, *site_key(site))
    centre = (np.array(site) + _stagger(site) + rng.uniform(-0.18, 0.18, 3)) * SPACING_NM
    radii = rng.uniform([460, 420, 680], [580, 540, 860])
    # Neighbours lie roughly along one another; the tilt out of the slices is smaller.
    turn, tilt = rng.normal(0.5, 0.35), rng.normal(0, 0.2)
    axes = _rotation(1, 2, turn) @ _rotation(0, 2, tilt)
    waves = directions(rng, _WAVELENGTHS_NM.shape) * (2 * np.pi / _WAVELENGTHS_NM[:, None])
    phases = rng.uniform(0, 2 * np.pi, _WAVELENGTHS_NM.shape)
    return Platelet(centre, axes @ np.diag(radii**-2) @ axes.T, waves, phases, rng.normal(0, 13))


def _stagger(site: Site) -> Array:
    # Without it, platelets would lie in layers and some slices would meet hardly any.
    _, row, column = site
    return np.array([(2 * row + column) % 4 / 4, 0.5, row % 2 / 2])


def _rotation(a: int, b: int, angle: float) -> Array:
    matrix = np.eye(3)
    matrix[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix
