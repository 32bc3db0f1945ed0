"""Labelled crops of a volume that an ensemble is adapted to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.errors import InputError
from genenet.core.ignore import IGNORE
from genenet.core.random_streams import Stream
from genenet.training.prepared_images import LabelledArray
from genenet.volumes.base import ArrayVolume
from genenet.volumes.boxes import TABLE, read_boxes, read_volume_of_boxes
from genenet.volumes.grey_values import GreyValues, grey_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.core.geometry import Box
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.networks.volume_statistics import Statistics

MOST_VOXELS = 2**19  # of all crops together, on which layers are fitted and scored


@dataclass(frozen=True)
class LabelledCrops:
    """Labelled crops of one volume.

    Attributes:
        images: image and labels of each, with the normalisation of the volume.
        source: the volume, for people.
        norm_statistics: of the volume, for each member of the ensemble; empty if no member needs any.
    """

    images: Sequence[LabelledArray]
    source: Any = None
    norm_statistics: Sequence[Statistics] = ()

    @classmethod
    def read(cls, folder: Path, classes: Sequence[str]) -> LabelledCrops:
        """Read the boxes of a folder that a person has been through.

        Args:
            folder: of the boxes.
            classes: of the ensemble.

        Raises:
            InputError: If there are none, their classes aren't those of the ensemble, or a file is wrong.
        """
        volume = read_volume_of_boxes(folder)
        if list(volume.classes) != list(classes):
            raise InputError(
                f"{folder}: the boxes have the classes {', '.join(volume.classes)}, the ensemble has "
                f"{', '.join(classes)}; label boxes that were suggested with this ensemble"
            )
        rows = [row for row in read_boxes(folder) if row.reviewed]
        if not rows:
            raise InputError(
                f"{folder / TABLE}: no box is marked as reviewed; write yes into the column reviewed of each box that "
                "you have been through"
            )
        images = [
            LabelledArray(row.box, *row.read(folder, len(classes)), volume.normalisation(row.z, row.depth))
            for row in rows
        ]
        return cls(images, volume.source, volume.statistics.norm_statistics)

    def check(self, ensemble: LoadedEnsemble) -> None:
        """Raise InputError if the crops can't teach an ensemble, or show whether it is better afterwards."""
        counts = self.voxels(len(ensemble.classes))
        for image, of_classes in zip(self.images, counts, strict=True):
            if not sum(of_classes):
                raise InputError(
                    f"{image.name}: no voxel has a class; label some, or take the mark as reviewed away"
                )
        if len(self.images) < 2:
            raise InputError(
                "one reviewed box can't show whether the new ensemble is better; go through at least two boxes"
            )
        if np.count_nonzero(np.sum(counts, axis=0)) < 2:
            raise InputError(
                "the reviewed boxes show one class only; go through a box that shows another class, too"
            )
        needs = [plan.needs_statistics for plan in ensemble.plans]
        if any(needs) and len(self.norm_statistics) != len(needs):
            raise InputError(
                f"the boxes hold the norms' statistics for {len(self.norm_statistics)} networks, and the ensemble has "
                f"{len(needs)}; suggest them again with this ensemble"
            )

    def voxels(self, n_classes: int) -> list[list[int]]:
        """Return the labelled voxels of each class, for each crop."""
        counts = (np.bincount(image.labels.ravel(), minlength=IGNORE + 1) for image in self.images)
        return [of_crop[:n_classes].tolist() for of_crop in counts]

    @cached_property
    def greys(self) -> list[GreyValues]:
        """The normalised grey values of the crops."""
        images = [(ArrayVolume(image.image, image.name), image.normalisation) for image in self.images]
        return [found for volume, norm in images if (found := grey_values(volume, norm))]

    def parts(self, has_depth: bool, seed: int) -> list[list[Box]]:
        """Return the boxes of each crop that are used: all that hold labels, or of large crops some that are drawn.

        Args:
            has_depth: whether a network of the ensemble takes several slices.
            seed: of what is drawn.
        """
        from genenet.networks.last_layers import boxes_of_pieces

        rng = Generator(PCG64(SeedSequence(seed, spawn_key=(Stream.ADAPTATION, 1))))
        found = []
        for image in self.images:
            boxes = boxes_of_pieces(image.labels.shape, has_depth)
            labelled = [box for box in boxes if (image.labels[box.slices] != IGNORE).any()]
            most = max(1, MOST_VOXELS // len(self.images) // labelled[0].n_voxels)
            chosen = sorted(rng.permutation(len(labelled))[:most].tolist())
            found.append([labelled[i] for i in chosen])
        return found

    def truths(self, parts: Sequence[Sequence[Box]]) -> list[NDArray[np.uint8]]:
        """Return the classes (N,) of the labelled voxels of the boxes of each crop, in order."""
        pairs = zip(self.images, parts, strict=True)
        pieces = [[image.labels[box.slices] for box in boxes] for image, boxes in pairs]
        return [np.concatenate([labels[labels != IGNORE] for labels in of_crop]) for of_crop in pieces]
