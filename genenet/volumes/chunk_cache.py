"""A volume whose chunks are decoded once and shared by all boxes that touch them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.geometry import Box, Triple
from genenet.volumes.base import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class CachedVolume(Volume):
    """A volume that keeps its most recently used chunks, up to a number of bytes. It may be read by many threads.

    If two threads need a chunk at the same time, one decodes it and the other waits.

    Args:
        volume: what is read.
        max_bytes: memory for decoded chunks; the chunks of a single box are kept even if they need more.

    Attributes:
        n_decoded: chunks decoded so far; more than the volume has if ``max_bytes`` is too small.
    """

    def __init__(self, volume: Volume, max_bytes: int) -> None:
        self._take_over(volume)
        self._volume, self._max_bytes = volume, max_bytes
        self.n_decoded = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Triple, Future[NDArray[Any]]] = OrderedDict()
        self._n_bytes = 0

    def _read(self, box: Box) -> NDArray[Any]:
        voxels = np.empty(box.shape, self.dtype)
        for chunk in self._chunks_of(box):
            common = chunk.intersect(box)
            data = self._chunk(chunk)
            voxels[common.relative_to(box.start).slices] = data[common.relative_to(chunk.start).slices]
        return voxels

    def _chunks_of(self, box: Box) -> Iterator[Box]:
        """The chunks that a box touches, cut off at the volume's borders."""
        first = (p - (p - s) % c for p, s, c in zip(box.start, self.chunk_start, self.chunks, strict=True))
        for z, y, x in product(*map(range, first, box.stop, self.chunks)):
            yield Box.of_shape(self.chunks, (z, y, x)).intersect(Box.of_shape(self.shape))

    def _chunk(self, box: Box) -> NDArray[Any]:
        with self._lock:
            found = self._kept.get(box.start)
            if found:
                self._kept.move_to_end(box.start)
            else:
                own = self._kept[box.start] = Future()
        if found:
            return found.result()
        try:
            data = self._volume.read(box)
        except BaseException as error:
            with self._lock:
                del self._kept[box.start]
            own.set_exception(error)
            raise
        own.set_result(data)
        with self._lock:
            self.n_decoded += 1
            self._n_bytes += data.nbytes
            self._forget()
        return data

    def _forget(self) -> None:
        """Drop the chunks that were used longest ago; those that are still being decoded stay."""
        for start, chunk in list(self._kept.items()):
            if self._n_bytes <= self._max_bytes:
                return
            if chunk.done():
                self._n_bytes -= chunk.result().nbytes
                del self._kept[start]


def cached(volume: Volume, block: Triple, halo: Triple, max_bytes: int) -> Volume:
    """Return the volume with a cache that is large enough for its blocks, or the volume itself if it is mapped.

    Args:
        volume: what is read; a region of a file is cropped before.
        block: voxels that are segmented at a time, in C order.
        halo: voxels read beyond a block on each side, along z, y, x.
        max_bytes: the most that the cache may hold; with less than it needs, chunks are decoded again.
    """
    if volume.is_mapped:  # the system keeps what was read of a mapped file
        return volume
    return CachedVolume(volume, min(max_bytes, cache_bytes(volume, block, halo)))


def cache_bytes(volume: Volume, block: Triple, halo: Triple) -> int:
    """Return the bytes of chunks to keep, so that blocks in C order decode each chunk once.

    A chunk that two rows of blocks share is needed again one row later. So the cache holds the chunks of a row, and
    of two more blocks, which are read ahead. If layers of blocks share chunks, it holds the chunks of a layer.
    """
    whole = Box.of_shape(volume.shape)
    depth, height, width = (
        min(n, -(-(b + 2 * h - 1) // c) * c + c if h or b % c else -(-b // c) * c)
        for n, b, h, c in zip(volume.shape, block, halo, volume.chunks, strict=True)
    )
    n_z, n_y, n_x = whole.shape
    layers_share = n_z > block[0] and (halo[0] or block[0] % volume.chunks[0] or volume.chunk_start[0])
    voxels = depth * (n_y * n_x if layers_share else min(n_y * n_x, height * (n_x + 2 * width)))
    if layers_share:
        voxels += 2 * depth * height * width
    return int(voxels * volume.dtype.itemsize)
