"""Commands for controls: the genome of the best network, and the scores of a control."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genenet.cli.commands import BY_HAND, Out, Settings, Threads, app

Results = Annotated[Path, typer.Option(help="the results folder")]


@app.command(rich_help_panel=BY_HAND)
def pick(results: Results, out: Out) -> None:
    """Copy the genome of the best network of a search, for the controls that train it again."""
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.controls import pick_best

    pick_best(ResultPaths(results), out)


@app.command(rich_help_panel=BY_HAND)
def control(
    results: Results,
    settings: Settings,
    out: Out,
    ensemble: Annotated[
        Path | None, typer.Option(help="folder of the ensemble before a refit; without it, ensemble/")
    ] = None,
    threads: Threads = None,
) -> None:
    """Score a control: the mean of its networks on the validation images, and on the test images if there are any."""
    from genenet.config.planned_controls import ControlSettings
    from genenet.config.settings import read_settings
    from genenet.core.paths import ResultPaths
    from genenet.core.resources import threads_that_fit
    from genenet.ensembles.control_scoring import score_control
    from genenet.ensembles.controls import write_control
    from genenet.networks.device import choose_device, set_threads

    wanted = read_settings(settings, ControlSettings)
    set_threads(threads_that_fit(threads or wanted.threads))
    write_control(out, score_control(ResultPaths(results), wanted, choose_device(wanted.device), ensemble))
