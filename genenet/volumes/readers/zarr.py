"""Reads Zarr: an array, or level 0 of an OME-Zarr (0.4 or 0.5), of Zarr format 2 or 3."""

from __future__ import annotations

import logging
import math
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError, one_line
from genenet.volumes.axes import known_axes
from genenet.volumes.file_image import FileImage
from genenet.volumes.formats import is_zarr
from genenet.volumes.units import nm_per

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_CHUNK = re.compile(r"(c[./])?\d+(\.\d+)*")  # the last part of a chunk's path: 7, 0.3.7 or c.0.3.7


def open_zarr(path: Path) -> FileImage:
    """Open a Zarr without reading its voxels.

    Raises:
        InputError: If it is damaged, or a group that isn't one OME-Zarr image.
    """
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Array):
            return _open_array(path, node)
        return _open_ome_zarr(path, node)
    except InputError:  # raised above, with a better message
        raise
    except (ValueError, KeyError, TypeError, FileNotFoundError, OverflowError) as error:
        raise InputError(f"{path}: can't be read as Zarr ({one_line(error)})") from error


def warn_of_missing_chunks(paths: Sequence[Path]) -> None:
    """Log what check_chunks finds in those files that are Zarr."""
    for path in paths:
        if is_zarr(path) and (missing := check_chunks(path)):
            log.warning(missing)


def check_chunks(path: Path) -> str | None:
    """Return a sentence on missing chunks, or None: a chunk without a file reads as the fill value.

    A Zarr may leave out chunks that hold nothing else, so a few aren't an error. Only file names are looked at.

    Raises:
        InputError: If all chunks are missing.
    """
    array = open_zarr(path).array
    n = math.prod(-(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True))
    # zarr's own count, nchunks_initialized, looks each name up in a list: its time grows with their square.
    found = sum(
        bool(_CHUNK.fullmatch(name))
        for _, _, names in os.walk(array.store.root / array.path)
        for name in names
    )
    if not found:
        raise InputError(f"{path}: not one of its {n} chunks is there; copy it anew")
    if found == n:
        return None
    return (
        f"{path}: {n - found} of its {n} chunks have no file and are read as {array.fill_value}; "
        "if the image isn't empty there, copy it anew"
    )


def _open_array(path: Path, array: Any) -> FileImage:
    """Open a bare array. If it is a level of an OME-Zarr, the group above it names its axes."""
    if found := _level_of(path):
        return _level_image(path, array, *found)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return FileImage(array, known_axes(names or (), array.shape, path))


def _level_of(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return the multiscale and the level that describe an array; None if no group above it does."""
    import zarr

    folder = Path(os.path.abspath(path))
    for above in filter(is_zarr, list(folder.parents)[:2]):
        # What isn't a group, or has other metadata than an OME-Zarr, describes no level.
        with suppress(ValueError, KeyError, TypeError, FileNotFoundError):
            for multiscale in _ngff_attributes(zarr.open_group(str(above), mode="r"))["multiscales"]:
                for level in multiscale["datasets"]:
                    if above / level["path"] == folder:
                        return multiscale, level
    return None


def _open_ome_zarr(path: Path, group: Any) -> FileImage:
    """Open level 0 of the first multiscale; NGFF 0.5 keeps it under the key "ome", 0.4 doesn't.

    bioformats2raw writes images a folder deeper, also if there is only one.
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
        arrays = ", ".join(name for name, array in group.arrays() if array.ndim > 1)
        inside = f", such as {arrays}" if arrays else ""
        raise InputError(
            f"{path}: a Zarr group without OME-Zarr multiscales; give the path of an array inside of it{inside}"
        )
    level = multiscales[0]["datasets"][0]
    return _level_image(path, group[level["path"]], multiscales[0], level)


def _level_image(
    path: Path, array: Any, multiscale: Mapping[str, Any], level: Mapping[str, Any]
) -> FileImage:
    """Return an array with the axes, sizes and origin that its multiscale gives it."""
    described = multiscale.get("axes") or list("tczyx"[-array.ndim :])
    # An axis of channels or time may have any name.
    names = [
        {"channel": "c", "time": "t"}.get(axis.get("type", ""), axis["name"])
        if isinstance(axis, dict)
        else axis
        for axis in described
    ]
    axes = known_axes(names, array.shape, path)
    transforms = [
        *level.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ]
    scale, translation = _transform(transforms, array.ndim)
    nm = [nm_per(axis.get("unit")) if isinstance(axis, dict) else None for axis in described]
    known = [(i, name, unit) for i, (name, unit) in enumerate(zip(axes, nm, strict=True)) if unit]
    return FileImage(
        array,
        axes,
        {name: float(scale[i]) * unit for i, name, unit in known},
        {name: float(translation[i]) * unit for i, name, unit in known},
    )


def _transform(
    transforms: Sequence[Mapping[str, Any]], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and translation of n axes: transformations apply one after the other."""
    scale, translation = np.ones(n), np.zeros(n)
    for each in transforms:
        factors = np.broadcast_to(np.asarray(each.get("scale", 1.0), float), n)
        scale, translation = scale * factors, translation * factors + each.get("translation", 0.0)
    return scale, translation


def _ngff_attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    inner: dict[str, Any] = attributes.get("ome", attributes)
    return inner
