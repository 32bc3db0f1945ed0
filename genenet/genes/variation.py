"""Children of genomes: mutation changes some deltas of one parent, crossover mixes the genes of two.

The space is that of random generation: values and deltas stay in the regions that genomes are drawn from, and
children that no input size fits are redrawn. What a child merely inherits is never moved, even if its parent
lies outside of the regions, as long as it means the same in the child.
"""

from __future__ import annotations

from collections.abc import Mapping

from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.errors import InputError
from genenet.genes.domains import Number, Region
from genenet.genes.feasible_regions import Regions
from genenet.genes.gene_graph import Deltas, Gene, NetGene, grow
from genenet.genes.generation import MAX_DRAWS, clipped, drawn, feasible, lower_input_size
from genenet.genes.genome import Genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.variation_settings import Mutation

Genes = Mapping[str, Gene]
Key = tuple[int, ...]


def mutate(
    parent: Genome, regions: Regions, settings: Mutation, seed: int, name: str = "child", key: Key = ()
) -> Genome:
    """Change a genome at random, at each gene each hyperparameter with its own probability.

    A hyperparameter is mutable at genes of a level for which it has a region with room. An additive step is
    normal, as in evolution strategies (Bäck and Schwefel 1993), its deviation a share of the region's width, and at
    least one place for integers and choices; steps that leave the region end at its border. A replacing one is a
    new draw, as Real et al. (2019) replace an operation by a random one. Genes that come into being are drawn as in
    random generation, deltas of genes that vanish are dropped. The same on any machine for the same parent, seed
    and key.

    ``input_size`` is lowered to the largest that fits the child; what its parent had been drawn with, before it was
    lowered itself, is not remembered, so that a lineage's sizes can only grow again by mutation.

    Args:
        parent: stays as it is.
        regions: by level and hyperparameter.
        settings: rates and scales.
        seed: of the whole search; the child's stream depends on the parent's id as well.
        name: of the child.
        key: tells children of the same parent and seed apart, such as (round, index).

    Raises:
        InputError: If nothing is mutable, or none of 1000 draws is feasible or differs from its parent.
    """
    _check_mutable(parent, regions, settings)
    rng = _rng(seed, key, parent)
    origins = _genes(parent)
    unchanged = _unchanged(parent, regions).id

    def attempt() -> NetGene:
        return grow(lambda gene: _mutated(gene, origins.get(gene.path), regions, settings, rng))

    for deltas in feasible(attempt, regions, name):
        child = Genome(name, deltas, seed, (parent.id,))
        if child.id != unchanged:
            return child
    raise InputError(f"none of {MAX_DRAWS} draws differs from {_called(parent)}; raise the rates of mutation")


def cross(
    first: Genome,
    second: Genome,
    regions: Regions,
    seed: int,
    name: str = "child",
    key: Key = (),
) -> Genome:
    """Mix the genes of two genomes: uniform crossover (Syswerda 1989), gene by gene.

    Genes match by their path, as those of NEAT do by their historical markings (Stanley and Miikkulainen 2002,
    section 3.2), so that networks of different depth can be crossed. At the root each hyperparameter is one
    parent's or the other's; below it a gene's deltas stay together. A gene that only one parent has is that one's,
    and one that neither has, such as the third layer of a stack that only the other one has, is drawn as in random
    generation. Deltas count from the child's own values: those that would leave the regions are clipped.

    Arguments, the input size and what it depends on are as in ``mutate``. A child may equal a parent.

    Raises:
        InputError: If none of 1000 draws is feasible.
    """
    rng = _rng(seed, key, first, second)
    origins = _genes(first), _genes(second)

    def attempt() -> NetGene:
        return grow(lambda gene: _crossed(gene, origins, regions, rng))

    return Genome(name, next(feasible(attempt, regions, name)), seed, (first.id, second.id))


def _rng(seed: int, key: Key, *parents: Genome) -> Generator:
    """Make a generator; the parents' ids keep the children of different ones independent."""
    entropy = [seed, *(int(parent.id, 16) for parent in parents)]
    return Generator(PCG64(SeedSequence(entropy, spawn_key=key)))


def _genes(genome: Genome) -> Genes:
    return {gene.path: gene for gene in genome.net.walk()}


def _called(genome: Genome) -> str:
    return f"{genome.name or 'genome'} ({genome.id})"


def _unchanged(parent: Genome, regions: Regions) -> Genome:
    """Write the parent as a child without mutations would be: all root values, a feasible input size."""
    origins = _genes(parent)
    net = grow(lambda gene: _inherited(gene, origins[gene.path], regions))
    lower_input_size(net, regions)
    return Genome(parent.name, {gene.path: gene.deltas for gene in net.walk()})


def _check_mutable(parent: Genome, regions: Regions, settings: Mutation) -> None:
    for gene in parent.net.walk():
        for region in regions.get(gene.level, {}).values():
            if _probability(gene, region, settings):
                return
    raise InputError(
        f"nothing of {_called(parent)} can be mutated; give a hyperparameter a region [low, high], "
        "and its level a rate above 0"
    )


def _probability(gene: Gene, region: Region, settings: Mutation) -> float:
    return settings.rates.of(gene.level) if region.width else 0.0


def _mutated(gene: Gene, origin: Gene | None, regions: Regions, settings: Mutation, rng: Generator) -> Deltas:
    if origin is None:
        return drawn(gene, regions, rng)
    own = regions.get(gene.level, {})
    deltas = dict(_inherited(gene, origin, regions))
    for name in HYPERPARAMETERS:
        if name in own and rng.random() < _probability(gene, own[name], settings):
            new = _varied(origin, name, own[name], settings, rng)
            deltas[name] = clipped(gene.parent, name, new, regions) if gene.parent else new
    return deltas


def _varied(origin: Gene, name: str, region: Region, settings: Mutation, rng: Generator) -> Number:
    """Draw a new delta, at the root a new value."""
    if settings.kind == "replacing":
        return region.draw(rng)
    old = origin.deltas.get(name, 0) if origin.parent else origin.value(name)
    return region.moved(old, rng.normal(0, settings.scales.of(origin.level) * region.width))


def _crossed(gene: Gene, origins: tuple[Genes, Genes], regions: Regions, rng: Generator) -> Deltas:
    present = [genes[gene.path] for genes in origins if gene.path in genes]
    if not present:
        return drawn(gene, regions, rng)
    first, second = present[0], present[-1]
    if gene.parent:
        return _inherited(gene, second if rng.random() < 0.5 else first, regions)
    return {name: (second if rng.random() < 0.5 else first).value(name) for name in HYPERPARAMETERS}


def _inherited(gene: Gene, origin: Gene, regions: Regions) -> Deltas:
    """Return a parent's deltas; those that mean another value in the child are clipped."""
    if gene.parent is None:
        return {name: origin.value(name) for name in HYPERPARAMETERS}
    above = gene.parent
    return {
        name: delta
        if above.value(name) + delta == origin.value(name)
        else clipped(above, name, delta, regions)
        for name, delta in origin.deltas.items()
    }
