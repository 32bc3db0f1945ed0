"""Training images on the device, as they are stored; patches are cut, turned and normalised there, a batch at a time.

The random numbers are those of the sampler, and the arithmetic is that of ``Normalisation.apply``, so on the CPU the
patches are the same, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genenet.core.ignore import IGNORE
from genenet.volumes.reflection import reflect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from genenet.core.geometry import Box, Triple
    from genenet.networks.symmetry import Turn
    from genenet.training.patches import Draw, PatchSampler

    Axes = tuple[
        NDArray[Any], NDArray[Any], NDArray[Any]
    ]  # of a patch: a number for each voxel along z, y, x

# Unsigned types that torch can't index: they are stored as signed ones, and become these types after indexing
WIDER = {"uint16": (np.int16, torch.int32, 0xFFFF), "uint32": (np.int32, torch.int64, 0xFFFFFFFF)}
STORED = {"uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", *WIDER}


class ResidentPatches:
    """Patches of images that lie on a device: the host sends a few numbers for each row of a patch, and no voxel.

    All images lie one after the other in one row of voxels. A voxel's place in the row is the sum of three numbers, one
    for each axis, also where the image is reflected; and a turn only exchanges and reverses these numbers::

        place of (z, y, x) = first voxel of the image + z · height · width + y · width + x

    Attributes:
        sampler: that draws the patches.
        device: of the images.
        type: numpy's type of the images' voxels; all have the same.
        voxels: of all images, (N,).
        labels: of these voxels, (N,) uint8.
        weights: of these voxels, (N,) float32; None: all are 1.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device) -> None:
        """Copy the images to the device.

        Raises:
            RuntimeError: If the device has too little memory.
        """
        self.sampler, self.device = sampler, device
        self.type = sampler.images[0].image.dtype
        as_signed = WIDER[self.type.name][0] if self.type.name in WIDER else self.type
        self.voxels = _row([image.image.view(as_signed) for image in sampler.images], device)
        self.labels = _row([image.labels for image in sampler.images], device)
        self.weights = None if sampler.weights is None else _row(sampler.weights, device)
        sizes = [image.labels.size for image in sampler.images]
        self._first = np.cumsum([0, *sizes])  # place of each image's first voxel

    @staticmethod
    def bytes_of(sampler: PatchSampler) -> int | None:
        """Return how much memory the images take on a device; None if their types differ or torch lacks the type."""
        types = {image.image.dtype for image in sampler.images}
        if len(types) > 1 or not all(dtype.isnative and dtype.name in STORED for dtype in types):
            return None
        images = sum(image.image.nbytes + image.labels.nbytes for image in sampler.images)
        return images + sum(weights.nbytes for weights in sampler.weights or [])

    def on_host(self, iteration: int) -> dict[str, NDArray[Any]]:
        """Return the places of the voxels and labels of a batch, and centre and scale of each slice.

        ``inside`` says which labels lie inside the images; it is left out if all do.
        """
        found = [self._of_patch(draw) for draw in self.sampler.draws(iteration)]
        parts = {name: np.stack([patch[name] for patch in found]) for name in found[0]}
        if parts["inside"].all():
            del parts["inside"]
        return parts

    def _of_patch(self, draw: Draw) -> dict[str, NDArray[Any]]:
        image, (read, written) = self.sampler.images[draw.image], self.sampler.boxes(draw)
        shape, first = image.labels.shape, self._first[draw.image]
        shown = [reflect(*ends) for ends in zip(read.start, read.stop, shape, strict=True)]
        norm = image.normalisation
        of_slices = reflect(read.start[0], read.stop[0], len(norm.mean))[:: -1 if draw.turn.flip_z else 1]
        centre = norm.mean[of_slices]
        return {
            "voxels": _turned(_places(shown, shape, first), draw.turn),
            "labels": _turned(_places(_clipped(written, shape), shape, first), draw.turn),
            "inside": _turned(_inside(written, shape), draw.turn),
            "centre": centre.astype(np.float32) if self.type.itemsize < 4 else centre,
            "scale": norm.deviation[of_slices].astype(np.float32),
        }

    def on_device(self, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return images (B, 1, Z, Y, X), labels and weights (B, Z', Y', X'), as the sampler's batch has them."""
        voxels = self.voxels[_summed(parts["voxels"], self.sampler.input_shape)]
        images = self._normalised(voxels, parts["centre"], parts["scale"])
        places = _summed(parts["labels"], self.sampler.output_shape)
        labels = self.labels[places]
        weights = None if self.weights is None else self.weights[places]
        if "inside" in parts:
            z, y, x = _axes(parts["inside"], self.sampler.output_shape)
            outside = ~(z & y & x)
            labels = labels.masked_fill_(outside, IGNORE)
            weights = None if weights is None else weights.masked_fill_(outside, 0.0)
        return images[:, None], labels, weights

    def _normalised(self, voxels: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
        """Normalise (B, Z, Y, X) by centre and scale (B, Z), with the steps of ``Normalisation.apply``."""
        if self.type.name in WIDER:
            _, wider, mask = WIDER[self.type.name]
            voxels = voxels.to(wider) & mask
        shifted = voxels.to(centre.dtype).sub_(centre[:, :, None, None])
        normalised = shifted.float().div_(scale[:, :, None, None])
        return normalised.masked_fill_(normalised.isnan(), 0.0) if self.type.kind == "f" else normalised


def _row(arrays: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
    """Return all voxels of some arrays in one row on the device, without a copy of all of them on the host."""
    arrays = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    dtype = torch.from_numpy(arrays[0][:0].copy()).dtype
    row, first = torch.empty(sum(array.size for array in arrays), dtype=dtype, device=device), 0
    for array in arrays:
        row[first : first + array.size] = torch.from_numpy(array)
        first += array.size
    return row


def _places(shown: Sequence[NDArray[np.int64]], shape: Sequence[int], first: int) -> Axes:
    """Return the parts of the voxels' places along each axis, from their indices along it."""
    z, y, x = shown
    return first + z * (shape[1] * shape[2]), y * shape[2], x


def _clipped(box: Box, shape: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the indices along each axis, those beyond the image at its border."""
    ends = zip(box.start, box.stop, shape, strict=True)
    return [np.arange(start, stop).clip(0, n - 1) for start, stop, n in ends]


def _inside(box: Box, shape: Sequence[int]) -> Axes:
    """Return which indices along each axis lie inside the image."""
    indices = [np.arange(start, stop) for start, stop in zip(box.start, box.stop, strict=True)]
    z, y, x = ((i >= 0) & (i < n) for i, n in zip(indices, shape, strict=True))
    return z, y, x


def _turned(axes: Axes, turn: Turn) -> NDArray[Any]:
    """Return the numbers along the axes of the turned patch, one axis after the other: (Z + Y + X,).

    A quarter turn takes y to x: the rows of the result are the columns of the patch, the last one first.
    """
    z, y, x = axes
    for _ in range(turn.quarters):
        y, x = x[::-1], y
    return np.concatenate([z[:: -1 if turn.flip_z else 1], y, x[:: -1 if turn.flip_x else 1]])


def _axes(rows: Tensor, shape: Triple) -> tuple[Tensor, Tensor, Tensor]:
    """Split (B, Z + Y + X) into its axes, (B, Z, 1, 1), (B, 1, Y, 1) and (B, 1, 1, X)."""
    z, y, x = torch.split(rows, list(shape), dim=1)
    return z[:, :, None, None], y[:, None, :, None], x[:, None, None, :]


def _summed(rows: Tensor, shape: Triple) -> Tensor:
    """Return the places (B, Z, Y, X) of voxels."""
    z, y, x = _axes(rows, shape)
    return z + y + x
