"""The beginning of a training with the weights of another network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from genenet.core.contents import file_checksum
from genenet.core.errors import InputError
from genenet.core.paths import RunPaths
from genenet.genes.plan import plan
from genenet.networks.inheritance import inherit
from genenet.networks.weights import load_network
from genenet.training.scores import Inherited, read_scores

if TYPE_CHECKING:
    from genenet.core.outputs import Outputs
    from genenet.networks.network import Network
    from genenet.training.parent import Parent

log = logging.getLogger(__name__)


def begin_with(parent: Parent, network: Network, seed: int, outputs: Outputs) -> Inherited:
    """Give a new network, on the CPU, the weights that its parent has published; return what was inherited.

    If the parent comes from a search with other classes, the last layer keeps its random weights.

    Raises:
        InputError: If the parent's weights are missing, or aren't those that were listed for its children.
    """
    _check(parent)
    other = parent.other_classes(outputs)
    n_outputs = len(parent.origin.outputs) if parent.origin else network.plan.n_classes
    trained = load_network(parent.genome, plan(parent.genome.net, n_outputs), parent.weights)
    generator = torch.Generator().manual_seed(seed)
    counts = inherit(network, trained, generator, with_head=not other)
    found = Inherited(
        run=parent.run,
        genome=parent.genome.id,
        iterations=_iterations(parent),
        start=str(parent.origin.folder) if parent.origin else None,
        new_head=bool(other),
        **{str(name): n for name, n in counts.items()},
    )
    log.info("begins with weights of %s: %s", found.source, found.text)
    if other:
        log.info("%s: %s", found.start, other)
    return found


def _check(parent: Parent) -> None:
    if not parent.weights.exists():
        whose = f"of {parent.origin.folder}" if parent.origin else f"of {parent.run}"
        who = "a training that starts from the weights" if parent.origin else "a child"
        raise InputError(f"{parent.weights}: no such file; {who} {whose} begins with these weights")
    if file_checksum(parent.weights) != parent.checksum:
        advice = "start the workflow again, " if parent.origin else ""
        raise InputError(
            f"{parent.weights}: these weights have changed since {parent.gathered} was written; {advice}restore them, "
            "or choose another results: folder"
        )


def _iterations(parent: Parent) -> int | None:
    """Return for how many iterations the weights were trained; None if it isn't known."""
    if parent.origin:
        return parent.origin.iterations
    return read_scores(RunPaths(parent.weights.parent).scores).iterations_of_weights
