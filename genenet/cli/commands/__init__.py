"""The commands, by subject: arguments only. Heavy imports stay inside them, so that help comes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Random search for segmentation networks: draw genomes, train each, segment with the best few.",
    epilog="Anywhere on the line: --debug shows the traceback of an error, --log FILE writes messages to a file too.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Settings = Annotated[
    Path, typer.Option("--settings", help="the stage's settings, as the workflow writes them")
]
Out = Annotated[Path, typer.Option("--out", help="where the result goes")]


def _version(wanted: bool) -> None:
    if wanted:
        from genenet.core.version import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and stop")
    ] = False,
) -> None:
    pass
