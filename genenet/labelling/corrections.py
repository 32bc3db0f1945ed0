"""From boxes that a person has corrected to labels of their volume, and to the lines of config.yaml that use them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from genenet.config.model import read_config
from genenet.core.choices import listed
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.ensembles.description import read_description
from genenet.ensembles.ensemble import DESCRIPTION
from genenet.labelling.corrected_labels import CorrectedFacts, CorrectedLabels, around
from genenet.volumes.boxes import TABLE, BoxRow, VolumeOfBoxes, read_boxes, read_volume_of_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = "all"
_MARGIN = (32, 512, 512)  # voxels around the boxes that trainings may read

log = logging.getLogger(__name__)


def ignore_label_of(config: Path | None, boxes: Path) -> int:
    """Return the label of voxels that aren't labelled: that of a config, or 255.

    Raises:
        InputError: If the config is wrong, or its classes aren't those of the boxes.
    """
    if config is None:
        return IGNORE
    data, predicted = read_config(config).data, read_volume_of_boxes(boxes).classes
    if data.classes != predicted:
        raise InputError(
            f"{config}: its classes are {', '.join(data.classes)}, those of {boxes} {', '.join(predicted)}; give the "
            "config that the ensemble was made with"
        )
    return IGNORE if data.ignore_label is None else data.ignore_label


@dataclass(frozen=True)
class Changes:
    """How labels differ from their prediction.

    Attributes:
        table: voxels by predicted class (C + 1) and class (C + 1); the last one stands for voxels of unknown class.
    """

    table: NDArray[np.int64]

    @classmethod
    def of(cls, predicted: NDArray[np.uint8], labels: NDArray[np.uint8], n_classes: int) -> Changes:
        """Compare labels of one box."""
        old, new = (np.where(ids == IGNORE, n_classes, ids).astype(np.int64) for ids in (predicted, labels))
        n = n_classes + 1
        return cls(np.bincount((old * n + new).ravel(), minlength=n * n).reshape(n, n))

    @property
    def changed(self) -> int:
        """The number of voxels that have another class now."""
        return int(self.table.sum() - np.trace(self.table))

    def lines(self, classes: list[str]) -> list[str]:
        """Return a line for each class that became larger or smaller."""
        found = []
        for index, name in enumerate([*classes, "unknown"]):
            kept = self.table[index, index]
            lost, gained = int(self.table[index].sum() - kept), int(self.table[:, index].sum() - kept)
            if lost or gained:
                found.append(f"{name}: {gained:,} voxels added, {lost:,} removed, {kept:,} kept")
        return found


@dataclass(frozen=True)
class Corrections:
    """Labels that a person has corrected.

    Attributes:
        folder: of the boxes.
        into: the labels to write.
        reviewed: ``all``, names with commas between them, or None: the boxes that are marked in the table.
        ignore_label: of voxels that nobody labelled.
    """

    folder: Path
    into: Path
    reviewed: str | None
    ignore_label: int

    @cached_property
    def volume(self) -> VolumeOfBoxes:
        """The volume of the boxes; raises InputError if it doesn't say what it is."""
        found = read_volume_of_boxes(self.folder)
        if found.files is None or found.shape is None:
            raise InputError(
                f"{self.folder}: its volume.json has no files: and shape: of the volume, which genenet suggest writes; "
                "give such a folder"
            )
        if 0 < self.ignore_label < len(found.classes):
            raise InputError(
                f"--ignore-label {self.ignore_label} is the label of class '{found.classes[self.ignore_label]}'; give "
                f"a number of at least {len(found.classes)}, a negative one, or 0 if the classes begin with 1"
            )
        return found

    def run(self) -> list[str]:
        """Write the labels; return what changed, and the lines for the config.

        Raises:
            InputError: If no box is reviewed, a file has another size than its box, or a label is no class.
        """
        volume, rows = self.volume, read_boxes(self.folder)
        chosen = self._chosen(rows)
        labels = {row: row.read_labels(row.labels(self.folder), len(volume.classes)) for row in chosen}
        changes = {row: self._changes(row, labels[row]) for row in chosen}
        self._warn_of_others([row for row in rows if row not in chosen])
        assert volume.shape is not None
        facts = CorrectedFacts(
            classes=volume.classes,
            ignore_label=self.ignore_label,
            shape=volume.shape,
            voxel_size_nm=volume.voxel_size_nm,
            translation_nm=volume.translation_nm or (0.0, 0.0, 0.0),
        )
        changed = {row.box: found.changed for row, found in changes.items()}
        written = CorrectedLabels(self.into).write(facts, str(self.folder.absolute()), changed, labels)
        return [*self._report(changes), *self._summary(written), *self._config(written)]

    def _chosen(self, rows: list[BoxRow]) -> list[BoxRow]:
        """Return the boxes that a person has been through."""
        names = [row.box for row in rows]
        if self.reviewed == ALL:
            return rows
        if self.reviewed is None:
            chosen = [row for row in rows if row.reviewed]
            if not chosen:
                raise InputError(
                    f"{self.folder / TABLE}: none of its boxes is reviewed; write yes into the last column, or give "
                    f"--reviewed all, or names such as --reviewed {names[0] if names else 'box_01'}"
                )
            return chosen
        wanted = [name.strip() for name in self.reviewed.split(",") if name.strip()]
        if unknown := [name for name in wanted if name not in names]:
            raise InputError(
                f"--reviewed {self.reviewed}: {unknown[0]} isn't one of the boxes {', '.join(names)}"
            )
        if not wanted:
            raise InputError(f"--reviewed: names no box; known are {', '.join(names)}, and {ALL}")
        return [row for row in rows if row.box in wanted]

    def _changes(self, row: BoxRow, labels: NDArray[np.uint8]) -> Changes:
        n = len(self.volume.classes)
        return Changes.of(row.read_labels(row.prediction(self.folder), n), labels, n)

    def _warn_of_others(self, rows: list[BoxRow]) -> None:
        """Warn of boxes that were changed but aren't marked as reviewed."""
        changed = []
        for row in rows:
            try:
                labels = row.read_labels(row.labels(self.folder), len(self.volume.classes))
                changed += [row.box] * bool(self._changes(row, labels).changed)
            except InputError:  # such a box is unfinished
                changed.append(row.box)
        if changed:
            log.warning(
                "%s: %s changed, but not marked as reviewed, and left out",
                self.folder,
                f"{listed(changed)} {'is' if len(changed) == 1 else 'are'}",
            )

    def _report(self, changes: dict[BoxRow, Changes]) -> list[str]:
        lines = []
        for row, found in changes.items():
            n = row.place.n_voxels
            lines.append(f"{row.box}: {found.changed:,} of {n:,} voxels changed ({found.changed / n:.1%})")
        together = Changes(np.sum([found.table for found in changes.values()], axis=0))
        return [*lines, *together.lines(self.volume.classes)]

    def _summary(self, written: CorrectedFacts) -> list[str]:
        n = len(written.boxes)
        labelled = f"{n} labelled {'box' if n == 1 else 'boxes'}"
        rounds = f" of {len(written.rounds)} rounds" * (len(written.rounds) > 1)
        return [f"{self.into}: {labelled}{rounds}; all other voxels are {self.ignore_label}"]

    def _config(self, written: CorrectedFacts) -> list[str]:
        """Return the lines of config.yaml that train with these labels."""
        files = self.volume.files
        assert files is not None
        image: dict[str, Any] = {"path": _as_paths(files.image), "labels": str(self.into.absolute())}
        if files.mask:
            image["mask"] = _as_paths(files.mask)
        if files.flip is not None:
            image["flip"] = list(files.flip)
        if region := self._region([box.place for box in written.boxes]):
            image["region"] = region
        first, *others = [f"{key}: {_in_one_line(value)}" for key, value in image.items()]
        lines = [f"  - {first}", *(f"    {line}" for line in others)]
        return ["lines for config.yaml:", "data:", f"  ignore_label: {self.ignore_label}", "  train:", *lines]

    def _region(self, boxes: list[Box]) -> list[list[int] | None] | None:
        """Return the region of the image to train on: around the boxes if that is less than half of it.

        Trainings don't read what is far from labels, but an image is packed whole. If a region's own statistics
        normalise it, it stays as it was segmented.
        """
        volume = self.volume
        assert volume.files is not None
        assert volume.shape is not None
        parts = volume.files.region or (None, None, None)
        as_segmented = [list(part) if part else None for part in parts] if any(parts) else None
        near, whole = around(boxes, _MARGIN, volume.shape), Box.of_shape(volume.shape)
        if volume.files.region:
            ends = [part or (0, n) for part, n in zip(volume.files.region, volume.shape, strict=True)]
            whole = Box(*zip(*ends, strict=True))
            near = near.intersect(whole)
        if self._is_measured_by_region() or 2 * near.n_voxels > whole.n_voxels:
            return as_segmented
        return [list(part) for part in zip(near.start, near.stop, strict=True)]

    def _is_measured_by_region(self) -> bool:
        """Return whether images are normalised by a region's own statistics, or it isn't known."""
        description = Path(self.volume.ensemble or "") / DESCRIPTION
        if not self.volume.ensemble or not description.exists():
            return True
        return read_description(description).normalisation.mode.over not in ("image", "training")


def _as_paths(files: list[Path]) -> str | list[str]:
    paths = [str(path) for path in files]
    return paths[0] if len(paths) == 1 else paths


def _in_one_line(value: Any) -> str:
    """Return a value as YAML: a text in quotes if it needs them, a list in brackets."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("...\n").rstrip()
