"""config.yaml as closed, frozen models: an unknown key, a wrong type or a contradiction is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from genenet.config.baselines import Baselines
from genenet.config.controls import Controls
from genenet.config.data import Data
from genenet.config.ensemble import STRATEGIES, EnsembleSettings
from genenet.config.presets import PRESETS, TEXTS, Preset, with_preset
from genenet.config.rounds import rounds
from genenet.config.search import Search
from genenet.config.segmentation import SegmentationAndAfter
from genenet.config.training import Trainings
from genenet.config.yaml_file import explain_yaml, read_yaml
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.validation import validate


def _valid_results(path: Path) -> Path:
    if any(c.isspace() for c in str(path)):
        raise ValueError(f"'{path}' must not contain spaces; choose another name")
    if any(c in str(path) for c in "{}"):
        raise ValueError(
            f"'{path}' must not contain braces, which are wildcards in Snakemake; choose another name"
        )
    return path


class Config(Closed):
    """The whole of config.yaml. The sections hold what a preset brings, so that settings hold no name of a preset."""

    preset: Preset | None = Field(
        None,
        description="feasible regions and a training recipe by name, of which single keys are replaced by what is "
        "written in the sections below; null: none. " + "; ".join(f"{n}: {TEXTS[n]}" for n in PRESETS),
    )
    results: Annotated[Path, AfterValidator(_valid_results)] = Field(
        Path("results"),
        description="folder to which everything is written; its name must not contain spaces or braces",
    )
    container: str | None = Field(
        None, description="container image in which the jobs run; null: no container"
    )
    data: Data
    search: Search = Search()
    baselines: Baselines = Baselines()
    training: Trainings = Trainings()
    ensemble: EnsembleSettings = EnsembleSettings()
    controls: Controls | None = Field(
        None, description="trainings that the report compares the ensemble with; null: none"
    )
    segmentation: SegmentationAndAfter = SegmentationAndAfter()

    @model_validator(mode="before")
    @classmethod
    def _preset_is_written_out(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("preset") not in PRESETS:
            return values
        return with_preset(values["preset"], values, cls)

    @model_validator(mode="after")
    def _enough_genomes(self) -> Self:
        n = sum(self.search.n_by_round)
        if self.ensemble.minimum > n:
            raise ValueError(f"ensemble.minimum {self.ensemble.minimum} is more than search.n_genomes {n}")
        return self

    @model_validator(mode="after")
    def _start_is_another_search(self) -> Self:
        given, members_of = self.training.start, self.search.from_
        if given and members_of and given != members_of:
            raise ValueError(
                f"training.start: {given}, but search.from is {members_of}, whose members begin with their weights; "
                "leave training.start out"
            )
        if self.start and self.start.absolute().is_relative_to(self.results.absolute()):
            key = "training.start" if given else "search.from"
            raise ValueError(
                f"{key}: {self.start} is what this search writes; choose another results: folder"
            )
        return self

    @property
    def start(self) -> Path | None:
        """The search or ensemble with whose weights trainings begin; None: with random ones."""
        return self.training.start or self.search.from_

    @model_validator(mode="after")
    def _regions_have_an_effect(self) -> Self:
        schedule = self.training.schedule
        for name in self.search.regions.get("net", {}):
            if name in schedule.without_effect:
                raise ValueError(
                    f"search.regions.net.{name}: has no effect, since training.schedule.kind is {schedule.kind}; "
                    "leave it out"
                )
        return self

    @model_validator(mode="after")
    def _refits_are_switched_on(self) -> Self:
        if self.training.refit_iterations is not None and not self.ensemble.refit:
            raise ValueError(
                "training.refit_iterations: has no effect without ensemble.refit: true; add that, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _rungs_are_apart(self) -> Self:
        rounds(self.search, self.training.iterations, self.training.validation_interval)
        return self

    @model_validator(mode="after")
    def _folds_are_trained_to_the_end(self) -> Self:
        if self.data.folds and self.search.halves:
            raise ValueError(
                f"data.folds: not with search.strategy: {self.search.strategy}, whose rungs compare trainings that "
                "aren't over; use random or evolution"
            )
        return self

    @model_validator(mode="after")
    def _controls_are_switched_on(self) -> Self:
        if self.controls:
            self.controls.check(self.baselines.chosen())
        return self

    @model_validator(mode="after")
    def _strategy_has_its_objects(self) -> Self:
        strategy = self.ensemble.strategy
        if STRATEGIES[strategy].needs_objects and not self.data.objects:
            raise ValueError(
                f"ensemble.strategy: {strategy} compares objects, but no image has instances:; add them, or use best_n"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_known(self) -> Self:
        self.segmentation.postprocessing.check_classes(self.data.classes, "segmentation.postprocessing.")
        return self


def read_config(path: Path) -> Config:
    """Read and check a config.yaml.

    Raises:
        InputError: If the file can't be read, or has an unknown key or a wrong value.
    """
    return check_config(read_yaml(path), str(path))


def check_config(values: Any, source: str = "config") -> Config:
    """Turn what a YAML file holds into a Config; ``source`` is named in errors (InputError)."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: holds no keys; see config.yaml of genenet for an example")
    return validate(Config, values, source, explain_yaml)
