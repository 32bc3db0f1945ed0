"""The command line."""

from __future__ import annotations

from genenet.cli import console
from genenet.cli.commands import app, data, genomes, reports, rounds, starting, training, volumes

__all__ = [
    "app",
    "data",
    "genomes",
    "main",
    "reports",
    "rounds",
    "starting",
    "training",
    "volumes",
]  # their commands are in app


def main() -> None:
    """Run the command line."""
    console.run(app)
