"""Commands for the start of a search: from images to a config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genenet.cli.commands import FIRST_STEPS, app
from genenet.cli.options import given, options_of
from genenet.init.request import Request


@app.command(rich_help_panel=FIRST_STEPS)
@options_of(Request, leave_out={"force", "start"})
def init(
    start: Annotated[
        Path | None, typer.Option("--from", help=Request.model_fields["start"].description)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file if it exists")] = False,
    **options: Any,
) -> None:
    """Examine images and labels, and write a config.yaml for them.

    In a terminal, the command asks for images, labels, names of classes and numbers that aren't given. It prints the
    classes and their frequencies, the cost of the search, and everything that is wrong with the images.
    """
    from genenet.core.validation import validate
    from genenet.init.wizard import start as run

    run(validate(Request, {**given(Request, options), "start": start, "force": force}, "init"))
