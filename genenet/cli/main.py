"""The command line."""

from __future__ import annotations

from genenet.cli import console
from genenet.cli.commands import app, controls, data, genomes, reports, rounds, starting, training, volumes

GROUPS = (
    controls,
    data,
    genomes,
    reports,
    rounds,
    starting,
    training,
    volumes,
)  # importing them adds their commands to app


def main() -> None:
    """Run the command line."""
    console.run(app)
