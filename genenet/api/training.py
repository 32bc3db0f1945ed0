"""Trainings from Python.

Arrays are (Z, Y, X), or (Y, X) for a single slice, of any kind that numpy accepts. Nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import NonNegativeInt

from genenet.api.arrays import (
    LabelledArrays,
    Pair,
    labelled_arrays,
    threads_of_torch,
)
from genenet.api.genomes import plan_of
from genenet.config.normalisation import NormalisationSettings
from genenet.config.training import Training
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.validation import validate
from genenet.metrics.contingency import Contingency, scores

if TYPE_CHECKING:
    from genenet.genes.genome import Genome
    from genenet.networks.network import Network
    from genenet.training.trainer import Row, Trainer
    from genenet.volumes.grey_values import GreyValues
    from genenet.volumes.normalisation import NormalisationRule

OF_FOLDERS = ("checkpoint_seconds", "data_memory_mb", "tensorboard")  # settings without effect on arrays


@dataclass(frozen=True)
class Trained:
    """A trained network, and its prediction of the validation image.

    Attributes:
        genome: the genome of the network.
        network: the network, with the weights of the best validation.
        history: one row for each validation: ``iteration``, ``training_loss``, ``learning_rate``,
            ``validation_ari``, ``seconds``.
        scores: on the validation image; see ``score``.
        probabilities: of the classes in the validation image, (C, Z, Y, X) uint8; 255 stands for 1.
        labels: of the validation image, (Z, Y, X) uint8; 255 where nothing is scored.
        classes: names by class id.
        normalisation: the rule by which images are normalised.
        dtypes: types of the training images.
        greys: the normalised grey values of the training images and the validation image.
        inside: voxels of the validation image that aren't masked, (Z, Y, X); None if no voxel is masked.
    """

    genome: Genome
    network: Network
    history: list[Row]
    scores: dict[str, Any]
    probabilities: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: list[str]
    normalisation: NormalisationRule
    dtypes: list[str]
    greys: list[GreyValues] = field(default_factory=list)
    inside: NDArray[np.bool] | None = None  # np.bool_ would be a link in the documentation

    @property
    def ari(self) -> float:
        """Adjusted Rand index on the validation image; 1 is perfect, nan if no voxel of it is labelled."""
        value = self.scores["ari"]
        return float("nan") if value is None else float(value)

    @property
    def dtype(self) -> str:
        """Type of the training image; of several types the first in alphabetical order."""
        return self.dtypes[0]

    def __repr__(self) -> str:
        return f"<Trained {self.genome.name} ({self.genome.id}): validation ARI {self.ari:.3f}>"


def train(
    genome: Genome,
    image: ArrayLike,
    labels: ArrayLike,
    *,
    validation: Pair,
    classes: Sequence[str],
    more: Sequence[Pair] = (),
    ignore_label: int | None = None,
    normalisation: str | Mapping[str, Any] = "volume",
    seed: int = 0,
    show: Callable[[Trainer], None] | None = None,
    **settings: Any,
) -> Trained:
    """Train the network of a genome; the same settings give the same weights as ``genenet train``.

    Args:
        genome: the genome whose network is trained.
        image: (Z, Y, X) or (Y, X), integers or floats, at least as large as the network's input.
        labels: integers of the same shape: class ids, from 0 on (from 1 on if ``ignore_label`` is 0).
        validation: another image and its labels, which choose the weights and give the score.
        classes: names by label id.
        more: further training images, each with its labels, of any sizes.
        ignore_label: voxels with this label are neither learnt nor scored, nor are masked ones of a numpy masked array.
            The masked voxels of an image count nowhere: neither in its normalisation, nor do networks see them.
        normalisation: ``data.normalisation`` of config.yaml: (x - mean) / deviation of each ``volume`` (an array is
            a whole image, so ``image`` is the same), each ``slice``, or of the ``training`` images for all, which suits
            two regions of one image; or a mapping such as ``{"over": "slice", "by": "percentiles"}``.
        seed: not negative; it is combined with the genome's id.
        show: a function that is called with the Trainer (``trainer.iteration``, ``trainer.history``) after each
            iteration.
        **settings: keys of ``training:`` in config.yaml: ``iterations``, ``batch_size``, ``threads``, ``device``,
            ``validation_interval``, ``precision``, ``loss``, ``augmentation``, ``optimiser``, ``schedule`` …

    Returns:
        The network with the weights of the best validation, its history and its scores.

    Raises:
        InputError: If an image, labels or a setting are wrong; the message says what would be right.
        Diverged: If the loss is no longer finite.

    Example:
        >>> import genenet
        >>> from genenet.phantoms.phantom import CLASSES
        >>> genome = genenet.random_genome({"net": {"n_convkernels": 4, "n_stacks": 1, "input_size": 64}})
        >>> trained = genenet.train(
        ...     genome,
        ...     *genenet.make_phantom((1, 96, 96), seed=1),
        ...     validation=genenet.make_phantom((1, 96, 96), seed=2),
        ...     classes=CLASSES,
        ...     iterations=4,
        ...     threads=1,
        ... )
        >>> trained.history[-1].iteration, trained.probabilities.shape
        (4, (7, 1, 96, 96))
    """
    from genenet.networks.device import choose_device
    from genenet.training.trainer import Trainer

    chosen = arguments({**settings, "seed": seed, "normalisation": normalisation}, "train")
    plan = plan_of(genome, len(classes))
    ids, images = (len(classes), ignore_label), [(image, labels), *more]
    data = labelled_arrays(images, [validation], ids, chosen.normalisation, plan.input_shape)
    with threads_of_torch(chosen.threads):
        device = choose_device(chosen.device)
        trainer = Trainer(genome, plan, data.train, data.validation, data.counts, chosen, chosen.seed, device)
        for _ in trainer.run():
            if show:
                show(trainer)
        return _result(trainer, genome, classes, data)


def _result(trainer: Trainer, genome: Genome, classes: Sequence[str], data: LabelledArrays) -> Trained:
    (validation,) = data.validation
    trainer.use_best()
    levels = np.concatenate([found for _, found in trainer.predict(validation)], axis=1)
    contingency = Contingency.empty(len(classes))
    contingency.add(validation.labels, levels.argmax(axis=0))
    trainer.network.forget_activations()
    mask = validation.inside
    return Trained(
        genome=genome,
        network=trainer.network,
        history=trainer.history,
        scores=scores(contingency, classes),
        probabilities=levels,
        labels=validation.labels,
        classes=list(classes),
        normalisation=data.rule,
        dtypes=data.dtypes,
        greys=[greys for image in [*data.train, validation] if (greys := image.grey_values())],
        inside=mask.read(Box.of_shape(mask.shape)) != 0 if mask else None,
    )


class Arguments(Training):
    """The settings of a training, and the other arguments of ``train`` and ``refit``."""

    seed: NonNegativeInt
    normalisation: NormalisationSettings


def arguments(values: Mapping[str, Any], function: str) -> Arguments:
    """Check the settings that a function of this package was given; raises InputError."""
    for name in OF_FOLDERS:
        if name in values:
            raise InputError(
                f"{function}: {name}: is a setting of genenet train, which writes a folder; leave it out"
            )
    if values.get("refit_iterations") is not None:
        raise InputError(
            f"{function}: refit_iterations: is a key of config.yaml only; give iterations, those of each network"
        )
    return validate(Arguments, values, function)
