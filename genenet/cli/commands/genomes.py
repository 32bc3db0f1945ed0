"""Commands for genomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genenet.cli.commands import BY_HAND, CONFIG, LOOK, AsJson, Classes, GenomeFile, Out, Settings, app
from genenet.core.errors import InputError, naming

if TYPE_CHECKING:
    from genenet.genes.feasible_regions import Regions

Other = Annotated[Path, typer.Argument(help="another genome's JSON file")]
Child = Annotated[Path, typer.Option("--out", help="the child's JSON file; the child is named after it")]
RegionsOf = Annotated[
    Path, typer.Option("--config", help="a config.yaml; the child stays within its search.regions")
]
Seed = Annotated[int, typer.Option(min=0, help="each seed gives another child; the child's file records it")]


@app.command(rich_help_panel=BY_HAND)
def generate(
    out: Out,
    settings: Settings,
    index: Annotated[
        int | None, typer.Option(min=0, help="number of the genome in its round; not for a baseline")
    ] = None,
    round_: Annotated[int, typer.Option("--round", min=0, help="number of the round")] = 0,
    results: Annotated[
        Path | None,
        typer.Option(
            help="the results folder with the scores of earlier rounds, to make the genome from them"
        ),
    ] = None,
) -> None:
    """Draw a random genome, make one from the scores of earlier rounds, or write the genome of a baseline."""
    from genenet.config.search import Draws
    from genenet.config.settings import BaselineSettings, BreedSettings, read_settings
    from genenet.genes.generation import draw

    if index is None:
        genome = read_settings(settings, BaselineSettings).genome()
    elif results is not None:
        from genenet.core.paths import ResultPaths
        from genenet.search.later_rounds import later_genome

        genome = later_genome(read_settings(settings, BreedSettings), ResultPaths(results), round_, index)
    else:
        draws = read_settings(settings, Draws)
        genome = draw(draws.feasible_regions(), draws.seed, index, round_)
    genome.write(out)


@app.command("start-weights", rich_help_panel=BY_HAND)
def start_weights(out: Out, settings: Settings) -> None:
    """List the networks of a finished search, or the members of an ensemble, with whose weights trainings begin."""
    from genenet.config.settings import StartSettings, read_settings
    from genenet.ensembles.start import write_start

    write_start(read_settings(settings, StartSettings).folder, out)


@app.command(rich_help_panel=BY_HAND)
def member(
    out: Out,
    start: Annotated[Path, typer.Option(help="start.json, the list of the networks to start from")],
    index: Annotated[int, typer.Option(min=0, help="rank of the member, from 0")],
) -> None:
    """Write the genome of a member of the ensemble that a search starts from (search.members)."""
    from genenet.config.rounds import run_name
    from genenet.ensembles.start import member_genome

    member_genome(start, index, run_name(0, index)).write(out)


@app.command(rich_help_panel=LOOK)
def inspect(
    genome: GenomeFile,
    classes: Classes = 2,
    batch_size: Annotated[
        int, typer.Option(min=1, help="patches in a training step, for the memory estimate")
    ] = 4,
    as_json: AsJson = False,
) -> None:
    """Describe the network that a genome builds: its parameters, sizes and layers."""
    from genenet.genes.genome import read_genome
    from genenet.genes.inspection import inspect as describe
    from genenet.genes.inspection import print_table

    with naming(genome):
        description = describe(read_genome(genome), classes, batch_size)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        print_table(description)


@app.command("draw", rich_help_panel=LOOK)
def draw_pictures(
    genome: GenomeFile,
    genes: Annotated[
        Path | None, typer.Option(help="the picture of the gene graph to write, .svg or .png")
    ] = None,
    network: Annotated[
        Path | None, typer.Option(help="the picture of the network to write, .svg or .png")
    ] = None,
    classes: Classes = 2,
) -> None:
    """Draw the gene graph of a genome and the network that it builds.

    Without --genes and --network, both pictures go to the current folder, as GENOME.genes.svg and
    GENOME.network.svg.
    """
    from genenet.genes.genome import read_genome
    from genenet.report.drawing.canvas import check_format, write_figure
    from genenet.report.drawing.genes import draw_genes
    from genenet.report.drawing.network import draw_network

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


@app.command(rich_help_panel=BY_HAND)
def mutate(
    genome: GenomeFile,
    out: Child,
    config: RegionsOf = CONFIG,
    seed: Seed = 0,
    kind: Annotated[
        Literal["additive", "replacing"], typer.Option(help="add a normally distributed step, or draw anew")
    ] = "additive",
    rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="probability of each change; default: 0.2 at the net, less below it"),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="standard deviation of an additive step, in widths of its region; default: 0.2"),
    ] = None,
) -> None:
    """Write a child of a genome that differs from it at random, within the search's feasible regions.

    A hyperparameter whose region is one number, or that has no region, isn't changed.
    """
    from genenet.core.validation import validate
    from genenet.genes.genome import read_genome
    from genenet.genes.hyperparameters import LEVELS
    from genenet.genes.variation import mutate as mutated
    from genenet.genes.variation_settings import Mutation

    if scale is not None and not 0 < scale < float("inf"):
        raise InputError(f"--scale {scale:g}: give a number above 0, such as 0.2")
    given = {"rates": rate, "scales": scale}
    by_level = {key: dict.fromkeys(LEVELS, value) for key, value in given.items() if value is not None}
    settings = validate(Mutation, {"kind": kind, **by_level}, "mutation")
    parent, regions = read_genome(genome), _regions(config)
    with naming(genome):
        mutated(parent, regions, settings, seed, out.stem).write(out)


@app.command(rich_help_panel=BY_HAND)
def cross(
    first: GenomeFile,
    second: Other,
    out: Child,
    config: RegionsOf = CONFIG,
    seed: Seed = 0,
) -> None:
    """Write a child of two genomes that takes each gene from one of them, within the search's feasible regions."""
    from genenet.genes.genome import read_genome
    from genenet.genes.variation import cross as crossed

    parents, regions = (read_genome(first), read_genome(second)), _regions(config)
    with naming(f"{first} and {second}"):
        crossed(*parents, regions, seed, out.stem).write(out)


def _regions(config: Path) -> Regions:
    from genenet.config.model import read_config

    return read_config(config).search.feasible_regions()


@app.command(rich_help_panel=LOOK)
def diff(
    a: GenomeFile,
    b: Other,
    classes: Classes = 2,
    as_json: AsJson = False,
) -> None:
    """Show the differences between two genomes, gene by gene, and between their networks.

    Values are shown at the net, deltas below it; names, seeds and parents are ignored. As with diff, the exit code is
    0 if there is no difference, 1 if there is one, and 2 after an error.
    """
    from genenet.genes.differences import differences, print_differences
    from genenet.genes.genome import read_genome

    try:
        said = differences(read_genome(a), read_genome(b), classes)
    except (InputError, OSError) as error:
        trouble = InputError(str(error))
        trouble.status = 2
        raise trouble from error
    if as_json:
        print(json.dumps(said, indent=1))
    else:
        print_differences(said)
    if not said["equal"]:
        raise typer.Exit(1)
