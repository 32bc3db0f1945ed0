"""What the outputs of a network mean: a class each, and after them a border for each class whose objects count.

With two classes, ``background`` and ``cell``, and objects of ``cell``::

    output   0 background   1 cell (its core)   2 cell border
    class    0 background   1 cell              1 cell

A network learns the outputs. All that is about classes (labels, scores, uncertainty) uses their *class probabilities*,
in which a border counts as its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from genenet.core.models import Closed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

LEVELS = 255  # of stored probabilities


class ObjectClass(Closed):
    """A class of objects that are told apart.

    Attributes:
        name: of the class, which the border belongs to.
        of: the classes that an object consists of, such as a cell's organelles; ``name`` is one of them.
    """

    name: str
    of: list[str] = Field(min_length=1)


@dataclass(frozen=True)
class Outputs:
    """The outputs of a network: K classes, then a border for each of the object classes.

    Attributes:
        classes: names, (K,).
        objects: the classes whose objects are told apart.
    """

    classes: Sequence[str]
    objects: Sequence[ObjectClass] = ()

    def __len__(self) -> int:
        return len(self.classes) + len(self.objects)

    @cached_property
    def borders(self) -> list[tuple[int, int]]:
        """The border's output and the class that it belongs to, of each object class."""
        k, ids = len(self.classes), list(self.classes).index
        return [(k + i, ids(each.name)) for i, each in enumerate(self.objects)]

    def parts(self, number: int) -> list[int]:
        """Return the outputs that an object of an object class consists of; the border is the last of them."""
        ids = list(self.classes).index
        return [*map(ids, self.objects[number].of), self.borders[number][0]]

    def semantic(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return class probabilities (K, …) of the outputs' probabilities (K + objects, …), floats or 255 levels."""
        if not self.objects:
            return outputs
        found: NDArray[Any] = outputs[: len(self.classes)].copy()
        for border, of in self.borders:
            found[of] = self._sum(outputs, [of, border])
        return found

    def object_probability(self, outputs: NDArray[Any], number: int) -> NDArray[Any]:
        """Return the probability (…) that a voxel belongs to an object of an object class, border included."""
        return self._sum(outputs, self.parts(number))

    @staticmethod
    def _sum(outputs: NDArray[Any], wanted: Sequence[int]) -> NDArray[Any]:
        import numpy as np  # not above: configs, and so genenet status, know outputs, too

        if outputs.dtype != np.uint8:
            total: NDArray[Any] = outputs[list(wanted)].sum(axis=0, dtype=outputs.dtype)
            return total
        # rounded levels may add up to more than 255
        levels: NDArray[np.uint16] = np.minimum(outputs[list(wanted)].sum(axis=0, dtype=np.uint16), LEVELS)
        return levels.astype(np.uint8)


def other_classes(before: Outputs, now: Outputs) -> str:
    """Return that the last layer of networks begins anew since their outputs are others; an empty text if not."""
    if [*before.classes] == [*now.classes] and [*before.objects] == [*now.objects]:
        return ""
    names = [[*of.classes, *(f"{each.name} border" for each in of.objects)] for of in (now, before)]
    only = [[name for name in own if name not in other] for own, other in (names, names[::-1])]
    texts = [
        f"{where}: {', '.join(each)}" for where, each in zip(("new", "before"), only, strict=True) if each
    ]
    how = f"others ({'; '.join(texts)})" if texts else "in another order, or their objects have other parts"
    return f"the last layer begins with random weights, since the classes are {how}"
