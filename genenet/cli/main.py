"""The command line."""

from __future__ import annotations

from genenet.cli import console
from genenet.cli.commands import (
    adapting,
    app,
    controls,
    data,
    genomes,
    labelling,
    reports,
    rounds,
    starting,
    training,
    volumes,
)

GROUPS = (
    adapting,
    controls,
    data,
    genomes,
    labelling,
    reports,
    rounds,
    starting,
    training,
    volumes,
)  # importing them adds their commands to app


def main() -> None:
    """Run the command line."""
    console.run(app)
