"""The commands, one file for each subject: arguments only.

Heavy imports stay inside the commands, so that ``--help`` and shell completion answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

# the panels of ``genenet --help``, in its order: what people do
FIRST_STEPS = "First steps"
SEARCH = "Search"
SEGMENT = "Segment"
LABEL = "Label"
LOOK = "Look"
BY_HAND = "By hand (the steps that the workflow runs)"
PANELS = (FIRST_STEPS, SEARCH, SEGMENT, LABEL, LOOK, BY_HAND)
FIRST_OF_PANEL = ("init", "status", "segment", "view")  # what most people look for


class CommandsByPanel(TyperGroup):
    """Lists the commands by panel; within one, the most wanted first, then in the order of their definitions."""

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names of the commands in the order of ``--help``."""

        def place(name: str) -> tuple[int, bool]:
            panel = str(getattr(self.commands[name], "rich_help_panel", None))
            return PANELS.index(panel), name not in FIRST_OF_PANEL

        return sorted(self.commands, key=place)


app = typer.Typer(
    cls=CommandsByPanel,
    help="Random search for segmentation networks: draw genomes, train each, and segment with the best few.",
    epilog="Every command also has --debug, which shows the traceback of an error, and --log FILE, which also writes "
    "the messages to a file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


Settings = Annotated[
    Path, typer.Option("--settings", help="the stage's settings, as the workflow writes them")
]
Out = Annotated[Path, typer.Option("--out", help="the file to write")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Classes = Annotated[int, typer.Option("--classes", min=1, help="number of classes")]
GenomeFile = Annotated[Path, typer.Argument(help="a genome's JSON file")]
Results = Annotated[Path, typer.Argument(help="the results folder")]
ResultsOption = Annotated[Path | None, typer.Option("--results", help="the results folder")]
Receipt = Annotated[Path | None, typer.Option("--receipt", help="JSON file to write: what was done")]
ConfigFile = Annotated[Path, typer.Argument(help="the search's config.yaml")]
StopAfter = Annotated[
    float | None,
    typer.Option("--stop-after-minutes", min=0, help="write a checkpoint after this time, and exit with 75"),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU cores to use at most; default: all that this process may use"),
]
CONFIG = Path("config.yaml")


def _version(wanted: bool) -> None:
    if wanted:
        from genenet.core.version import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass
