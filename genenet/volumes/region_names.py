"""The names of labelled images: a file, and the region of it that the image is, as in ``a.tif[0:8, :, 20:270]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genenet.config.types import ImageRegion

_ENDS = r"(:|\d+:\d+)"
_REGION = re.compile(rf"\[{_ENDS}, {_ENDS}, {_ENDS}\]$")  # a bracket before it belongs to the file's name


def region_text(region: ImageRegion | None) -> str:
    """Return what the name of a region has behind that of its file; an empty text for the whole image."""
    ends = region or (None, None, None)
    return "[" + ", ".join(f"{i[0]}:{i[1]}" if i else ":" for i in ends) + "]" if any(ends) else ""


def file_and_region(name: str) -> tuple[str, ImageRegion | None]:
    """Return the file in a name, and the region; None for the whole image."""
    found = _REGION.search(name)
    if not found:
        return name, None
    z, y, x = (_ends(text) for text in found.groups())
    return name[: found.start()], (z, y, x)


def _ends(text: str) -> tuple[int, int] | None:
    start, _, stop = text.partition(":")
    return (int(start), int(stop)) if start else None
