"""The segmentation as OME-Zarr 0.5: created empty, filled block by block by any number of jobs, then given a pyramid.

The root image holds uncertainty (and probabilities) as channels, ``labels/segmentation`` the classes. One
block is one shard, one file of each array: written in one assignment, under a temporary name, and renamed
(zarr's LocalStore does that from 3.1.3 on). So a shard that exists is complete.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.sync import sync

from genenet.core.atomic_files import atomic_path, read_json
from genenet.core.errors import InputError, one_line
from genenet.core.geometry import Box, Triple, blocks_of, each
from genenet.core.validation import validate
from genenet.volumes.ngff import image_metadata, label_metadata, omero
from genenet.volumes.pyramid import Level, levels
from genenet.volumes.store_facts import FORMAT, StoreFacts, check_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from genenet.config.types import VoxelSize
    from genenet.volumes.grid import Place

LABELS = "labels/segmentation"
CLEANED, OBJECTS = "cleaned", "objects"  # further images of labels, made from it by post-processing
INSTANCES = "instances_"  # and the name of a class: images of numbered objects that may touch
_ODD_METADATA = (  # what zarr raises for a folder that isn't a store, or whose metadata aren't what they should be
    *(KeyError, TypeError, ValueError, AttributeError, RecursionError),
    *(FileNotFoundError, NotADirectoryError),
)
_CHUNK: Triple = (16, 256, 256)  # what a viewer reads at a time, at most


@dataclass(frozen=True)
class Store:
    """A segmentation's OME-Zarr.

    Attributes:
        path: its folder.
        labels: class ids, uint8, axes (z, y, x).
        root: channels, axes (c, z, y, x).
        attributes: what it was made from; also ``classes``, ``channels``, ``voxel_size_nm``, ``translation_nm``.
    """

    path: Path
    labels: zarr.Array[Any]
    root: zarr.Array[Any]
    attributes: dict[str, Any]

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return each(int, self.labels.shape)

    @cached_property
    def block(self) -> Triple:
        """Voxels that are written in one piece."""
        assert self.labels.shards
        return each(int, self.labels.shards)

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Size of a voxel along z, y, x."""
        return each(float, self.attributes["voxel_size_nm"])

    @property
    def translation_nm(self) -> Place:
        """Where the centre of the first voxel lies; stores of older versions don't say it."""
        return each(float, self.attributes["translation_nm"])

    def channel(self, name: str, box: Box) -> NDArray[Any]:
        """Return a channel of a box, (Z, Y, X), as it is stored: 0 to 1, or in 255 levels if it is uint8."""
        return np.asarray(self.root[(self.attributes["channels"].index(name), *box.slices)])

    def levels(self, min_size: int | None = None) -> list[Level]:
        """Return the levels of its pyramid down to ``min_size`` voxels along y and x; by default the first one."""
        return levels(self.shape, self.voxel_size_nm, min_size or max(self.shape), self.translation_nm)

    @property
    def blocks(self) -> list[Box]:
        """All its blocks, in C order."""
        return blocks_of(self.shape, self.block)

    @property
    def missing(self) -> list[Box]:
        """Its blocks that aren't there now."""
        return [block for block in self.blocks if not self.has_block(block)]

    def check_complete(self) -> None:
        """Raise InputError if a block is missing."""
        if missing := self.missing:
            raise InputError(
                f"{self.path}: {len(missing)} of {len(self.blocks)} blocks are missing, "
                f"the first at {missing[0].start}; run genenet segment again"
            )

    def has_block(self, box: Box) -> bool:
        """Return whether a block is there; then it is complete."""
        return all(shard.exists() for shard in self._shards(box))

    def write_block(self, box: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
        """Write one block whole.

        Args:
            box: a block of the grid, cut off by the volume's border.
            labels: (Z, Y, X).
            channels: (C, Z, Y, X).
        """
        whole = Box.of_shape(self.block, box.start).intersect(Box.of_shape(self.shape))
        if box != whole or any(s % b for s, b in zip(box.start, self.block, strict=True)):
            raise ValueError(f"{box} isn't a block of {self.path}, whose blocks are {self.block}")
        self.root[(slice(None), *box.slices)] = channels
        self.labels[box.slices] = labels

    def _shards(self, box: Box) -> tuple[Path, Path]:
        z, y, x = each(lambda start, size: str(start // size), box.start, self.block)
        return self.path.joinpath("0", "c", "0", z, y, x), self.path.joinpath(LABELS, "0", "c", z, y, x)


def create_store(
    path: Path,
    *,
    shape: Triple,
    classes: Sequence[str],
    voxel_size_nm: VoxelSize,
    block: Triple,
    channels: Sequence[str],
    dtype: str,
    attributes: dict[str, Any],
    translation_nm: Place = (0.0, 0.0, 0.0),
) -> None:
    """Make a store without voxels.

    Args:
        path: the folder, which must not exist or is replaced.
        shape: voxels along z, y, x.
        classes: names by label id.
        voxel_size_nm: along z, y, x.
        block: voxels that are written in one piece.
        channels: names; those of classes get their colours.
        dtype: of the channels: uint8 (255 stands for 1), float16 or float32.
        attributes: kept under the key "genenet"; what the store was made from.
        translation_nm: where the centre of the first voxel lies along z, y, x.
    """
    facts = {
        "format": FORMAT,
        "classes": list(classes),
        "channels": list(channels),
        "voxel_size_nm": list(voxel_size_nm),
        "translation_nm": list(translation_nm),
        **attributes,
    }
    shards = (min(block[0], shape[0]), *block[1:])
    first = levels(shape, voxel_size_nm, max(shape), translation_nm)
    with atomic_path(path) as folder, settled():
        ome = image_metadata(first, path.name) | {"omero": omero(classes, channels, dtype)}
        root = zarr.create_group(folder, attributes={"genenet": facts, "ome": ome})
        create_array(folder / "0", (len(channels), *shape), (len(channels), *shards), dtype)
        root.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["segmentation"]}})
        root.create_group(LABELS, attributes={"ome": label_metadata(first, "segmentation", classes)})
        create_array(folder / LABELS / "0", shape, shards, "uint8")


def open_store(path: Path) -> Store:
    """Open a store to read or to write blocks.

    Raises:
        InputError: If it isn't one that create_store made.
    """
    try:
        group = zarr.open_group(path, mode="r+")
        facts = validate(StoreFacts, group.attrs["genenet"], "genenet")
        # An array keeps this from when it is opened; set at the time of writing, it does nothing. Without it,
        # a shard that is background all over would be no file, and count as missing.
        with zarr.config.set({"array.write_empty_chunks": True}):
            root, labels = group["0"], group[f"{LABELS}/0"]
        if not (isinstance(root, zarr.Array) and isinstance(labels, zarr.Array)):
            raise TypeError("an array is missing")
        check_arrays(facts, root, labels)
        return Store(path, labels, root, facts.model_dump(mode="json"))
    except _ODD_METADATA as error:
        raise InputError(
            f"{path}: not a segmentation that genenet made ({one_line(error)}); give its .ome.zarr"
        ) from error


def is_store(path: Path) -> bool:
    """Return whether a path is that of a segmentation; an image, whatever its format, is none."""
    if not (path / "zarr.json").is_file():
        return False
    try:
        return bool(read_json(path / "zarr.json")["attributes"]["genenet"]["format"] == FORMAT)
    except (InputError, KeyError, TypeError):
        return False


@contextmanager
def settled() -> Iterator[None]:
    """After an error, wait until zarr's own thread has written what it began: it would create the folder again."""

    async def others() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield
    except BaseException:
        sync(others())
        raise


def create_array(path: Path, shape: tuple[int, ...], shards: tuple[int, ...], dtype: str) -> zarr.Array[Any]:
    """Make an array that is compressed and cut into shards, axes (z, y, x) or (c, z, y, x)."""
    chunks = [1] * (len(shape) - 3) + [_divisor(s, c) for s, c in zip(shards[-3:], _CHUNK, strict=True)]
    return zarr.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=tuple(chunks),
        shards=shards,
        compressors=ZstdCodec(level=1),
        fill_value=0,
        dimension_names=("c", "z", "y", "x")[-len(shape) :],
    )


def _divisor(n: int, most: int) -> int:
    """The largest divisor of ``n`` up to ``most``; ``n`` itself, if that would make tiny chunks."""
    largest = max(d for d in range(1, min(n, most) + 1) if n % d == 0)
    return largest if 4 * largest >= min(n, most) else n
