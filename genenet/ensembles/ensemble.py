"""An ensemble's folder: its description, and the genome and weights of each member."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.ensemble import COMBINATIONS
from genenet.config.start import DESCRIPTION as DESCRIPTION  # the file's name, for those that read ensembles
from genenet.core.atomic_files import atomic_path
from genenet.core.errors import naming
from genenet.core.outputs import Outputs
from genenet.ensembles.description import MemberEntry, read_description
from genenet.genes.genome import read_genome
from genenet.genes.plan import Plan, plan
from genenet.networks.tile_sizes import block_shape
from genenet.training.scores import read_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from genenet.config.segmentation import Segmentation
    from genenet.core.geometry import Triple
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.reference import Reference
    from genenet.networks.network import Network
    from genenet.networks.predictor import Predictor
    from genenet.objects.tuned import TunedObjects
    from genenet.training.outcomes import Outcome
    from genenet.volumes.normalisation import NormalisationRule

GENOME, WEIGHTS = "genome.json", "model.safetensors"  # of a member


@dataclass(frozen=True)
class Member:
    """A trained network that becomes a member of an ensemble.

    Attributes:
        run: its name.
        genome_id: the id of its genome.
        ari: on the validation images; None if it isn't defined.
        weight: of its probabilities in the ensemble's mean.
        write: writes GENOME and WEIGHTS into a new folder.
    """

    run: str
    genome_id: str
    ari: float | None
    weight: float
    write: Callable[[Path], None]

    @classmethod
    def of(cls, paths: ResultPaths, outcome: Outcome, weight: float) -> list[Member]:
        """Return the members that a genome of a search becomes: one, or one for each fold with an equal share."""
        share = weight / len(outcome.trainings)
        if not outcome.n_folds:
            return [cls.of_run(paths, outcome.run, outcome.genome, outcome.ari, share)]
        scores = {run: read_scores(paths.run(run).scores) for run in outcome.trainings}
        return [cls.of_run(paths, run, outcome.genome, fold.ari, share) for run, fold in scores.items()]

    @classmethod
    def of_run(cls, paths: ResultPaths, run: str, genome_id: str, ari: float | None, weight: float) -> Member:
        """Return the member that one training becomes."""

        def copy(folder: Path) -> None:
            shutil.copyfile(paths.genome(run), folder / GENOME)
            shutil.copyfile(paths.run(run).weights, folder / WEIGHTS)

        return cls(run, genome_id, ari, weight, copy)

    def entry(self, index: int) -> MemberEntry:
        """Return the member's entry in ensemble.json."""
        return MemberEntry(
            folder=f"members/{index:02d}",
            run=self.run,
            genome=self.genome_id,
            validation_ari=self.ari,
            weight=self.weight,
        )


def entries(members: Sequence[Member]) -> list[MemberEntry]:
    """Return the entries of members in ensemble.json, best first."""
    return [member.entry(index) for index, member in enumerate(members)]


def write_ensemble(folder: Path, members: Sequence[Member], description: EnsembleDescription) -> None:
    """Write an ensemble's folder: its description, and its members in the order of the description's entries."""
    with atomic_path(folder) as new:
        for member, entry in zip(members, description.members, strict=True):
            place = new / entry.folder
            place.mkdir(parents=True)
            member.write(place)
        description.write(new / DESCRIPTION)


@dataclass(frozen=True)
class LoadedEnsemble:
    """An ensemble that was read from its folder, ready for segmenting."""

    folder: Path
    outputs: Outputs  # of the networks
    voxel_size_nm: tuple[float, float, float]
    normalisation: NormalisationRule
    networks: list[Network]
    weights: list[float]  # of the members
    combination: str
    temperature: float | None  # of the probabilities; None: they weren't calibrated
    class_priors: list[float]  # factors of the probabilities, after the temperature; empty: none
    fingerprint: str  # of members and normalisation
    dtypes: list[str]  # of the training images; empty if an older version made the ensemble
    tuned_objects: Mapping[str, TunedObjects]  # by class
    reference: Reference | None  # what volumes are compared with; None if an older version made the ensemble

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by class id."""
        return list(self.outputs.classes)

    @property
    def plans(self) -> list[Plan]:
        """The networks' plans."""
        return [network.plan for network in self.networks]

    def block(self, settings: Segmentation) -> Triple:
        """Return the block size along z, y, x: that of the settings, or one that suits the networks."""
        return settings.block or block_shape(self.plans)

    def final(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return class probabilities (C, …) with the temperature and then the priors, if there are priors.

        Without priors the most probable class stays the same, and so do the probabilities here.
        """
        if not self.class_priors:
            return probabilities
        from genenet.metrics.calibration import with_priors, with_temperature

        tempered = with_temperature(probabilities, self.temperature) if self.temperature else probabilities
        return with_priors(tempered, self.class_priors)

    def predictor(self, device: torch.device, settings: Segmentation | None = None) -> Predictor:
        """Return a predictor with the networks, which are moved to the device."""
        from genenet.config.segmentation import Segmentation as Defaults
        from genenet.networks.device import compute_type
        from genenet.networks.predictor import Predictor
        from genenet.networks.symmetry import Turn, symmetries

        wanted = settings or Defaults()
        has_depth = any(plan.has_depth for plan in self.plans)
        return Predictor(
            [network.without_norms() for network in self.networks],
            device,
            weights=self.weights,
            combination="vote" if COMBINATIONS[self.combination].votes else "mean",
            turns=symmetries(has_depth) if wanted.turns else (Turn(),),
            disagreement=wanted.disagreement
            or bool(self.outputs.objects),  # at contacts of objects it is a doubt
            type=compute_type(wanted.compute, device),
            memory_bytes=wanted.memory_mb * 1e6,
            tile=wanted.tile,
            blended=wanted.blend,
            outputs=self.outputs,
        )


def load_ensemble(folder: Path) -> LoadedEnsemble:
    """Read an ensemble with its networks, on the CPU.

    Raises:
        InputError: If it isn't an ensemble, or a member's weights don't match its genome.
    """
    from genenet.networks.weights import load_network

    description = read_description(folder / DESCRIPTION)
    digest = hashlib.sha256((folder / DESCRIPTION).read_bytes())
    outputs, networks = description.outputs, []
    for entry in description.members:
        place = folder / entry.folder
        genome = read_genome(place / GENOME)
        with naming(place / GENOME):
            built = plan(genome.net, len(outputs))
        network = load_network(genome, built, place / WEIGHTS)
        digest.update((place / WEIGHTS).read_bytes())
        networks.append(network)
    return LoadedEnsemble(
        folder,
        outputs,
        description.voxel_size_nm,
        description.normalisation.rule,
        networks,
        weights=[member.weight for member in description.members],
        combination=description.combination,
        temperature=description.calibration.temperature if description.calibration else None,
        class_priors=description.class_priors,
        fingerprint=digest.hexdigest(),
        dtypes=description.dtypes,
        tuned_objects=description.tuned_objects,
        reference=description.reference,
    )
