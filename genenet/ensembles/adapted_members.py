"""Fits the last layers of a member to labelled crops, once without each crop, and once with all of them."""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.adaptation import HEAD, LAYERS
from genenet.ensembles.ensemble import GENOME, WEIGHTS, Member
from genenet.genes.genome import read_genome
from genenet.networks.last_layers import piece_of
from genenet.networks.volume_statistics import with_statistics
from genenet.networks.weights import load_network, save_weights
from genenet.training.last_layers import LastLayers, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from genenet.core.geometry import Box
    from genenet.ensembles.description import MemberEntry
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.ensembles.labelled_crops import LabelledCrops
    from genenet.genes.plan import Plan

    Probabilities = list[NDArray[np.float32]]


@dataclass(frozen=True)
class FittedMember:
    """The new layers of a member, and its class probabilities (C, N) for each crop.

    Attributes:
        state: the layers that were fitted to all crops.
        before: of the old layers.
        left_out: of layers that were fitted to other crops.
    """

    state: State
    before: Probabilities
    left_out: Probabilities

    def member(self, folder: Path, entry: MemberEntry, plan: Plan) -> Member:
        """Return the member with the new layers.

        Args:
            folder: of the old ensemble.
            entry: of the member there.
            plan: of its network.
        """
        place = folder / entry.folder

        def write(new: Path) -> None:
            genome = read_genome(place / GENOME)
            network = load_network(genome, plan, place / WEIGHTS)
            shutil.copyfile(place / GENOME, new / GENOME)
            save_weights(network.state_dict() | self.state, genome.id, new / WEIGHTS)

        return Member(entry.run, entry.genome, entry.validation_ari, entry.weight, write)


@dataclass(frozen=True)
class MemberFitter:
    """Fits the members of an ensemble to crops.

    Attributes:
        ensemble: as it was read; its batch normalisations aren't merged into convolutions yet.
        crops: of one volume.
        parts: the boxes of each crop that are used.
        groups: crops that are left out together.
        layers: that are trained, a name of LAYERS.
        seed: of what is drawn.
        device: that computes.
    """

    ensemble: LoadedEnsemble
    crops: LabelledCrops
    parts: Sequence[Sequence[Box]]
    groups: Sequence[Sequence[int]]
    layers: str
    seed: int
    device: torch.device

    def only_head(self, index: int) -> bool:
        """Whether the head of a member is trained, though the last stack is asked for.

        Norms that need statistics of the volume would get others after the layers before them have changed.
        """
        return LAYERS[self.layers].are_convolved and self.ensemble.plans[index].needs_statistics

    def fit(self, index: int) -> FittedMember:
        """Fit the last layers of a member."""
        layers = self._layers(index)
        crops = range(len(self.crops.images))
        before = [layers.probabilities(crop, {}).cpu().numpy() for crop in crops]
        left_out = list(before)
        for group in self.groups:
            state = layers.fit([crop for crop in crops if crop not in group])
            for crop in group:
                left_out[crop] = layers.probabilities(crop, state).cpu().numpy()
        return FittedMember(layers.fit(crops), before, left_out)

    def _layers(self, index: int) -> LastLayers:
        network = self.ensemble.networks[index].placed(self.device).eval()
        if network.plan.needs_statistics:
            network = with_statistics(copy.deepcopy(network), self.crops.norm_statistics[index])
        pairs = zip(self.crops.images, self.parts, strict=True)
        pieces = [
            [piece_of(network, image.image, image.labels, image.normalisation, box) for box in boxes]
            for image, boxes in pairs
        ]
        kind = LAYERS[HEAD if self.only_head(index) else self.layers].function()
        layers: LastLayers = kind(network, pieces, self.ensemble.outputs, self.seed)
        return layers
