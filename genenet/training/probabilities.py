"""A training's class probabilities of the validation images, in one compressed file: 255 levels, uint8.

Scores and the selection of the ensemble use these stored probabilities, so that selecting needs no GPU.
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

FORMAT = "genenet.probabilities/1"
Slices = Iterable[tuple[int, NDArray[np.uint8]]]  # z, (C, 1, Y, X)


@dataclass(frozen=True)
class StoredProbabilities:
    """An open file: one array (C, Z, Y, X) for each image."""

    checksum: str  # of the validation images
    arrays: list[zarr.Array[Any]]


def to_uint8(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store 0 … 1 in 255 steps."""
    levels: NDArray[np.uint8] = np.rint(probabilities * np.float32(255)).astype(np.uint8)
    return levels


def write_probabilities(
    path: Path, checksum: str, n_classes: int, images: Iterable[tuple[tuple[int, ...], Slices]]
) -> None:
    """Write the file, atomically; ``images`` are shapes (Z, Y, X) with their slices in order."""
    with atomic_path(path) as temporary, ZipStore(temporary, mode="w") as store:
        attributes = {"format": FORMAT, "checksum": checksum}
        group = zarr.create_group(store, attributes=attributes)
        for index, (shape, slices) in enumerate(images):
            array = group.create_array(
                str(index),
                shape=(n_classes, *shape),
                chunks=(n_classes, 1, *shape[1:]),
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
        if group.attrs.get("format") != FORMAT:
            raise InputError(f"{path}: not a file of probabilities ({FORMAT})")
        arrays = [cast("zarr.Array[Any]", group[str(i)]) for i in range(len(list(group.array_keys())))]
        yield StoredProbabilities(str(group.attrs["checksum"]), arrays)
