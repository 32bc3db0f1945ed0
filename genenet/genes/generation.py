"""Random genomes: drawn level by level from feasible regions, the same on any machine."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

from numpy.random import PCG64, Generator, SeedSequence

from genenet.core.errors import InputError, naming
from genenet.genes.domains import Number
from genenet.genes.feasible_regions import Regions
from genenet.genes.gene_graph import Deltas, Gene, NetGene, grow
from genenet.genes.genome import Genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan

MAX_DRAWS = 1000

log = logging.getLogger(__name__)


def draw(regions: Regions, seed: int, index: int, round_: int = 0) -> Genome:
    """Draw genome ``index`` of a search. It is the same on any machine and doesn't depend on the other genomes.

    One value for each hyperparameter with a region at the root, then, level by level, each descendant's
    delta. Draws that no input size fits are rejected and redrawn.

    Raises:
        InputError: If none of 1000 draws is feasible.
    """
    rng = Generator(PCG64(SeedSequence(seed, spawn_key=(round_, index))))
    name = f"r{round_}_{index:03d}"

    def attempt() -> NetGene:
        return grow(lambda gene: drawn(gene, regions, rng))

    with naming("search.regions"):
        return Genome(name, next(feasible(attempt, regions, name)), seed)


def feasible(attempt: Callable[[], NetGene], regions: Regions, name: str) -> Iterator[dict[str, Deltas]]:
    """Yield the deltas of the attempts, of 1000, that can be built; log why the others can't.

    Input sizes are lowered to feasible ones first.

    Raises:
        InputError: At the end, if none of them was feasible.
    """
    n_feasible = 0
    for number in range(1, MAX_DRAWS + 1):
        net = attempt()
        reason = lower_input_size(net, regions)
        if reason is None:
            n_feasible += 1
            yield {gene.path: gene.deltas for gene in net.walk() if gene.deltas}
        else:
            log.info("genome %s: draw %d rejected: %s", name, number, reason)
    if not n_feasible:
        raise InputError(
            f"none of {MAX_DRAWS} draws is feasible ({reason}); "
            "raise net.input_size or lower net.n_stacks, n_convlayers, kernel_width"
        )


def drawn(gene: Gene, regions: Regions, rng: Generator) -> Deltas:
    """Draw a gene's deltas, at the root its values; the deltas of its parent must have been drawn before.

    Hyperparameters are drawn in the order of their table, so that a seed gives the same genome everywhere.
    """
    own = regions.get(gene.level, {})
    found = {name: own[name].draw(rng) for name in HYPERPARAMETERS if name in own}
    if gene.parent is None:
        return {name: found.get(name, h.default) for name, h in HYPERPARAMETERS.items()}
    return {name: clipped(gene.parent, name, delta, regions) for name, delta in found.items()}


def clipped(parent: Gene, name: str, delta: Number, regions: Regions) -> Number:
    """Clip a delta so that the value, the parent's plus the delta, stays within the root's feasible region.

    Where there is no such region, or the parent's value lies outside of it because the genome wasn't drawn from these
    regions, the value stays within the domain.
    """
    domain = HYPERPARAMETERS[name].domain
    inherited = parent.value(name)
    region = regions.get("net", {}).get(name, domain)
    if inherited not in region:
        region = domain
    if inherited + delta in region:
        return delta
    delta = region.clip(inherited + delta) - inherited
    while inherited + delta not in region:  # the subtraction rounded away from the border
        delta = math.nextafter(delta, 0)
    return delta


def lower_input_size(net: NetGene, regions: Regions) -> str | None:
    """Lower the root's input_size and input_depth to feasible ones; return the reason if there are none.

    A size that lies in its region must stay in it.
    """
    try:
        built = plan(net, n_classes=2)
    except InputError as error:
        return str(error)
    depth, width, _ = built.input_shape
    found = {"input_size": width, "input_depth": depth} if built.has_depth else {"input_size": width}
    for name, size in found.items():
        region = regions.get("net", {}).get(name)
        if region is not None and net.integer(name) in region and size not in region:
            return f"net: the largest feasible {name}, {size}, is below the region {region}"
    net.deltas = {**net.deltas, **found}
    return None
