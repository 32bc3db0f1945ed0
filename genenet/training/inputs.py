"""What a training is made from, and the fingerprint of all that its weights depend on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

from genenet.core.contents import checksum_of
from genenet.core.resources import available_memory
from genenet.training.prepared_images import BORDER_MAP_BYTES, read_images
from genenet.training.trainer import Trainer

if TYPE_CHECKING:
    import torch

    from genenet.config.settings import TrainSettings
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.training.parent import Parent
    from genenet.training.prepared import Prepared

VERSION = 4  # of what a training does: raise it when the same settings no longer give the same weights
# They change no weight; of refit_iterations come the iterations of the refit, which count
OBSERVERS = {"device", "checkpoint_seconds", "data_memory_mb", "tensorboard", "refit_iterations"}
# Keys that were added later, and values with which the weights are as they were without them
LATER_KEYS: dict[tuple[str, ...], Any] = {
    ("training", "stopping", "metric"): "ari",
    ("training", "deep_supervision"): False,
    ("training", "augmentation", "rotation_degrees"): 0.0,
    ("training", "augmentation", "scaling"): 0.0,
    ("training", "augmentation", "curves"): 0.0,
    ("training", "augmentation", "random_convolutions"): 0.0,
}


@dataclass(frozen=True)
class Inputs:
    """What a training is made from, read from its files.

    Attributes:
        genome: that is trained.
        settings: of the training.
        train: images.
        validation: images.
        parent: whose weights the training begins with; None: it begins with random weights.
    """

    genome: Genome
    settings: TrainSettings
    train: Prepared
    validation: Prepared
    parent: Parent | None = None

    @property
    def fingerprint(self) -> str:
        """What a checkpoint must agree with: all that the weights depend on.

        The number of iterations is left out if the iterations that were done are the first ones of a longer training.
        """
        training = self.settings.training
        is_longer_alike = (
            not training.schedule.depends_on_end and not training.iterations % training.validation_interval
        )
        unused = OBSERVERS | ({"iterations"} if is_longer_alike else set())
        # which weights a training starts from is said by their checksum
        settings = self.settings.model_dump(mode="json", exclude={"training": unused, "starts": True})
        for (*sections, key), default in LATER_KEYS.items():
            section = reduce(getitem, sections, settings)
            if section[key] == default:
                del section[key]
        images = len(self.train.classes), self.train.checksum, self.validation.checksum
        return checksum_of([VERSION, self.genome.id, settings, *images, *self._parent_parts])

    @property
    def _parent_parts(self) -> list[str]:
        if self.parent is None:
            return []
        is_new_head = bool(self.parent.other_classes(self.train.outputs))
        return [self.parent.checksum, *["new head"] * is_new_head]

    def trainer(self, network_plan: Plan, device: torch.device, is_new: bool = True) -> Trainer:
        """Read the images, and return a trainer at iteration 0.

        The weights of the parent are only read if the training ``is_new``, and not continued from a checkpoint.
        """
        settings, train = self.settings.training, self.train
        rule = train.rule(self.settings.normalisation)
        memory = settings.data_memory_mb * 1e6 if settings.data_memory_mb else available_memory() / 2
        weight_bytes = BORDER_MAP_BYTES if settings.loss.border_weight else 0
        train_images, validation_images = read_images((train, self.validation), rule, memory, weight_bytes)
        return Trainer(
            self.genome,
            network_plan,
            train_images,
            validation_images,
            train.output_counts,
            settings,
            self.settings.seed,
            device,
            self.settings.repeat,
            self.parent if is_new else None,
            outputs=train.outputs,
        )
