"""Zarr in: an array, or level 0 of an OME-Zarr (0.4 or 0.5), of Zarr format 2 or 3."""

from __future__ import annotations

import logging
import math
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.volumes.file_image import FileImage
from genenet.volumes.formats import is_zarr
from genenet.volumes.units import nm_per

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.config.types import VoxelSize

log = logging.getLogger(__name__)

_SPATIAL = ("z", "y", "x")
_CHUNK = re.compile(r"(c[./])?\d+(\.\d+)*")  # the last part of a chunk's path: 7, 0.3.7 or c.0.3.7


def open_zarr(path: Path) -> FileImage:
    """Open a Zarr without reading its voxels.

    Raises:
        InputError: If it is damaged, has several channels or time points, or doesn't end in y, x.
    """
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Array):
            return FileImage(node, None)
        return _open_ome_zarr(path, node)
    except InputError:  # one of ours, said better
        raise
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise InputError(f"{path}: can't be read as Zarr ({one_line(error)})") from error


def warn_of_missing_chunks(paths: Sequence[Path]) -> None:
    """Say, of those that are Zarr, what check_chunks finds."""
    for path in paths:
        if is_zarr(path) and (missing := check_chunks(path)):
            log.warning(missing)


def check_chunks(path: Path) -> str | None:
    """Return a sentence on chunks that aren't there, or None: a chunk without a file reads as the fill value.

    A Zarr may leave out chunks that hold nothing else, so a few aren't an error. Looks at names only.

    Raises:
        InputError: If not one chunk is there.
    """
    array = open_zarr(path).array
    n = math.prod(-(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True))
    # zarr's own count, nchunks_initialized, looks each name up in a list: its time grows with their square.
    there = sum(
        bool(_CHUNK.fullmatch(name))
        for _, _, names in os.walk(array.store.root / array.path)
        for name in names
    )
    if not there:
        raise InputError(f"{path}: not one of its {n} chunks is there; copy it anew")
    if there == n:
        return None
    return (
        f"{path}: {n - there} of its {n} chunks have no file and are read as {array.fill_value}; "
        "if the image isn't empty there, copy it anew"
    )


def _open_ome_zarr(path: Path, group: Any) -> FileImage:
    """Level 0 of the first multiscale; NGFF 0.5 keeps it under the key "ome", 0.4 did not.

    bioformats2raw writes it a folder deeper, even if there is but one image.
    """
    attributes = _ngff_attributes(group)
    if "bioformats2raw.layout" in attributes:
        series = sorted(name for name in group.group_keys() if name.isdecimal())
        if len(series) != 1:
            raise InputError(
                f"{path}: holds {len(series)} images ({', '.join(series)}); give the folder of one"
            )
        group = group[series[0]]
    multiscales = _ngff_attributes(group).get("multiscales")
    if not multiscales:
        raise InputError(
            f"{path}: a Zarr group without OME-Zarr multiscales; give the path of an array inside of it"
        )
    level = multiscales[0]["datasets"][0]
    array = group[level["path"]]
    axes = multiscales[0].get("axes") or list("tczyx"[-array.ndim :])
    names = [axis if isinstance(axis, str) else axis["name"] for axis in axes]
    for name, n in zip(names, array.shape, strict=True):
        if name not in _SPATIAL and n > 1:
            what = {"c": "channels", "t": "time points"}.get(name, f"planes along {name}")
            raise InputError(f"{path}: has {n} {what}; give an image with one")
    if names[-2:] != ["y", "x"]:
        raise InputError(f"{path}: its axes are {', '.join(names)}; they must end in y, x")
    transforms = [
        *level.get("coordinateTransformations", ()),
        *multiscales[0].get("coordinateTransformations", ()),
    ]
    return FileImage(array, _ngff_voxel_size(axes, names, transforms))


def _ngff_attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    inner: dict[str, Any] = attributes.get("ome", attributes)
    return inner


def _ngff_voxel_size(axes: Sequence[Any], names: list[str], transforms: Sequence[Any]) -> VoxelSize | None:
    """The product of the scales; None unless all of z, y, x have a unit of length."""
    scale = np.ones(len(names))
    for transform in transforms:
        scale *= transform.get("scale", 1.0)
    units = {axis["name"]: nm_per(axis.get("unit")) for axis in axes if isinstance(axis, dict)}
    sizes = [scale[names.index(a)] * (units[a] or 0) for a in _SPATIAL if a in units]
    return (float(sizes[0]), float(sizes[1]), float(sizes[2])) if len(sizes) == 3 and min(sizes) > 0 else None
