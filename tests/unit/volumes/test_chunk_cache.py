"""Each chunk is decoded once, whatever boxes are read."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.errors import InputError
from genenet.core.geometry import Box, tiles
from genenet.volumes.base import ArrayVolume, crop
from genenet.volumes.chunk_cache import CachedVolume, cache_bytes, cached
from genenet.volumes.opening import open_volume
from genenet.volumes.reflection import read_reflected
from tests.support.examples import examples

SHAPE = (6, 25, 35)


def image(shape=SHAPE):
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


class Counted(ArrayVolume):
    """Counts what is read; ``seconds`` makes it slow, ``fails`` makes it fail that often."""

    def __init__(self, array, chunks, seconds=0.0, fails=0):
        super().__init__(array, chunks=chunks)
        self.is_mapped = False
        self.boxes, self.seconds, self.fails = [], seconds, fails

    def read(self, box):
        self.boxes.append(box)
        time.sleep(self.seconds)
        if len(self.boxes) <= self.fails:
            raise InputError("damaged")
        return super().read(box)


def visit(volume, block, halo):
    """Read the volume as segmenting does."""
    for box in tiles(Box.of_shape(volume.shape), block):
        start, stop = zip(
            *((a - h, b + h) for a, b, h in zip(box.start, box.stop, halo, strict=True)), strict=True
        )
        yield read_reflected(volume, Box(start, stop))


triples = st.tuples(st.integers(1, 5), st.integers(6, 30), st.integers(6, 40))
halos = st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 12))
starts = st.tuples(st.integers(0, 5), st.integers(0, 24), st.integers(0, 34))


@examples(30)
@given(triples, triples, halos, starts)
def test_every_chunk_is_decoded_once(chunks, block, halo, start):
    source = Counted(image(), chunks)
    region = tuple((s, n) for s, n in zip(start, SHAPE, strict=True))
    plain, cut = crop(ArrayVolume(image()), region), crop(source, region)
    volume = cached(cut, block, halo, 10**9)
    for a, b in zip(visit(volume, block, halo), visit(plain, block, halo), strict=True):
        np.testing.assert_array_equal(a, b)
    assert max(Counter(source.boxes).values()) == 1
    chunk_of = [
        {tuple(p // c for p, c in zip(at, chunks, strict=True)) for at in (b.start,)} for b in source.boxes
    ]
    assert len({c for found in chunk_of for c in found}) == len(source.boxes) == volume.n_decoded
    covered = sum(box.n_voxels for box in source.boxes)
    assert covered == np.prod(cut.shape)  # nothing outside of the region


@pytest.mark.parametrize("kind", ["pages", "zarr"])
def test_files(tmp_path, kind):
    data = image((8, 200, 300))
    if kind == "pages":
        tifffile.imwrite(tmp_path / "a", data, compression="zlib")
    else:
        zarr.create_array(tmp_path / "a", shape=data.shape, dtype="u1", chunks=(4, 64, 64))[...] = data
    source = open_volume(tmp_path / "a")
    volume = cached(source, (2, 64, 64), (0, 20, 20), 10**9)
    for got, box in zip(
        visit(volume, (2, 64, 64), (0, 0, 0)), tiles(Box.of_shape(data.shape), (2, 64, 64)), strict=True
    ):
        np.testing.assert_array_equal(got, data[box.slices])
    assert volume.n_decoded == {"pages": 8, "zarr": 2 * 4 * 5}[kind]


def test_what_is_mapped_is_not_cached(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image())
    volume = open_volume(tmp_path / "a.tif")
    assert cached(volume, (2, 64, 64), (0, 20, 20), 10**9) is volume
    part = crop(volume, ((1, 5), None, None))
    assert cached(part, (2, 64, 64), (0, 20, 20), 10**9) is part


def test_memory_is_bounded_also_when_it_is_too_little():
    source = Counted(image(), (1, 10, 10))
    volume = CachedVolume(source, 1000)
    for got, expected in zip(
        visit(volume, (3, 20, 30), (1, 5, 5)), visit(source, (3, 20, 30), (1, 5, 5)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
        assert volume._n_bytes == sum(f.result().nbytes for f in volume._kept.values()) <= 1000
    assert volume.n_decoded > 6 * 3 * 4


def test_the_size_for_a_volume_of_pages():
    """A page is a chunk: rows of blocks share pages, layers don't, for networks without a halo along z."""
    pages = ArrayVolume(np.broadcast_to(np.uint16(0), (250, 2000, 2000)), chunks=(1, 2000, 2000))
    assert cache_bytes(pages, (8, 512, 512), (0, 20, 20)) == 8 * 2000 * 2000 * 2
    assert cache_bytes(pages, (250, 512, 512), (4, 20, 20)) == 250 * 2000 * 2000 * 2
    blocks = ArrayVolume(np.broadcast_to(np.uint8(0), (250, 20000, 20000)), chunks=(8, 128, 128))
    assert cache_bytes(blocks, (8, 512, 512), (0, 20, 20)) == 8 * 768 * (20000 + 2 * 768)


def test_threads_share_one_decoding():
    source = Counted(image(), (3, 13, 18), seconds=0.05)
    volume = CachedVolume(source, 10**9)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: volume.read(Box((0, 0, 0), (3, 25, 35))), range(8)))
    assert len(source.boxes) == 4
    for voxels in read:
        np.testing.assert_array_equal(voxels, image()[:3])
        voxels[...] = 0  # the reader's own


def test_an_error_reaches_who_waits_and_is_forgotten():
    source = Counted(image(), SHAPE, seconds=0.1, fails=1)
    volume = CachedVolume(source, 10**9)

    def read(_):
        try:
            return volume.read(Box.of_shape(SHAPE))
        except InputError as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(read, range(3)))
    assert any(isinstance(o, InputError) for o in outcomes)
    for voxels in [*outcomes, read(3)]:
        if not isinstance(voxels, InputError):
            np.testing.assert_array_equal(voxels, image())
    assert len(source.boxes) == 2
