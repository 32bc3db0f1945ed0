"""Sizes of voxels and the origin from the metadata that OME and ImageJ keep in a TIFF."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from genenet.volumes.units import nm_per

if TYPE_CHECKING:
    from collections.abc import Callable

    import tifffile


def sizes_of(tif: tifffile.TiffFile) -> dict[str, float]:
    """Return the size of a voxel in nm by axis; what isn't said, or can't be read, is absent."""
    if tif.ome_metadata:
        return _ome_sizes(tif.ome_metadata)
    return _by_axis(lambda axis: _imagej_size(tif, axis)) if tif.imagej_metadata else {}


def origin_of(tif: tifffile.TiffFile) -> dict[str, float]:
    """Return the place of the first voxel in nm by axis: ImageJ keeps the voxel that has the coordinates 0."""
    metadata = tif.imagej_metadata or {}
    sizes = sizes_of(tif) if tif.imagej_metadata and not tif.ome_metadata else {}
    return _by_axis(lambda axis: -float(metadata[f"{axis}origin"]) * sizes[axis]) if sizes else {}


def _by_axis(value: Callable[[str], float | None]) -> dict[str, float]:
    found = {}
    for axis in "zyx":
        with suppress(ValueError, TypeError, KeyError, ZeroDivisionError):
            number = value(axis)
            if number is not None:
                found[axis] = float(number)
    return found


def _ome_sizes(xml: str) -> dict[str, float]:
    try:
        pixels = next(e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("}Pixels"))
    except (ElementTree.ParseError, StopIteration):
        return {}

    def size(axis: str) -> float | None:
        nm = nm_per(pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm"))  # the schema's default
        return float(pixels.attrib[f"PhysicalSize{axis.upper()}"]) * nm if nm else None

    return _by_axis(size)


def _imagej_size(tif: tifffile.TiffFile, axis: str) -> float | None:
    """Return a size by ImageJ's keys: ``unit``, of which ``yunit`` and ``zunit`` may be other ones, ``spacing``.

    The resolution of y and x are TIFF's own tags, in voxels per unit.
    """
    metadata = tif.imagej_metadata or {}
    nm = nm_per(str(metadata.get(f"{axis}unit", metadata.get("unit", ""))))
    if nm is None:
        return None
    if axis == "z":
        return float(metadata["spacing"]) * nm
    per_unit, units = tif.pages.first.tags[f"{axis.upper()}Resolution"].value
    return nm * float(units) / float(per_unit)
