"""The settings of each stage: what its files depend on, and nothing else.

The workflow writes each as ``settings/{stage}.json`` and hands it to the stage's command. A setting that
isn't in a stage's file can't make that stage run again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from genenet.config.data import Image, LabelledImage
from genenet.config.depth import sees_depth
from genenet.config.ensemble import EnsembleSettings
from genenet.config.model import Config
from genenet.config.normalisation import NormalisationSettings
from genenet.config.planned_controls import (
    PickSettings,
    control_runs,
    control_settings,
    controls,
    long_iterations,
)
from genenet.config.postprocessing import LabelChoice
from genenet.config.rounds import Round, rounds
from genenet.config.search import Draws, Evolution
from genenet.config.segmentation import Segmentation
from genenet.config.selection_metrics import RANKING_METRIC, SelectionMetricName
from genenet.config.training import Training
from genenet.config.types import Device, FlippedAxes, ImageRegion, Split, VoxelSize
from genenet.core.atomic_files import read_json
from genenet.core.contents import contents
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.paths import CONTROLS, LONG, ResultPaths, baseline_run, of_baseline, of_control, slot_name
from genenet.core.validation import validate
from genenet.genes.baselines import BASELINES
from genenet.genes.hyperparameters import HYPERPARAMETERS

if TYPE_CHECKING:
    from pydantic import BaseModel

    from genenet.genes.genome import Genome

REFIT_REPEAT = 10**6  # of trainings on all images, so that they share random numbers with no other training
LONGEST_ARGUMENT = 120_000  # of 131 072 bytes that Linux lets an argument have

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

    @property
    def all(self) -> list[Path]:
        """All files that are read."""
        return [*self.image, *(self.labels or []), *(self.mask or [])]


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
        False  # whether a network may see several slices, so that images are resampled along z too
    )


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
    """What the children of later rounds depend on, but for their parents."""

    evolution: Evolution
    metric: SelectionMetricName = RANKING_METRIC


class TrainSettings(Closed):
    """What a training depends on, but for genome and images."""

    seed: int
    repeat: int = 1  # which training of the same genome; others have other random numbers
    normalisation: NormalisationSettings
    training: Training


class SelectSettings(Closed):
    """What the ensemble depends on, but for the trainings."""

    normalisation: NormalisationSettings
    ensemble: EnsembleSettings


class SegmentSettings(Closed):
    """What a volume's segmentation depends on, but for ensemble and image."""

    volume: ImageFiles
    segmentation: Segmentation
    threads: int
    device: Device


class EvaluateSettings(Closed):
    """Labels that a volume's segmentation is scored against, and which labels of its store are scored."""

    volume: ImageFiles
    contents: str | None = None
    ignore_label: int | None
    labels: LabelChoice | None = None


class TestSettings(Closed):
    """How the ensemble is run on the test images."""

    threads: int
    device: Device


class ReportSettings(Closed):
    """What the report shows."""

    volumes: dict[str, ImageFiles]
    labels: LabelChoice | None = None
    ignore_label: int | None = None
    controls: list[str] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _without_no_controls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``controls`` if there are none, so that the settings of such a search are as they always were."""
        values: dict[str, Any] = handler(self)
        return values if self.controls else {key: values[key] for key in values if key != "controls"}


def label_choice(config: Config) -> LabelChoice:
    """Return which labels of a store are exported, scored and shown."""
    return "cleaned" if config.segmentation.postprocessing.cleans else "segmentation"


def stage_settings(config: Config, stage: str) -> Closed:
    """Return the settings of a stage, such as ``train``, ``prepare_test`` or ``segment_myvolume``."""
    kind, _, name = stage.partition("_")
    return _MAKERS[kind](config, name)


def settings_json(config: Config, stage: str) -> str:
    """Return a stage's settings for a shell line, which can't be longer than the system allows.

    Raises:
        InputError: If they are longer, as lists of very many files are.
    """
    text = _with_contents(stage_settings(config, stage), config).model_dump_json()
    if len(text) > LONGEST_ARGUMENT:
        raise InputError(
            f"settings of {stage}: too many files for one line; give the folder that they are in, or stack them "
            "into one TIFF or an OME-Zarr"
        )
    return text


def _with_contents(settings: Closed, config: Config) -> Closed:
    """Add the checksum of labelled images, labels and masks to settings of stages that read them as a whole.

    Phantoms are left out, since the workflow makes them. So are volumes to segment, which may have terabytes: their
    sizes and times count.
    """
    paths = ResultPaths(config.results)
    if isinstance(settings, PrepareSettings):
        files = [path for image in settings.images for path in image.all]
    elif isinstance(settings, EvaluateSettings):
        files = [*(settings.volume.labels or []), *(settings.volume.mask or [])]
    else:
        return settings
    given = [path for path in files if paths.phantoms not in path.parents]
    checksum = contents(given, Path(paths.contents)) if given else None
    return settings.model_copy(update={"contents": checksum})


def _prepare(config: Config, split: str) -> PrepareSettings:
    data, images = config.data, [image_files(config, image) for image in labelled_images(config, split)]
    region = config.search.feasible_regions().get("net", {}).get("input_size")
    smallest = region.clip(0) if region else HYPERPARAMETERS["input_size"].default
    return PrepareSettings(
        images=images,
        classes=data.classes,
        ignore_label=data.ignore_label,
        voxel_size_nm=data.voxel_size_nm,
        smallest_input_voxels=int(smallest) if split == "train" else None,
        split=cast(Split, split),
        normalisation=None if data.normalisation.is_always_recorded else data.normalisation,
        sees_depth=any(image.voxel_size_nm for image in images) and sees_depth(config),
    )


def labelled_images(config: Config, split: str) -> list[LabelledImage]:
    """Return the labelled images of a split; those of ``refit`` are the training and the validation images."""
    data = config.data
    images: list[LabelledImage] = (
        [*data.train, *data.validation] if split == "refit" else getattr(data, split)
    )
    return images


def _refit(config: Config, _: str) -> TrainSettings:
    """Return the settings of trainings on all images: no validation is left that could stop them or choose weights."""
    stopping = config.training.stopping.model_copy(update={"patience": None, "weights": "last"})
    return TrainSettings(
        seed=config.search.seed,
        repeat=REFIT_REPEAT,
        normalisation=config.data.normalisation,
        training=config.training.model_copy(update={"stopping": stopping}),
    )


def _segment(config: Config, name: str) -> SegmentSettings:
    return SegmentSettings(
        volume=image_files(config, config.data.volumes[name]),
        segmentation=Segmentation(**config.segmentation.model_dump(exclude={"postprocessing"})),
        threads=config.training.threads,
        device=config.training.device,
    )


def _report(config: Config, _: str) -> ReportSettings:
    volumes = {name: image_files(config, volume) for name, volume in config.data.volumes.items()}
    return ReportSettings(
        volumes=volumes,
        labels=label_choice(config),
        ignore_label=config.data.ignore_label,
        controls=[control.name for control in controls(config)],
    )


def _train(config: Config, repeat: str) -> TrainSettings:
    """Return the settings of a training: ``repeat`` is its number, empty for the first, or ``long``."""
    is_long, training = repeat == LONG, config.training
    if is_long:
        training = training.model_copy(update={"iterations": long_iterations(config)})
    return TrainSettings(
        seed=config.search.seed,
        repeat=1 if is_long else int(repeat or 1),
        normalisation=config.data.normalisation,
        training=training,
    )


_MAKERS: dict[str, Callable[[Config, str], Closed]] = {
    "prepare": _prepare,
    "generate": lambda c, _: Draws(seed=c.search.seed, regions=c.search.regions),
    "breed": lambda c, _: BreedSettings(
        seed=c.search.seed,
        regions=c.search.regions,
        evolution=c.search.evolution,
        metric=c.ensemble.metric,
    ),
    "baseline": lambda c, name: BaselineSettings(
        name=name, options=c.baselines.chosen()[name].model_dump(exclude={"n_seeds"})
    ),
    "train": _train,
    "refit": _refit,
    "select": lambda c, _: SelectSettings(normalisation=c.data.normalisation, ensemble=c.ensemble),
    "segment": _segment,
    "postprocess": lambda c, _: c.segmentation.postprocessing,
    "evaluate": lambda c, name: EvaluateSettings(
        volume=image_files(c, c.data.volumes[name]),
        ignore_label=c.data.ignore_label,
        labels=label_choice(c),
    ),
    "test": lambda c, _: TestSettings(threads=c.training.threads, device=c.training.device),
    "pick": lambda c, _: PickSettings(metric=c.ensemble.metric),
    "control": control_settings,
    "report": _report,
}


def image_files(config: Config, image: Image) -> ImageFiles:
    """Return an image's files; a phantom's are where the workflow writes them."""
    files, labels = image.path or [], image.labels
    if image.phantom:
        paths = ResultPaths(config.results)
        files, labels = ([Path(paths.phantom(image.phantom.name, kind))] for kind in ("image", "labels"))
    more = image.model_dump(include={"region", "mask", "flip", "weight", "voxel_size_nm"})
    return ImageFiles(image=files, labels=labels, **more)


def search_rounds(config: Config) -> list[Round]:
    """Return the rounds of genomes."""
    return rounds(config.search, config.training.iterations, config.training.validation_interval)


def runs(config: Config) -> list[str]:
    """Return the names of the trainings that are ranked: ``r0/000`` …, ``baselines/unet2015``, ``…_2`` and so on."""
    return [run for each in search_rounds(config) for run in each.runs] + baseline_runs(config)


def all_runs(config: Config) -> list[str]:
    """Return the names of all trainings: those that are ranked, and then those of the controls."""
    return runs(config) + control_runs(config)


def baseline_runs(config: Config) -> list[str]:
    """Return the names of the baselines' trainings."""
    return [
        baseline_run(name, seed)
        for name, options in config.baselines.chosen().items()
        for seed in range(1, options.n_seeds + 1)
    ]


def refit_ranks(config: Config) -> list[str]:
    """Return the ranks at which the ensemble may have a member that is trained anew: ``000`` and so on."""
    n = min(config.ensemble.most_members, sum(each.n_genomes for each in search_rounds(config)))
    return [slot_name(rank) for rank in range(n)] if config.ensemble.refit else []


def ends_of_round(round_: Round, paths: ResultPaths) -> list[str]:
    """Return the files that are there when a round's trainings have ended."""
    if not round_.rungs:
        return [path for run in round_.runs for path in paths.run(run).outputs()]
    last = round_.rungs[-1]
    return [paths.slot(round_.number, last.iterations, slot_name(i)) for i in range(last.n_slots)]


def train_stage(run: str) -> str:
    """Return the stage whose settings a training reads."""
    if run.startswith(CONTROLS):
        _, repeat = of_control(run)
        return f"train_{LONG if repeat is None else repeat}"
    _, seed = of_baseline(run)
    return "train" if seed == 1 else f"train_{seed}"


def baseline_stage(run: str) -> str:
    """Return the stage whose settings a baseline's genome is made from."""
    name, _ = of_control(run) if run.startswith(CONTROLS) else of_baseline(run)
    return f"baseline_{name}"


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read a stage's settings; raises InputError if they aren't such settings."""
    return validate(model, read_json(path), str(path))
