"""config.yaml as closed, frozen models: an unknown key, a wrong type or a contradiction is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator
from pydantic import NonNegativeInt as NonNegative
from pydantic import PositiveInt as Positive

from genenet.config.postprocessing import Postprocessing
from genenet.config.rounds import rounds
from genenet.config.search import Search
from genenet.config.training import Augmentation, Closed, Loss, Optimiser, Sampling, Schedule, Stopping
from genenet.core.errors import InputError
from genenet.core.validation import validate
from genenet.genes.baselines import Baseline, Ciresan2012, UNet2015

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Interval = tuple[NonNegative, NonNegative]
ImageRegion = tuple[Interval | None, Interval | None, Interval | None]
NormalisationMode = Literal["volume", "slice", "training"]
Device = Literal["auto", "cuda", "cpu"]
Combination = Literal["mean", "weighted", "vote"]
EnsembleStrategy = Literal["best_n", "greedy", "weighted"]
Precision = Literal["auto", "float32", "bfloat16"]
Shape = tuple[Positive, Positive, Positive]
VoxelSize = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class Phantom(Closed):
    """The synthetic volume: what it is drawn from."""

    shape: Shape = Field(description="voxels along z, y, x")
    seed: NonNegative

    @property
    def name(self) -> str:
        """Its folder under ``phantoms/``."""
        return "x".join(map(str, self.shape)) + f"-seed{self.seed}"


def _without_blanks(path: Path) -> Path:
    if any(c.isspace() for c in str(path)):
        raise ValueError(f"'{path}' has blanks in its name, which shell lines don't bear; choose another")
    return path


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


class Image(Closed):
    """An image: files (or one OME-Zarr), or a phantom."""

    path: Annotated[list[Path] | None, Field(min_length=1)] = Field(
        None, description="a file, a folder of slices, or a list of files that are stacked along z"
    )
    phantom: Phantom | None = None
    labels: Annotated[list[Path] | None, Field(min_length=1)] = Field(
        None, description="integer image(s) of the same shape; a phantom brings its own"
    )
    region: ImageRegion | None = Field(
        None, description="half-open [[z0, z1], [y0, y1], [x0, x1]] in voxels; null is the whole axis"
    )
    mask: Annotated[list[Path] | None, Field(min_length=1)] = Field(
        None,
        description="integer image(s) of the same shape; where it is 0, nothing is learnt, segmented or scored",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_file_is_a_list_of_one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: _as_list(v) if k in ("path", "labels", "mask") else v for k, v in value.items()}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.phantom is None):
            raise ValueError("give either path: or phantom:")
        if self.phantom and self.labels:
            raise ValueError("a phantom brings its own labels; leave labels: out")
        for axis, interval in zip("zyx", self.region or (), strict=False):
            if interval and interval[0] >= interval[1]:
                raise ValueError(
                    f"region along {axis} is empty: {list(interval)}; use [start, stop], start < stop"
                )
        return self


class Volume(Image):
    """An image to segment; labels, if any, only score the result."""

    voxel_size_nm: VoxelSize | None = Field(
        None, description="along z, y, x, if its file doesn't say; null: the file's, else that of data"
    )


class LabelledImage(Image):
    """An image with labels, for training, validation or test."""

    weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="of data.train only: patches come from an image in proportion to weight times its voxels",
    )

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if self.path is not None and self.labels is None:
            raise ValueError("labels: is missing: the integer image of the same shape")
        return self


class Data(Closed):
    """Images, and what their labels mean."""

    classes: list[str] = Field(min_length=2, max_length=254, description="names by label id, from 0 on")
    ignore_label: NonNegative | None = Field(
        None, description="voxels of this label are neither learnt nor scored"
    )
    voxel_size_nm: VoxelSize = Field(description="size of a voxel in nm along z, y, x")
    normalisation: NormalisationMode = Field(
        "volume",
        description="(x - mean) / deviation of: each volume, each slice, or all training images together",
    )
    train: list[LabelledImage] = Field(min_length=1)
    validation: list[LabelledImage] = Field(min_length=1)
    test: list[LabelledImage] = Field([], description="scored once, after selection, and reported apart")
    volumes: dict[Name, Volume] = Field({}, description="what the ensemble segments, by name")

    @model_validator(mode="after")
    def _labels_are_clear(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name stands there twice")
        if self.ignore_label is not None and self.ignore_label < len(self.classes):
            raise ValueError(
                f"ignore_label {self.ignore_label} is the id of class '{self.classes[self.ignore_label]}'; "
                f"use an id of at least {len(self.classes)}"
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


class Baselines(Closed):
    """Networks of the literature, trained like the genomes; ranked, never members of the ensemble."""

    unet2015: UNet2015 | None = None
    ciresan2012: Ciresan2012 | None = None

    def chosen(self) -> dict[str, Baseline]:
        """Return those that are switched on, by name."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in options.items() if each is not None}


class Training(Closed):
    """One training; the same for all genomes and baselines."""

    iterations: Positive = 1000
    batch_size: Positive = 4
    threads: Positive = Field(
        2, description="CPU threads of one training; part of the science: others give other bits"
    )
    device: Device = "auto"
    validation_interval: Positive = Field(200, description="iterations between two validations")
    checkpoint_seconds: float | None = Field(
        None,
        ge=0,
        description="seconds between two checkpoints; null: 60, or more where they would take over 1 % of the time",
    )
    precision: Precision = Field(
        "auto", description="of forward and backward; auto: bfloat16 where the device computes faster with it"
    )
    compile: bool = Field(False, description="torch.compile the network: minutes to start, then faster")
    data_memory_mb: Positive | None = Field(
        None,
        description="images that need more are copied to TMPDIR and read from there; null: half of what is free",
    )
    tensorboard: bool = Field(
        False, description="also write TensorBoard logs (pip install genenet[tensorboard])"
    )
    loss: Loss = Loss()
    sampling: Sampling = Sampling()
    augmentation: Augmentation = Augmentation()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    stopping: Stopping = Stopping()


class Ensemble(Closed):
    """How the ensemble is chosen."""

    strategy: EnsembleStrategy = Field(
        "best_n",
        description="best_n: the networks of the highest ARI; greedy: one after the other, for the highest ARI of all "
        "together; weighted: by weights of least squared error",
    )
    size: Positive | Literal["auto"] = Field("auto", description="members; auto: the best size of the curve")
    max_size: Positive = Field(10, description="the curve is computed up to this size")
    minimum: Positive = Field(1, description="fewer successful trainings than this are an error")
    combination: Combination = Field(
        "mean",
        description="of the members: mean of probabilities, weighted by validation ARI, or vote of the majority",
    )

    @model_validator(mode="after")
    def _size_is_on_the_curve(self) -> Self:
        if self.size != "auto" and self.size > self.max_size:
            raise ValueError(f"size {self.size} is more than max_size {self.max_size}; raise max_size")
        return self

    @model_validator(mode="after")
    def _strategies_give_weights(self) -> Self:
        if self.strategy != "best_n" and self.combination != "mean":
            raise ValueError(
                f"combination {self.combination}: strategy {self.strategy} gives the members weights of its own; "
                "leave combination out"
            )
        return self


class Segmentation(Closed):
    """How volumes are segmented."""

    jobs: Positive = Field(1, description="jobs a volume is shared among")
    block: Shape | None = Field(
        None,
        description="voxels written in one piece, z, y, x; a job that is killed loses one; null: 16 × 1280 × 1280, "
        "or 64 × 640 × 640 for networks with depth",
    )
    memory_mb: Positive = Field(
        1000, description="what the networks may take, on each CPU core or on the GPU: bounds the tiles"
    )
    tile: Shape | None = Field(
        None, description="voxels that the networks write at a time, z, y, x, at most; null: the fastest"
    )
    compute: Precision = Field(
        "float32",
        description="type that the networks compute in; auto: bfloat16 where the device computes faster with it",
    )
    turns: bool = Field(
        False,
        description="test-time augmentation: the mean over flips and right-angle turns, 8 times the time",
    )
    blend: bool = Field(
        False,
        description="same-padded networks: overlapping tiles, averaged with Gaussian weights, instead of halos",
    )
    probabilities: bool = Field(False, description="also write every class's probability")
    disagreement: bool = Field(False, description="also write how far the members are apart (ambiguity)")
    rescale: bool = Field(
        False, description="resample volumes of another voxel size to that of data while they are read"
    )
    precision: Literal["uint8", "float16", "float32"] = Field(
        "uint8", description="of uncertainty and probabilities; uint8 stands for 0 … 1 in 255 steps"
    )


class SegmentationAndAfter(Segmentation):
    """How volumes are segmented, and what is done to the result."""

    postprocessing: Postprocessing = Postprocessing()


class Config(Closed):
    """The whole of config.yaml."""

    results: Annotated[Path, AfterValidator(_without_blanks)] = Field(
        Path("results"), description="the folder that everything is written to; no blanks in its name"
    )
    container: str | None = Field(None, description="image that the jobs run in; null: the plain environment")
    data: Data
    search: Search = Search()
    baselines: Baselines = Baselines()
    training: Training = Training()
    ensemble: Ensemble = Ensemble()
    segmentation: SegmentationAndAfter = SegmentationAndAfter()

    @model_validator(mode="after")
    def _enough_genomes(self) -> Self:
        n = sum(self.search.n_by_round)
        if self.ensemble.minimum > n:
            raise ValueError(f"ensemble.minimum {self.ensemble.minimum} is more than search.n_genomes {n}")
        return self

    @model_validator(mode="after")
    def _rungs_are_apart(self) -> Self:
        rounds(self.search, self.training.iterations, self.training.validation_interval)
        return self

    @model_validator(mode="after")
    def _classes_are_known(self) -> Self:
        try:
            self.segmentation.postprocessing.check_classes(self.data.classes)
        except ValueError as error:
            raise ValueError(f"segmentation.postprocessing.{error}") from None
        return self


def read_config(path: Path) -> Config:
    """Read and check a config.yaml.

    Raises:
        InputError: If it can't be read, or says something that it can't say.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    return check_config(values, str(path))


def check_config(values: Any, source: str = "config") -> Config:
    """Turn what a YAML file holds into a Config; ``source`` is named in errors (InputError)."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: holds no keys; see config.yaml of genenet for an example")
    return validate(Config, values, source)
