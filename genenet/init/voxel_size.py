"""The voxel size for the config: from the command line, otherwise from the files, otherwise asked from the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genenet.config.texts import read_voxel_size
from genenet.init import prompts
from genenet.volumes.grid import AXES, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.config.types import VoxelSize
    from genenet.init.survey import Look, Survey
    from genenet.volumes.grid import Sizes

PLACEHOLDER_NM = 1.0
TOLERANCE = 0.05  # of a size


@dataclass(frozen=True)
class FoundSize:
    """A voxel size.

    Attributes:
        sizes_nm: along z, y, x; None along an axis whose size isn't known.
        source: where it is from, for the config.
    """

    sizes_nm: Sizes
    source: str

    @property
    def missing(self) -> list[str]:
        """The axes along which the size isn't known."""
        return [axis for axis, size in zip(AXES, self.sizes_nm, strict=True) if size is None]

    @property
    def whole(self) -> VoxelSize:
        """The size, with a placeholder where it isn't known."""
        z, y, x = (PLACEHOLDER_NM if size is None else size for size in self.sizes_nm)
        return z, y, x

    @property
    def is_nearly_cubic(self) -> bool:
        """Whether no side is twice as long as another, as far as is known."""
        known = [size for size in self.sizes_nm if size is not None]
        return not known or max(known) < 2 * min(known)


def find_voxel_size(given: VoxelSize | None, survey: Survey, interactive: bool) -> FoundSize:
    """Return the voxel size that was given; otherwise that of the files, asking for sizes that they lack."""
    if given:
        return FoundSize(given, "as given")
    found = _from_files([seen.image for seen in survey.labelled])
    if not found.missing or not interactive:
        return found
    answer = prompts.ask(
        _question(found), "unknown", lambda text: None if text == "unknown" else read_voxel_size(text)
    )
    if answer is None:
        return found
    pairs = zip(found.sizes_nm, answer, strict=True)
    z, y, x = (new if own is None else own for own, new in pairs)
    return FoundSize((z, y, x), "as given")


def _from_files(looks: Sequence[Look]) -> FoundSize:
    """Return for each axis the size in the first file that contains it."""
    of_axes = [[(seen.sizes_nm[axis], seen.path.name) for seen in looks] for axis in range(3)]
    first = [next(((size, name) for size, name in pairs if size), (None, "")) for pairs in of_axes]
    z, y, x = (size for size, _ in first)
    source = f"from the metadata of {' and '.join(sorted({name for _, name in first if name}))}"
    found = FoundSize((z, y, x), source)
    if not found.missing:
        return found
    axes = " and ".join(found.missing)
    unknown = f"{axes} NOT KNOWN: the files don't contain it. Give the true size, since the results record it"
    return FoundSize(found.sizes_nm, unknown if len(found.missing) == 3 else f"{source}; {unknown}")


def _question(found: FoundSize) -> str:
    if len(found.missing) == 3:
        return "Voxel size in nm along z, y, x, such as 40x10x10 (the files don't contain it)"
    axes = ", ".join(found.missing)
    return f"Voxel size in nm along {axes} (along z, y, x the files contain {size_text(found.sizes_nm)})"


def notes_on_sizes(size: FoundSize, survey: Survey) -> Iterator[str]:
    """Yield what is unusual about voxel sizes."""
    if size.missing:
        axes = "" if len(size.missing) == 3 else f" along {' and '.join(size.missing)}"
        yield (
            f"the voxel size{axes} isn't known, so {size_text(size.whole)} nm is written: give --voxel-size (z, y, x "
            "in nm), or edit the file. 2D networks don't need the size, but the results record it, and volumes are "
            "rescaled by it"
        )
    for other in [*(seen.image for seen in survey.labelled), *survey.volumes]:
        pairs = [(own, ours) for own, ours in zip(other.sizes_nm, size.sizes_nm, strict=True) if own and ours]
        if any(abs(own - ours) > TOLERANCE * ours for own, ours in pairs):
            yield (
                f"{other.path}: its metadata give a voxel size of {size_text(other.sizes_nm)} nm, not "
                f"{size_text(size.whole)} nm; networks expect the size that they were trained with "
                "(segmentation.rescale: true resamples volumes to segment)"
            )
