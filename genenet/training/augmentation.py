"""Random changes of training patches, and of their labels where voxels move, on the patches' device.

This is written in plain torch. kornia has most of it, but its import takes longer than the rest of genenet's start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from genenet.training.deformation import Patches, deform, random_field, shift_slices

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.config.training import Augmentation


class Augmenter:
    """Changes batches at random. Flips and right-angle turns are applied by the sampler.

    Each patch has its own random numbers. The order is: elastic deformation and shifted slices, which move voxels;
    blur, as of the optics; contrast, brightness, gamma and noise, as of the detector; missing slices last, so that
    nothing changes a blank slice. Contrast scales about 0, the image's mean. Strengths are drawn evenly between 0 and
    the setting, factors and exponents f such that f and 1/f are equally likely.

    In a patch of one slice, no slice is shifted or missing: a shift would only lose labels, and a missing slice would
    leave nothing to see. A missing slice isn't shifted, since the position of its labels would be unknown.
    """

    def __init__(self, settings: Augmentation) -> None:
        self.settings = settings

    @property
    def is_identity(self) -> bool:
        """Whether all settings are off, so that patches stay as they are."""
        s = self.settings
        grey = s.blur_voxels or s.contrast or s.brightness or s.gamma or s.noise or s.missing_slices
        return not (s.elastic_voxels or (s.shifted_slices and s.shifted_slices_voxels) or grey)

    def __call__(
        self, images: Tensor, labels: Tensor, weights: Tensor | None, seed: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return changed patches of the same shapes, on the same device; the arguments aren't modified.

        Args:
            images: (B, 1, Z, Y, X) float32, normalised.
            labels: (B, Z', Y', X') uint8, of the images' central voxels. Labels that become unknown are IGNORE.
            weights: of the labels, float32, of their shape; they become 0 where a label is unknown. None stays None.
            seed: the random numbers depend only on it and on the shapes; noise also depends on the kind of device.
                torch uses the last 32 bits.
        """
        if self.is_identity:
            return images, labels, weights
        draws = _Draws(seed, images)
        missing = draws.slices(self.settings.missing_slices)
        patches = self._moved(Patches(images[:, 0], labels, weights), missing, draws)
        slices = _without(self._grey(patches.slices, draws), missing)
        return slices[:, None], patches.labels, patches.weights

    def _moved(self, patches: Patches, missing: Tensor, draws: _Draws) -> Patches:
        s = self.settings
        batch, depth, height, width = patches.slices.shape
        if s.elastic_voxels:
            size = (height, width)
            field = random_field(batch, size, s.elastic_voxels, s.elastic_spacing_voxels, draws.generator)
            patches = deform(patches, field.to(draws.device))
        if depth > 1 and s.shifted_slices and s.shifted_slices_voxels:
            shifted = draws.slices(s.shifted_slices) & ~missing
            offsets = draws.offsets(s.shifted_slices_voxels) * shifted[:, :, None]
            patches = shift_slices(patches, offsets)
        return patches

    def _grey(self, slices: Tensor, draws: _Draws) -> Tensor:
        s = self.settings
        if s.blur_voxels:
            slices = blur(slices, draws.uniform(0, s.blur_voxels), s.blur_voxels)
        if s.contrast:
            slices = slices * draws.factor(s.contrast)
        if s.brightness:
            slices = slices + draws.uniform(-s.brightness, s.brightness)
        if s.gamma:
            slices = to_the_power(slices, draws.factor(s.gamma))
        if s.noise:
            slices = torch.addcmul(slices, draws.noise(), draws.uniform(0, s.noise))
        return slices


class _Draws:
    """Random numbers for a batch of images (B, 1, Z, Y, X), drawn on the CPU so that they are the same everywhere."""

    def __init__(self, seed: int, images: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.seed, self.device = seed, images.device
        self.batch, _, self.depth, *self.size = images.shape

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw a number for each patch: (B, 1, 1, 1)."""
        numbers = torch.rand((self.batch, 1, 1, 1), generator=self.generator)
        return (low + (high - low) * numbers).to(self.device)

    def factor(self, excess: float) -> Tensor:
        """Draw a factor between 1/(1+excess) and 1+excess for each patch: (B, 1, 1, 1)."""
        limit = math.log1p(excess)
        return self.uniform(-limit, limit).exp()

    def slices(self, probability: float) -> Tensor:
        """Draw a set of slices: (B, Z) bool, on the CPU; no slice if a patch has only one."""
        if self.depth == 1:
            return torch.zeros((self.batch, 1), dtype=torch.bool)
        return torch.rand((self.batch, self.depth), generator=self.generator) < probability

    def offsets(self, most: int) -> Tensor:
        """Draw whole numbers from -most to most for each slice: (B, Z, 2), on the CPU."""
        return torch.randint(-most, most + 1, (self.batch, self.depth, 2), generator=self.generator)

    def noise(self) -> Tensor:
        """Draw standard normal numbers, (B, Z, Y, X), on the device, since copying so many there would be slow."""
        on_cpu = self.device.type == "cpu"
        generator = self.generator if on_cpu else torch.Generator(self.device).manual_seed(self.seed)
        shape = (self.batch, self.depth, *self.size)
        return torch.randn(shape, generator=generator, device=self.device)


def _without(slices: Tensor, missing: Tensor) -> Tensor:
    """Set the ``missing`` slices, (B, Z) bool on the CPU, to the mean of their patch."""
    if not missing.any():
        return slices
    mean = slices.mean((1, 2, 3), keepdim=True)
    return torch.where(missing[:, :, None, None].to(slices.device), mean, slices)


def blur(slices: Tensor, sigmas: Tensor, largest: float) -> Tensor:
    """Blur (B, Z, Y, X) in the plane by Gaussians of ``sigmas`` (B, 1, 1, 1) voxels, up to ``largest``.

    Images are reflected at their border. The Gaussians are cut off at 3 times the largest sigma.
    """
    height, width = slices.shape[-2:]
    radius = min(math.ceil(3 * largest), height - 1, width - 1)  # F.pad reflects no further
    distances = torch.arange(-radius, radius + 1, device=slices.device)
    kernels = torch.exp(-((distances / sigmas.clamp(min=1e-6)) ** 2) / 2)  # (B, 1, 1, 2 radius + 1)
    kernels = kernels / kernels.sum(-1, keepdim=True)
    padded = F.pad(slices, (radius, radius, radius, radius), mode="reflect")
    return _correlated(_correlated(padded, kernels, 2), kernels, 3)


def _correlated(values: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Correlate along an axis. On two cores 3 to 10 times as fast as a grouped convolution."""
    width = kernels.shape[-1]
    n = values.shape[axis] - width + 1
    result = values.narrow(axis, 0, n) * kernels[..., :1]
    for k in range(1, width):
        result.addcmul_(values.narrow(axis, k, n), kernels[..., k : k + 1])
    return result


def to_the_power(slices: Tensor, exponents: Tensor) -> Tensor:
    """Raise (B, Z, Y, X), scaled to 0 to 1 within each patch's own range, to ``exponents`` (B, 1, 1, 1)."""
    low, high = slices.amin((1, 2, 3), keepdim=True), slices.amax((1, 2, 3), keepdim=True)
    span = high - low
    unit = (slices - low) / span.clamp(min=torch.finfo(slices.dtype).tiny)
    return torch.addcmul(low, unit**exponents, span)
