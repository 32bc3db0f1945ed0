"""A training's probabilities of the validation images, in one compressed file: 255 levels, uint8.

Scores and the selection of the ensemble use these stored probabilities, so that selecting needs no GPU. They are of the
outputs of the network; where some of these are borders of objects, the file names the object classes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import ZipStore

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError
from genenet.core.outputs import ObjectClass, Outputs

FORMAT = "genenet.probabilities/1"
FORMAT_WITH_OBJECTS = "genenet.probabilities/2"
Slices = Iterable[tuple[int, NDArray[np.uint8]]]  # z, (C, 1, Y, X)


@dataclass(frozen=True)
class StoredProbabilities:
    """An open file.

    Attributes:
        checksum: of the validation images.
        arrays: probabilities of the outputs (C, Z, Y, X) of each image.
        outputs: what they mean.
    """

    checksum: str
    arrays: list[zarr.Array[Any]]
    outputs: Outputs

    @property
    def semantic(self) -> list[zarr.Array[Any] | ClassProbabilities]:
        """The class probabilities (C, Z, Y, X) of each image."""
        if not self.outputs.objects:
            return list(self.arrays)
        return [ClassProbabilities(array, self.outputs) for array in self.arrays]


@dataclass(frozen=True)
class ClassProbabilities:
    """Class probabilities (C, Z, Y, X) of an image, made from those of a network's outputs as they are read."""

    array: zarr.Array[Any]
    outputs: Outputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Classes, and voxels along z, y, x."""
        return len(self.outputs.classes), *self.array.shape[1:]

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.uint8]:
        """Return a box; the first index must be ``:``, since a class may be the sum of two outputs."""
        assert index[0] == slice(None)
        return self.outputs.semantic(np.asarray(self.array[index]))


def to_uint8(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store 0 … 1 in 255 steps."""
    levels: NDArray[np.uint8] = np.rint(probabilities * np.float32(255)).astype(np.uint8)
    return levels


def write_probabilities(
    path: Path, checksum: str, outputs: Outputs, images: Iterable[tuple[tuple[int, ...], Slices]]
) -> None:
    """Write the file, atomically; ``images`` are shapes (Z, Y, X) with their slices of the outputs in order."""
    with atomic_path(path) as temporary, ZipStore(temporary, mode="w") as store:
        attributes: dict[str, Any] = {"format": FORMAT, "checksum": checksum}
        if outputs.objects:
            attributes |= {
                "format": FORMAT_WITH_OBJECTS,
                "classes": list(outputs.classes),
                "objects": [each.model_dump() for each in outputs.objects],
            }
        group = zarr.create_group(store, attributes=attributes)
        for index, (shape, slices) in enumerate(images):
            array = group.create_array(
                str(index),
                shape=(len(outputs), *shape),
                chunks=(len(outputs), 1, *shape[1:]),
                dtype="uint8",
                dimension_names=["c", "z", "y", "x"],
            )
            for z, probabilities in slices:
                array[:, z : z + 1] = probabilities


@contextmanager
def open_probabilities(path: Path) -> Iterator[StoredProbabilities]:
    """Open the file for reading; raises InputError if it isn't one."""
    try:
        store = ZipStore(path, mode="r")
        group = zarr.open_group(store, mode="r")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a file of probabilities ({error})") from None
    with store:
        if group.attrs.get("format") not in (FORMAT, FORMAT_WITH_OBJECTS):
            raise InputError(f"{path}: not a file of probabilities ({FORMAT})")
        arrays = [cast("zarr.Array[Any]", group[str(i)]) for i in range(len(list(group.array_keys())))]
        attributes: dict[str, Any] = dict(group.attrs)
        objects = [ObjectClass.model_validate(each) for each in attributes.get("objects", [])]
        outputs = Outputs(attributes.get("classes", []), objects)
        yield StoredProbabilities(attributes["checksum"], arrays, outputs)
