"""The beginning of a training with the weights of a parent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from genenet.core.contents import file_checksum
from genenet.core.errors import InputError
from genenet.genes.plan import plan
from genenet.networks.inheritance import inherit
from genenet.networks.weights import load_network
from genenet.training.scores import Inherited, read_scores

if TYPE_CHECKING:
    from genenet.networks.network import Network
    from genenet.training.parent import Parent

log = logging.getLogger(__name__)


def begin_with(parent: Parent, network: Network, seed: int) -> Inherited:
    """Give a new network, on the CPU, the weights that its parent has published; return what was inherited.

    Raises:
        InputError: If the parent's weights are missing, or aren't those from which its round was gathered.
    """
    path = parent.files.weights
    if not path.exists():
        raise InputError(f"{path}: no such file; a child of {parent.run} begins with these weights")
    if file_checksum(path) != parent.checksum:
        raise InputError(
            f"{path}: these weights have changed since {parent.gathered} was written; restore them, or choose another "
            "results: folder"
        )
    trained = load_network(parent.genome, plan(parent.genome.net, network.plan.n_classes), path)
    counts = inherit(network, trained, torch.Generator().manual_seed(seed))
    before = read_scores(parent.files.scores).iterations_of_weights
    found = Inherited(
        run=parent.run,
        genome=parent.genome.id,
        iterations=before,
        **{str(name): n for name, n in counts.items()},
    )
    log.info("begins with weights of %s: %s", parent.run, found.text)
    return found
