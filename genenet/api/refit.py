"""Trains the members of an ensemble anew on all labelled images, validation images included."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from genenet.api.arrays import LabelledArrays, Pair, labelled_arrays, threads_of_torch
from genenet.api.ensemble import Ensemble, load_ensemble
from genenet.api.selection import new_member
from genenet.api.training import arguments
from genenet.config.stages import REFIT_REPEAT
from genenet.core.errors import InputError
from genenet.core.validation import validate
from genenet.ensembles import ensemble as on_disk
from genenet.ensembles.description import ClassVoxels, EnsembleDescription, NormalisationEntry, Refit
from genenet.genes.genome import read_genome
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genenet.api.training import Arguments
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network
    from genenet.training.trainer import Trainer


def refit(
    ensemble: Ensemble,
    images: Sequence[Pair],
    *,
    ignore_label: int | None = None,
    seed: int = 0,
    show: Callable[[Trainer], None] | None = None,
    **settings: Any,
) -> Ensemble:
    """Return the ensemble with members that were trained again, from random weights, on all labelled images.

    Give the training and the validation images together, and the settings of the first trainings. Members, their
    weights in the mean, and scores stay those that validation chose: no image is left that could score the new
    networks. The weights at the end of each training are kept. Members of the same genome get different random numbers.

    Args:
        ensemble: of ``make_ensemble`` or ``load_ensemble``.
        images: pairs of an image and its labels, as in ``train``.
        ignore_label: as in ``train``.
        seed: as in ``train``.
        show: as in ``train``.
        **settings: as in ``train``; ``iterations`` are those of each member.

    Raises:
        InputError: If an image, labels or a setting are wrong.
        Diverged: If the loss of a training is no longer finite.

    Example:
        >>> import genenet
        >>> from genenet.phantoms.phantom import CLASSES
        >>> train, validation = (genenet.make_phantom((1, 96, 96), seed) for seed in (1, 2))
        >>> genome = genenet.random_genome({"net": {"n_convkernels": 4, "n_stacks": 1, "input_size": 64}})
        >>> settings = {"iterations": 4, "threads": 1}
        >>> trained = genenet.train(genome, *train, validation=validation, classes=CLASSES, **settings)
        >>> ensemble = genenet.make_ensemble([trained], voxel_size_nm=(40, 10, 10))
        >>> refitted = genenet.refit(ensemble, [train, validation], **settings)
        >>> refitted.members == ensemble.members
        True
    """
    description = validate(EnsembleDescription, ensemble.description, "refit")
    if description.objects:
        raise InputError(
            "refit: the ensemble tells objects apart, and arrays of class labels don't show their borders; use the "
            "workflow with ensemble.refit: true"
        )
    mode = description.normalisation.mode
    chosen = arguments({**settings, "seed": seed, "normalisation": mode}, "refit").without_validation()
    with TemporaryDirectory() as folder:
        before, after = ensemble.save(Path(folder) / "before"), Path(folder) / "after"
        entries = description.by_run  # one network takes the place of those of all folds
        genomes = [read_genome(before / entry.folder / on_disk.GENOME) for entry in entries]
        plans = [plan(genome.net, len(description.outputs)) for genome in genomes]
        ids = len(description.classes), ignore_label
        largest = max((each.input_shape for each in plans), key=lambda shape: shape[1])
        data = labelled_arrays(images, [], ids, mode, largest)
        with threads_of_torch(chosen.threads):
            networks = [
                _trained(genome, each, data, chosen, repeat, show)
                for genome, each, repeat in zip(genomes, plans, _repeats(genomes), strict=True)
            ]
        members = [
            new_member(genome, network, entry.run, entry.validation_ari, entry.weight)
            for genome, network, entry in zip(genomes, networks, entries, strict=True)
        ]
        changes = {**_changes(description, data), "members": on_disk.entries(members)}
        on_disk.write_ensemble(after, members, description.model_copy(update=changes))
        return load_ensemble(after)


def _trained(
    genome: Genome,
    network_plan: Plan,
    data: LabelledArrays,
    chosen: Arguments,
    repeat: int,
    show: Callable[[Trainer], None] | None,
) -> Network:
    """Train a network to the end, with the random numbers of the workflow's refits."""
    from genenet.networks.device import choose_device
    from genenet.training.trainer import Trainer

    device = choose_device(chosen.device)
    trainer = Trainer(genome, network_plan, data.train, [], data.counts, chosen, chosen.seed, device, repeat)
    for _ in trainer.run():
        if show:
            show(trainer)
    trainer.use_best()
    return trainer.network


def _repeats(genomes: Sequence[Genome]) -> list[int]:
    """Return the number of each training among those of its genome, from REFIT_REPEAT on."""
    ids = [genome.id for genome in genomes]
    return [REFIT_REPEAT + ids[:index].count(each) for index, each in enumerate(ids)]


def _changes(description: EnsembleDescription, data: LabelledArrays) -> dict[str, object]:
    """Return what the new weights change in the description."""
    voxels, reference = description.class_voxels, description.reference
    greys = [found for image in data.train if (found := image.grey_values())]
    return {
        "reference": reference and reference.model_copy(update={"images": greys}),
        "refit": Refit(
            images=[image.name for image in data.train],
            refitted=description.runs,
        ),
        "normalisation": NormalisationEntry.of(data.rule),
        "dtypes": data.dtypes,
        "class_voxels": ClassVoxels(train=data.counts, validation=voxels.validation) if voxels else None,
    }
