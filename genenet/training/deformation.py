"""Moves the voxels of images and labels in the plane: smooth deformations and shifted slices."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

from genenet.core.ignore import IGNORE
from genenet.networks.device import sent

if TYPE_CHECKING:
    from torch import Generator, Tensor

CPU = torch.device("cpu")


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
    batch: int,
    size: tuple[int, int],
    deviation: float,
    spacing: float,
    generator: Generator,
    device: torch.device = CPU,
) -> Tensor:
    """Draw displacements (B, 2, Y, X) along y and x, in voxels.

    The displacements are normally distributed at control points ``spacing`` voxels apart and interpolated bicubically
    between them (Ronneberger et al. 2015, section 3.1). Interpolation lowers their standard deviation over all voxels
    to 0.8 of ``deviation``. The points are drawn on the CPU, so that they are the same everywhere.
    """
    # One more point on each side, so that nothing within the patch is extrapolated
    points = [math.ceil(n / spacing) + 2 for n in size]
    control = deviation * torch.randn((batch, 2, *points), generator=generator)
    along_y, along_x = (_bicubic(n, p, spacing, device) for n, p in zip(size, points, strict=True))
    return along_y @ sent(control, device) @ along_x.T


@lru_cache(8)
def _bicubic(n: int, points: int, spacing: float, device: torch.device) -> Tensor:
    """Return weights (voxels, points). Two products with such matrices take a tenth of ``F.interpolate``'s time."""
    each_point = torch.eye(points)[None, None]
    weights = F.interpolate(each_point, scale_factor=(spacing, 1.0), mode="bicubic")[0, 0]
    return weights[int(spacing) : int(spacing) + n].to(device)


def affine_field(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return displacements (B, 2, Y, X) along y and x, in voxels, of linear maps about the centre of a patch.

    ``matrices`` (B, 2, 2) map a voxel's position (y, x), relative to the centre, to the position it is taken from.
    """
    device = matrices.device
    along = [torch.arange(n, device=device) - (n - 1) / 2 for n in size]
    positions = torch.stack(torch.meshgrid(*along, indexing="ij"))
    return torch.einsum("bij,jyx->biyx", matrices - torch.eye(2, device=device), positions)


def deform(patches: Patches, field: Tensor) -> Patches:
    """Take each voxel from the position to which ``field`` (B, 2, Y, X) points, relative to the voxel, along y and x.

    All slices of a patch are deformed alike. Images are interpolated linearly and reflected at their border. Labels and
    weights are those of the nearest voxel, and IGNORE and 0 beyond their border. Positions are exact to about 1e-5
    voxels, since grid_sample scales them to -1 to 1.
    """
    _, y, x = patches.halo
    height, width = patches.labels.shape[-2:]
    grid = _grid(field[:, :, y : y + height, x : x + width])
    slices = F.grid_sample(patches.slices, _grid(field), padding_mode="reflection", align_corners=True)
    # grid_sample returns 0 beyond the border; sampling IGNORE - label makes that IGNORE. float32 holds all of uint8.
    labels = IGNORE - _nearest((IGNORE - patches.labels).float(), grid).byte()
    return Patches(slices, labels, None if patches.weights is None else _nearest(patches.weights, grid))


def _grid(field: Tensor) -> Tensor:
    """Return positions (B, Y, X, 2) for grid_sample, x first; -1 and 1 are the centres of the outermost voxels."""
    places = [
        (torch.arange(n, device=field.device).view(shape) + field[:, axis]) * (2 / max(n - 1, 1)) - 1
        for axis, (n, shape) in enumerate(zip(field.shape[2:], ((-1, 1), (1, -1)), strict=True))
    ]
    return torch.stack(places[::-1], dim=-1)


def _nearest(values: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(values, grid, mode="nearest", padding_mode="zeros", align_corners=True)


def shift_slices(patches: Patches, offsets: Tensor) -> Patches:
    """Move slices by whole voxels, ``offsets`` (B, Z, 2) along y and x, int64 on the CPU.

    The gap at the border is filled with the reflected image, with IGNORE in the labels and with weight 0.
    """
    first, depth = patches.halo[0], patches.labels.shape[1]
    of_labels = offsets[:, first : first + depth]
    weights = None if patches.weights is None else _shift(patches.weights, of_labels, 0)
    return Patches(_shift(patches.slices, offsets, None), _shift(patches.labels, of_labels, IGNORE), weights)


def _shift(values: Tensor, offsets: Tensor, fill: int | None) -> Tensor:
    """Move slices; fill the gap with ``fill``, or with the reflection if it is None."""
    moved = offsets.any(-1).nonzero()  # on the CPU, to avoid waiting for the GPU
    by = sent(offsets[moved[:, 0], moved[:, 1]], values.device)[:, :, None]
    b, z = sent(moved, values.device).T
    height, width = values.shape[-2:]
    y = torch.arange(height, device=values.device) - by[:, 0]  # (slices, Y)
    x = torch.arange(width, device=values.device) - by[:, 1]
    from_y, from_x = _reflected(y, height)[:, :, None], _reflected(x, width)[:, None]
    taken = values[b[:, None, None], z[:, None, None], from_y, from_x]
    if fill is not None:
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
        taken = taken.masked_fill(~inside, fill)
    return values.index_put((b, z), taken)


def _reflected(index: Tensor, n: int) -> Tensor:
    """Return the index within 0 to n - 1 that numpy's ``reflect`` uses for ``index``, however far outside it is."""
    period = max(2 * (n - 1), 1)
    index = index % period
    return torch.minimum(index, period - index)
