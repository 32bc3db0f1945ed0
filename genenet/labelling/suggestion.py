"""Chooses boxes of a segmented volume for labelling, and writes them as a folder of boxes.

The volume is read twice: block by block for the sums over all boxes, and then only in the boxes that are chosen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.labelling import WAYS
from genenet.core.atomic_files import atomic_path, write_csv
from genenet.core.errors import InputError
from genenet.core.geometry import Box, by, each
from genenet.labelling.box_files import BoxFiles
from genenet.labelling.lattice import BoxLattice, CellSums
from genenet.labelling.overview import PicturedBox, overview
from genenet.labelling.seen_features import SeenFeatures
from genenet.labelling.ways import Choosing
from genenet.segmentation.receipts import show_nothing
from genenet.volumes.boxes import COLUMNS, OVERVIEW, TABLE, BoxRow, BoxStatistics, VolumeOfBoxes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from genenet.config.labelling import SuggestionSettings
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.labelling.segmented import SegmentedVolume
    from genenet.segmentation.receipts import Show

DISAGREEMENT, UNCERTAINTY = "disagreement", "uncertainty"  # channels
LEAST_SHARE = (
    1e-3  # of the volume; rarer classes count as if they had it, since many of their voxels are errors
)

log = logging.getLogger(__name__)


def channel_of(way: str, n_networks: int) -> str:
    """Return the channel that says how much is learned from a voxel."""
    if way != "entropy" and n_networks > 1:
        return DISAGREEMENT
    if way == DISAGREEMENT:
        log.warning("the ensemble is a single network, which can't disagree with itself: its entropy is used")
    return UNCERTAINTY


@dataclass(frozen=True)
class BoxSums:
    """What all boxes of a lattice hold, summed over the voxels inside the mask.

    Attributes:
        voxels: of each class, (C, N).
        doubt: of each class's voxels, summed, (C, N).
        in_volume: voxels of each class in the whole volume, (C,).
        doubt_in_volume: mean of the whole volume.
    """

    voxels: NDArray[np.float64]
    doubt: NDArray[np.float64]
    in_volume: NDArray[np.float64]
    doubt_in_volume: float

    @classmethod
    def of(cls, lattice: BoxLattice, sums: CellSums) -> BoxSums:
        """Return the sums of boxes of those of cells."""
        whole = sums.voxels.sum(axis=(1, 2, 3))
        mean = float(sums.doubt.sum() / max(1.0, whole.sum()))
        return cls(lattice.of_boxes(sums.voxels), lattice.of_boxes(sums.doubt), whole, mean)

    @property
    def inside(self) -> NDArray[np.float64]:
        """Voxels of each box inside the mask, (N,)."""
        return np.asarray(self.voxels.sum(axis=0))

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of each class in the volume, (C,)."""
        found: NDArray[np.float64] = self.in_volume / max(1.0, self.in_volume.sum())
        return found

    def scores(self, balance: float) -> NDArray[np.float64]:
        """Return the mean doubt of each box, (N,), in which voxels of rare classes count more; see the settings."""
        weights = np.maximum(self.shares, LEAST_SHARE) ** -balance
        weights /= max(float(weights @ self.shares), 1e-9)  # 1 for a voxel of the volume, on average
        return np.asarray((weights @ self.doubt) / np.maximum(self.inside, 1.0))


@dataclass(frozen=True)
class SuggestionJob:
    """Chooses boxes of a segmentation, and writes them.

    Attributes:
        segmented: the volume.
        ensemble: that segmented it.
        settings: how many boxes, and how they are chosen.
        device: of the networks.
        out: the folder to write, which must not exist.
        channel: that says how much is learned from a voxel.
        labelled: boxes that are labelled already, in voxels of the whole image.
    """

    segmented: SegmentedVolume
    ensemble: LoadedEnsemble
    settings: SuggestionSettings
    device: torch.device
    out: Path
    channel: str
    labelled: Sequence[Box] = field(default_factory=list)

    @cached_property
    def lattice(self) -> BoxLattice:
        """The places that a box may have in the segmented region."""
        shape, size = self.segmented.store.shape, self.settings.size
        fitting = each(min, shape, size)
        if fitting != size:
            log.warning(
                "boxes are %s voxels (z, y, x), since the volume is %s: --size %s doesn't fit",
                *(by(fitting), by(shape), by(size)),
            )
        return BoxLattice(shape, fitting)

    def run(self, show: Show = show_nothing) -> list[BoxRow]:
        """Choose and write the boxes; return their rows, the first one chosen first.

        Raises:
            InputError: If no box fits into the mask, or beside what is labelled, or the folder exists.
        """
        check_new(self.out)
        sums = self._sums(show)
        known = self._choosing(sums)
        chosen: list[int] = WAYS[self.settings.by].function()(known)
        if len(chosen) < self.settings.n:
            log.warning("%d boxes are suggested instead of %d: no more fit", len(chosen), self.settings.n)
        rows = [self._row(number, index, known, sums) for number, index in enumerate(chosen, start=1)]
        self._write(rows)
        return rows

    def _sums(self, show: Show) -> BoxSums:
        """Read the whole segmentation once, block by block."""
        store, mask = self.segmented.store, self.segmented.mask
        sums, blocks = CellSums(self.lattice, len(self.segmented.classes)), store.blocks
        for done, block in enumerate(blocks, start=1):
            counts = mask.volume.read(block) != 0 if mask else None
            if counts is None or counts.any():
                doubt = self.segmented.values(self.channel, block)
                sums.add(block, self.segmented.labels(block), doubt, counts)
            show(done, len(blocks), block)
        return BoxSums.of(self.lattice, sums)

    def _choosing(self, sums: BoxSums) -> Choosing:
        seen = self.segmented
        labelled = [box.relative_to(seen.origin) for box in self.labelled]
        whole = sums.inside >= Box.of_shape(self.lattice.size).n_voxels
        if not whole.any():
            share = sums.inside.max() / Box.of_shape(self.lattice.size).n_voxels
            raise InputError(
                f"no box of {by(self.lattice.size)} voxels lies inside the mask, at most {share:.0%} of one; give a "
                "smaller --size"
            )
        allowed = whole & ~self.lattice.meets(labelled)
        if not allowed.any():
            raise InputError(
                f"no box of {by(self.lattice.size)} voxels is left beside those that are labelled; give "
                "a smaller --size"
            )
        return Choosing(
            self.settings,
            self.lattice,
            allowed,
            sums.scores(self.settings.balance),
            [box for box in labelled if _has_voxels(box.intersect(Box.of_shape(seen.store.shape)))],
            self._features,
            seen.store.voxel_size_nm,
        )

    def _features(self, boxes: Sequence[Box]) -> NDArray[np.float64]:
        predictor = self.ensemble.predictor(self.device).with_statistics(self.segmented.norm_statistics)
        return SeenFeatures(predictor.networks, self.segmented.seen, self.segmented.normalisation).of(boxes)

    def _row(self, number: int, index: int, known: Choosing, sums: BoxSums) -> BoxRow:
        place = known.lattice.box(index).shift(self.segmented.origin)
        digits = max(2, len(str(self.settings.n)))
        z, y, x = place.start
        depth, height, width = place.shape
        return BoxRow(
            box=f"box_{number:0{digits}d}",
            z=z,
            y=y,
            x=x,
            depth=depth,
            height=height,
            width=width,
            score=float(known.scores[index]),
            reason=self._reason(index, sums),
        )

    def _reason(self, index: int, sums: BoxSums) -> str:
        """Say for people why a box was chosen: the way, its doubt, and the class that it holds more of than others."""
        mean = float(sums.doubt[:, index].sum() / sums.inside[index])
        texts = [] if self.settings.by in (DISAGREEMENT, "entropy") else [WAYS[self.settings.by].text]
        times = f" ({mean / sums.doubt_in_volume:.1f} times the volume's)" if sums.doubt_in_volume else ""
        texts.append(f"{self.channel} {mean:.3f}{times}")
        shares = sums.voxels[:, index] / sums.inside[index]
        richer = np.where(shares > 0.005, shares / np.maximum(sums.shares, 1e-9), 0.0)
        richer[0] = 0.0
        most = int(richer.argmax())
        if richer[most] > 1.5:
            texts.append(
                f"{shares[most]:.1%} {self.segmented.classes[most]}, the volume has {sums.shares[most]:.1%}"
            )
        return "; ".join(texts)

    def _write(self, rows: Sequence[BoxRow]) -> None:
        seen, pictures = self.segmented, []
        with atomic_path(self.out) as folder:
            folder.mkdir()
            files = BoxFiles(
                folder, seen.classes, seen.store.voxel_size_nm, self._volume().translation_nm or (0.0,) * 3
            )
            for row in rows:
                box = row.place.relative_to(seen.origin)
                image, labels = seen.image.read(box), seen.labels(box)
                files.write(row, image, labels, seen.channel(UNCERTAINTY, box))
                pictures.append(PicturedBox.of(row, image, labels, seen.values(self.channel, box)))
            write_csv(folder / TABLE, COLUMNS, [row.cells for row in rows])
            self._volume().write(folder)
            (folder / OVERVIEW).write_bytes(overview(pictures, seen.classes, self.channel))

    def _volume(self) -> VolumeOfBoxes:
        seen = self.segmented
        size_nm, first = seen.store.voxel_size_nm, seen.origin
        place = each(lambda at, start, size: at - start * size, seen.store.translation_nm, first, size_nm)
        found = seen.normalisation
        mean, deviation = (_of_all_slices(values, first[0]) for values in (found.mean, found.deviation))
        return VolumeOfBoxes(
            source=", ".join(str(path) for path in seen.source.image[:2])
            + " …" * (len(seen.source.image) > 2),
            voxel_size_nm=size_nm,
            statistics=BoxStatistics(mean=mean, deviation=deviation, norm_statistics=seen.norm_statistics),
            classes=seen.classes,
            ensemble=str(self.ensemble.folder.absolute()),
            files=seen.source,
            shape=seen.whole.shape,
            translation_nm=place,
            suggestion={**self.settings.model_dump(mode="json"), "channel": self.channel},
        )


def check_new(folder: Path) -> None:
    """Raise InputError if a folder of boxes exists: a person may have worked on it."""
    if folder.exists():
        raise InputError(
            f"{folder}: exists, and a person may have labelled its boxes; write to another folder"
        )


def _of_all_slices(values: NDArray[np.float64], first: int) -> list[float]:
    """Return statistics of a region's slices by the slice of the whole image; those before the region are unused."""
    found: list[float] = values.tolist()
    return found if len(found) == 1 else [found[0]] * first + found


def _has_voxels(box: Box) -> bool:
    return min(box.shape) > 0
