"""A synthetic, labelled volume like SBF-SEM of human platelets (Guay et al. 2021, Sci Rep 11:2561).

It has any size and is made slice by slice from a seed. A larger shape with the same seed contains the
smaller one, voxel for voxel: objects are drawn per lattice site, noise per tile of a slice.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError
from genenet.core.geometry import Triple
from genenet.phantoms.lattice import Lattice, Scene
from genenet.phantoms.organelles import RIM_NM, Balls
from genenet.phantoms.platelets import GAP_NM, MEMBRANE_NM, Platelet, generator

VOXEL_SIZE_NM = (40.0, 10.0, 10.0)
CLASSES = (
    "background",
    "cell",
    "mitochondrion",
    "alpha granule",
    "canalicular vessel",
    "dense granule body",
    "dense granule core",
)

Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_SLICE_NM, _PIXEL_NM = VOXEL_SIZE_NM[0], VOXEL_SIZE_NM[2]
_CELL, _DENSE_CORE = 1, 6
_BACKGROUND_GREY, _CELL_GREY, _MEMBRANE_GREY = 204.0, 134.0, 82.0
_FAR_NM = np.float32(1e6)
_TILE = 256  # pixels of a tile of noise


def slabs(shape: Triple, seed: int, slab_height: int = 8) -> Iterator[tuple[int, Bytes, Bytes]]:
    """Make the volume slab by slab, from the top.

    Args:
        shape: Of the whole volume, (Z, Y, X) in voxels.
        seed: Not negative. The same seed gives the same voxels with any slab height.
        slab_height: Slices per slab; the last may have fewer.

    Yields:
        First slice, image (z, Y, X) uint8, labels (z, Y, X) uint8 (an index into `CLASSES`).

    Raises:
        InputError: If the shape isn't three positive integers, or the seed or slab height is out of bounds.
    """
    _check(shape, seed, slab_height)
    return _slabs(shape, seed, slab_height)


def _check(shape: Triple, seed: int, slab_height: int) -> None:
    # Not in the generator, which would check only when the first slab is asked for.
    if len(shape) != 3 or not all(_is_integer(n) and n >= 1 for n in shape):
        raise InputError(
            f"shape {tuple(shape)}: the phantom needs three positive integers, Z, Y and X in voxels"
        )
    if not _is_integer(seed) or seed < 0:
        raise InputError(f"seed {seed}: the phantom needs an integer of at least 0")
    if not _is_integer(slab_height) or slab_height < 1:
        raise InputError(f"slab_height {slab_height}: the phantom needs an integer of at least 1")


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _slabs(shape: Triple, seed: int, slab_height: int) -> Iterator[tuple[int, Bytes, Bytes]]:
    lattice = Lattice(seed)
    for z0 in range(0, shape[0], slab_height):
        height = min(slab_height, shape[0] - z0)
        image, labels = (np.empty((height, *shape[1:]), np.uint8) for _ in range(2))
        for i in range(height):
            image[i], labels[i] = _slice(lattice, z0 + i, shape[1:])
        yield z0, image, labels


def _slice(lattice: Lattice, z: int, size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """Return image and labels (Y, X) of a slice.

    It is painted with a margin of one pixel, which the blur at the end removes.
    """
    height, width = size[0] + 2, size[1] + 2
    z_nm = z * _SLICE_NM
    corners = [z_nm, -_PIXEL_NM, -_PIXEL_NM], [z_nm, height * _PIXEL_NM, width * _PIXEL_NM]
    scene = lattice.scene(*(np.array(corner) for corner in corners))
    depth, owner = _platelets(scene.platelets, z_nm, (height, width))
    labels = (depth > 0).astype(np.uint8)
    image = _cytoplasm(scene.platelets, depth, owner)
    image += _mottle(lattice.seed, z, (height, width)) * np.where(depth > 0, np.float32(1), np.float32(0.2))
    _organelles(scene, z_nm, depth, owner, image, labels)
    return _microscope(image, lattice.seed, z), labels[1:-1, 1:-1]


def _platelets(
    platelets: list[Platelet], z_nm: float, size: tuple[int, int]
) -> tuple[Plane, NDArray[np.int32]]:
    """Return how far inside a platelet pixels lie (nm, (Y, X), negative outside), and the platelet's index.

    A pixel belongs to the nearest platelet, and to none where the second is hardly farther: so they never touch.
    """
    nearest, second = np.full(size, _FAR_NM), np.full(size, _FAR_NM)
    owner = np.full(size, -1, np.int32)
    for index, platelet in enumerate(platelets):
        rows, columns = (_pixels(platelet, axis, size[axis - 1]) for axis in (1, 2))
        box = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        y_nm, x_nm = ((np.arange(r.start, r.stop, dtype=float) - 1) * _PIXEL_NM for r in (rows, columns))
        distance = platelet.distance_in_slice(z_nm, y_nm, x_nm)
        np.copyto(owner[box], index, where=distance < nearest[box])
        np.minimum(second[box], np.maximum(nearest[box], distance), out=second[box])
        np.minimum(nearest[box], distance, out=nearest[box])
    return np.minimum(-nearest, (second - nearest - np.float32(GAP_NM)) / 2), owner


def _pixels(platelet: Platelet, axis: int, size: int) -> range:
    centre, half = platelet.centre[axis] / _PIXEL_NM + 1, platelet.half_extent[axis] / _PIXEL_NM
    start, stop = np.clip([np.floor(centre - half), np.ceil(centre + half) + 1], 0, size).astype(int)
    return range(start, max(start, stop))


def _cytoplasm(platelets: list[Platelet], depth: Plane, owner: NDArray[np.int32]) -> Plane:
    brightness = np.array([platelet.brightness for platelet in platelets], np.float32)
    cell = np.float32(_CELL_GREY) + np.append(brightness, np.float32(0))[owner]
    image = np.where(depth > 0, cell, np.float32(_BACKGROUND_GREY))
    membrane = np.abs(depth - np.float32(MEMBRANE_NM / 2)) < MEMBRANE_NM / 2
    image[membrane] += np.float32(_MEMBRANE_GREY - _CELL_GREY)
    return image


def _organelles(
    scene: Scene, z_nm: float, depth: Plane, owner: NDArray[np.int32], image: Plane, labels: Bytes
) -> None:
    """Paint the organelles into image and labels (Y, X): specks, membranes, what they hold, cores last."""
    balls = scene.balls[np.abs(scene.balls["centre"][:, 0] - z_nm) < scene.balls["radius"] + RIM_NM]
    label, has_rim = balls["label"], ~np.isnan(balls["rim"])
    paint = partial(_paint, z_nm=z_nm, depth=depth, owner=owner, image=image, labels=labels)
    paint(balls[label == _CELL])
    paint(balls[has_rim], rim_nm=RIM_NM)
    paint(balls[has_rim])
    paint(balls[label == _DENSE_CORE])


def _paint(
    balls: Balls,
    *,
    rim_nm: float = 0.0,
    z_nm: float,
    depth: Plane,
    owner: NDArray[np.int32],
    image: Plane,
    labels: Bytes,
) -> None:
    """Paint the part of the balls that a slice cuts: their inside, or, enlarged by the rim, in the rim's grey."""
    for ball, y, x in _stamps(balls, rim_nm, z_nm, labels.shape):
        # Placing avoids neighbours only to first order, so parts outside of the cell are cut off.
        own = (owner[y, x] == ball["owner"]) & (depth[y, x] > MEMBRANE_NM - rim_nm / 3)
        ball, y, x = ball[own], y[own], x[own]
        labels[y, x] = ball["label"]
        if rim_nm:
            image[y, x] = ball["rim"]
        else:
            image[y, x] = ball["grey"] + ball["stripes"] * _stripes(ball["wave"], z_nm, y, x)


def _stripes(wave: Plane, z_nm: float, y: NDArray[np.intp], x: NDArray[np.intp]) -> Plane:
    """Return a triangle wave in [-0.5, 0.5] at pixels (n,), for waves (n, 3) in periods per nm."""
    turns = wave[:, 0] * z_nm + (wave[:, 1] * y + wave[:, 2] * x) * _PIXEL_NM
    return np.abs(turns - np.rint(turns)).astype(np.float32) * 2 - np.float32(0.5)


def _stamps(
    balls: Balls, rim_nm: float, z_nm: float, size: tuple[int, ...]
) -> Iterator[tuple[Balls, NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the pixels that balls (grown by ``rim_nm``) cover in a slice: ball, y, x, each (n,).

    Balls of about the same size are handled at once: a loop over tens of thousands would be slow.
    """
    squared = (balls["radius"] + rim_nm) ** 2 - (balls["centre"][:, 0] - z_nm) ** 2
    radius = np.sqrt(np.maximum(squared, 0)) / _PIXEL_NM
    centre = balls["centre"][:, 1:] / _PIXEL_NM + 1
    seen = (
        (radius > 0) & (centre > -radius[:, None]).all(axis=1) & (centre < size + radius[:, None]).all(axis=1)
    )
    reach = np.where(seen, np.ceil(radius), 0).astype(int)
    for n in np.unique(reach[seen]):
        some = np.flatnonzero(reach == n)
        nearest = np.rint(centre[some]).astype(int)[..., None] + np.arange(-n, n + 1)
        offset = (nearest - centre[some][..., None]) ** 2
        inside = offset[:, 0, :, None] + offset[:, 1, None, :] < (radius[some] ** 2)[:, None, None]
        known = (nearest >= 0) & (nearest < np.array(size)[:, None])
        which, row, column = np.nonzero(inside & known[:, 0, :, None] & known[:, 1, None, :])
        yield balls[some[which]], nearest[which, 0, row], nearest[which, 1, column]


def _microscope(image: Plane, seed: int, z: int) -> Bytes:
    """Return the painted slice (Y + 2, X + 2) as recorded: noise, blur, and the slice's own contrast."""
    shot = np.sqrt(np.maximum(image, 20) / 128)
    image += _noise(seed, z, 0, image.shape) * shot * 0.34
    contrast, offset = generator(seed, 2, z).normal([1.0, 0.0], [0.05, 4.0]).astype(np.float32)
    image = (_blur(image) - 128) * contrast + (128.5 + offset)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def _mottle(seed: int, z: int, size: tuple[int, int]) -> Plane:
    """Return the grain (Y, X) of the cytoplasm, of about 30 nm."""
    coarse = _noise(seed, z, 1, (size[0] + 4, size[1] + 4))
    return _blur(_blur(coarse)) * np.float32(0.4)


def _blur(image: Plane) -> Plane:
    """Smooth by (1, 2, 1) / 4 along y and x; two pixels fewer along each."""
    rows = image[:-2] + image[2:]
    rows += 2 * image[1:-1]
    both = rows[:, :-2] + rows[:, 2:]
    both += 2 * rows[:, 1:-1]
    both *= np.float32(1 / 16)
    return both


def _noise(seed: int, z: int, stream: int, size: tuple[int, ...]) -> Plane:
    """Return white noise (Y, X), even in [-127.5, 127.5]: the blur makes it nearly normal.

    Bytes are ten times faster to draw than normal deviates.
    """
    noise = np.empty(size, np.float32)
    for y in range(0, size[0], _TILE):
        for x in range(0, size[1], _TILE):
            tile = generator(seed, 3, stream, z, y, x).integers(0, 256, (_TILE, _TILE), np.uint8)
            part = noise[y : y + _TILE, x : x + _TILE]
            np.subtract(tile[: part.shape[0], : part.shape[1]], np.float32(127.5), out=part)
    return noise


def write_phantom(shape: Triple, seed: int, image_path: Path, labels_path: Path) -> None:
    """Write the volume as two OME-TIFF stacks, slab by slab.

    The image is uncompressed and contiguous, so that it can be memory-mapped (noise hardly compresses); the labels are
    zlib-compressed. Both files appear when they are complete.

    Raises:
        InputError: As `slabs`.
    """
    parts = slabs(shape, seed)
    big = int(np.prod(shape, dtype=object)) > 2**31
    with ExitStack() as stack:
        targets = [stack.enter_context(atomic_path(path)) for path in (image_path, labels_path)]
        # Opened last, so closed first: a file is complete when it is renamed.
        writers = [stack.enter_context(tifffile.TiffWriter(path, bigtiff=big, ome=False)) for path in targets]
        for z0, image, labels in parts:
            for z, (image_slice, labels_slice) in enumerate(zip(image, labels, strict=True), start=z0):
                description = _ome_xml(shape) if z == 0 else None
                writers[0].write(image_slice, contiguous=z > 0, description=description, metadata=None)
                writers[1].write(labels_slice, compression="zlib", description=description, metadata=None)


def _ome_xml(shape: Triple) -> str:
    # Made here, since tifffile makes it only for a file that is written from a single iterator.
    z, y, x = shape
    sizes = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), VOXEL_SIZE_NM, strict=True))
    units = dict.fromkeys((f"{name}Unit" for name in sizes), "nm")
    ome = tifffile.OmeXml()
    ome.addimage("uint8", shape, (z, 1, 1, y, x, 1), axes="ZYX", **sizes, **units)
    return ome.tostring(declaration=True)
