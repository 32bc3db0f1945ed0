"""``data:``, the images and the meaning of their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic import NonNegativeInt as NonNegative

from genenet.config.normalisation import NormalisationSettings
from genenet.config.types import FlippedAxes, ImageRegion, Shape, VoxelSize
from genenet.core.models import Closed

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Phantom(Closed):
    """A synthetic volume, drawn from its shape and seed."""

    shape: Shape = Field(description="voxels along z, y, x")
    seed: NonNegative

    @property
    def name(self) -> str:
        """The name of its folder under ``phantoms/``."""
        return "x".join(map(str, self.shape)) + f"-seed{self.seed}"


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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.phantom is None):
            raise ValueError("give either path: or phantom:")
        if self.phantom and self.labels:
            raise ValueError("a phantom has its own labels; leave labels: out")
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
        if self.path is not None and self.labels is None:
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
    validation: list[LabelledImage] = Field(min_length=1)
    test: list[LabelledImage] = Field(
        [], description="images that are scored once, after the selection, and reported separately"
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
    def _scores_are_unweighted(self) -> Self:
        for split in ("validation", "test"):
            for index, image in enumerate(getattr(self, split)):
                if "weight" in image.model_fields_set:
                    raise ValueError(
                        f"{split}.{index}.weight: is for images of data.train only, since scores count every "
                        "voxel alike; leave it out"
                    )
        return self
