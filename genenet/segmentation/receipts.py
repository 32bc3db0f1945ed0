"""Receipts: they record what a job has done for its part of a segmentation, or why the part was given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from genenet.core.atomic_files import read_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.volumes.ome_zarr import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from genenet.volumes.ome_zarr import Store


Show = Callable[[int, int, Box], None]  # is called with done, all and the block; shows progress


def show_nothing(done: int, total: int, block: Box) -> None:
    """Show no progress."""


class Receipt(Closed):
    """What came of a part of a segmentation."""

    format: Literal["genenet.receipt/2", "genenet.receipt/1"] = "genenet.receipt/2"
    status: Literal["ok", "unfinished", "failed"] = "ok"
    reason: str | None = Field(None, description="why the part was given up")
    part: PositiveInt = Field(description="from 1")
    n_parts: PositiveInt
    blocks: NonNegativeInt = Field(0, description="of the part")
    written: NonNegativeInt = Field(0, description="blocks that this job has written")
    kept: NonNegativeInt = Field(0, description="blocks that were there before")
    voxels: NonNegativeInt = 0
    voxels_written: NonNegativeInt = 0
    voxels_computed_for_each: NonNegativeFloat | None = Field(
        None, description="voxel written; more than 1 by the halo"
    )
    seconds: NonNegativeFloat = 0.0
    seconds_computing: NonNegativeFloat = 0.0
    threads: PositiveInt | None = Field(
        None, description="CPU cores that computed tiles, which change no voxel"
    )
    seconds_by_stage: dict[str, NonNegativeFloat] = Field(
        default_factory=dict,
        description="seconds of a core that each stage took: read, normalise, compute (the networks), combine "
        "(softmax, labels, entropy, rounding), write (compressing, too; decoding, if the image is a Zarr)",
    )
    fingerprint: str = Field("", description="the store's")
    warnings: list[str] = Field(
        default_factory=list, description="how the volume differs from what the ensemble has seen"
    )


def read_receipt(path: Path) -> Receipt:
    """Read a receipt; raises InputError if it is damaged or of an unknown version."""
    return validate(Receipt, read_json(path), str(path))


def finished_store(path: Path) -> Store:
    """Open a segmentation of which all blocks are there.

    Raises:
        InputError: If blocks are missing. If jobs have given up parts of it, the message is their reason.
    """
    try:
        store = open_store(path)
        store.check_complete()
    except InputError:
        given_up = [receipt for receipt in _receipts_of(path) if receipt.status != "ok"]
        if not given_up:
            raise
        first, more = given_up[0], f" (and {len(given_up) - 1} more)" if len(given_up) > 1 else ""
        raise InputError(
            f"{path}: part {first.part} of {first.n_parts}{more} is {first.status}: {first.reason}; once the cause is "
            "removed, run genenet retry with the results folder, and start again"
        ) from None
    return store


def _receipts_of(store: Path) -> list[Receipt]:
    """Return the receipts of the workflow's jobs, which lie in ``demo/parts`` beside ``demo.ome.zarr``."""
    folder = store.with_name(store.name.removesuffix(".zarr").removesuffix(".ome")) / "parts"
    return [read_receipt(path) for path in sorted(folder.glob("*-of-*.json")) if path.name.count(".") == 1]
