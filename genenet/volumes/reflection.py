"""Reads boxes that reach beyond a volume: voxels outside are those inside, reflected at the border."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.geometry import Box, each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genenet.core.geometry import Triple


def read_reflected(source: Any, box: Box) -> NDArray[Any]:
    """Read a box that may reach beyond a volume, however far, as numpy's ``pad(mode="reflect")`` extends it.

    Reflection has period 2 (n - 1) along an axis of n voxels; a single voxel repeats. Each voxel is read once.

    Args:
        source: a Volume, or an array (numpy, Zarr) of axes z, y, x.
        box: in the source's coordinates.
    """
    if min(box.shape) < 1:
        return np.empty(box.shape, source.dtype)
    shown = each(reflect, box.start, box.stop, source.shape)  # which voxels, along each axis
    needed = Box(each(lambda i: int(i.min()), shown), each(lambda i: int(i.max()) + 1, shown))
    read = getattr(source, "read", None)
    voxels = np.asarray(read(needed) if read else source[needed.slices])
    if needed == box:
        return voxels
    if min(box.intersect(Box.of_shape(source.shape)).shape) < 1:  # the box lies wholly outside
        return voxels[np.ix_(*(i - start for i, start in zip(shown, needed.start, strict=True)))]
    return _pad(voxels, needed, box, source.shape)


def reflect(start: int, stop: int, n: int) -> NDArray[np.int64]:
    """Return the indices, 0 to n - 1, of the voxels that positions start to stop - 1 show, reflected at the ends."""
    if n == 1:
        return np.zeros(stop - start, np.int64)
    position = np.arange(start, stop) % (2 * (n - 1))
    return np.minimum(position, 2 * (n - 1) - position)


def _pad(voxels: NDArray[Any], needed: Box, box: Box, shape: Triple) -> NDArray[Any]:
    """Extend what was read on the sides where the box leaves the volume, and cut the box out of it.

    numpy's padding takes a thirtieth of the time of taking voxels index by index. Along one axis::

        volume             0  1  2  3  4  5
        box         -2 -1  0  1
        needed             0  1  2            all voxels that the box shows
        padded      -2 -1  0  1  2            two voxels are added before
        result      -2 -1  0  1
    """
    before = [max(0, -start) for start in box.start]
    after = [max(0, stop - n) for stop, n in zip(box.stop, shape, strict=True)]
    padded = np.pad(voxels, list(zip(before, after, strict=True)), mode="reflect")
    return padded[box.relative_to(each(operator.sub, needed.start, before)).slices]
