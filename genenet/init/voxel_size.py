"""The voxel sizes for the config: from the command line, otherwise from the files, otherwise asked from the user.

The data have one voxel size. A labelled image whose own size is another one is resampled to it by ``prepare``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genenet.config.texts import NONE, option, read_voxel_size
from genenet.core.errors import InputError
from genenet.init import prompts
from genenet.volumes.grid import AXES, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from genenet.config.types import VoxelSize
    from genenet.core.geometry import Triple
    from genenet.init.further import Further
    from genenet.init.request import Request
    from genenet.init.survey import Look, Survey
    from genenet.volumes.grid import Sizes

PLACEHOLDER_NM = 1.0
TOLERANCE = 0.05  # of a size
MOST_RESAMPLED = 10  # times a size; metadata that differ by more are probably wrong


@dataclass(frozen=True)
class FoundSize:
    """A voxel size.

    Attributes:
        sizes_nm: along z, y, x; None along an axis whose size isn't known.
        source: where it is from, for the config.
        of_images: the sizes of the labelled images whose voxels are of another size, by path.
        given: the labelled images whose size the user gave.
    """

    sizes_nm: Sizes
    source: str
    of_images: Mapping[Path, VoxelSize] = field(default_factory=dict)
    given: frozenset[Path] = frozenset()

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

    def resampled(self, path: Path, shape: Triple) -> Triple:
        """Return the shape that an image or a region of it has once it is resampled; slices stay slices."""
        own = self.of_images.get(path)
        if own is None:
            return shape
        y, x = (max(1, round(n * a / b)) for n, a, b in zip(shape[1:], own[1:], self.whole[1:], strict=True))
        return shape[0], y, x


def find_voxel_size(
    request: Request, survey: Survey, interactive: bool, further: Further | None = None
) -> FoundSize:
    """Return the voxel size that was given; otherwise that of the files, asking for sizes that they lack.

    Args:
        request: ``voxel_size`` is that of the data; it also replaces what the files contain. ``image_voxel_size`` and
            ``validation_voxel_size`` are those of single images.
        survey: of the files.
        interactive: whether the user can be asked.
        further: a search that is gone on from, whose voxel size is that of the data; None: there is none.

    Raises:
        InputError: If sizes of single images are given, but not one for each image.
    """
    given = _given(request)
    looks = [seen.image for seen in survey.labelled]
    if given:
        looks = [replace(look, sizes_nm=own or look.sizes_nm) for look, own in zip(looks, given, strict=True)]
    if request.voxel_size:
        found = FoundSize(request.voxel_size, "as given")
        looks = looks if given else []
    elif further:
        found = FoundSize(further.voxel_size_nm, f"as in {further.folder}")
    else:
        found = _completed(_from_files(looks), interactive)
    paths = [*request.image, *request.validation_image]
    of_user = frozenset(path for path, own in zip(paths, given, strict=False) if own)
    return replace(found, of_images=dict(_others(found, looks)), given=of_user)


def _given(request: Request) -> list[VoxelSize | None]:
    """Return the sizes that were given for single images, in the order of the survey; empty if there are none.

    Raises:
        InputError: If there are some, but not one for each image.
    """
    found: list[VoxelSize | None] = []
    for images, name in (
        (request.image, "image_voxel_size"),
        (request.validation_image, "validation_voxel_size"),
    ):
        sizes = getattr(request, name)
        if sizes and len(sizes) != len(images):
            raise InputError(
                f"{option(name)}: {len(sizes)} are given for {len(images)} images; give one for each, in the same "
                f"order, and the word {NONE} for an image whose size its file says"
            )
        found += sizes or [None] * len(images)
    return found if any(found) else []


def _others(data: FoundSize, looks: Sequence[Look]) -> Iterator[tuple[Path, VoxelSize]]:
    """Yield the images whose voxels have another size than the data, with the data's size where theirs isn't known.

    Sizes that differ by more than a factor of ``MOST_RESAMPLED`` aren't believed.
    """
    for look in looks:
        if _differs(look, data) and not _is_doubtful(look, data):
            pairs = zip(look.sizes_nm, data.whole, strict=True)
            z, y, x = (ours if own is None else own for own, ours in pairs)
            yield look.path, (z, y, x)


def _differs(look: Look, data: FoundSize) -> bool:
    pairs = zip(look.sizes_nm, data.sizes_nm, strict=True)
    return any(own and ours and abs(own - ours) > TOLERANCE * ours for own, ours in pairs)


def _is_doubtful(look: Look, data: FoundSize) -> bool:
    pairs = zip(look.sizes_nm, data.sizes_nm, strict=True)
    return any(own and ours and max(own / ours, ours / own) > MOST_RESAMPLED for own, ours in pairs)


def _completed(found: FoundSize, interactive: bool) -> FoundSize:
    """Ask for the sizes that aren't known."""
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
    for path, own in size.of_images.items():
        yield (
            f"{path}: its voxels are {size_text(own)} nm; it is resampled to {size_text(size.whole)} nm "
            "(voxel_size_nm beside its path)"
        )
    yield from _notes_on_files(size, survey)


def _notes_on_files(size: FoundSize, survey: Survey) -> Iterator[str]:
    """Yield whose metadata say something else than what is written, and which images have no size beside others'."""
    for look in (seen.image for seen in survey.labelled):
        if look.path in size.of_images or look.path in size.given:
            continue
        if _differs(look, size):
            yield (
                f"{look.path}: its metadata give a voxel size of {size_text(look.sizes_nm)} nm, which "
                f"isn't used: {size_text(size.whole)} nm is written. If the metadata are right, give the size with "
                "--image-voxel-size or --validation-voxel-size, and the image is resampled"
            )
        elif size.of_images and not any(look.sizes_nm):
            yield (
                f"{look.path}: its file contains no voxel size, so it isn't resampled; if it isn't "
                f"{size_text(size.whole)} nm, give the size with --image-voxel-size or --validation-voxel-size"
            )
    for look in survey.volumes:
        if _differs(look, size):
            yield (
                f"{look.path}: its metadata give a voxel size of {size_text(look.sizes_nm)} nm, not "
                f"{size_text(size.whole)} nm; networks expect the size that they were trained with "
                "(segmentation.rescale: true resamples volumes to segment)"
            )
