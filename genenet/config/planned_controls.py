"""The controls that a config asks for, their trainings, and the settings of the stage that scores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config.controls import BEST
from genenet.config.rounds import planned_iterations, rounds
from genenet.config.selection_metrics import SelectionMetricName
from genenet.config.types import Device
from genenet.core.models import Closed
from genenet.core.paths import CONTROLS, of_control

if TYPE_CHECKING:
    from genenet.config.controls import Control
    from genenet.config.model import Config


class PickSettings(Closed):
    """By what the best network of the search is chosen; the rest is in the ranking."""

    metric: SelectionMetricName


class ControlSettings(Closed):
    """Which trainings a control is made of, and how its networks are run on the test images.

    Attributes:
        control: its name.
        baseline: that it trains; None for the best network of the search.
        is_long: whether it is one long training instead of several seeds.
        runs: its trainings; those of the best network without the search's own.
        has_test: whether there are test images.
        threads: in settings of version 0.1; now the command has an option.
        device: that the networks run on.
    """

    control: str
    baseline: str | None = None
    is_long: bool = False
    runs: list[str]
    has_test: bool
    threads: int | None = None
    device: Device


def controls(config: Config) -> list[Control]:
    """Return the controls in the order of the report; none if the config asks for none."""
    if not config.controls:
        return []
    return config.controls.planned({name: each.n_seeds for name, each in config.baselines.chosen().items()})


def control_runs(config: Config) -> list[str]:
    """Return the names of the trainings that only controls need: ``controls/best_2``, ``controls/unet2015_long``."""
    return [run for each in controls(config) for run in each.runs if run.startswith(CONTROLS)]


def long_runs(config: Config) -> list[str]:
    """Return the names of the long trainings among them."""
    return [run for each in controls(config) if each.is_long for run in each.runs]


def needs_ranking(run: str) -> bool:
    """Whether a training can only begin once the networks are ranked, since it is of the best of them."""
    return run.startswith(CONTROLS) and of_control(run)[0] == BEST


def long_iterations(config: Config) -> int:
    """Return the iterations of a control's long training: those of all trainings of the search together."""
    iterations = config.training.iterations
    return planned_iterations(rounds(config.search, iterations, config.training.validation_interval))


def control_settings(config: Config, name: str) -> ControlSettings:
    """Return the settings of the stage that scores a control."""
    (control,) = (each for each in controls(config) if each.name == name)
    return ControlSettings(
        control=name,
        baseline=control.baseline,
        is_long=control.is_long,
        runs=list(control.runs),
        has_test=bool(config.data.test),
        device=config.training.device,
    )
