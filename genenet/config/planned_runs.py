"""The trainings that a config plans, by name, and the stage whose settings each of them reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config.planned_controls import control_runs
from genenet.config.rounds import Round, rounds
from genenet.core.paths import (
    CONTROLS,
    LONG,
    ResultPaths,
    baseline_run,
    fold_run,
    of_baseline,
    of_control,
    of_fold,
    slot_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.model import Config

FOLD = "fold_"  # in the names of the stages that prepare the images of a fold
INHERITING = "inheriting"  # in the name of the stage of trainings that begin with the weights of a parent


def search_rounds(config: Config) -> list[Round]:
    """Return the rounds of genomes."""
    return rounds(config.search, config.training.iterations, config.training.validation_interval)


def runs(config: Config) -> list[str]:
    """Return the names of the trainings that are ranked: ``r0/000`` …, ``baselines/unet2015``, ``…_2`` and so on."""
    return [run for each in search_rounds(config) for run in each.runs] + baseline_runs(config)


def all_runs(config: Config) -> list[str]:
    """Return the names of all trainings: those that are ranked, and then those of the controls."""
    return runs(config) + control_runs(config)


def trainings(config: Config) -> list[str]:
    """Return the names of all trainings; with folds, those of each fold instead of what is joined from them."""
    return [training for run in all_runs(config) for training in of_folds(config, run)]


def folds(config: Config) -> range:
    """Return the folds; none if the validation has images of its own."""
    return range(config.data.folds.n if config.data.folds else 0)


def of_folds(config: Config, run: str) -> list[str]:
    """Return the trainings that a run is made of: itself, or one for each fold."""
    return [fold_run(run, fold) for fold in folds(config)] or [run]


def fold_stage(fold: int | str, split: str) -> str:
    """Return the stage that prepares the ``train`` or ``validation`` of a fold."""
    return f"prepare_{FOLD}{fold}_{split}"


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


def genomes_stage(round_: Round) -> str:
    """Return the stage whose settings the trainings of a round's genomes read."""
    return f"train_{INHERITING}" if round_.inherits else "train"


def train_stage(run: str, rounds: Sequence[Round] = ()) -> str:
    """Return the stage whose settings a training reads; ``rounds`` are those of a search whose children inherit."""
    whole, _ = of_fold(run)
    for round_ in rounds:
        if round_.inherits and whole in round_.runs:
            return genomes_stage(round_)
    if run.startswith(CONTROLS):
        _, repeat = of_control(run)
        return f"train_{LONG if repeat is None else repeat}"
    _, seed = of_baseline(run)
    return "train" if seed == 1 else f"train_{seed}"


def training_inputs(paths: ResultPaths, run: str) -> dict[str, str]:
    """Return the files that a training is made from, by the options of ``genenet train``."""
    return {
        "--genome": paths.genome(run),
        "--train": paths.training_data(run, "train"),
        "--validation": paths.training_data(run, "validation"),
        "--settings": paths.settings(train_stage(run)),
    }


def baseline_stage(run: str) -> str:
    """Return the stage whose settings a baseline's genome is made from."""
    name, _ = of_control(run) if run.startswith(CONTROLS) else of_baseline(run)
    return f"baseline_{name}"
