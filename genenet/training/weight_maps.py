"""Weights of voxels in the loss, higher in narrow gaps between objects (Ronneberger et al. 2015, eq. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

REACH = 5.0  # sigmas; beyond them the weight is below w0 exp(-25 / 2), which is negligible


def border_weights(
    labels: NDArray[np.uint8], w0: float, sigma: float, background: int = 0
) -> NDArray[np.float32]:
    """Return 1 + w0 exp(-(d1 + d2)² / 2 sigma²) on background, 1 elsewhere, for labels (Z, Y, X), slice by slice.

    d1 and d2 are the distances in the plane, in voxels, to the two nearest objects. Objects are connected components (8
    neighbours) of all classes except background together, since organelles lie within cells; objects that touch count
    as one. Objects more than 5 sigma away are ignored: their term is below 4e-6 w0. The equation has the class's weight
    instead of 1; where the loss multiplies by class weights, divide w0 by the background's weight.
    """
    return np.stack([_plane(plane, w0, sigma, background) for plane in labels])


def _plane(labels: NDArray[np.uint8], w0: float, sigma: float, background: int) -> Plane:
    objects, _ = ndimage.label((labels != background) & (labels != IGNORE), np.ones((3, 3)))
    nearest = np.full((2, *labels.shape), np.inf, np.float32)
    reach = int(np.ceil(REACH * sigma))
    for number, box in enumerate(ndimage.find_objects(objects), 1):
        around = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in box)
        distance = ndimage.distance_transform_edt(objects[around] != number).astype(np.float32)
        first, second = (plane[around] for plane in nearest)
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    with np.errstate(over="ignore"):
        extra = w0 * np.exp(-(nearest.sum(axis=0) ** 2) / (2 * sigma**2))
    weights: Plane = np.where(labels == background, 1 + extra, 1).astype(np.float32)
    return weights
