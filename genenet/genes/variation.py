"""Children of genomes: mutation changes some deltas of one parent, crossover mixes the genes of two.

The space is that of random generation: values and deltas stay in the regions that genomes are drawn from, and
children that no input size fits are redrawn. A child keeps an inherited value as it is, even outside of the regions;
a delta is clipped only if it would give the child another value than its parent.
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
    least one place for integers and choices; steps that leave the region end at its border. A replacing step is a
    new draw, as Real et al. (2019) replace an operation by a random one. New genes are drawn as in random generation,
    deltas of removed genes are dropped. The same parent, seed and key give the same child on any machine.

    ``input_size`` is lowered to the largest that fits the child. The size that the parent was drawn with, before it was
    lowered, isn't stored: only mutation makes the sizes of a lineage grow again.

    Args:
        parent: of the child; it isn't changed.
        regions: by level and hyperparameter.
        settings: rates and scales.
        seed: of the whole search; the child's random stream depends on the parent's id as well.
        name: of the child.
        key: distinguishes children of the same parent and seed, such as (round, index).

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
    section 3.2), so that networks of different depth can be crossed. At the root each hyperparameter comes from one of
    the parents, with equal probability; below it, all deltas of a gene do. A gene that only one parent has comes from
    that parent. A gene that neither has is drawn as in random generation: a stack may come from one parent, and its
    number of layers from the other. Deltas count from the child's own values: those that would leave the regions are
    clipped.

    Arguments and the input size are as in ``mutate``. A child may equal a parent.

    Raises:
        InputError: If none of 1000 draws is feasible.
    """
    rng = _rng(seed, key, first, second)
    origins = _genes(first), _genes(second)

    def attempt() -> NetGene:
        return grow(lambda gene: _crossed(gene, origins, regions, rng))

    return Genome(name, next(feasible(attempt, regions, name)), seed, (first.id, second.id))


def _rng(seed: int, key: Key, *parents: Genome) -> Generator:
    """Make a generator; the parents' ids make the streams of different parents independent."""
    entropy = [seed, *(int(parent.id, 16) for parent in parents)]
    return Generator(PCG64(SeedSequence(entropy, spawn_key=key)))


def _genes(genome: Genome) -> Genes:
    return {gene.path: gene for gene in genome.net.walk()}


def _called(genome: Genome) -> str:
    return f"{genome.name or 'genome'} ({genome.id})"


def _unchanged(parent: Genome, regions: Regions) -> Genome:
    """Return the parent as a child without mutations: all root values, a feasible input size."""
    origins = _genes(parent)
    net = grow(lambda gene: _inherited(gene, origins[gene.path], regions))
    lower_input_size(net, regions)
    return Genome(parent.name, {gene.path: gene.deltas for gene in net.walk()})


def _check_mutable(parent: Genome, regions: Regions, settings: Mutation) -> None:
    mutable = (
        _probability(gene, region, settings)
        for gene in parent.net.walk()
        for region in regions.get(gene.level, {}).values()
    )
    if not any(mutable):
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
    """Return a parent's deltas; those that give the child another value than the parent are clipped."""
    if gene.parent is None:
        return {name: origin.value(name) for name in HYPERPARAMETERS}
    above = gene.parent
    return {
        name: delta
        if above.value(name) + delta == origin.value(name)
        else clipped(above, name, delta, regions)
        for name, delta in origin.deltas.items()
    }
