"""The numbers of the phantom's objects: 32 bits that depend on the lattice site and the object's place in it alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genenet.core.errors import InputError
from genenet.core.geometry import Triple
from genenet.phantoms.objects import OBJECTS
from genenet.phantoms.organelles import MOST_OF_A_KIND
from genenet.phantoms.platelets import REACH_NM, SPACING_NM, VOXEL_SIZE_NM, Site, site_key

Ids = NDArray[np.uint32]

_MOST_SITES = 2**32 // MOST_OF_A_KIND


def site_number(site: Site) -> int:
    """Return a number for a lattice site, another one for each.

    Those of a cube at the corner come first, so a small volume has small numbers (the pairing function of Rosenberg
    and Strong 1972, in three dimensions; Szudzik 2017, arXiv:1706.04129).
    """
    z, y, x = site_key(site)
    most, most_of_two = max(z, y, x), max(z, y)
    in_plane = most_of_two**2 + most_of_two + z - y
    return most**3 + (most - x) * (2 * most + 1) + in_plane


def number_objects(
    name: str, labels: NDArray[np.uint8], sites: NDArray[np.int64], places: NDArray[np.uint8]
) -> Ids:
    """Return the numbers of a class's objects (Y, X); 0 is no object.

    Args:
        name: one of `OBJECTS`.
        labels: (Y, X).
        sites: (Y, X), the number of the platelet's site.
        places: (Y, X), which organelle of its kind it is in the platelet.
    """
    ids = sites if name == "cell" else sites * MOST_OF_A_KIND + places
    return np.where(np.isin(labels, OBJECTS[name]), ids, 0).astype(np.uint32)


def check_objects(names: Sequence[str], shape: Triple) -> None:
    """Check that classes have objects, and that 32 bits can number those of a volume.

    Raises:
        InputError: If a class has no objects, or the volume is too large: it may have 10 000 slices of 39 000 rows
            and 51 000 columns.
    """
    for name in names:
        if name not in OBJECTS:
            raise InputError(f"instances of {name}: the phantom numbers the objects of {', '.join(OBJECTS)}")
    size_nm = (np.array(shape) + 1) * VOXEL_SIZE_NM
    z, y, x = np.floor((size_nm + REACH_NM) / SPACING_NM).astype(int).tolist()
    if names and (max(site_key((z, y, x))) + 1) ** 3 > _MOST_SITES:
        raise InputError(
            f"shape {'x'.join(map(str, shape))}: too large for objects with numbers of 32 bits; at most "
            "10000x39000x51000"
        )
