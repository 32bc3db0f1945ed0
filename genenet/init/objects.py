"""Labels that number objects: two classes are made from them, and the config gives them as ``instances:``."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from genenet.core.choices import many
from genenet.core.errors import InputError
from genenet.init import prompts
from genenet.init.survey import N_IDS, LabelledLook, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.init.request import Request

MANY_IDS = 50  # more ids than this number objects
DEEP = 16  # slices that 3D networks need


def with_objects(request: Request, seen: Survey, interactive: bool) -> tuple[Request, Survey]:
    """Make two classes from labels that number objects: outside of them, and inside.

    Such labels are recognised by the number of different ids, or by ``--objects``.

    Returns:
        The request with the name of the objects and of both classes, and the survey with the voxels of the classes;
        both as they were if the labels are class ids.

    Raises:
        InputError: If nobody can be asked for the name, or no two classes can be made; a line for each thing.
    """
    numbered = [look for look in seen.labelled if len(look.counts) > MANY_IDS]
    if not request.objects and not numbered:
        return request, seen
    if not request.objects and not interactive:
        raise InputError("\n".join(_unnamed(look) for look in numbered))
    name = request.objects or _ask_name(numbered[0])
    if request.ignore_label is not None:
        raise InputError(
            f"--ignore-label {request.ignore_label}: labels that number objects have none; leave voxels out by a mask "
            "(--mask)"
        )
    names = request.classes or ["background", name]
    if len(names) != 2 or names[1] != name:
        raise InputError(
            f"--classes {','.join(names)}: labels that number objects have two classes, such as background,{name}: "
            f"outside of the objects, and inside (--objects {name})"
        )
    if problems := [problem for look in seen.labelled for problem in _problems(look)]:
        raise InputError("\n".join(problems))
    train, validation = (_in_classes(looks, name) for looks in (seen.train, seen.validation))
    found = Survey(train, validation, seen.volumes)
    return request.model_copy(update={"objects": name, "classes": names}), found


def notes(looks: Sequence[LabelledLook], can_be_3d: bool) -> Iterator[str]:
    """Yield what numbered objects mean for the search.

    Args:
        looks: at the labels.
        can_be_3d: genomes are drawn, and the voxels are as deep as they are wide, or nearly.
    """
    n = sum(look.n_objects for look in looks)
    yield (
        f"the labels number {many(n, 'object')} of class '{looks[0].objects}': networks also learn their borders, and "
        "objects that touch are told apart (docs/objects.md)"
    )
    if can_be_3d and looks[0].image.shape[0] >= DEEP:
        yield (
            "networks of 2D layers see no border between slices: 3D ones (spatial_mode in the file) take longer, but "
            "merge fewer objects"
        )


def _in_classes(looks: Sequence[LabelledLook], name: str) -> list[LabelledLook]:
    """Return the looks with 0 and 1 instead of numbers of objects."""
    return [
        replace(
            look,
            counts=dict(Counter({0: look.counts[0], 1: sum(look.counts.values()) - look.counts[0]})),
            places=tuple(_two(place) for place in look.places),
            objects=name,
            n_objects=len(look.counts) - 1,
        )
        for look in looks
    ]


def _two(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count numbers above 0 as 1, (n, N_IDS)."""
    found = np.zeros_like(place)
    found[:, 0], found[:, 1] = place[:, 0], place[:, 1:N_IDS].sum(axis=1)
    return found


def _problems(look: LabelledLook) -> list[str]:
    lowest = min(look.counts)
    if lowest < 0:
        return [f"{look.labels}: holds the number {lowest}; objects have positive numbers, 0 is no object"]
    if lowest > 0:
        return [
            f"{look.labels}: no voxel is 0, so that nothing is outside of the objects; set what separates them, such "
            "as membranes, to 0"
        ]
    return [] if len(look.counts) > 1 else [f"{look.labels}: all voxels are 0, so there is no object"]


def _unnamed(look: LabelledLook) -> str:
    return (
        f"{look.labels}: has {len(look.counts)} different labels, so they seem to number objects; give the name of "
        "such an object, as --objects mitochondrion (see docs/objects.md), or save one id for each class"
    )


def _ask_name(look: LabelledLook) -> str:
    """Ask what the objects are."""

    def read(answer: str) -> str:
        if not answer or "," in answer or answer == "background":
            raise InputError("give one name, such as mitochondrion")
        return answer

    print()
    print(f"{look.labels} has {len(look.counts)} different labels, so they seem to number objects.")
    return prompts.ask("Name of such an object, such as mitochondrion", "object", read)
