"""``segmentation.postprocessing:``, what is done to a finished segmentation: specks, holes, objects."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from genenet.core.errors import InputError
from genenet.core.models import Closed

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "*"
LabelChoice = Literal["segmentation", "cleaned"]  # class ids of the networks, or after post-processing


def _of_all_classes(value: Any) -> Any:
    if isinstance(value, int):
        return {ALL: value}
    if not isinstance(value, dict):
        raise ValueError(f"give a number of voxels, or {{class: number}}, not {value!r}")
    return value


def _without_limit(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return dict.fromkeys(value)
    if not isinstance(value, dict):
        raise ValueError(f"give a list of classes, or {{class: largest hole in voxels}}, not {value!r}")
    return value


Sizes = dict[str, PositiveInt]
Limits = dict[str, PositiveInt | None]


class Postprocessing(Closed):
    """What is done to a segmentation: remove specks, fill holes, number objects, in this order."""

    min_size_voxels: Annotated[
        Sizes, BeforeValidator(_of_all_classes, json_schema_input_type=PositiveInt | Sizes)
    ] = Field(
        {},
        description="connected components with fewer voxels than this take the class that they touch most: one "
        "number for all classes, or {class: number}",
    )
    fill_holes: Annotated[
        Limits, BeforeValidator(_without_limit, json_schema_input_type=list[str] | Limits)
    ] = Field(
        {},
        description="classes whose holes are filled, including everything inside them: a list of classes, or "
        "{class: largest hole in voxels}, where null is any size",
    )
    objects: list[str] = Field([], description="classes whose connected components are numbered and listed")
    connectivity: Literal[6, 26] = Field(
        6,
        description="how the voxels of a component are connected. 6: through faces; 26: also through edges and "
        "corners (4 and 8 neighbours in a single slice)",
    )

    @property
    def cleans(self) -> bool:
        """Whether labels change."""
        return bool(self.min_size_voxels or self.fill_holes)

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to do."""
        return self.cleans or bool(self.objects)

    def check_classes(self, classes: Sequence[str], where: str) -> None:
        """Raise InputError if a class that is named here isn't one of ``classes``.

        Args:
            classes: that there are.
            where: what the message begins with, before the key.
        """
        for key in ("min_size_voxels", "fill_holes", "objects"):
            for name in getattr(self, key):
                if name not in classes and not (key == "min_size_voxels" and name == ALL):
                    close = difflib.get_close_matches(name, classes, n=1)
                    hint = f"did you mean {close[0]}?" if close else f"classes are {', '.join(classes)}"
                    raise InputError(f"{where}{key}: '{name}' is none of the classes; {hint}")

    def smallest(self, classes: Sequence[str]) -> list[int]:
        """Return the smallest size in voxels that a component of each class may have."""
        return [self.min_size_voxels.get(name, self.min_size_voxels.get(ALL, 1)) for name in classes]
