"""Weights of networks, to and from safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genenet.core.atomic_files import atomic_path, check_file
from genenet.core.errors import InputError, one_line

if TYPE_CHECKING:
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network

WEIGHTS_FORMAT = "genenet.weights/1"
MOST_BYTES = 2**36
MOST_HEADER_BYTES = 2**20  # the largest gene graph has about 60 kB
# of weights and statistics, and of the counter of batches
DTYPES = {torch.float32: "F32", torch.int64: "I64"}


def save_weights(state: dict[str, Tensor], genome_id: str, path: Path) -> None:
    """Write a state dict, atomically; an empty one is a file without tensors. Equal weights are equal bytes.

    The file's metadata has one entry, since safetensors writes several in any order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={WEIGHTS_FORMAT: genome_id}))


def load_network(genome: Genome, plan: Plan, path: Path) -> Network:
    """Build a genome's network with its weights, on the CPU.

    Another person may have made both files. Memory for the weights is only taken once the header of the file fits the
    genome, whatever size of network the genome describes.

    Raises:
        InputError: If the weights aren't those of the genome, see ``load_weights``.
    """
    from genenet.networks.network import Network

    with torch.device("meta"):  # shapes without memory
        network = Network(plan)
    load_weights(network, genome, path)
    return network


def load_weights(network: Network, genome: Genome, path: Path) -> None:
    """Load the weights of a genome into its network; they may carry the id that version 0.1 gave the genome.

    Raises:
        InputError: If the file isn't there, isn't a weights file, belongs to another genome, doesn't fit the network,
            or holds a number that isn't finite.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            _check_fit(network, genome, file, path)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a weights file ({one_line(error)})") from None
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} holds NaN or infinity; train the genome again")
    network.load_state_dict(state, assign=next(network.parameters()).is_meta)


def _check_header(path: Path) -> None:
    """Refuse a header of a size that no network of genenet has, before anything reads it."""
    check_file(path, MOST_BYTES)
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")  # the format begins with the size of its header
    if n_bytes > MOST_HEADER_BYTES:
        raise InputError(
            f"{path}: not a weights file (a header of {n_bytes} bytes, more than {MOST_HEADER_BYTES})"
        )


def _check_fit(network: Network, genome: Genome, file: Any, path: Path) -> None:
    metadata = file.metadata() or {}
    if WEIGHTS_FORMAT not in metadata:
        raise InputError(f"{path}: not weights written by genenet ({WEIGHTS_FORMAT})")
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {name: f"shape {tuple(part.get_shape())}, {part.get_dtype()}" for name, part in parts.items()}
    expected = {
        name: f"shape {tuple(t.shape)}, {DTYPES[t.dtype]}" for name, t in network.state_dict().items()
    }
    owner, detail = metadata[WEIGHTS_FORMAT], _first_difference(expected, found)
    if owner not in genome.ids:
        raise InputError(f"{path}: these are weights of genome {owner[:60]}, not of {genome.id}{detail}")
    if detail:
        raise InputError(f"{path}: these weights don't fit genome {genome.id}{detail}")


def _first_difference(expected: dict[str, str], found: dict[str, str]) -> str:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            have, need = found.get(name, "no shape"), expected.get(name, "none")
            return f": {name[:60]} has {have}, where {need} is needed"
    return ""
