"""The table of contacts: pairs of objects that touch, the most doubtful first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.objects.measures import ContactMeasures
    from genenet.objects.tuned import Risk

CONTACT_COLUMNS = (
    *("object_a", "object_b"),
    *(f"{axis}_{unit}" for unit in ("voxels", "nm") for axis in "zyx"),
    *("faces", "area_nm2", "border", "disagreement", "risk"),
)


def contact_rows(
    measures: ContactMeasures,
    voxel_size_nm: Sequence[float],
    translation_nm: Sequence[float],
    risk: Risk | None = None,
    has_disagreement: bool = True,
) -> list[tuple[Any, ...]]:
    """Return the rows of the table, see CONTACT_COLUMNS.

    Border and disagreement are means over the voxels on both sides of the contact. The risk is the probability that
    both are parts of one object, or, without a calibrated ``risk``, 1 - border.
    """
    pairs, sums = measures.table()
    faces = sums[:3].sum(axis=0)
    size, place = np.array(voxel_size_nm)[:, None], np.array(translation_nm)[:, None]
    border, disagreement = sums[3] / 2 / faces, sums[4] / 2 / faces
    centre = sums[5:] / 2 / faces
    area = (sums[:3] * (size.prod() / size)).sum(axis=0)
    doubt = risk.of(border, disagreement, faces) if risk else 1 - border
    order = np.lexsort((pairs[1], pairs[0], -doubt))
    return [
        (
            *pairs[:, i].tolist(),
            *np.round(centre[:, i], 2).tolist(),
            *np.round((place + centre[:, i : i + 1] * size)[:, 0], 2).tolist(),
            *(int(faces[i]), round(float(area[i]), 3), round(float(border[i]), 4)),
            round(float(disagreement[i]), 4) if has_disagreement else "",
            round(float(doubt[i]), 4),
        )
        for i in order.tolist()
    ]
