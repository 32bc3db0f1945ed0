"""The objects of a labelled image that is prepared: their sizes, the borders that networks learn, and checks."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cc3d
import numpy as np

from genenet.core.geometry import Box
from genenet.core.outputs import Outputs
from genenet.training.object_targets import Borders
from genenet.volumes.sampling import slabs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genenet.config.objects import ObjectTarget
    from genenet.config.settings import PrepareSettings
    from genenet.training.sources import Source
    from genenet.volumes.base import Volume

SHARE = 1 / 8  # of an object's diameter in the plane that its border takes
WIDEST = 4  # voxels
CHECKED_VOXELS = 2**27  # of which a check for pieces takes about 3 GB

log = logging.getLogger(__name__)


def borders_of(source: Source, settings: PrepareSettings) -> list[Borders]:
    """Return the borders of the objects of an image that networks learn, class by class."""
    outputs = Outputs(settings.classes, settings.objects)
    known = [target for target in settings.objects if target.name in source.instances]
    return [
        find_borders(
            target, source.instances[target.name], outputs, settings.voxel_size_nm, settings.sees_depth
        )
        for target in known
    ]


def count_targets(source: Source, borders: Sequence[Borders], hashes: dict[str, Any]) -> NDArray[np.int64]:
    """Return the voxels (256,) of each output; add the hashes of targets and objects."""
    counts = np.zeros(256, np.int64)
    hashes |= {name: hashlib.sha256() for name in ("targets", *source.instances)}
    for box in slabs(source.image.shape):
        targets = targets_of(source, borders, box)
        hashes["targets"].update(targets.data)
        for name, ids in source.instances.items():
            hashes[name].update(ids.read(box).data)
        counts += np.bincount(targets.reshape(-1), minlength=256)
    return counts


def targets_of(source: Source, borders: Sequence[Borders], box: Box) -> NDArray[np.uint8]:
    """Return the output (Z, Y, X) that networks learn at each voxel of a box, or IGNORE.

    Raises:
        InputError: If an object contains a voxel of a class that it can't.
    """
    labels = source.labels.read(box)
    targets = labels.copy()
    for each in borders:
        each.paint(box, labels, targets)
    return targets


@dataclass
class ObjectSizes:
    """The size of each object, collected box by box: lists of arrays, an entry for each object in a slice of a box."""

    ids: list[NDArray[np.uint64]] = field(default_factory=list)
    slices: list[NDArray[np.int64]] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, z: int, ids: NDArray[np.uint64]) -> None:
        """Count the objects (Z, Y, X) of a box that begins at slice ``z``."""
        for offset, plane in enumerate(ids):
            found, counts = np.unique(plane, return_counts=True)
            found, counts = found[found != 0], counts[found != 0]
            self.ids.append(found)
            self.slices.append(np.full(len(found), z + offset))
            self.counts.append(counts)

    def diameters(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Return all objects, in order, and the diameters in voxels of discs as large as their mean slice."""
        if not sum(map(len, self.ids)):
            return np.zeros(0, np.uint64), np.zeros(0)
        ids, place = np.unique(np.concatenate(self.ids), return_inverse=True)
        voxels = np.bincount(place, np.concatenate(self.counts))
        seen = np.unique(
            np.stack([place, np.concatenate(self.slices)]), axis=1
        )  # rows of a slice may be apart
        return ids, 2 * np.sqrt(voxels / np.bincount(seen[0]) / math.pi)


def find_borders(
    target: ObjectTarget,
    ids: Volume,
    outputs: Outputs,
    voxel_size_nm: Sequence[float],
    sees_depth: bool,
) -> Borders:
    """Measure the objects of one class in an image.

    Args:
        target: the class.
        ids: the numbers of the objects.
        outputs: of the networks.
        voxel_size_nm: along z, y, x.
        sees_depth: whether a network may see several slices.
    """
    sizes = ObjectSizes()
    for box in slabs(ids.shape):
        sizes.add(box.start[0], ids.read(box))
    found, diameters = sizes.diameters()
    number = [each.name for each in outputs.objects].index(target.name)
    *of, border = outputs.parts(number)
    widths = widths_nm(diameters, target.border_nm, min(voxel_size_nm[1:]))
    own = outputs.borders[number][1]
    warn_of_pieces(ids, found)
    return Borders(target, ids, of, own, border, found, widths, voxel_size_nm, sees_depth)


def warn_of_pieces(ids: Volume, found: NDArray[np.uint64]) -> None:
    """Warn of objects in pieces that don't touch: perhaps a number was given twice. Large images aren't checked."""
    if np.prod(ids.shape) > CHECKED_VOXELS:
        log.info("%s: too large to check whether each object is in one piece", ids.name)
        return
    voxels = ids.read(Box.of_shape(ids.shape))
    numbered = (np.searchsorted(found, voxels) + 1).astype(np.uint32)
    numbered[voxels == 0] = 0
    pieces, n_pieces = cc3d.connected_components(numbered, connectivity=26, return_N=True)
    of_piece = np.zeros(n_pieces + 1, np.int64)
    of_piece[pieces] = numbered
    count = np.bincount(of_piece[1:], minlength=len(found) + 1)[1:]
    if apart := int((count > 1).sum()):
        most = int(count.argmax())
        log.warning(
            "%s: %d of %d objects consist of pieces that don't touch (object %d of %d); a number may be used twice",
            *(ids.name, apart, len(found), found[most], count[most]),
        )


def widths_nm(
    diameters: NDArray[np.float64], border_nm: float | None, pixel_nm: float
) -> NDArray[np.float64]:
    """Return the width of the borders of objects with these diameters (voxels)."""
    if border_nm is not None:
        return np.full(len(diameters), border_nm)
    return np.clip(np.rint(diameters * SHARE), 1, WIDEST) * pixel_nm
