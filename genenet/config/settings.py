"""What ``settings/{stage}.json`` may hold: one model for each stage.

The workflow writes these files (:mod:`genenet.config.stages` says from which parts of the config) and hands each to the
command of its stage.
"""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field, PositiveInt

from genenet.config.ensemble import EnsembleSettings
from genenet.config.folds import FoldPlan
from genenet.config.normalisation import NormalisationSettings
from genenet.config.objects import ObjectTarget
from genenet.config.postprocessing import LabelChoice
from genenet.config.search import Breeding, Draws, Surrogate
from genenet.config.segmentation import Segmentation
from genenet.config.selection_metrics import RANKING_METRIC, SelectionMetricName
from genenet.config.training import Training
from genenet.config.types import Device, FlippedAxes, ImageRegion, Split, VoxelSize
from genenet.core.atomic_files import read_json
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.validation import validate
from genenet.genes.baselines import BASELINES

if TYPE_CHECKING:
    from pydantic import BaseModel

    from genenet.genes.genome import Genome

Model = TypeVar("Model", bound="BaseModel")


class ImageFiles(Closed):
    """An image as files: phantoms are files by now."""

    image: list[Path]
    labels: list[Path] | None
    region: ImageRegion | None
    mask: list[Path] | None = None
    flip: FlippedAxes | None = None
    weight: float = 1.0
    voxel_size_nm: VoxelSize | None = None  # if it is known better than by the file
    instances: dict[str, list[Path]] = Field(default_factory=dict, exclude_if=not_)  # by class

    @property
    def all(self) -> list[Path]:
        """All files that are read."""
        ids = [path for paths in self.instances.values() for path in paths]
        return [*self.image, *(self.labels or []), *(self.mask or []), *ids]


class PrepareSettings(Closed):
    """What a prepared set of labelled images depends on."""

    images: list[ImageFiles]
    classes: list[str]
    ignore_label: int | None
    contents: str | None = None  # checksum of the files, so that other voxels are other settings
    voxel_size_nm: tuple[float, float, float]
    smallest_input_voxels: int | None = None
    split: Split | None = None  # what the images are for; None in settings of version 0.1
    normalisation: NormalisationSettings | None = None  # None: one whose statistics are always recorded
    sees_depth: bool = (
        False  # whether a network may see several slices; it decides on resampling and folds along z
    )
    objects: list[ObjectTarget] = Field(default_factory=list, exclude_if=not_)  # classes of objects
    # which part of the images is meant; None: all of them
    folds: FoldPlan | None = Field(None, exclude_if=not_)


class BaselineSettings(Closed):
    """A baseline and its options."""

    name: str
    options: dict[str, Any]

    def genome(self) -> Genome:
        """Return the genome; raises InputError for an unknown baseline or wrong options."""
        if self.name not in BASELINES:
            raise InputError(f"{self.name}: no such baseline; known are {', '.join(BASELINES)}")
        baseline = BASELINES[self.name]
        options = validate(baseline.options, self.options, f"baselines.{self.name}")
        return baseline.genome(**options.model_dump())


class BreedSettings(Draws):
    """What the genomes of later rounds depend on, but for the earlier rounds."""

    evolution: Breeding
    metric: SelectionMetricName = RANKING_METRIC
    surrogate: Surrogate | None = Field(None, exclude_if=not_)  # None: all genomes are children


class TrainSettings(Closed):
    """What a training depends on, but for genome and images, and the weights of a parent.

    Attributes:
        seed: of the search.
        repeat: which training of the same genome; others have other random numbers.
        normalisation: of the images.
        training: all about it.
        inherits: whether it begins with the weights of a parent of its genome.
        starts: whether it begins with the weights of another search, if that has a network of its genome.
    """

    seed: int
    repeat: int = 1
    normalisation: NormalisationSettings
    training: Training
    inherits: bool = Field(False, exclude_if=not_)
    starts: bool = Field(False, exclude_if=not_)


class StartSettings(Closed):
    """What trainings start from: the results of a finished search, or an ensemble's folder."""

    folder: Path
    contents: str | None = None  # checksum of its networks, so that other weights are other settings


class SelectSettings(Closed):
    """What the ensemble depends on, but for the trainings."""

    normalisation: NormalisationSettings
    ensemble: EnsembleSettings


class SegmentSettings(Closed):
    """What a volume's segmentation depends on, but for ensemble and image."""

    volume: ImageFiles
    segmentation: Segmentation
    threads: PositiveInt | None = (
        None  # at most; the workflow gives them to the command, since results don't depend on it
    )
    device: Device


class EvaluateSettings(Closed):
    """Labels that a volume's segmentation is scored against, and which labels of its store are scored."""

    volume: ImageFiles
    contents: str | None = None
    ignore_label: int | None
    labels: LabelChoice | None = None


class TestSettings(Closed):
    """How the ensemble is run on the test images."""

    threads: PositiveInt | None = None  # as above
    device: Device


class ReportSettings(Closed):
    """What the report shows."""

    volumes: dict[str, ImageFiles]
    labels: LabelChoice | None = None
    ignore_label: int | None = None
    controls: list[str] = Field(default_factory=list, exclude_if=not_)


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read a stage's settings; raises InputError if they aren't such settings."""
    return validate(model, read_json(path), str(path))
