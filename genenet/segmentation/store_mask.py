"""The files of a segmentation: its store records image and mask, so that later steps find them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.core.geometry import by
from genenet.volumes.masks import Mask
from genenet.volumes.opening import open_volume

if TYPE_CHECKING:
    from genenet.config.settings import ImageFiles
    from genenet.core.geometry import Triple
    from genenet.volumes.ome_zarr import Store


def mask_facts(source: ImageFiles) -> dict[str, Any]:
    """Return the attributes of a store that record the mask's files and how they are read; none without a mask."""
    if not source.mask:
        return {}
    return {"mask": [str(path.absolute()) for path in source.mask], "flip": source.flip}


def source_facts(source: ImageFiles) -> dict[str, Any]:
    """Return the attributes of a store that record the files of the image and how they are read."""
    kept = {"image": [str(path.absolute()) for path in source.image], "labels": None}
    if source.mask:
        kept["mask"] = [str(path.absolute()) for path in source.mask]
    return {"source": source.model_dump(mode="json", exclude={"instances", "weight"}) | kept}


def mask_of(store: Store, block: Triple) -> Mask | None:
    """Open the mask that a store was segmented with, cut to the region of the store.

    Args:
        store: a segmentation. Stores of older versions don't record their masks.
        block: what is read at a time.

    Raises:
        InputError: If the mask can't be opened, or has another shape than the store.
    """
    facts = store.attributes
    if not facts.get("mask"):
        return None
    try:
        whole = open_volume([Path(name) for name in facts["mask"]], flip=facts["flip"], is_grey=False)
    except InputError as error:
        raise InputError(
            f"{store.path}: its mask can't be opened ({error}); put the mask back, or segment again"
        ) from error
    mask = Mask.of(whole, facts["region"], block)
    if mask and mask.volume.shape != store.shape:
        raise InputError(
            f"{store.path}: its shape {by(store.shape)} isn't that of its mask {facts['mask'][0]}, which is "
            f"{by(mask.volume.shape)}; the mask has changed: segment again"
        )
    return mask
