"""``instances:`` beside an image: which voxels belong to the same object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import not_
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from genenet.core.choices import listed
from genenet.core.models import Closed
from genenet.core.outputs import ObjectClass


class InstanceFiles(Closed):
    """The objects of one class in an image, numbered."""

    path: Annotated[
        list[Path] | None,
        Field(min_length=1),
        BeforeValidator(lambda value: [value] if isinstance(value, str | Path) else value),
    ] = Field(
        None,
        description="integer image(s) of the same shape: voxels of one object have the same number, 0 is no object; "
        "a phantom has its own",
    )
    of: list[str] | None = Field(
        None,
        min_length=1,
        description="the classes that an object consists of, such as [cell, mitochondrion] for a cell with its "
        "organelles; null: its own class alone",
    )
    border_nm: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="width of the border that networks learn along the edge of each object; null: an eighth of its "
        "diameter in the plane, 1 to 4 voxels",
    )


class ObjectTarget(ObjectClass):
    """A class of objects, and how wide the border is that networks learn.

    Attributes:
        border_nm: None: chosen by the size of each object.
    """

    border_nm: float | None = None


def object_targets(
    classes: Sequence[str], images: Mapping[str, Mapping[str, InstanceFiles]]
) -> list[ObjectTarget]:
    """Return the classes of objects that networks learn, in the order of the classes.

    Args:
        classes: of the data.
        images: the ``instances:`` of each image that networks learn from or are validated on, by its place in the
            config.

    Raises:
        ValueError: If a class is unknown, an image lacks a class that another has, or two images say different things.
    """
    found: dict[str, tuple[str, ObjectTarget]] = {}
    for place, instances in images.items():
        for name, files in instances.items():
            target = _target(classes, name, files, f"{place}.instances.{name}")
            first, known = found.setdefault(name, (place, target))
            if target != known:
                raise ValueError(
                    f"{place}.instances.{name}: of: and border_nm: must be those of {first}, since all networks learn "
                    "the same"
                )
    for place, instances in images.items():
        if missing := [name for name in found if name not in instances]:
            raise ValueError(
                f"{place}: has no instances: for {listed(missing)}, as {found[missing[0]][0]} has; networks need them "
                "in each image of train and validation"
            )
    return [found[name][1] for name in classes if name in found]


def _target(classes: Sequence[str], name: str, files: InstanceFiles, place: str) -> ObjectTarget:
    of = files.of or [name]
    for each in (name, *of):
        if each not in classes:
            raise ValueError(f"{place}: {each} is no class; classes are {', '.join(classes)}")
    if name not in of:
        raise ValueError(f"{place}.of: must contain {name} itself")
    return ObjectTarget(name=name, of=of, border_nm=files.border_nm)


Instances = Annotated[
    dict[str, InstanceFiles],
    Field(
        default_factory=dict,
        exclude_if=not_,
        description="classes whose objects are told apart, such as {cell: {path: cell_ids.tif}}",
    ),
]
