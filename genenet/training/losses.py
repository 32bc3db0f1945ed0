"""Losses: sums over voxels divided by their number, so that the losses of parts of a batch can be added."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.config.losses import DiceOptions, FocalOptions, Loss
    from genenet.core.choices import NoOptions

SMOOTH = 1e-5  # keeps Dice defined for a class that is in neither the labels nor the prediction


@dataclass(frozen=True)
class Voxels:
    """The logits and labels of a batch.

    Attributes:
        logits: (B, C, …) float32, in whatever memory format.
        truth: (B, …) int64, IGNORE where a voxel has no part in the loss.
        weights: (B, …) of the voxels; None: all 1.
        class_weights: (C,) float32.
        count: number of voxels that have a part in the loss, at least 1.
    """

    logits: Tensor
    truth: Tensor
    weights: Tensor | None
    class_weights: Tensor
    count: Tensor


@dataclass(frozen=True)
class LossFunction:
    """A loss of logits (B, C, …) against labels (B, …), with or without weights (B, …) of the voxels.

    Voxels that are ignored, or of weight 0, have no part in it: neither their labels nor their logits matter.
    """

    settings: Loss
    class_weights: Tensor

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return a float32 scalar: the mean over the voxels that count; 0 if none does."""
        truth = labels.long()
        if weights is not None:
            truth = truth.masked_fill(weights <= 0, IGNORE)
        count = self.total(labels, weights).clamp(min=1)
        voxels = Voxels(logits.float(), truth, weights, self.class_weights, count)
        loss: Tensor = self._function(voxels, self.settings.options)
        return loss

    @cached_property
    def _function(self) -> Any:
        return self.settings.entry.function()

    def total(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the number of voxels that count; it weighs the means of the parts of a batch when they are added.

        The sum is exact except for Dice, which isn't a mean over voxels.
        """
        counts = labels != IGNORE
        return (counts if weights is None else counts & (weights > 0)).sum()


def cross_entropy(voxels: Voxels, _: NoOptions | DiceOptions) -> Tensor:
    """Return the mean of -w log p, for the true class's weight w and probability p."""
    # Logits stay (B, C, …), in whatever memory format: rows (N, C) of few classes take torch 5 times as long.
    logits, truth, class_weights = voxels.logits, voxels.truth, voxels.class_weights
    if voxels.weights is None:
        terms = F.cross_entropy(logits, truth, class_weights, ignore_index=IGNORE, reduction="sum")
        return terms / voxels.count
    terms = F.cross_entropy(logits, truth, class_weights, ignore_index=IGNORE, reduction="none")
    return (terms * voxels.weights).sum() / voxels.count


def dice_cross_entropy(voxels: Voxels, options: DiceOptions) -> Tensor:
    """Return the weighted mean of cross-entropy and soft Dice."""
    dice = soft_dice(voxels.logits, voxels.truth, voxels.weights)
    return (1 - options.dice_share) * cross_entropy(voxels, options) + options.dice_share * dice


def focal(voxels: Voxels, options: FocalOptions) -> Tensor:
    """Return the mean of -w (1 - p)^gamma log p, for the true class's weight w and probability p.

    Lin et al. (2017), eq. 5.
    """
    truth, weights = voxels.truth, voxels.weights
    surprise = F.cross_entropy(voxels.logits, truth, ignore_index=IGNORE, reduction="none")  # -log p
    missing = -torch.expm1(-surprise)  # 1 - p
    missing = missing.clamp(min=1e-6)  # the slope of its power is infinite at 0 if gamma < 1
    difficulty = missing**options.focal_gamma
    terms = difficulty * surprise * voxels.class_weights[truth.masked_fill(truth == IGNORE, 0)]
    return (terms if weights is None else terms * weights).sum() / voxels.count


def soft_dice(logits: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 1 - Dice, the mean over the classes that the labels show; logits (B, C, …), labels (B, …).

    Milletari, Navab and Ahmadi (2016), but with plain sums in the denominator and over the whole batch, as in nnU-Net
    (Isensee et al. 2021). ``weights`` (B, …) multiply the terms of a voxel in each sum, so only their ratios matter.
    """
    logits, truth = logits.flatten(2), truth.flatten(1)  # (B, C, N), (B, N)
    counts = (truth != IGNORE).float()
    if weights is not None:
        counts = counts * weights.flatten(1)
    classes = torch.arange(logits.shape[1], device=truth.device)
    truths = (truth[:, None] == classes[:, None]) * counts[:, None]
    probabilities = logits.softmax(dim=1)
    overlap, of_truth = (probabilities * truths).sum(dim=(0, 2)), truths.sum(dim=(0, 2))
    of_network = (probabilities * counts[:, None]).sum(dim=(0, 2))
    dice = (2 * overlap + SMOOTH) / (of_network + of_truth + SMOOTH)
    shown = (of_truth > 0).float()
    return ((1 - dice) * shown).sum() / shown.sum().clamp(min=1)


def make_loss(settings: Loss, class_weights: Tensor) -> LossFunction:
    """Return the loss; ``class_weights`` (C,) float32, on the device of the logits."""
    return LossFunction(settings, class_weights)
