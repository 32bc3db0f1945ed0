"""Random changes of training patches, and of their labels where voxels move, on the patches' device.

This is written in plain torch. kornia has most of it, but its import takes longer than the rest of genenet's start.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from genenet.networks.device import sent
from genenet.training.deformation import Patches, affine_field, deform, random_field, shift_slices

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.config.training import Augmentation


# Share of the patches that are rotated and scaled; the others stay as sharp as images to segment are
MOVED = 0.5
CURVE_POINTS = 6  # that a random curve is drawn through, its ends included


class Augmenter:
    """Changes batches at random. Flips and right-angle turns are applied by the sampler.

    Each patch has its own random numbers. The order is: rotation, scaling, elastic deformation and shifted slices,
    which move voxels; blur and random convolutions, as of the optics; contrast, brightness, gamma, curves and noise, as
    of the detector; missing slices last, so that nothing changes a blank slice. Contrast scales about 0, the image's
    mean. Strengths are drawn evenly between 0 and the setting, factors and exponents f such that f and 1/f are equally
    likely.

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
        grey = grey or s.curves or s.random_convolutions
        return not (self._deforms or (s.shifted_slices and s.shifted_slices_voxels) or grey)

    @property
    def _deforms(self) -> bool:
        s = self.settings
        return bool(s.elastic_voxels or s.rotation_degrees or s.scaling)

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
        depth = patches.slices.shape[1]
        if self._deforms:
            patches = deform(patches, self._field(draws))
        if depth > 1 and s.shifted_slices and s.shifted_slices_voxels:
            shifted = draws.slices(s.shifted_slices) & ~missing
            offsets = draws.offsets(s.shifted_slices_voxels) * shifted[:, :, None]
            patches = shift_slices(patches, offsets)
        return patches

    def _field(self, draws: _Draws) -> Tensor:
        """Return the displacements (B, 2, Y, X) of all deformations together, computed on the device."""
        s, field = self.settings, torch.zeros((), device=draws.device)
        if s.elastic_voxels:
            spacing = s.elastic_spacing_voxels
            field = random_field(
                draws.batch, draws.size, s.elastic_voxels, spacing, draws.generator, draws.device
            )
        if s.rotation_degrees or s.scaling:
            matrices = draws.matrices(math.radians(s.rotation_degrees), s.scaling)
            field = field + affine_field(sent(matrices, draws.device), draws.size)
        return field

    def _grey(self, slices: Tensor, draws: _Draws) -> Tensor:
        s = self.settings
        if s.blur_voxels:
            slices = blur(slices, draws.uniform(0, s.blur_voxels), s.blur_voxels)
        if s.random_convolutions:
            slices = mixed_with_convolution(slices, *draws.convolutions(s.random_convolutions))
        if s.contrast:
            slices = slices * draws.factor(s.contrast)
        if s.brightness:
            slices = slices + draws.uniform(-s.brightness, s.brightness)
        if s.gamma:
            slices = to_the_power(slices, draws.factor(s.gamma))
        if s.curves:
            slices = through_curve(slices, draws.curves(s.curves))
        if s.noise:
            slices = torch.addcmul(slices, draws.noise(), draws.uniform(0, s.noise))
        return slices


class _Draws:
    """Random numbers for a batch of images (B, 1, Z, Y, X), drawn on the CPU so that they are the same everywhere."""

    def __init__(self, seed: int, images: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.seed, self.device = seed, images.device
        self.batch, _, self.depth, height, width = images.shape
        self.size = (height, width)

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw a number for each patch: (B, 1, 1, 1)."""
        numbers = torch.rand((self.batch, 1, 1, 1), generator=self.generator)
        return sent(low + (high - low) * numbers, self.device)

    def factor(self, excess: float) -> Tensor:
        """Draw a factor between 1/(1+excess) and 1+excess for each patch: (B, 1, 1, 1)."""
        limit = math.log1p(excess)
        return self.uniform(-limit, limit).exp()

    def matrices(self, angle: float, scaling: float) -> Tensor:
        """Draw rotations by up to ``angle`` (radians) with scalings, for a share MOVED of the patches: (B, 2, 2)."""
        numbers = torch.rand((3, self.batch), generator=self.generator)
        moved = numbers[0] < MOVED
        angles = angle * (2 * numbers[1] - 1) * moved
        factors = (math.log1p(scaling) * (2 * numbers[2] - 1) * moved).exp()
        cos, sin = angles.cos() / factors, angles.sin() / factors
        return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)

    def curves(self, strength: float) -> Tensor:
        """Draw monotone curves from 0 to 1 through CURVE_POINTS evenly spaced points: (B, CURVE_POINTS)."""
        steps = torch.empty((self.batch, CURVE_POINTS - 1)).exponential_(generator=self.generator)
        even = torch.ones_like(steps) / steps.shape[1]
        steps = strength * steps / steps.sum(1, keepdim=True) + (1 - strength) * even
        return sent(F.pad(steps.cumsum(1), (1, 0)).clamp(max=1), self.device)

    def convolutions(self, probability: float) -> tuple[Tensor, Tensor]:
        """Draw kernels (B, 3, 3), and the share of each in its patch (B, 1, 1, 1): 0 for the patches left alone."""
        kernels = torch.randn((self.batch, 3, 3), generator=self.generator) / 3
        numbers = torch.rand((2, self.batch, 1, 1, 1), generator=self.generator)
        shares = numbers[0] * (numbers[1] < probability)
        return sent(kernels, self.device), sent(shares, self.device)

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
    return torch.where(sent(missing[:, :, None, None], slices.device), mean, slices)


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
    low, span, unit = _unit_range(slices)
    return torch.addcmul(low, unit**exponents, span)


def _unit_range(slices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the lowest value and the range of each patch, (B, 1, 1, 1), and (B, Z, Y, X) scaled to 0 to 1 by them."""
    low, high = slices.amin((1, 2, 3), keepdim=True), slices.amax((1, 2, 3), keepdim=True)
    span = high - low
    return low, span, (slices - low) / span.clamp(min=torch.finfo(slices.dtype).tiny)


def through_curve(slices: Tensor, curves: Tensor) -> Tensor:
    """Map (B, Z, Y, X), scaled to 0 to 1 within each patch's own range, through piecewise linear ``curves`` (B, P)."""
    low, span, unit = _unit_range(slices)
    place = unit * (curves.shape[1] - 1)
    left = place.floor().clamp(max=curves.shape[1] - 2)
    index = left.long().flatten(1)
    at_left, at_right = (curves.gather(1, index + i).view_as(slices) for i in (0, 1))
    return torch.addcmul(low, torch.lerp(at_left, at_right, place - left), span)


def mixed_with_convolution(slices: Tensor, kernels: Tensor, shares: Tensor) -> Tensor:
    """Mix (B, Z, Y, X) with its convolution by ``kernels`` (B, 3, 3) in the plane; ``shares`` (B, 1, 1, 1) of it.

    The convolution of each patch gets the mean and deviation of the patch, so that only the texture changes.
    """
    padded = F.pad(slices, (1, 1, 1, 1), mode="replicate")
    height, width = slices.shape[-2:]
    mixed = torch.zeros_like(slices)
    for y, x in itertools.product(range(3), range(3)):
        mixed.addcmul_(padded[..., y : y + height, x : x + width], kernels[:, y, x, None, None, None])
    of_patch, of_mixed = (torch.std_mean(v, (1, 2, 3), correction=0, keepdim=True) for v in (slices, mixed))
    smallest = torch.finfo(slices.dtype).tiny
    mixed = (mixed - of_mixed[1]) * (of_patch[0] / of_mixed[0].clamp(min=smallest)) + of_patch[1]
    return torch.lerp(slices, mixed, shares)
