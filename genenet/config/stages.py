"""The settings of each stage: what its files depend on, and nothing else.

The workflow writes each as ``settings/{stage}.json`` and hands it to the stage's command. A setting that
isn't in a stage's file can't make that stage run again. :mod:`genenet.config.settings` has the models of these files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from genenet.config.depth import sees_depth
from genenet.config.planned_controls import PickSettings, control_settings, controls, long_iterations
from genenet.config.planned_runs import FOLD, INHERITING
from genenet.config.search import Draws
from genenet.config.segmentation import Segmentation
from genenet.config.settings import (
    BaselineSettings,
    BreedSettings,
    EvaluateSettings,
    ImageFiles,
    PrepareSettings,
    ReportSettings,
    SegmentSettings,
    SelectSettings,
    StartSettings,
    TestSettings,
    TrainSettings,
)
from genenet.config.start import member_genomes, start_files
from genenet.config.types import Split
from genenet.core.contents import contents
from genenet.core.errors import InputError
from genenet.core.paths import LONG, ResultPaths
from genenet.genes.hyperparameters import HYPERPARAMETERS

if TYPE_CHECKING:
    from genenet.config.data import Image, LabelledImage
    from genenet.config.model import Config
    from genenet.config.postprocessing import LabelChoice
    from genenet.core.models import Closed

REFIT_REPEAT = 10**6  # of trainings on all images, so that they share random numbers with no other training
LONGEST_ARGUMENT = 120_000  # of 131 072 bytes that Linux lets an argument have


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
    """Add the checksum of labelled images, labels, masks and networks to settings of stages that read them as a whole.

    Phantoms are left out, since the workflow makes them. So are volumes to segment, which may have terabytes: their
    sizes and times count.
    """
    paths = ResultPaths(config.results)
    if isinstance(settings, PrepareSettings):
        files = [path for image in settings.images for path in image.all]
    elif isinstance(settings, EvaluateSettings):
        files = [*(settings.volume.labels or []), *(settings.volume.mask or [])]
    elif isinstance(settings, StartSettings):
        files = start_files(settings.folder)
    else:
        return settings
    given = [path for path in files if paths.phantoms not in path.parents]
    checksum = contents(given, Path(paths.contents)) if given else None
    return settings.model_copy(update={"contents": checksum})


def _prepare(config: Config, name: str) -> PrepareSettings:
    """Return the settings of a split, such as ``train``, or of a fold, such as ``fold_2_train``."""
    fold, split = _split_of(name)
    data, images = config.data, [image_files(config, image) for image in labelled_images(config, split)]
    plan = data.fold_plan if fold is not None or split == "validation" else None
    by_region = plan is not None and plan.by == "region"
    depth_counts = by_region or bool(data.objects) or any(image.voxel_size_nm for image in images)
    return PrepareSettings(
        images=images,
        classes=data.classes,
        ignore_label=data.ignore_label,
        voxel_size_nm=data.voxel_size_nm,
        smallest_input_voxels=_smallest_input(config) if split == "train" or plan else None,
        split=cast(Split, split),
        normalisation=None if data.normalisation.is_always_recorded else data.normalisation,
        sees_depth=depth_counts and sees_depth(config),
        objects=data.objects,
        folds=plan.model_copy(update={"fold": fold}) if plan else None,
    )


def _smallest_input(config: Config) -> int:
    """Return the smallest input of a genome that can be drawn, or of the members that the search consists of."""
    if config.search.from_ is not None:
        return min(genome.net.integer("input_size") for genome in member_genomes(config.search.from_))
    region = config.search.feasible_regions().get("net", {}).get("input_size")
    return int(region.clip(0) if region else HYPERPARAMETERS["input_size"].default)


def _split_of(name: str) -> tuple[int | None, str]:
    """Return fold and split of what is prepared; ``fold_2_train`` is the ``train`` of fold 2."""
    if not name.startswith(FOLD):
        return None, name
    fold, split = name.removeprefix(FOLD).split("_")
    return int(fold), split


def labelled_images(config: Config, split: str) -> list[LabelledImage]:
    """Return the labelled images of a split; those of ``refit`` are the training and the validation images.

    With folds the training images are validated on, each part of them by another training.
    """
    data = config.data
    if data.folds and split == "validation":
        return data.train
    images: list[LabelledImage] = (
        [*data.train, *data.validation] if split == "refit" else getattr(data, split)
    )
    return images


def _refit(config: Config, _: str) -> TrainSettings:
    """Return the settings of trainings on all images: no validation is left that could stop them or choose weights."""
    return TrainSettings(
        seed=config.search.seed,
        repeat=REFIT_REPEAT,
        normalisation=config.data.normalisation,
        training=config.training.of_each().without_validation(),
        starts=config.start is not None,
    )


def _segment(config: Config, name: str) -> SegmentSettings:
    return SegmentSettings(
        volume=image_files(config, config.data.volumes[name]),
        segmentation=Segmentation(
            **config.segmentation.model_dump(exclude={"postprocessing", "instances", "threads"})
        ),
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
    """Return the settings of a training.

    ``repeat`` is its number, empty for the first; ``long``; or ``inheriting``: of a child that inherits weights.
    """
    is_long, inherited = repeat == LONG, None
    if repeat == INHERITING:
        inherited, repeat = config.search.evolution.inherit_weights, ""
    training = config.training.of_each().model_copy(
        update={"refit_iterations": None}
    )  # another value trains nothing again
    if is_long:
        training = training.model_copy(update={"iterations": long_iterations(config)})
    if inherited:
        n = inherited.iterations_of_child(training.iterations, training.validation_interval)
        training = training.shortened(n)
    return TrainSettings(
        seed=config.search.seed,
        repeat=1 if is_long else int(repeat or 1),
        normalisation=config.data.normalisation,
        training=training,
        inherits=inherited is not None,
        starts=config.start is not None and inherited is None,
    )


def _start(config: Config, _: str) -> StartSettings:
    if config.start is None:
        raise InputError("training.start: is null, so nothing is started from")
    return StartSettings(folder=config.start)


_MAKERS: dict[str, Callable[[Config, str], Closed]] = {
    "prepare": _prepare,
    "generate": lambda c, _: Draws(seed=c.search.seed, regions=c.search.regions),
    "breed": lambda c, _: BreedSettings(
        seed=c.search.seed,
        regions=c.search.regions,
        evolution=c.search.evolution.breeding,
        metric=c.ensemble.metric,
        surrogate=c.search.surrogate if c.search.asks_a_model else None,
    ),
    "baseline": lambda c, name: BaselineSettings(
        name=name, options=c.baselines.chosen()[name].model_dump(exclude={"n_seeds"})
    ),
    "start": _start,
    "train": _train,
    "refit": _refit,
    "select": lambda c, _: SelectSettings(normalisation=c.data.normalisation, ensemble=c.ensemble),
    "segment": _segment,
    "postprocess": lambda c, _: c.segmentation.postprocessing,
    "instances": lambda c, _: c.segmentation.instances,
    "evaluate": lambda c, name: EvaluateSettings(
        volume=image_files(c, c.data.volumes[name]),
        ignore_label=c.data.ignore_label,
        labels=label_choice(c),
    ),
    "test": lambda c, _: TestSettings(device=c.training.device),
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
    return ImageFiles(image=files, labels=labels, instances=_instances(config, image), **more)


def _instances(config: Config, image: Image) -> dict[str, list[Path]]:
    """Return the files of an image's instances, by class."""
    if not image.phantom:
        return {name: files.path or [] for name, files in image.instances.items()}
    paths, phantom = ResultPaths(config.results), image.phantom.name
    return {name: [Path(paths.phantom_instances(phantom, name))] for name in image.instances}
