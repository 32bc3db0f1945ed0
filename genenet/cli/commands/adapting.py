"""The command that adapts an ensemble to another volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genenet.cli.commands import LABEL, app
from genenet.cli.options import given, options_of
from genenet.config.adaptation import AdaptSettings


@app.command(rich_help_panel=LABEL)
@options_of(AdaptSettings)
def adapt(
    ensemble: Annotated[Path, typer.Argument(help="the ensemble's folder")],
    crops: Annotated[
        Path, typer.Option(help="a folder of labelled boxes of the volume; those marked as reviewed are used")
    ],
    out: Annotated[Path, typer.Option("--out", help="the folder of the new ensemble")],
    **settings: Any,
) -> None:
    """Adapt an ensemble to another volume, of which a few boxes are labelled: train its last layers on them.

    The new ensemble is scored on each box after training on the others. If it isn't better, OUT is the old one again.
    """
    import time

    from genenet.api.adaptation import adapt_folder
    from genenet.cli.adapted import print_adaptation
    from genenet.cli.progress import show_steps
    from genenet.core.resources import keep_freed_memory
    from genenet.core.validation import validate

    keep_freed_memory()
    wanted = validate(AdaptSettings, given(AdaptSettings, settings), "adapt")
    began = time.monotonic()
    with show_steps(out.name) as show:
        done = adapt_folder(ensemble, crops, out, wanted, show)
    print_adaptation(done, out, time.monotonic() - began)
