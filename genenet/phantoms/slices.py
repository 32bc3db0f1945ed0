"""A slice of the phantom: what its platelets and their organelles look like, and which of them each pixel shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genenet.phantoms.instances import Ids, number_objects, site_number
from genenet.phantoms.lattice import Lattice
from genenet.phantoms.microscope import Bytes, Plane, mottle, record
from genenet.phantoms.organelles import RIM_NM, Balls
from genenet.phantoms.platelets import GAP_NM, MEMBRANE_NM, VOXEL_SIZE_NM, Platelet
from genenet.phantoms.variants import Variant

_SLICE_NM, _PIXEL_NM = VOXEL_SIZE_NM[0], VOXEL_SIZE_NM[2]
_CELL, _DENSE_CORE = 1, 6
_BACKGROUND_GREY, _CELL_GREY, _MEMBRANE_GREY = 204.0, 134.0, 82.0
_FAR_NM = np.float32(1e6)
_TOUCHING_GAP_NM = -1e-3  # below 0: a pixel that is exactly as far from a second platelet is no background


@dataclass(frozen=True)
class Painting:
    """A slice while it is painted, all (Y + 2, X + 2): the blur at the end removes a margin of one pixel.

    Attributes:
        z_nm: Where the slice is.
        depth: How far inside a platelet pixels lie in nm, negative outside.
        owner: The platelet's index in the scene.
        image: Grey levels.
        labels: Indices of classes.
        places: Which organelle of its kind a pixel shows, in its platelet.
    """

    z_nm: float
    depth: Plane
    owner: NDArray[np.int32]
    image: Plane
    labels: Bytes
    places: Bytes


def draw_slice(
    lattice: Lattice, z: int, size: tuple[int, int], classes: Sequence[str], variant: Variant
) -> tuple[Bytes, Bytes, list[Ids]]:
    """Return image, labels, and the numbers of each class's objects, all (Y, X), of a slice."""
    height, width = size[0] + 2, size[1] + 2
    z_nm = z * _SLICE_NM
    corners = [z_nm, -_PIXEL_NM, -_PIXEL_NM], [z_nm, height * _PIXEL_NM, width * _PIXEL_NM]
    scene = lattice.scene(*(np.array(corner) for corner in corners))
    depth, owner = _platelets(scene.platelets, z_nm, (height, width), variant)
    labels = (depth > 0).astype(np.uint8)
    image = _cytoplasm(scene.platelets, depth, owner)
    image += mottle(lattice.seed, z, (height, width)) * np.where(depth > 0, np.float32(1), np.float32(0.2))
    painting = Painting(z_nm, depth, owner, image, labels, np.zeros_like(labels))
    _organelles(scene.balls, painting)
    inner = np.s_[1:-1, 1:-1]
    sites = np.array([*map(site_number, scene.sites), 0])  # the last is the background's, whose owner is -1
    shown = labels[inner], sites[owner[inner]], painting.places[inner]
    ids = [number_objects(name, *shown) for name in classes]
    return record(image, lattice.seed, z, variant), labels[inner], ids


def _platelets(
    platelets: list[Platelet], z_nm: float, size: tuple[int, int], variant: Variant
) -> tuple[Plane, NDArray[np.int32]]:
    """Return how far inside a platelet pixels lie (nm, (Y, X), negative outside), and the platelet's index.

    A pixel belongs to the nearest platelet. Unless platelets touch, it belongs to none where the second is hardly
    farther.
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
    gap_nm = np.float32(_TOUCHING_GAP_NM if variant.touching else GAP_NM)
    return np.minimum(-nearest, (second - nearest - gap_nm) / 2), owner


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


def _organelles(balls: Balls, painting: Painting) -> None:
    """Paint the organelles: specks, membranes, what they hold, cores last."""
    balls = balls[np.abs(balls["centre"][:, 0] - painting.z_nm) < balls["radius"] + RIM_NM]
    label, has_rim = balls["label"], ~np.isnan(balls["rim"])
    _paint(balls[label == _CELL], painting)
    _paint(balls[has_rim], painting, rim_nm=RIM_NM)
    _paint(balls[has_rim], painting)
    _paint(balls[label == _DENSE_CORE], painting)


def _paint(balls: Balls, painting: Painting, rim_nm: float = 0.0) -> None:
    """Paint the part of the balls that a slice cuts: their inside, or, enlarged by the rim, in the rim's grey."""
    image, labels = painting.image, painting.labels
    for ball, y, x in _stamps(balls, rim_nm, painting.z_nm, labels.shape):
        # Placing avoids neighbours only to first order, so parts outside of the cell are cut off.
        own = (painting.owner[y, x] == ball["owner"]) & (painting.depth[y, x] > MEMBRANE_NM - rim_nm / 3)
        ball, y, x = ball[own], y[own], x[own]
        labels[y, x], painting.places[y, x] = ball["label"], ball["place"]
        if rim_nm:
            image[y, x] = ball["rim"]
        else:
            image[y, x] = ball["grey"] + ball["stripes"] * _stripes(ball["wave"], painting.z_nm, y, x)


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
