"""``genenet init --from``: a config whose genomes are the members of an earlier search, trained further."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config.ensemble import EnsembleSettings
from genenet.config.presets import preset_values
from genenet.config.settings import PrepareSettings, SelectSettings, TrainSettings, read_settings
from genenet.config.start import DESCRIPTION, ensemble_folder, is_ensemble
from genenet.config.training import Training
from genenet.core.choices import many
from genenet.core.outputs import ObjectClass, Outputs, other_classes
from genenet.core.paths import ResultPaths
from genenet.ensembles.description import read_description
from genenet.ensembles.start import StartFile, find_start, too_few_members
from genenet.init.config_text import Choices, rendered
from genenet.init.sizes import N_VALIDATIONS, PRESET
from genenet.status.time_left import short
from genenet.training.scores import read_scores
from genenet.volumes.region_names import region_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genenet.config.normalisation import NormalisationSettings
    from genenet.config.types import VoxelSize
    from genenet.init.classes import Classes
    from genenet.init.parts import Split
    from genenet.init.request import Request

SHARE = 3  # of the iterations of the earlier search: one in so many
OWN_KEYS = {"iterations", "validation_interval", "threads", "device"}  # which the template writes


@dataclass(frozen=True)
class Further:
    """An earlier search, as far as it decides on the config of one that goes on from it.

    Attributes:
        folder: its results, or an ensemble.
        start: its networks.
        ignore_label: of its labels.
        voxel_size_nm: of its images.
        normalisation: of its images.
        seed: of the search.
        training: how its networks were trained, or how they will be if that isn't known.
        ensemble: how its members were chosen.
        seconds_per_iteration: of all members together; None if it isn't known.
    """

    folder: Path
    start: StartFile
    ignore_label: int | None
    voxel_size_nm: VoxelSize
    normalisation: NormalisationSettings
    seed: int
    training: Training
    ensemble: EnsembleSettings
    seconds_per_iteration: float | None

    @property
    def is_search(self) -> bool:
        """Whether the settings of its trainings are known, as those of an ensemble aren't."""
        return not is_ensemble(self.folder)

    def completed(self, request: Request) -> Request:
        """Return a request with the classes and the ignored label of the search, where it doesn't say others.

        Raises:
            InputError: If it asks for more genomes than there are members.
        """
        if (request.genomes or 0) > len(self.start.members):
            raise too_few_members(self.start, request.genomes or 0)
        changes: dict[str, object] = {}
        if request.classes is None:
            changes["classes"] = list(self.start.classes)
        if request.ignore_label is None:
            changes["ignore_label"] = self.ignore_label
        return request.model_copy(update=changes)

    def suggested(self, request: Request) -> tuple[int, int]:
        """Return the numbers of genomes and iterations that were asked for, or all members and a third of before.

        The third is rounded down to two digits.
        """
        n = max(1, self.training.iterations // SHARE)
        unit = int(10 ** max(0, len(str(n)) - 2))
        return request.genomes or len(self.start.members), request.iterations or n // unit * unit

    def on_iterations(self, n: int) -> str:
        """Return why trainings have so many iterations."""
        whole = f"{self.training.iterations:,}"
        where = f"{self.folder} has {whole}" if self.is_search else f"preset {PRESET} has {whole}"
        return f"Optimiser steps: trained networks need fewer than new ones ({where}). Here they have {n:,}."

    @property
    def on_options(self) -> str:
        """Where the other options of the trainings are from."""
        if self.is_search:
            return f"All that differs from the defaults is as in {self.folder}."
        return (
            f"The folder of an ensemble doesn't say how it was trained: this is preset {PRESET}, written out."
        )

    def notes(self, classes: Classes, objects: str | None, parts: Split) -> Iterator[str]:
        """Yield what begins anew, and which validation images the networks have learned from."""
        of_class = [ObjectClass(name=objects, of=[objects])] if objects else []
        if other := other_classes(self.start.outputs, Outputs(classes.names, of_class)):
            yield f"{self.folder}: {other}; the other layers keep their weights"
        names = [f"{part.look.image.path}{region_text(part.region)}" for part in parts.validation]
        if seen := self.start.seen(names):
            yield (
                f"validation: the networks of {self.folder} may have learned from {', '.join(seen)}, so scores would "
                "be too high; give other images with --validation-image"
            )

    def cost_text(self, request: Request) -> str:
        """Return what is trained, and how long that took in the earlier search."""
        n_genomes, n = self.suggested(request)
        text = f"{many(n_genomes, 'member')} of {self.folder} will be trained further, {many(n, 'iteration')} each"
        if self.seconds_per_iteration is None:
            return f"{text}."
        seconds = self.seconds_per_iteration * n * n_genomes / len(self.start.members)
        return f"{text}: about {short(seconds)} one after the other, if a step takes as long as it did there."


def read_further(folder: Path) -> Further:
    """Read an earlier search.

    Raises:
        InputError: If there is no such search, if it is unfinished, or if another version wrote it.
    """
    start = find_start(folder)
    description = read_description(ensemble_folder(folder) / DESCRIPTION)
    paths, seed, ignore_label = ResultPaths(folder), 0, None
    training = Training.model_validate(preset_values(PRESET)["training"])
    ensemble = EnsembleSettings(metric=description.metric)
    if not is_ensemble(folder):
        trained = read_settings(Path(paths.settings("train")), TrainSettings)
        training, seed = trained.training, trained.seed
        ensemble = read_settings(Path(paths.settings("select")), SelectSettings).ensemble
        ignore_label = _prepared(paths).ignore_label
    return Further(
        folder=folder,
        start=start,
        ignore_label=ignore_label,
        voxel_size_nm=description.voxel_size_nm,
        normalisation=description.normalisation.mode,
        seed=seed,
        training=training,
        ensemble=ensemble,
        seconds_per_iteration=None if is_ensemble(folder) else _seconds(paths, start),
    )


def _prepared(paths: ResultPaths) -> PrepareSettings:
    """Return the settings of the training images."""
    return read_settings(Path(paths.settings("prepare_train")), PrepareSettings)


def _seconds(paths: ResultPaths, start: StartFile) -> float | None:
    scores = [read_scores(paths.run(run).scores) for run in start.members]
    known = [each.seconds / each.iterations for each in scores if each.seconds and each.iterations]
    return sum(known) if len(known) == len(scores) else None


def further_text(further: Further, choices: Choices, request: Request) -> str:
    """Return the file of a search that goes on from an earlier one."""
    n_genomes, n_iterations = further.suggested(request)
    training = further.training.shortened(n_iterations)
    return rendered(
        "further.yaml.j2",
        choices,
        {
            "further": further,
            "normalisation": further.normalisation.model_dump(mode="json"),
            "n_genomes": n_genomes,
            "n_iterations": n_iterations,
            "validation_interval": max(1, min(training.validation_interval, n_iterations // N_VALIDATIONS)),
            "options": _others(training, Training()),
            "ensemble": _members(further.ensemble, n_genomes),
        },
    )


def _others(training: Training, default: Training) -> dict[str, Any]:
    """Return the options that differ from the defaults, but for those that the template writes."""
    values = training.model_dump(mode="json", exclude=OWN_KEYS)
    return _differing(values, default.model_dump(mode="json", exclude=OWN_KEYS))


def _members(settings: EnsembleSettings, n_genomes: int) -> dict[str, Any]:
    """Return the keys of ``ensemble:`` that differ from the defaults, for so many genomes."""
    most = {"size": settings.size if settings.size == "auto" else min(settings.size, n_genomes)}
    fitting = settings.model_copy(update={**most, "minimum": min(settings.minimum, n_genomes)})
    found = _differing(fitting.model_dump(mode="json"), EnsembleSettings().model_dump(mode="json"))
    return {"size": most["size"], **found}


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys whose values differ; a section of another kind is written as a whole."""
    found = {}
    for key, value in values.items():
        default = defaults.get(key)
        if value == default:
            continue
        if isinstance(value, dict) and isinstance(default, dict) and value.get("kind") == default.get("kind"):
            found[key] = _differing(value, default)
        else:
            found[key] = value
    return found
