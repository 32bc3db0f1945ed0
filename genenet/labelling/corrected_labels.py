"""Labels of a whole volume, of which only boxes are labelled: an OME-Zarr that stores the chunks of these boxes alone.

Everywhere else a voxel has the ignored label, the fill value of the array, which takes no space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr
from pydantic import Field

from genenet.config.types import Shape, VoxelSize
from genenet.core.atomic_files import atomic_path, read_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box, each
from genenet.core.ignore import IGNORE
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.volumes.boxes import MOST_BYTES, BoxRow
from genenet.volumes.labels import first_label
from genenet.volumes.ngff import label_metadata
from genenet.volumes.ome_zarr import settled
from genenet.volumes.pyramid import levels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT: Literal["genenet.corrections/1"] = "genenet.corrections/1"
_CHUNK = (16, 128, 128)


class LabellingRound(Closed):
    """The boxes of one folder.

    Attributes:
        folder: absolute.
        boxes: that a person has been through.
        changed: voxels of each box whose class is another than the predicted one, by its name.
    """

    folder: str
    boxes: list[BoxRow]
    changed: dict[str, int]


class CorrectedFacts(Closed):
    """The attributes of corrections under the key ``genenet``.

    Attributes:
        classes: names, by label; the first has label 0, or 1 if ``ignore_label`` is 0.
        ignore_label: of all voxels that nobody labelled.
        shape: voxels along z, y, x of the whole image.
        rounds: the first one first.
    """

    format: Literal["genenet.corrections/1"] = FORMAT
    classes: list[str] = Field(min_length=1)
    ignore_label: int
    shape: Shape
    voxel_size_nm: VoxelSize
    translation_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rounds: list[LabellingRound] = Field(default_factory=list)

    @property
    def boxes(self) -> list[BoxRow]:
        """The boxes of all rounds."""
        return [box for each_round in self.rounds for box in each_round.boxes]

    def stored(self, labels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return class ids, with IGNORE where the class isn't known, as they are stored."""
        found: NDArray[Any] = labels.astype(self.dtype) + np.array(first_label(self.ignore_label), self.dtype)
        found[labels == IGNORE] = self.ignore_label
        return found

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds all labels; signed if the ignored one is negative."""
        largest = len(self.classes) - 1 + first_label(self.ignore_label)
        return np.dtype(np.result_type(np.min_scalar_type(self.ignore_label), np.min_scalar_type(largest)))


def read_corrected(path: Path) -> CorrectedFacts:
    """Read what corrections say about themselves; raises InputError if they aren't any."""
    file = path / "zarr.json"
    values = read_json(file, MOST_BYTES) if file.exists() else None
    facts = values.get("attributes", {}).get("genenet") if isinstance(values, dict) else None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InputError(
            f"{path}: neither a folder of boxes that genenet suggest wrote, nor labels that genenet corrections wrote"
        )
    return validate(CorrectedFacts, facts, str(path))


@dataclass(frozen=True)
class CorrectedLabels:
    """Corrections that are written, or written anew with the boxes of another round."""

    path: Path

    def write(
        self,
        facts: CorrectedFacts,
        folder: str,
        changed: Mapping[str, int],
        boxes: Mapping[BoxRow, NDArray[np.uint8]],
    ) -> CorrectedFacts:
        """Write the boxes of a round beside those of other rounds that are there.

        A box of a later round replaces what it shares with boxes of earlier ones. The boxes of an earlier call with the
        same folder are replaced.

        Args:
            facts: of the volume; the rounds are those that are there.
            folder: of the boxes.
            changed: as in ``LabellingRound``.
            boxes: class ids of each box, (Z, Y, X).

        Returns:
            What was written.

        Raises:
            InputError: If labels of another volume are there.
        """
        there = self._there(facts)
        kept = [each_round for each_round in there.rounds if each_round.folder != folder] if there else []
        new = LabellingRound(folder=folder, boxes=list(boxes), changed=dict(changed))
        written = facts.model_copy(update={"rounds": [*kept, new]})
        with atomic_path(self.path) as temporary, settled():
            array = _create(temporary, written)
            if kept:
                old = zarr.open_array(self.path / "0", mode="r")
                for box in (box for each_round in kept for box in each_round.boxes):
                    array[box.place.slices] = old[box.place.slices]
            for box, labels in boxes.items():
                array[box.place.slices] = written.stored(labels)
        return written

    def _there(self, facts: CorrectedFacts) -> CorrectedFacts | None:
        if not self.path.exists():
            return None
        there = read_corrected(self.path)
        for name in ("classes", "ignore_label", "shape"):
            old, new = getattr(there, name), getattr(facts, name)
            if old != new:
                raise InputError(
                    f"{self.path}: its {name} is {old}, that of the boxes {new}; write --into another folder"
                )
        return there


def _create(path: Path, facts: CorrectedFacts) -> zarr.Array[Any]:
    """Make an OME-Zarr of labels in which no voxel is labelled."""
    first = levels(facts.shape, facts.voxel_size_nm, max(facts.shape), facts.translation_nm)
    described = label_metadata(first, "corrections", facts.classes)
    del described["image-label"]["source"]  # it stands beside no image
    if first_label(facts.ignore_label):
        for entry in (*described["image-label"]["colors"], *described["image-label"]["properties"]):
            entry["label-value"] += 1
    zarr.create_group(path, attributes={"genenet": facts.model_dump(mode="json"), "ome": described})
    return zarr.create_array(
        path / "0",
        shape=facts.shape,
        dtype=facts.dtype,
        chunks=each(min, facts.shape, _CHUNK),
        fill_value=facts.ignore_label,
        dimension_names=("z", "y", "x"),
    )


def around(boxes: list[Box], margin: tuple[int, int, int], shape: tuple[int, int, int]) -> Box:
    """Return the smallest box that contains some boxes and a margin, as far as the volume goes."""
    first = each(min, *(box.start for box in boxes), boxes[0].start)
    stop = each(max, *(box.stop for box in boxes), boxes[0].stop)
    return Box(first, stop).grow(margin).intersect(Box.of_shape(shape))
