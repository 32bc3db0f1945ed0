"""What a training minimises: sums over voxels, divided by their number, so that parts of a batch can be added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from genenet.core.ignore import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.config.training import Loss

SMOOTH = 1e-5  # keeps Dice defined for a class that neither labels nor network show


@dataclass(frozen=True)
class LossFunction:
    """A loss of logits (B, C, …) against labels (B, …), with or without weights (B, …) of the voxels.

    Voxels that are ignored, or of weight 0, have no part in it: neither their labels nor their logits matter.
    """

    settings: Loss
    class_weights: Tensor

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return a float32 scalar: the mean over the voxels that count; 0 if none does."""
        logits, truth = logits.float(), labels.long()
        if weights is not None:
            truth = truth.masked_fill(weights <= 0, IGNORE)
        of_voxels = self._focal if self.settings.kind == "focal" else self._cross_entropy
        mean = of_voxels(logits, truth, weights) / self.total(labels, weights).clamp(min=1)
        if self.settings.kind != "dice_cross_entropy":
            return mean
        share = self.settings.dice_share
        return (1 - share) * mean + share * soft_dice(logits, truth, weights)

    def total(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the number of voxels that count: by it, means of parts of a batch are put together.

        That is exact but for Dice, which isn't a mean over voxels.
        """
        counts = labels != IGNORE
        return (counts if weights is None else counts & (weights > 0)).sum()

    def _cross_entropy(self, logits: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
        # Logits stay (B, C, …), in whatever memory format: rows (N, C) of few classes take torch 5 times as long.
        if weights is None:
            return F.cross_entropy(logits, truth, self.class_weights, ignore_index=IGNORE, reduction="sum")
        terms = F.cross_entropy(logits, truth, self.class_weights, ignore_index=IGNORE, reduction="none")
        return (terms * weights).sum()

    def _focal(self, logits: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
        """Sum of -w (1 - p)^gamma log p, for the true class's weight w and probability p (Lin et al. 2017, eq. 5)."""
        surprise = F.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="none")  # -log p
        missing = -torch.expm1(-surprise)  # 1 - p
        missing = missing.clamp(min=1e-6)  # its power has an endless slope at 0 if gamma < 1
        difficulty = missing**self.settings.focal_gamma
        terms = difficulty * surprise * self.class_weights[truth.masked_fill(truth == IGNORE, 0)]
        return (terms if weights is None else terms * weights).sum()


def soft_dice(logits: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 1 - Dice, the mean over the classes that the labels show; logits (B, C, …), labels (B, …).

    Milletari, Navab and Ahmadi (2016), with plain sums below the line and over the whole batch, as nnU-Net has it
    (Isensee et al. 2021). ``weights`` (B, …) multiply a voxel's part in each sum once: only their ratios matter.
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
