"""Export of a segmentation as TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from genenet.core.atomic_files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_SLAB_VOXELS = 2**27  # of one byte


def export_tiff(store_path: Path, out: Path, labels: str | None = None) -> None:
    """Write the labels of a segmentation as a compressed BigTIFF, axes ZYX, with voxel size and class names.

    The metadata are OME-XML, which Fiji reads with Bio-Formats; ImageJ's own metadata don't exist in BigTIFF.
    Memory holds a few slices.

    Args:
        store_path: a finished segmentation.
        out: the TIFF.
        labels: ``segmentation`` or ``cleaned``; by default the cleaned labels, if there are any.

    Raises:
        InputError: If the store isn't a segmentation, or doesn't have these labels.
    """
    from genenet.volumes.label_images import class_labels
    from genenet.volumes.ome_zarr import open_store

    store = open_store(store_path)
    z, y, x = store.attributes["voxel_size_nm"]
    classes = ", ".join(f"{i} {name}" for i, name in enumerate(store.attributes["classes"]))
    with atomic_path(out) as temporary:
        tifffile.imwrite(
            temporary,
            _pages(class_labels(store, labels), store.block[0]),
            shape=store.shape,
            dtype=np.uint8,
            bigtiff=True,
            ome=True,
            photometric="minisblack",
            compression="zlib",
            maxworkers=1,
            metadata={
                "axes": "ZYX",
                "Name": "segmentation",
                "Description": f"Classes by label: {classes}",
                **{f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (z, y, x), strict=True)},
                **{f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"},
            },
        )


def _pages(labels: Any, block_depth: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the slices of labels. A shard holds many slices, hence as many are read together as fit into memory."""
    n_z, n_y, n_x = labels.shape
    depth = max(1, min(block_depth, _SLAB_VOXELS // (n_y * n_x)))
    for z in range(0, n_z, depth):
        yield from np.asarray(labels[z : z + depth])
