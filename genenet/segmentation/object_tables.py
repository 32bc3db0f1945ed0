"""Where the tables of a segmentation's objects lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def tables_of(store: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of the tables of a class's objects and of their contacts, beside the store."""
    stem = store.name.removesuffix(".zarr").removesuffix(".ome")
    tail = name.replace(" ", "_")
    return store.with_name(f"{stem}.instances_{tail}.csv"), store.with_name(f"{stem}.contacts_{tail}.csv")
