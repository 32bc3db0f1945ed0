"""Genomes: commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genenet.commands import Out, Settings, app
from genenet.errors import naming


@app.command()
def generate(
    out: Out,
    settings: Settings,
    index: Annotated[
        int | None, typer.Option(min=0, help="which genome of the search; not for a baseline")
    ] = None,
    round_: Annotated[int, typer.Option("--round", min=0, help="which round of the search")] = 0,
) -> None:
    """Draw one random genome, or write a baseline's."""
    from genenet.config import Draws
    from genenet.genome import draw
    from genenet.stages import BaselineSettings, read_settings

    if index is None:
        genome = read_settings(settings, BaselineSettings).genome()
    else:
        draws = read_settings(settings, Draws)
        genome = draw(draws.feasible_regions(), draws.seed, index, round_)
    genome.write(out)


@app.command()
def inspect(
    genome: Annotated[Path, typer.Argument(help="a genome's JSON file")],
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="patches of a training step, for its memory")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what network a genome builds: parameters, sizes, layers."""
    from genenet.genome import read_genome
    from genenet.inspection import inspect as describe
    from genenet.inspection import print_table

    with naming(genome):
        description = describe(read_genome(genome), classes, batch_size)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_table(description)


@app.command("draw")
def draw_pictures(
    genome: Annotated[Path, typer.Argument(help="a genome's JSON file")],
    genes: Annotated[Path | None, typer.Option(help="picture of the gene graph, .svg or .png")] = None,
    network: Annotated[Path | None, typer.Option(help="picture of the network, .svg or .png")] = None,
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
) -> None:
    """Draw a genome: its gene graph and the network that it builds.

    Without --genes and --network both pictures go to the current folder, as GENOME.genes.svg and
    GENOME.network.svg.
    """
    from genenet.drawing import check_format, write_figure
    from genenet.gene_drawing import draw_genes
    from genenet.genome import read_genome
    from genenet.network_drawing import draw_network

    if genes is None and network is None:
        genes, network = (Path(f"{genome.stem}.{what}.svg") for what in ("genes", "network"))
    for path in filter(None, (genes, network)):
        check_format(path)
    with naming(genome):
        drawn = read_genome(genome)
        pictures = [(genes, draw_genes(drawn))] if genes else []
        pictures += [(network, draw_network(drawn, classes))] if network else []
    for path, figure in pictures:
        write_figure(figure, path)
        print(path)
