"""Further images of labels in a segmentation's store, beside ``labels/segmentation``, which stays as it is.

An image is written under another name and renamed; only then is it listed. What is listed is complete.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import zarr

from genenet.core.atomic_files import remove
from genenet.core.errors import InputError
from genenet.volumes.ngff import announce, label_metadata, label_names
from genenet.volumes.ome_zarr import CLEANED, INSTANCES, create_array, settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from genenet.volumes.ome_zarr import Store


def class_labels(store: Store, choice: str | None = None) -> zarr.Array[Any]:
    """Open the class ids (z, y, x) of a store: those named, or by default the cleaned ones, if there are any.

    Raises:
        InputError: If there are no such labels.
    """
    names = label_names(store.path)
    name = choice or (CLEANED if CLEANED in names else "segmentation")
    if name not in names or name not in ("segmentation", CLEANED):
        known = " or ".join(n for n in names if n in ("segmentation", CLEANED))
        raise InputError(
            f"{store.path}: has no labels '{name}' of classes, only {known}; genenet postprocess makes {CLEANED}"
        )
    return zarr.open_array(store.path / "labels" / name / "0", mode="r")


def remove_labels(store: Store, name: str) -> None:
    """Remove an image of labels, or what was left of one."""
    folder = store.path / "labels"
    announce(folder, {"labels": [other for other in label_names(store.path) if other != name]})
    for path in (folder / name, _partial(store, name), _scratch(store, name)):
        if path.exists():
            remove(path)


@contextmanager
def new_labels(store: Store, name: str, dtype: str, classes: Sequence[str] = ()) -> Iterator[zarr.Array[Any]]:
    """Give an array (z, y, x) to fill, cut into the store's blocks; after an error nothing is left of it.

    Args:
        store: that it is added to; there is no image of that name.
        name: of the image, its folder below ``labels``.
        dtype: uint8 or uint32.
        classes: names by label, if labels are classes.
    """
    folder, partial = store.path / "labels", _partial(store, name)
    first = store.levels()
    try:
        with settled(), zarr.config.set({"array.write_empty_chunks": True}):
            zarr.create_group(partial, attributes={"ome": label_metadata(first, name, classes)})
            yield create_array(partial / "0", store.shape, store.block, dtype)
        os.replace(partial, folder / name)
        announce(folder, {"labels": [*label_names(store.path), name]})
    finally:
        if partial.exists():
            remove(partial)


@contextmanager
def scratch_labels(store: Store, name: str, dtype: str) -> Iterator[zarr.Array[Any]]:
    """Give an array (z, y, x) of the store's blocks to fill; nothing is left of it, and it is never listed."""
    folder = _scratch(store, name)
    if folder.exists():
        remove(folder)
    try:
        with settled(), zarr.config.set({"array.write_empty_chunks": True}):
            yield create_array(folder / "0", store.shape, store.block, dtype)
    finally:
        if folder.exists():
            remove(folder)


def open_labels(store: Store, name: str) -> zarr.Array[Any]:
    """Open an image of labels (z, y, x) that is listed."""
    return zarr.open_array(store.path / "labels" / name / "0", mode="r")


def instance_labels(class_name: str) -> str:
    """Return the name of the image of a class's numbered objects."""
    return INSTANCES + class_name.replace(" ", "_")


def _scratch(store: Store, name: str) -> Path:
    return store.path / "labels" / f".{name}.scratch"


def _partial(store: Store, name: str) -> Path:
    return store.path / "labels" / f".{name}.partial"
