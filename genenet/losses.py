"""What a training minimises: sums over voxels, divided by their number, so that parts of a batch can be added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from genenet.metrics import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

    from genenet.recipe import Loss

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
        rows = logits.movedim(1, -1).reshape(-1, logits.shape[1]).float()  # a view in channels_last
        truth = labels.reshape(-1).long()
        flat = None if weights is None else weights.reshape(-1)
        if flat is not None:
            truth = truth.masked_fill(flat == 0, IGNORE)
        total = self._cross_entropy(rows, truth, flat) / self.total(labels, weights).clamp(min=1)
        if self.settings.kind != "dice_cross_entropy":
            return total
        share = self.settings.dice_share
        return (1 - share) * total + share * soft_dice(rows, truth, flat)

    def total(self, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the number of voxels that count: by it, means of parts of a batch are put together.

        That is exact but for Dice, which isn't a mean over voxels.
        """
        counts = labels != IGNORE
        return (counts if weights is None else counts & (weights > 0)).sum()

    def _cross_entropy(self, rows: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
        if weights is None and self.settings.kind != "focal":
            return F.cross_entropy(rows, truth, self.class_weights, ignore_index=IGNORE, reduction="sum")
        terms = F.cross_entropy(rows, truth, self.class_weights, ignore_index=IGNORE, reduction="none")
        if self.settings.kind == "focal":
            terms = terms * self._difficulty(rows, truth)
        return (terms if weights is None else terms * weights).sum()

    def _difficulty(self, rows: Tensor, truth: Tensor) -> Tensor:
        """(1 - p)^gamma of the true class's probability p (Lin et al. 2017, eq. 4)."""
        index = truth.masked_fill(truth == IGNORE, 0)[:, None]
        missing = (1 - rows.softmax(dim=1).gather(1, index)[:, 0]).clamp(
            min=1e-6
        )  # its power has a slope at 0
        return missing**self.settings.focal_gamma


def soft_dice(rows: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 1 - Dice, the mean over the classes that the labels show; logits (N, C), labels (N,).

    Milletari, Navab and Ahmadi (2016), with plain sums below the line and over the whole batch.
    """
    counts = (truth != IGNORE).float()
    if weights is not None:
        counts = counts * weights
    probabilities = torch.where(counts[:, None] > 0, rows, 0).softmax(dim=1) * counts[:, None]
    truths = F.one_hot(truth.masked_fill(truth == IGNORE, 0), rows.shape[1]) * counts[:, None]
    overlap, of_truth = (probabilities * truths).sum(dim=0), truths.sum(dim=0)
    dice = (2 * overlap + SMOOTH) / (probabilities.sum(dim=0) + of_truth + SMOOTH)
    shown = (of_truth > 0).float()
    return ((1 - dice) * shown).sum() / shown.sum().clamp(min=1)


def make_loss(settings: Loss, class_weights: Tensor) -> LossFunction:
    """Return the loss; ``class_weights`` (C,) float32, on the device of the logits."""
    return LossFunction(settings, class_weights)
