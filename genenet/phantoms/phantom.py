"""A synthetic, labelled volume like SBF-SEM of human platelets (Guay et al. 2021, Sci Rep 11:2561).

It has any size and is made slice by slice from a seed. A larger shape with the same seed contains the
smaller one, voxel for voxel: objects are drawn per lattice site, noise per tile of a slice.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError
from genenet.core.geometry import Triple
from genenet.phantoms.instances import Ids, check_objects
from genenet.phantoms.lattice import Lattice
from genenet.phantoms.microscope import Bytes
from genenet.phantoms.platelets import VOXEL_SIZE_NM as VOXEL_SIZE_NM
from genenet.phantoms.slices import draw_slice
from genenet.phantoms.tiff_stack import TiffStack
from genenet.phantoms.variants import USUAL, Variant

CLASSES = (
    "background",
    "cell",
    "mitochondrion",
    "alpha granule",
    "canalicular vessel",
    "dense granule body",
    "dense granule core",
)


class Slab(NamedTuple):
    """Some slices of a phantom.

    Attributes:
        z0: The first slice.
        image: (z, Y, X) uint8.
        labels: (z, Y, X) uint8, an index into `CLASSES`.
        instances: (z, Y, X) uint32 for each class that was asked for: the number of the object, 0 where there is none.
    """

    z0: int
    image: Bytes
    labels: Bytes
    instances: dict[str, Ids]


def slabs(
    shape: Triple, seed: int, slab_height: int = 8, variant: Variant = USUAL
) -> Iterator[tuple[int, Bytes, Bytes]]:
    """Make the volume slab by slab, from the top.

    Args:
        shape: Of the whole volume, (Z, Y, X) in voxels.
        seed: Not negative. The same seed gives the same voxels with any slab height.
        slab_height: Slices per slab; the last may have fewer.
        variant: How the phantom differs from the usual one.

    Yields:
        First slice, image (z, Y, X) uint8, labels (z, Y, X) uint8 (an index into `CLASSES`).

    Raises:
        InputError: If the shape isn't three positive integers, or the seed or slab height is out of bounds.
    """
    return (slab[:3] for slab in numbered_slabs(shape, seed, (), slab_height, variant))


def numbered_slabs(
    shape: Triple, seed: int, classes: Sequence[str], slab_height: int = 8, variant: Variant = USUAL
) -> Iterator[Slab]:
    """Make the volume as `slabs` does, and number the objects of some classes.

    A cell is a platelet with all its organelles, a dense granule body contains its core, and the objects of the other
    classes are the voxels of that class. An object has the same number in every slice and in a volume of any shape.

    An object is one piece (26-connected), unless the border of the volume cuts it: this leaves about one in 500 in
    several pieces. Parts of an organelle that would stick out of its cell are left out. Objects of a class may touch;
    where their membranes overlap, a voxel belongs to the object that is painted last.

    Args:
        shape: Of the whole volume, (Z, Y, X) in voxels.
        seed: Not negative.
        classes: Names of `OBJECTS`.
        slab_height: Slices per slab; the last may have fewer.
        variant: How the phantom differs from the usual one.

    Raises:
        InputError: As `slabs`, and if a class has no objects, or the volume is too large for numbers of 32 bits.
    """
    _check(shape, seed, slab_height)
    check_objects(classes, shape)
    return _slabs(shape, seed, classes, slab_height, variant)


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


def _slabs(
    shape: Triple, seed: int, classes: Sequence[str], slab_height: int, variant: Variant
) -> Iterator[Slab]:
    lattice = Lattice(seed)
    for z0 in range(0, shape[0], slab_height):
        size = min(slab_height, shape[0] - z0), *shape[1:]
        slab = Slab(z0, np.empty(size, np.uint8), np.empty(size, np.uint8), {})
        slab.instances.update((name, np.empty(size, np.uint32)) for name in classes)
        for i in range(size[0]):
            slab.image[i], slab.labels[i], ids = draw_slice(lattice, z0 + i, shape[1:], classes, variant)
            for name, numbers in zip(classes, ids, strict=True):
                slab.instances[name][i] = numbers
        yield slab


def write_phantom(
    shape: Triple,
    seed: int,
    image: Path,
    labels: Path,
    instances: Mapping[str, Path] | None = None,
    variant: Variant = USUAL,
) -> None:
    """Write the volume as OME-TIFF stacks, slab by slab.

    The image is uncompressed and contiguous, so that it can be memory-mapped (noise hardly compresses); labels and
    numbers of objects are zlib-compressed. All files appear when they are complete.

    Args:
        shape: (Z, Y, X) in voxels.
        seed: Not negative.
        image: The file of the image.
        labels: The file of the labels.
        instances: The files of the numbers of objects, by class.
        variant: How the phantom differs from the usual one.

    Raises:
        InputError: As `numbered_slabs`.
    """
    instances = instances or {}
    parts = numbered_slabs(shape, seed, list(instances), variant=variant)
    with ExitStack() as stack:
        paths = [stack.enter_context(atomic_path(path)) for path in (image, labels, *instances.values())]
        # Opened last, so closed first: a file is complete when it is renamed.
        formats = [("uint8", False), ("uint8", True), *[("uint32", True)] * len(instances)]
        files = [
            stack.enter_context(TiffStack(path, shape, dtype, compressed=compressed))
            for path, (dtype, compressed) in zip(paths, formats, strict=True)
        ]
        for slab in parts:
            arrays: list[NDArray[Any]] = [slab.image, slab.labels, *slab.instances.values()]
            for file, array in zip(files, arrays, strict=True):
                file.write(array)
