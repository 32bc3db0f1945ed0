"""From paths to volumes: single files, folders and lists of slices, images with their labels and mask."""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.errors import InputError
from genenet.core.geometry import Box, by
from genenet.volumes.base import MirroredVolume, Volume, crop, file_volume
from genenet.volumes.formats import files_of, format_of, natural_order
from genenet.volumes.grid import size_text
from genenet.volumes.instances import ClassesOfIds, ObjectIds
from genenet.volumes.labels import ClassLabels, check_integers, first_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from genenet.config.settings import ImageFiles
    from genenet.config.types import FlippedAxes, ImageRegion, VoxelSize
    from genenet.volumes.grid import Grid

log = logging.getLogger(__name__)


class StackVolume(Volume):
    """Two or more files stacked along z. Only a few are open at a time, since a system allows some hundreds."""

    def __init__(
        self, paths: Sequence[Path], is_grey: bool = True, sizes_nm: VoxelSize | None = None
    ) -> None:
        self._open = lru_cache(maxsize=8)(partial(_open_file, is_grey=is_grey))
        self._take_over(_open_file(paths[0], is_grey))
        self.name = f"{paths[0]} and {len(paths) - 1} more"
        self._parts: list[tuple[Path, Box]] = []
        notes: dict[str, None] = {}  # each once, in order
        grids: dict[str, Grid] = {}
        z, skipped = 0, set[Path]()
        for path in paths:
            if path.resolve() in skipped:
                continue
            part = _open_file(path, is_grey)
            skipped |= _members(part, paths)
            self._check_fits(part, paths[0])
            notes |= dict.fromkeys(part.notes)
            grids[part.name] = part.grid
            self._parts.append((path, Box.of_shape(part.shape, (z, 0, 0))))
            z += part.shape[0]
        of_sizes: list[str] = []
        if is_grey and not sizes_nm:  # the sizes of labels and masks count nowhere
            self.grid, of_sizes = _common_grid(grids)
        self.shape, self.notes = (z, *self.shape[1:]), (*notes, *of_sizes)
        self._ends = [part.stop[0] for _, part in self._parts]

    def _check_fits(self, part: Volume, first: Path) -> None:
        if part.shape[1:] != self.shape[1:] or part.dtype != self.dtype:
            raise InputError(
                f"{part.name}: has {_describe(part)}, but {first} has {_describe(self)}; "
                "files stacked along z must agree in y, x and type"
            )
        if part.bottom_up != self.bottom_up:
            raise InputError(
                f"{part.name}: MRC and other formats can't be stacked, since MRC's rows begin at the bottom"
            )

    def _read(self, box: Box) -> NDArray[Any]:
        voxels = np.empty(box.shape, self.dtype)
        for path, part in self._parts[bisect_right(self._ends, box.start[0]) :]:
            if part.start[0] >= box.stop[0]:
                break
            common = part.intersect(box)
            voxels[common.relative_to(box.start).slices] = self._open(path).read(
                common.relative_to(part.start)
            )
        return voxels


def open_volume(
    paths: Sequence[Path] | Path,
    region: ImageRegion | None = None,
    *,
    flip: FlippedAxes | None = None,
    is_grey: bool = True,
    sizes_nm: VoxelSize | None = None,
) -> Volume:
    """Open an image without reading its voxels. What is odd about its files is logged as warnings.

    Args:
        paths: a file or folder of one of ``formats.FORMATS``, a folder of slices, or several such, which are
            stacked along z.
        region: half-open, in voxels along z, y, x; it becomes a volume of its own.
        flip: axes along which MRC files are mirrored.
        is_grey: False for labels and masks, whose numbers are ids.
        sizes_nm: of a voxel along z, y, x, from the user, who knows them better than the files.

    Raises:
        InputError: If a file is missing, damaged or no greyscale image of 2 or 3 dimensions, if the files
            don't fit each other, or if the region is empty or reaches outside.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    _warn_of_order(given)
    files = files_of(given)
    if not files:
        raise InputError("no image files are given; give at least one")
    volume: Volume = (
        _open_file(files[0], is_grey) if len(files) == 1 else StackVolume(files, is_grey, sizes_nm)
    )
    if sizes_nm:
        volume.grid = replace(volume.grid, sizes_nm=sizes_nm)
    if 0 in volume.shape:
        raise InputError(f"{volume.name}: holds no voxels, its shape is {by(volume.shape)}")
    for note in volume.notes:
        log.warning("%s: %s", volume.name, note)
    if flip and volume.bottom_up:
        volume = MirroredVolume(volume, flip)
    return crop(volume, region)


@dataclass(frozen=True)
class OpenedFiles:
    """An image with its labels, its mask and its numbered objects, by class, if it has them: all of the same shape."""

    image: Volume
    labels: Volume | None
    mask: Volume | None
    instances: Mapping[str, Volume] = field(default_factory=dict)

    def with_labels_of_objects(self, classes: Sequence[str], ignore_label: int | None) -> OpenedFiles:
        """Return the files with labels; of two classes they can be made from the objects of one."""
        if self.labels is not None or len(self.instances) != 1 or len(classes) != 2:
            return self
        ((name, ids),) = self.instances.items()
        inside, first = list(classes).index(name), first_label(ignore_label)
        return replace(self, labels=ClassesOfIds(ids, first + inside, first + 1 - inside))

    def class_labels(self, n_classes: int, ignore_label: int | None) -> ClassLabels:
        """Return the labels as class ids; outside the mask they are ignored.

        Raises:
            InputError: If there are no labels.
        """
        if self.labels is None:
            raise InputError(
                f"{self.image.name}: labels are missing; give the integer image of the same shape as labels:"
            )
        return ClassLabels(self.labels, n_classes, ignore_label, self.mask)


def open_files(files: ImageFiles) -> OpenedFiles:
    """Open an image, its labels and its mask without reading voxels.

    Raises:
        InputError: If one of them can't be opened, labels or mask aren't integers of the image's shape, or MRC
            files stand beside others and ``flip`` doesn't say how they fit.
    """
    image = open_volume(files.image, flip=files.flip, sizes_nm=files.voxel_size_nm)
    labels = _open_ids(files.labels, image, files.flip, "labels are {}; save the class ids as integers")
    mask = _open_ids(files.mask, image, files.flip, "the mask is {}; save it as integers")
    instances = {}
    for name, paths in files.instances.items():
        ids = _open_ids(paths, image, files.flip, "the objects are {}; save their numbers as integers")
        assert ids is not None
        instances[name] = ObjectIds(ids)
    check_orientation([v for v in (image, labels, mask, *instances.values()) if v], files.flip)
    return OpenedFiles(image, labels, mask, instances)


def _open_ids(
    paths: Sequence[Path] | None, image: Volume, flip: FlippedAxes | None, otherwise: str
) -> Volume | None:
    """Open labels or a mask, if there are any; ``otherwise`` is the message if they aren't integers."""
    return check_integers(open_volume(paths, flip=flip, is_grey=False), image, otherwise) if paths else None


def check_orientation(volumes: Sequence[Volume], flip: FlippedAxes | None) -> None:
    """Check that MRC files and others that belong together are paired row by row.

    MRC's first row is the bottom one: IMOD and Fiji mirror MRC along y when they show it, and save what they show
    to other formats. A program that copies the array as it is doesn't mirror it. Only the user knows which it was.

    Args:
        volumes: an image, its labels and its mask.
        flip: axes along which MRC files are mirrored; None if the user hasn't said.

    Raises:
        InputError: If formats are mixed and ``flip`` is None, or ``flip`` is given without an MRC file.
    """
    mrc = next((volume for volume in volumes if volume.bottom_up), None)
    other = next((volume for volume in volumes if not volume.bottom_up), None)
    if flip and not mrc:
        raise InputError(f"{volumes[0].name}: flip: mirrors MRC files, and there is none; leave it out")
    if mrc and other and flip is None:
        raise InputError(
            f"{mrc.name}: is MRC, whose first row is the bottom one, and {other.name} isn't; if it was saved by IMOD "
            "or Fiji, set flip: [y] for this image (--flip y), if by a program that keeps the order of rows, flip: [] "
            "(--flip none)"
        )


def _open_file(path: Path, is_grey: bool = True) -> Volume:
    return file_volume(format_of(path).open(path), str(path), is_grey)


def _common_grid(grids: Mapping[str, Grid]) -> tuple[Grid, list[str]]:
    """Return the grid of a stack, and a note if only some of its files say a size: it holds for all of them.

    Args:
        grids: by the name of the file, at least one.

    Raises:
        InputError: If two files say different sizes: they are of different magnifications, and don't fit each other.
    """
    (said_by, common), *others = grids.items()
    notes: list[str] = []
    for name, grid in others:
        known, own = size_text(common.sizes_nm), size_text(grid.sizes_nm)
        if grid.differs_from(common.sizes_nm):
            raise InputError(
                f"{name}: has voxels of {own} nm (z, y, x), but {said_by} has {known} nm; leave out what doesn't "
                "belong to the stack, or correct the metadata"
            )
        if grid.missing != common.missing and not notes:
            notes.append(
                f"{said_by} has voxels of {known} nm (z, y, x), {name} of {own}; what is known holds for all"
            )
        completed = common.completed(grid.sizes_nm)
        if completed != common:
            said_by, common = name, completed
    return common, notes


def _members(part: Volume, given: Sequence[Path]) -> set[Path]:
    """Return all files of the image that a file belongs to; a stack that contains one of them must contain all."""
    members = {member.resolve() for member in part.members}
    if missing := members - {path.resolve() for path in given}:
        raise InputError(
            f"{part.name}: its image lies in {len(members)} files, of which {min(missing).name} isn't given; give all "
            "of them, or one alone, which reads all"
        )
    return members


def _warn_of_order(paths: Sequence[Path]) -> None:
    """Warn if files are given in another order than people count in: shells sort slice_10 before slice_2."""
    ordered = sorted(paths, key=natural_order)
    for given, expected in zip(paths, ordered, strict=True):
        if given.name != expected.name:
            log.warning(
                "%s: stands where %s would in natural order; files are stacked in the order given",
                given,
                expected.name,
            )
            return


def _describe(volume: Volume) -> str:
    return f"{by(volume.shape[1:])} voxels (y, x) of {volume.dtype}"
