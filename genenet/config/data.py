"""``data:``, the images and the meaning of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from genenet.config.folds import FoldPlan, Folds
from genenet.config.normalisation import NormalisationSettings
from genenet.config.objects import Instances, ObjectTarget, object_targets
from genenet.config.phantom import Phantom
from genenet.config.types import FlippedAxes, ImageRegion, VoxelSize
from genenet.core.choices import listed
from genenet.core.geometry import regions_meet
from genenet.core.models import Closed
from genenet.core.outputs import ObjectClass, Outputs
from genenet.phantoms.objects import OBJECTS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Files = Annotated[list[Path] | None, Field(min_length=1), BeforeValidator(_as_list)]


class Image(Closed):
    """An image: files, one OME-Zarr, or a phantom."""

    path: Files = Field(
        None, description="a file, a folder of slices, or a list of files that are stacked along z"
    )
    phantom: Phantom | None = None
    labels: Files = Field(None, description="integer image(s) of the same shape; a phantom has its own")
    instances: Instances
    region: ImageRegion | None = Field(
        None, description="half-open [[z0, z1], [y0, y1], [x0, x1]] in voxels; null is the whole axis"
    )
    mask: Files = Field(
        None,
        description="integer image(s) of the same shape; where it is 0, nothing is learned, segmented or scored",
    )

    flip: FlippedAxes | None = Field(
        None,
        description="axes along which MRC files (image, labels, mask) are mirrored, since MRC's rows begin at the "
        "bottom: [y] beside files that IMOD or Fiji saved in another format, [] if no file is mirrored",
    )

    @property
    def source(self) -> tuple[str, ...]:
        """What the image is read from; regions of one image have the same source."""
        return tuple(map(str, self.path)) if self.path else (self.phantom.name,) if self.phantom else ()

    def shares_voxels_with(self, other: Image) -> bool:
        """Whether both are read from the same files, or are the same phantom, and their regions overlap."""
        return self.source == other.source and regions_meet(self.region, other.region)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.phantom is None):
            raise ValueError("give either path: or phantom:")
        if self.phantom and self.labels:
            raise ValueError("a phantom has its own labels; leave labels: out")
        for name, files in self.instances.items():
            if (files.path is None) == (self.phantom is None):
                raise ValueError(
                    f"instances.{name}: a phantom has its own; leave path: out"
                    if self.phantom
                    else f"instances.{name}: path: is missing: the integer image that numbers the objects"
                )
            if self.phantom and name not in OBJECTS:
                raise ValueError(
                    f"instances.{name}: a phantom numbers the objects of {listed(list(OBJECTS))}"
                )
        for axis, interval in zip("zyx", self.region or (), strict=False):
            if interval and interval[0] >= interval[1]:
                raise ValueError(
                    f"region along {axis} is empty: {list(interval)}; use [start, stop], start < stop"
                )
        return self


class VolumeToSegment(Image):
    """An image to segment; labels, if there are any, are only used to score the result."""

    voxel_size_nm: VoxelSize | None = Field(
        None,
        description="voxel size in nm along z, y, x, if the file doesn't contain it; null: that of the "
        "file, otherwise that of data",
    )

    @model_validator(mode="after")
    def _objects_are_not_scored(self) -> Self:
        if self.instances:
            raise ValueError(
                "instances: objects are scored on the images of data.test; give this image there, too, and leave "
                "instances: out here"
            )
        return self


class LabelledImage(Image):
    """An image with labels, for training, validation or test."""

    weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="only for data.train: the share of the patches that come from an image is proportional to "
        "its weight times its number of labelled voxels",
    )
    voxel_size_nm: VoxelSize | None = Field(
        None,
        description="voxel size in nm along z, y, x, if it isn't that of data: image, labels and mask are resampled to "
        "data.voxel_size_nm (along z only if a network may be 3D); null: it is that of data",
    )

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if self.path is not None and self.labels is None and len(self.instances) != 1:
            raise ValueError("labels: is missing: the integer image of the same shape")
        return self


class Data(Closed):
    """Images, and what their labels mean."""

    classes: list[str] = Field(
        min_length=2,
        max_length=254,
        description="names of the classes, by label: the first class has label 0 "
        "(label 1 if ignore_label is 0)",
    )
    ignore_label: int | None = Field(
        None, description="voxels of this label, such as 255, -1 or 0, are neither learnt nor scored"
    )
    voxel_size_nm: VoxelSize = Field(description="size of a voxel in nm along z, y, x")
    normalisation: NormalisationSettings = Field(
        NormalisationSettings(over="volume"),
        description="(x - centre) / scale; a bare word is over:, with mean and deviation",
    )
    train: list[LabelledImage] = Field(min_length=1)
    validation: list[LabelledImage] = Field(
        [],
        description="images that the networks are ranked on, and their ensemble is chosen on; at least one, unless "
        "there are folds",
    )
    folds: Folds | None = Field(
        None,
        description="cross-validation instead of data.validation: a number of folds, or {n: 5, by: region}; null: none",
    )
    test: list[LabelledImage] = Field(
        [],
        description="images that are scored once, after the selection, and reported separately; they share no voxels "
        "with those of train and validation",
    )
    volumes: dict[Name, VolumeToSegment] = Field(
        {}, description="volumes that the ensemble segments, by name"
    )

    @model_validator(mode="after")
    def _labels_are_clear(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: two classes have the same name")
        ignored, n = self.ignore_label, len(self.classes)
        if ignored is not None and 0 < ignored < n:  # with 0, the classes begin at 1
            raise ValueError(
                f"ignore_label {ignored} is the id of class '{self.classes[ignored]}'; use an id of at least {n}, or a "
                "negative one"
            )
        return self

    @model_validator(mode="after")
    def _objects_are_clear(self) -> Self:
        targets = self.objects
        for split in ("train", "validation", "test"):
            for index, image in enumerate(getattr(self, split)):
                if image.path and not image.labels and len(self.classes) != 2:
                    raise ValueError(
                        f"{split}.{index}: labels: is missing; instances: alone are enough only if there are two "
                        "classes, the background and that of the objects"
                    )
                for name in image.instances:
                    if name not in [target.name for target in targets]:
                        raise ValueError(
                            f"{split}.{index}.instances.{name}: networks don't learn these objects, since the images "
                            "of train have no instances of that name"
                        )
        return self

    @property
    def images(self) -> list[Image]:
        """All images: of training, validation and test, and volumes to segment."""
        return [*self.train, *self.validation, *self.test, *self.volumes.values()]

    @property
    def objects(self) -> list[ObjectTarget]:
        """The classes whose objects are told apart, in the order of the classes."""
        images = {
            f"{split}.{i}": image.instances
            for split in ("train", "validation")
            for i, image in enumerate(getattr(self, split))
        }
        return object_targets(self.classes, images)

    @property
    def outputs(self) -> Outputs:
        """What the outputs of a network mean: a class each, and a border for each class of objects."""
        return Outputs(self.classes, [ObjectClass(name=each.name, of=each.of) for each in self.objects])

    @property
    def n_outputs(self) -> int:
        """The number of outputs of a network."""
        return len(self.outputs)

    @property
    def fold_plan(self) -> FoldPlan | None:
        """How the training images are divided into folds; None without folds."""
        return self.folds.plan([image.source for image in self.train]) if self.folds else None

    @model_validator(mode="after")
    def _validation_or_folds(self) -> Self:
        if not self.folds and not self.validation:
            raise ValueError(
                "validation: is missing: give at least one labelled image, or folds: 5 for cross-validation"
            )
        if not self.folds:
            return self
        if self.validation:
            raise ValueError(
                "folds: every image of data.train is validated on, so data.validation must be empty; move its images "
                "to data.train, or leave folds out"
            )
        if self.normalisation.over == "training":
            raise ValueError(
                "folds: not with normalisation: training, since each fold has other training images; use image"
            )
        plan = self.fold_plan
        if plan and plan.by == "region" and (overlap := _overlap(self.train)):
            raise ValueError(
                f"folds: train.{overlap[0]} and train.{overlap[1]} are regions of one image that overlap, so a "
                "training would see voxels that it is validated on; give regions that are apart, or use by: image"
            )
        return self

    @model_validator(mode="after")
    def _test_images_are_new(self) -> Self:
        for split in ("train", "validation"):
            if overlap := _overlap_of(self.test, getattr(self, split)):
                raise ValueError(
                    f"test.{overlap[0]}: shares voxels with {split}.{overlap[1]}, and scores on test images must be of "
                    "voxels that nothing was learned from or chosen on; give another image, or regions that are apart"
                )
        return self

    @property
    def warnings(self) -> list[str]:
        """A line if training and validation share voxels, which is allowed: scores are then too good."""
        overlap = _overlap_of(self.validation, self.train)
        if not overlap:
            return []
        return [
            f"data.validation.{overlap[0]}: shares voxels with data.train.{overlap[1]}, so networks are ranked and "
            "chosen on voxels that they have learned from; give another image, or regions that are apart"
        ]

    @model_validator(mode="after")
    def _scores_are_unweighted(self) -> Self:
        for split in ("validation", "test"):
            for index, image in enumerate(getattr(self, split)):
                if "weight" in image.model_fields_set:
                    raise ValueError(
                        f"{split}.{index}.weight: is for images of data.train only, since scores count every "
                        "voxel alike; leave it out"
                    )
        return self


def _overlap(images: Sequence[Image]) -> tuple[int, int] | None:
    """Return the first two images that are regions of the same image and share voxels; None if there are none."""
    pairs = combinations(enumerate(images), 2)
    return next(((i, j) for (i, a), (j, b) in pairs if a.shares_voxels_with(b)), None)


def _overlap_of(images: Sequence[Image], others: Sequence[Image]) -> tuple[int, int] | None:
    """Return the first image of each list that share voxels; None if there are none."""
    pairs = product(enumerate(images), enumerate(others))
    return next(((i, j) for (i, a), (j, b) in pairs if a.shares_voxels_with(b)), None)
