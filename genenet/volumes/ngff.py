"""NGFF metadata of a segmentation's store: what viewers need to know of its images, labels and pyramid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json, write_json
from genenet.core.errors import InputError
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.volumes.pyramid import Level


def label_names(path: Path) -> list[str]:
    """Return the names of a store's images of labels, ``segmentation`` first.

    Raises:
        InputError: If the store doesn't list them, or a name isn't that of a folder inside ``labels``.
    """
    file = path / "labels" / "zarr.json"
    try:
        names = list(read_json(file)["attributes"]["ome"]["labels"])
    except (KeyError, TypeError):
        raise InputError(f"{file}: doesn't list the images of labels; it isn't of genenet's making") from None
    if odd := [name for name in names if not (isinstance(name, str) and re.fullmatch(r"\w[\w. -]*", name))]:
        raise InputError(f"{file}: {odd[0]!r} isn't a name of labels; use letters, digits, spaces, - and _")
    return names


def announce(folder: Path, metadata: dict[str, Any]) -> None:
    """Replace a group's NGFF metadata in one atomic write."""
    document = read_json(folder / "zarr.json")
    document["attributes"]["ome"].update(metadata)
    write_json(folder / "zarr.json", document)


def image_metadata(found: Sequence[Level], name: str) -> dict[str, Any]:
    """Return the metadata of an image of channels."""
    from ome_zarr_models.v05.image import ImageAttrs

    multiscale = _multiscale(found, name.split(".")[0], "mean", "czyx")
    return ImageAttrs(version="0.5", multiscales=[multiscale]).model_dump(by_alias=True, exclude_none=True)


def label_metadata(found: Sequence[Level], name: str, classes: Sequence[str]) -> dict[str, Any]:
    """Colours and names of the classes, if labels are classes; the background is transparent."""
    from ome_zarr_models.v05.image_label import ImageLabelAttrs

    description: dict[str, Any] = {"version": "0.5", "source": {"image": "../../"}}
    if classes:
        description["colors"] = [
            {"label-value": i, "rgba": [*colour, 255 if i else 0]}
            for i, colour in enumerate(class_colours(len(classes)))
        ]
        description["properties"] = [{"label-value": i, "name": n} for i, n in enumerate(classes)]
    multiscale = _multiscale(found, name, "mode", "zyx")
    attributes = {"version": "0.5", "multiscales": [multiscale], "image-label": description}
    return ImageLabelAttrs.model_validate(attributes).model_dump(by_alias=True, exclude_none=True)


def _multiscale(found: Sequence[Level], name: str, method: str, axes: str) -> Any:
    from ome_zarr_models.v05.axes import Axis
    from ome_zarr_models.v05.multiscales import Dataset, Multiscale

    lead = len(axes) - 3
    return Multiscale(
        name=name,
        type=method,
        axes=tuple(
            Axis(name="c", type="channel") if a == "c" else Axis(name=a, type="space", unit="nanometer")
            for a in axes
        ),
        datasets=tuple(
            Dataset.build(
                path=str(i),
                scale=[1.0] * lead + list(level.scale),
                translation=[0.0] * lead + list(level.translation),
            )
            for i, level in enumerate(found)
        ),
    )


def omero(classes: Sequence[str], channels: Sequence[str], dtype: str) -> dict[str, Any]:
    """How viewers show the channels at first: the first one in grey, the classes' in their colours, off."""
    from ome_zarr_models.common.omero import Omero

    colours = dict(zip(classes, class_colours(len(classes)), strict=True)) | {channels[0]: (255, 255, 255)}
    top = 255 if dtype == "uint8" else 1
    shown = [
        {
            "label": name,
            "color": "{:02X}{:02X}{:02X}".format(*colours.get(name, (255, 255, 255))),
            "window": {"min": 0, "max": top, "start": 0, "end": top},
            "active": name == channels[0],
        }
        for name in channels
    ]
    Omero.model_validate({"channels": shown})
    return {"channels": shown}
