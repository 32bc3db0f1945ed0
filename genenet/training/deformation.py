"""Moving voxels in the plane, an image's and its labels' alike: smooth deformations, slices out of place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Patches(NamedTuple):
    """A batch: slices (B, Z, Y, X) float32; labels, weights (B, Z', Y', X') of their central parts."""

    slices: Tensor
    labels: Tensor
    weights: Tensor | None

    @property
    def halo(self) -> tuple[int, int, int]:
        """Voxels along z, y, x that the image has before the labels' first."""
        z, y, x = ((n - m) // 2 for n, m in zip(self.slices.shape[1:], self.labels.shape[1:], strict=True))
        return z, y, x


def random_field(
    batch: int, size: tuple[int, int], deviation: float, spacing: float, generator: Generator
) -> Tensor:
    """Draw displacements (B, 2, Y, X) along y and x, in voxels.

    They are normally distributed at control points ``spacing`` voxels apart, and bicubic between them
    (Ronneberger et al. 2015, section 3.1), where they vary less: by 0.8 of ``deviation`` over all voxels.
    """
    # A point more on each side: within the patch nothing is extrapolated.
    points = [math.ceil(n / spacing) + 2 for n in size]
    control = deviation * torch.randn((batch, 2, *points), generator=generator)
    along_y, along_x = (_bicubic(n, p, spacing) for n, p in zip(size, points, strict=True))
    return along_y @ control @ along_x.T


def _bicubic(n: int, points: int, spacing: float) -> Tensor:
    """Return weights (voxels, points). Two products with such matrices take a tenth of ``F.interpolate``'s time."""
    each_point = torch.eye(points)[None, None]
    weights = F.interpolate(each_point, scale_factor=(spacing, 1.0), mode="bicubic")[0, 0]
    return weights[int(spacing) : int(spacing) + n]


def deform(patches: Patches, field: Tensor) -> Patches:
    """Take each voxel from where ``field`` (B, 2, Y, X) points, in voxels along y and x, from the voxel itself.

    All slices of a patch are deformed alike. Images are interpolated linearly and reflected at their border;
    labels and weights are their nearest voxel's, from beyond their border IGNORE and 0. Places are right to 1e-5
    voxels or so, as grid_sample wants them between -1 and 1.
    """
    _, y, x = patches.halo
    height, width = patches.labels.shape[-2:]
    grid = _grid(field[:, :, y : y + height, x : x + width])
    slices = F.grid_sample(patches.slices, _grid(field), padding_mode="reflection", align_corners=True)
    # Beyond the border grid_sample gives 0, which is IGNORE in what is sampled here. float32 holds all of uint8.
    labels = IGNORE - _nearest((IGNORE - patches.labels).float(), grid).byte()
    return Patches(slices, labels, None if patches.weights is None else _nearest(patches.weights, grid))


def _grid(field: Tensor) -> Tensor:
    """Return the places (B, Y, X, 2) for grid_sample, x first; -1 and 1 are the centres of outermost voxels."""
    places = [
        (torch.arange(n, device=field.device).view(shape) + field[:, axis]) * (2 / max(n - 1, 1)) - 1
        for axis, (n, shape) in enumerate(zip(field.shape[2:], ((-1, 1), (1, -1)), strict=True))
    ]
    return torch.stack(places[::-1], dim=-1)


def _nearest(values: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(values, grid, mode="nearest", padding_mode="zeros", align_corners=True)


def shift_slices(patches: Patches, offsets: Tensor) -> Patches:
    """Move slices by whole voxels, ``offsets`` (B, Z, 2) along y and x, int64 on the CPU; (0, 0) stays.

    What comes in is the reflected image, IGNORE, and weight 0.
    """
    first, depth = patches.halo[0], patches.labels.shape[1]
    of_labels = offsets[:, first : first + depth]
    weights = None if patches.weights is None else _shift(patches.weights, of_labels, 0)
    return Patches(_shift(patches.slices, offsets, None), _shift(patches.labels, of_labels, IGNORE), weights)


def _shift(values: Tensor, offsets: Tensor, fill: int | None) -> Tensor:
    """Move slices; None fills with the reflection."""
    moved = offsets.any(-1).nonzero()  # on the CPU, so that a GPU isn't waited for
    by = offsets[moved[:, 0], moved[:, 1]].to(values.device)[:, :, None]
    b, z = moved.to(values.device).T
    height, width = values.shape[-2:]
    y = torch.arange(height, device=values.device) - by[:, 0]  # (slices, Y)
    x = torch.arange(width, device=values.device) - by[:, 1]
    from_y, from_x = _reflected(y, height)[:, :, None], _reflected(x, width)[:, None]
    taken = values[b[:, None, None], z[:, None, None], from_y, from_x]
    if fill is not None:
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
        taken = taken.where(inside, torch.tensor(fill, dtype=values.dtype, device=values.device))
    return values.index_put((b, z), taken)


def _reflected(index: Tensor, n: int) -> Tensor:
    """Return where numpy's ``reflect`` takes ``index`` from, of 0 to n - 1, however far outside it is."""
    period = max(2 * (n - 1), 1)
    index = index % period
    return torch.minimum(index, period - index)
