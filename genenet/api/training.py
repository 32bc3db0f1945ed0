"""Random genomes, networks, trainings and scores from Python.

Arrays are (Z, Y, X), or (Y, X) for a single slice, of any kind that numpy accepts. Nothing is written to disk.
"""

from __future__ import annotations

import warnings
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
    labels_of,
    mask_of,
    threads_of_torch,
    volume_of,
)
from genenet.config.normalisation import NormalisationSettings
from genenet.config.presets import preset_regions
from genenet.config.search import Draws
from genenet.config.training import Training
from genenet.core.errors import InputError, naming
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.core.validation import validate
from genenet.metrics.contingency import Contingency, scores
from genenet.volumes.labels import ClassLabels, check_integers, check_type, first_label

if TYPE_CHECKING:
    from genenet.config.presets import Preset
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network
    from genenet.training.trainer import Row, Trainer
    from genenet.volumes.grey_values import GreyValues
    from genenet.volumes.normalisation import NormalisationRule

OF_FOLDERS = ("checkpoint_seconds", "data_memory_mb", "tensorboard")  # settings without effect on arrays


def make_phantom(shape: tuple[int, int, int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make a synthetic, labelled volume: platelets with organelles, as a block-face microscope shows them.

    Args:
        shape: voxels along z, y, x; a voxel is 40 x 10 x 10 nm.
        seed: not negative; the same seed and shape give the same voxels.

    Returns:
        Image and labels, both (Z, Y, X) uint8. The labels are indices into the seven names of
        ``genenet.phantoms.phantom.CLASSES``.

    Raises:
        InputError: If the shape or the seed is invalid.

    Example:
        >>> import genenet
        >>> image, labels = genenet.make_phantom((2, 64, 80), seed=1)
        >>> image.shape, int(labels.max()) < 7
        ((2, 64, 80), True)
    """
    from genenet.phantoms.phantom import slabs

    parts = [(image, labels) for _, image, labels in slabs(shape, seed)]
    return np.concatenate([image for image, _ in parts]), np.concatenate([labels for _, labels in parts])


def random_genome(
    regions: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    preset: Preset | None = None,
    seed: int = 0,
    index: int = 0,
) -> Genome:
    """Return the random genome number ``index`` of a search.

    It depends on the regions, the seed and the index alone, so it is the same on any machine.

    Args:
        regions: feasible regions by level of the gene (``net``: values; ``path``, ``stack``, ``layer``, ``edge``:
            deltas) and hyperparameter, as ``search.regions`` of config.yaml: ``[low, high]``, or one value.
        preset: regions by name (``modern``, ``published``), of which ``regions`` replace some.
        seed: the seed of the search, not negative.
        index: number of the genome in the search, from 0 on.

    Raises:
        InputError: If a region is invalid, or if none of 1000 draws can be built.

    Example:
        >>> import genenet
        >>> genome = genenet.random_genome({"net": {"n_convkernels": [6, 16], "n_stacks": [1, 3]}}, seed=1)
        >>> genome.name, 6 <= genome.net.value("n_convkernels") <= 16
        ('r0_000', True)
    """
    from genenet.genes.generation import draw as draw_genome

    with naming("random_genome"):
        written = preset_regions(preset, regions or {}) if preset is not None else regions or {}
    search = validate(Draws, {"seed": seed, "regions": written}, "random_genome")
    if not isinstance(index, int) or index < 0:
        raise InputError(f"random_genome: index: an integer of at least 0 is needed, not {index!r}")
    return draw_genome(search.feasible_regions(), search.seed, index)


def draw(regions: Mapping[str, Mapping[str, Any]] | None = None, **options: Any) -> Genome:
    """Return ``random_genome(regions, ...)``: its old name, which warns and will be removed in the next release.

    The command ``genenet draw`` makes a picture; one word must not mean both.
    """
    warnings.warn(
        "genenet.draw() is now genenet.random_genome(); the old name will be removed in the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    return random_genome(regions, **options)


def build(genome: Genome, n_classes: int) -> Network:
    """Build the network of a genome, a ``torch.nn.Module``, with random weights from torch's own generator.

    The network takes normalised images (B, 1, Z, Y, X) of at least ``network.plan.input_shape`` voxels and returns
    logits (B, n_classes, Z', Y', X'), which are smaller by the halo if convolutions are valid.

    Raises:
        InputError: If the network can't be built.

    Example:
        >>> import genenet, torch
        >>> genome = genenet.random_genome({"net": {"n_convkernels": 4, "n_stacks": 1, "input_size": 64}})
        >>> network = genenet.build(genome, n_classes=3)
        >>> network.plan.input_shape, network.plan.output_shape
        ((1, 64, 64), (1, 48, 48))
        >>> network(torch.zeros(2, 1, 1, 64, 64)).shape
        torch.Size([2, 3, 1, 48, 48])
    """
    from genenet.networks.network import Network

    return Network(_plan(genome, n_classes))


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
    plan = _plan(genome, len(classes))
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


def score(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    ignore_label: int | None = None,
) -> dict[str, Any]:
    """Compare classes with labels: ``ari`` (1 is perfect), ``accuracy``, ``mean_iou``, ``iou`` of each class.

    Args:
        labels: true class ids, integers of any 2D or 3D shape; from 1 on if ``ignore_label`` is 0.
        predicted: class ids from 0 on, integers of the same shape.
        classes: names by label id; by default there are as many classes as the largest id requires.
        ignore_label: voxels with this label aren't counted, nor are masked ones of numpy masked arrays.

    Returns:
        The scores by name; ``None`` where one isn't defined.

    Raises:
        InputError: If the arrays don't hold integers, differ in shape, or hold ids that aren't classes.

    Example:
        >>> import genenet
        >>> scores = genenet.score([[0, 0, 1], [0, 1, 1]], [[0, 0, 1], [1, 1, 1]])
        >>> round(scores["accuracy"], 3), scores["iou"]
        (0.833, [0.6666666666666666, 0.75])
    """
    prediction = volume_of(predicted, "predicted")
    check_type(prediction, "the classes are {}; give class ids as integers")
    given, ignored = labels_of(labels, "labels", ignore_label)
    truth = check_integers(given, prediction, "labels are {}; give integers")
    whole = Box.of_shape(truth.shape)
    ids, found = truth.read(whole), prediction.read(whole)
    inside = mask_of(predicted, "predicted")
    if inside:
        found[inside.read(whole) == 0] = 0  # ignored, whatever its value is
    known = ids[ids != ignored] if ignored is not None else ids
    largest = max(int(known.max(initial=0)) - first_label(ignored), int(found.max(initial=0)))
    n = len(classes) if classes is not None else 1 + largest
    if n > IGNORE:
        raise InputError(f"labels: ids up to {n - 1}; {IGNORE} classes are possible, from 0 on")
    contingency = Contingency.empty(n)
    true = ClassLabels(truth, n, ignored, inside).read(whole)
    if found.size and not 0 <= found.min() <= found.max() < n:
        raise InputError(
            f"predicted: ids {found.min()} to {found.max()}; those of {n} classes are 0 to {n - 1}"
        )
    contingency.add(true, found)
    return scores(contingency, classes)


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


def _plan(genome: Genome, n_classes: int) -> Plan:
    from genenet.genes.plan import plan

    if not 1 <= n_classes < IGNORE:
        raise InputError(f"{n_classes} classes: 1 to {IGNORE - 1} are possible")
    return plan(genome.net, n_classes)
