"""The differences between two genomes, gene by gene, and between the networks that they build."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.genes.domains import Number
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.inspection import by, inspect

if TYPE_CHECKING:
    from rich.table import Table

    from genenet.genes.gene_graph import Gene
    from genenet.genes.genome import Genome

CONSEQUENCES = ("n_parameters", "input_shape", "output_shape", "n_convlayers", "n_layers", "flops_per_voxel")


def differences(a: Genome, b: Genome, n_classes: int) -> dict[str, Any]:
    """Return the differences as JSON; names, seeds and parents don't count.

    ``differences`` lists values at the root, with defaults for those that aren't written there, and deltas below it:
    0 if a delta is absent, null if there is no such gene. ``a`` and ``b`` hold numbers of ``inspect``, or the reason
    why nothing can be built.
    """
    genes_a, genes_b = ({gene.path: gene for gene in genome.net.walk()} for genome in (a, b))
    paths = list(genes_a) + [path for path in genes_b if path not in genes_a]
    entries = [entry for path in paths for entry in _entries(path, genes_a.get(path), genes_b.get(path))]
    only_a, only_b = ([p for p in paths if p not in others] for others in (genes_b, genes_a))
    return {
        "equal": not (entries or only_a or only_b),
        "differences": entries,
        "only_in_a": only_a,
        "only_in_b": only_b,
        "a": _consequences(a, n_classes),
        "b": _consequences(b, n_classes),
    }


def _entries(path: str, a: Gene | None, b: Gene | None) -> list[dict[str, Any]]:
    rows = [(name, _delta(a, name), _delta(b, name)) for name in HYPERPARAMETERS]
    return [
        {"path": path, "hyperparameter": name, "a": x, "b": y} for name, x, y in rows if (x or 0) != (y or 0)
    ]


def _delta(gene: Gene | None, name: str) -> Number | None:
    if gene is None:
        return None
    return gene.deltas.get(name, 0) if gene.parent else gene.value(name)


def _consequences(genome: Genome, n_classes: int) -> dict[str, Any]:
    named = {"name": genome.name, "id": genome.id}
    try:
        description = inspect(genome, n_classes)
    except InputError as error:
        return {**named, "infeasible": str(error)}
    return {**named, **{key: description[key] for key in CONSEQUENCES}}


def print_differences(found: dict[str, Any]) -> None:
    """Print a table of deltas, the genes that only one of the genomes has, and what both build."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False, markup=False)
    if found["equal"]:
        console.print("no difference: the same values at the net, the same genes and deltas")
        return
    if found["differences"]:
        console.print(_table_of_deltas(found))
    for side in "ab":
        for root, n_below in _branches(found[f"only_in_{side}"]):
            below = f" and {n_below} gene{'s' * (n_below > 1)} below it" if n_below else ""
            console.print(f"only {side.upper()} has {root}{below}")
    console.print(_table_of_consequences(found))


def _table_of_deltas(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("gene", "hyperparameter", "A", "B", box=None)
    for entry in found["differences"]:
        name, texts = entry["hyperparameter"], [_text(entry, side) for side in "ab"]
        if texts[0] == texts[1]:
            texts = [repr(entry[side]) for side in "ab"]
        table.add_row(entry["path"], name, *texts)
    return table


def _text(entry: dict[str, Any], side: str) -> str:
    """Write a value, at the root a choice by its word, or a delta with its sign."""
    value, h = entry[side], HYPERPARAMETERS[entry["hyperparameter"]]
    if value is None:
        return "-"
    if entry["path"] != "net":
        return f"{value:+g}" if value else "0"
    return h.word(value) if h.choices else f"{value:g}"


def _branches(paths: list[str]) -> list[tuple[str, int]]:
    """Return the topmost of these genes, each with the number of those below it."""
    tops = [path for path in paths if path.rsplit("/", 1)[0] not in paths]
    return [(top, sum(path.startswith(f"{top}/") for path in paths)) for top in tops]


def _table_of_consequences(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(
        "", "name", "id", "parameters", "input → output (z × y × x)", "convolution layers", box=None
    )
    for side in "ab":
        one = found[side]
        if "infeasible" in one:
            built = "-", one["infeasible"], "-"
        else:
            sizes = f"{by(one['input_shape'][2:])} → {by(one['output_shape'][2:])}"
            built = f"{one['n_parameters']:,}", sizes, str(one["n_convlayers"])
        table.add_row(side.upper(), one["name"], one["id"], *built)
    return table
