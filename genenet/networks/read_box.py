"""The voxels that networks read in order to write a box, on their device: raw, and normalised when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from genenet.volumes.reflection import reflect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from genenet.core.geometry import Box, Triple
    from genenet.volumes.normalisation import Normalisation


@dataclass(frozen=True)
class NormalisedBox:
    """Voxels as networks take them.

    Attributes:
        voxels: (Z, Y, X) float32.
        box: where they lie in the volume; it may reach beyond.
    """

    voxels: torch.Tensor
    box: Box

    def part(self, box: Box) -> torch.Tensor:
        """Return the voxels of a box inside; a view."""
        return self.voxels[box.relative_to(self.box.start).slices]


@dataclass(frozen=True)
class ReadBox:
    """The raw voxels of a read box: the voxels that a network writes, and the halo around them.

    Attributes:
        raw: (Z, Y, X), of the volume's own type, on the device.
        box: where they lie in the volume; it may reach beyond.
        shape: of the volume.
        mean: (Z, 1, 1) float64, what is subtracted from each slice.
        deviation: (Z, 1, 1) float32, what each slice is divided by.
    """

    raw: torch.Tensor
    box: Box
    shape: Triple
    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(
        cls,
        voxels: NDArray[Any],
        box: Box,
        shape: Triple,
        normalisation: Normalisation,
        upload: Callable[[Sequence[NDArray[Any]]], list[torch.Tensor]],
    ) -> ReadBox:
        """Return a read box whose arrays ``upload`` brings to the device.

        Args:
            voxels: of the box.
            box: in the volume; it may reach beyond.
            shape: of the volume.
            normalisation: of its voxels; slices beyond its ends are normalised as those that they reflect.
            upload: returns tensors of the same values.
        """
        index = reflect(box.start[0], box.stop[0], len(normalisation.mean))
        mean = normalisation.mean[index, None, None]
        deviation = normalisation.deviation[index, None, None].astype("float32")
        raw, mean_there, deviation_there = upload([voxels, mean, deviation])
        return cls(raw, box, shape, mean_there, deviation_there)

    def normalised(self, box: Box) -> NormalisedBox:
        """Return the voxels of a box as networks take them, bit for bit as ``Normalisation.apply`` does.

        Types of four bytes and more are shifted in float64, for the reason given there.
        """
        place = box.relative_to(self.box.start).slices
        raw, mean, deviation = self.raw[place], self.mean[place[0]], self.deviation[place[0]]
        if raw.element_size() < 4:
            voxels = raw.to(torch.float32, copy=True).sub_(mean.float())
        else:
            voxels = torch.empty(raw.shape, dtype=torch.float32, device=raw.device)
            for one, out, centre in zip(raw, voxels, mean, strict=True):  # by slice: less memory
                out.copy_(one.double() - centre)
        voxels.div_(deviation)
        if raw.is_floating_point():
            voxels.masked_fill_(voxels.isnan(), 0)
        return NormalisedBox(voxels, box)
