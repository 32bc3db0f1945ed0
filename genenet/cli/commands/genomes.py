"""Commands for genomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genenet.cli.commands import BY_HAND, LOOK, Out, Settings, app
from genenet.core.errors import InputError, naming

if TYPE_CHECKING:
    from genenet.genes.feasible_regions import Regions

GenomeFile = Annotated[Path, typer.Argument(help="a genome's JSON file")]
Child = Annotated[Path, typer.Option("--out", help="where the child's JSON file goes; it is named like it")]
RegionsOf = Annotated[
    Path, typer.Option("--config", help="config.yaml whose search.regions the child stays in")
]
Seed = Annotated[
    int, typer.Option(min=0, help="another one gives another child of the same parents; recorded in it")
]
CONFIG = Path("config.yaml")


@app.command(rich_help_panel=BY_HAND)
def generate(
    out: Out,
    settings: Settings,
    index: Annotated[
        int | None, typer.Option(min=0, help="which genome of the search; not for a baseline")
    ] = None,
    round_: Annotated[int, typer.Option("--round", min=0, help="which round of the search")] = 0,
    results: Annotated[
        Path | None,
        typer.Option(
            help="of a search that evolves: the results folder, with the scores of the rounds before"
        ),
    ] = None,
) -> None:
    """Draw one random genome, breed one from earlier rounds, or write a baseline's."""
    from genenet.config.search import Draws
    from genenet.config.stages import BaselineSettings, BreedSettings, read_settings
    from genenet.genes.generation import draw

    if index is None:
        genome = read_settings(settings, BaselineSettings).genome()
    elif results is not None:
        from genenet.core.paths import ResultPaths
        from genenet.search.evolution import breed, scored
        from genenet.search.halving import read_round

        paths = ResultPaths(results)
        earlier = [read_round(Path(paths.round(number))) for number in range(round_)]
        candidates = scored(earlier, paths.genome)
        genome = breed(read_settings(settings, BreedSettings), candidates, round_, index)
    else:
        draws = read_settings(settings, Draws)
        genome = draw(draws.feasible_regions(), draws.seed, index, round_)
    genome.write(out)


@app.command(rich_help_panel=LOOK)
def inspect(
    genome: GenomeFile,
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="patches of a training step, for its memory")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what network a genome builds: parameters, sizes, layers."""
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
    genome: Annotated[Path, typer.Argument(help="a genome's JSON file")],
    genes: Annotated[Path | None, typer.Option(help="picture of the gene graph, .svg or .png")] = None,
    network: Annotated[Path | None, typer.Option(help="picture of the network, .svg or .png")] = None,
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
) -> None:
    """Draw a genome: its gene graph and the network that it builds.

    Without --genes and --network both pictures go to the current folder, as GENOME.genes.svg and
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
        Literal["additive", "replacing"], typer.Option(help="a normal step, or a new draw from the region")
    ] = "additive",
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="probability of each change; by default 0.2 at the net, less below it"
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="deviation of an additive step, in widths of its region; by default 0.2"),
    ] = None,
) -> None:
    """Write a child of a genome that differs from it at random, within the search's feasible regions.

    Where regions are a number, or none are given, nothing is changed.
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
    second: Annotated[Path, typer.Argument(help="another's")],
    out: Child,
    config: RegionsOf = CONFIG,
    seed: Seed = 0,
) -> None:
    """Write a child of two genomes: each gene is one's or the other's, within the search's feasible regions."""
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
    a: Annotated[Path, typer.Argument(help="a genome's JSON file")],
    b: Annotated[Path, typer.Argument(help="another's")],
    classes: Annotated[int, typer.Option(min=1, help="number of classes")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what differs between two genomes, gene by gene, and what each builds.

    At the net values are shown, below it deltas; names, seeds and parents don't count. Like diff, it exits with 0 if
    there is no difference, with 1 if there is one, and with 2 if something is wrong.
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
