"""The table of objects: a row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.objects.pieces import PieceTable

COLUMNS = (
    *("id", "class_id", "class", "volume_voxels", "volume_nm3"),
    *(f"centroid_{axis}_{unit}" for unit in ("voxels", "nm") for axis in "zyx"),
    *(f"{axis}_{end}" for axis in "zyx" for end in ("start", "stop")),
    "touches_border",
)


def rows(
    objects: PieceTable,
    names: Sequence[str],
    voxel_size_nm: Sequence[float],
    translation_nm: Sequence[float] = (0.0, 0.0, 0.0),
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table of objects, see COLUMNS.

    Coordinates in voxels are those of the segmentation: 0 is the centre of its first voxel, boxes are half-open.
    Those in nm are the image's: the centre of the first voxel lies at ``translation_nm``.
    """
    size, place = np.array(voxel_size_nm), np.array(translation_nm)
    for i in range(len(objects)):
        n, class_id = int(objects.n_voxels[i]), int(objects.classes[i])
        centroid = objects.sums[:, i] / n
        corners = np.stack([objects.start[:, i], objects.stop[:, i]], axis=1)
        yield (
            *(i + 1, class_id, names[class_id], n, round(float(n * size.prod()), 3)),
            *(round(float(c), 3) for c in (*centroid, *(place + centroid * size))),
            *corners.reshape(-1).tolist(),
            bool(objects.on_border[i]),
        )
