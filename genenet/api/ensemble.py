"""Ensembles in Python: load them, save them, and segment arrays or files with them.

An ensemble keeps the files that it was read from, so that a saved copy is the same byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genenet.api.arrays import mask_of, threads_of_torch, volume_of
from genenet.config.segmentation import Segmentation
from genenet.config.settings import SegmentSettings
from genenet.config.types import VoxelSize
from genenet.core.atomic_files import atomic_path, read_json
from genenet.core.errors import InputError
from genenet.core.resources import threads_that_fit
from genenet.core.validation import validate
from genenet.ensembles import ensemble as on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import zarr

    from genenet.core.geometry import Box

NO_FILE = {"image": (), "region": None}  # an array is segmented


@dataclass(frozen=True)
class Ensemble:
    """Networks that segment together; ``make_ensemble`` and ``load_ensemble`` return it.

    Attributes:
        description: what ensemble.json holds: ``members``, ``classes``, ``voxel_size_nm``, ``validation`` (scores) …
    """

    description: dict[str, Any]
    _files: dict[str, bytes]
    _loaded: on_disk.LoadedEnsemble

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by class id."""
        return list(self.description["classes"])

    @property
    def members(self) -> list[str]:
        """Names of the members, best first."""
        return [str(member["run"]) for member in self.description["members"]]

    @property
    def scores(self) -> dict[str, Any]:
        """Scores on the validation image; they are optimistic, since the members were chosen on it."""
        return dict(self.description["validation"])

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<Ensemble of {', '.join(self.members)}: {len(self.classes)} classes>"

    def save(self, folder: str | Path) -> Path:
        """Write the folder that ``genenet segment --ensemble`` and ``load_ensemble`` read; return it.

        Raises:
            InputError: If the folder exists and isn't an ensemble.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / on_disk.DESCRIPTION).is_file():
            raise InputError(f"{folder}: exists and isn't an ensemble; choose another name")
        with atomic_path(folder) as new:
            for name, content in self._files.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
        return folder

    def segment(
        self, image: ArrayLike, *, threads: int | None = None, device: str = "auto", **settings: Any
    ) -> NDArray[np.uint8]:
        """Return the most probable class of each voxel, uint8, of the image's shape.

        Args:
            image: (Z, Y, X) or (Y, X), with the voxel size and the type of the training images. Masked voxels of a
                numpy masked array aren't segmented: their class is 0.
            threads: CPU cores at most; None: all.
            device: ``auto``, ``cuda`` or ``cpu``.
            **settings: keys of ``segmentation:`` in config.yaml: ``turns``, ``compute``, ``memory_mb``, ``block`` …

        Raises:
            InputError: If the image has no contrast or holds NaN, or if a setting is wrong.
        """
        found = np.empty(volume_of(image, "image").shape, np.uint8)

        def keep(box: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
            found[box.slices] = labels

        self._run(image, settings, threads, device, keep)
        return found[0] if np.ndim(image) == 2 else found

    def probabilities(
        self, image: ArrayLike, *, threads: int | None = None, device: str = "auto", **settings: Any
    ) -> NDArray[np.float32]:
        """Return the probability of each class, (C, Z, Y, X) or (C, Y, X) float32; they sum to 1 at each voxel.

        Arguments and errors are those of ``segment``. The result takes 4 C bytes for each voxel.
        """
        n_classes = len(self.classes)
        found = np.empty((n_classes, *volume_of(image, "image").shape), np.float32)

        def keep(box: Box, labels: NDArray[np.uint8], channels: NDArray[Any]) -> None:
            found[:, *box.slices] = channels[-n_classes:]

        self._run(image, {**settings, "probabilities": True, "precision": "float32"}, threads, device, keep)
        return found[:, 0] if np.ndim(image) == 2 else found

    def _run(
        self,
        image: ArrayLike,
        settings: dict[str, Any],
        threads: int | None,
        device: str,
        keep: Callable[[Box, NDArray[np.uint8], NDArray[Any]], None],
    ) -> None:
        """Segment an array as ``genenet segment`` does a file, but call ``keep`` for each block."""
        from genenet.networks.device import choose_device
        from genenet.segmentation.in_memory import segment_in_memory
        from genenet.volumes.masks import Mask

        volume, wanted = volume_of(image, "image"), _wanted(threads, device, settings)
        inside = mask_of(image, "image")
        mask = Mask(inside) if inside else None
        with threads_of_torch(_threads(wanted)):
            where = choose_device(wanted.device)
            segment_in_memory(volume, self._loaded, wanted.segmentation, where, keep, mask)


def load_ensemble(folder: str | Path) -> Ensemble:
    """Read the folder of an ensemble: one that ``Ensemble.save`` or a search (``results/ensemble``) wrote.

    Raises:
        InputError: If the folder isn't an ensemble, or if a member's weights don't match its genome.
    """
    folder = Path(folder)
    loaded = on_disk.load_ensemble(folder)
    description = read_json(folder / on_disk.DESCRIPTION)
    names = [
        f"{member['folder']}/{name}"
        for member in description["members"]
        for name in (on_disk.GENOME, on_disk.WEIGHTS)
    ]
    files = {name: (folder / name).read_bytes() for name in (on_disk.DESCRIPTION, *names)}
    return Ensemble(description, files, loaded)


def segment(
    ensemble: Ensemble | str | Path,
    image: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    region: Any = None,
    mask: str | Path | Sequence[str | Path] | None = None,
    flip: Sequence[str] | None = None,
    voxel_size_nm: VoxelSize | None = None,
    threads: int | None = None,
    device: str = "auto",
    **settings: Any,
) -> zarr.Array[Any]:
    """Segment files of any size into an OME-Zarr, block by block, as ``genenet segment`` does.

    After an interruption, the same call continues with the blocks that are missing.

    Args:
        ensemble: an ensemble, or the path of its folder.
        image: a file of one of ``genenet.volumes.formats.FORMATS``, a folder of slices, or several files that
            are stacked along z.
        out: the OME-Zarr to write. If genenet wrote one there from the same ensemble, image and settings, it is
            continued; one from others is replaced.
        region: half-open ``[[z0, z1], [y0, y1], [x0, x1]]`` in voxels; ``None`` for a whole axis.
        mask: integer image of the same shape; where it is 0, nothing is segmented.
        flip: axes along which MRC files are mirrored: ``["y"]`` beside a mask that IMOD or Fiji saved in another
            format, ``[]`` if none is mirrored.
        voxel_size_nm: along z, y, x, if the file doesn't say it.
        threads: CPU cores at most; None: all.
        device: ``auto``, ``cuda`` or ``cpu``.
        **settings: keys of ``segmentation:`` in config.yaml.

    Returns:
        The classes, (Z, Y, X) uint8, as a Zarr array, which reads only what is indexed.

    Raises:
        InputError: If a file can't be read, or if a setting is wrong.
    """
    from genenet.networks.device import choose_device
    from genenet.segmentation.job import SegmentationJob
    from genenet.volumes import ome_zarr

    volume = {"region": region, "flip": flip, "voxel_size_nm": voxel_size_nm}
    volume |= {"image": _paths(image), "mask": _paths(mask) if mask else None}
    wanted = _wanted(threads, device, settings, volume)
    chosen = ensemble if isinstance(ensemble, Ensemble) else load_ensemble(ensemble)
    with threads_of_torch(_threads(wanted)):
        where = choose_device(wanted.device)
        SegmentationJob(chosen._loaded, wanted.volume, wanted.segmentation, where, Path(out)).run()
    return ome_zarr.open_store(Path(out)).labels


def _wanted(
    threads: int | None, device: str, settings: dict[str, Any], volume: Mapping[str, Any] = NO_FILE
) -> SegmentSettings:
    segmentation = validate(Segmentation, settings, "segment")
    values = {"volume": {"labels": None, **volume}, "segmentation": segmentation}
    return validate(SegmentSettings, {**values, "threads": threads, "device": device}, "segment")


def _threads(wanted: SegmentSettings) -> int:
    return threads_that_fit(wanted.threads, wanted.segmentation.memory_mb * 1e6)


def _paths(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
