"""Weights of networks, to and from safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.genes.genome import Genome
    from genenet.networks.network import Network

WEIGHTS_FORMAT = "genenet.weights/1"


def save_weights(state: dict[str, Tensor], genome_id: str, path: Path) -> None:
    """Write a state dict, atomically; an empty one is a file without tensors. Equal weights are equal bytes.

    The file's metadata has one entry, since safetensors writes several in any order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={WEIGHTS_FORMAT: genome_id}))


def load_weights(network: Network, genome: Genome, path: Path) -> None:
    """Load the weights of a genome into its network, in place; weights may carry the id that version 0.1 gave it.

    Raises:
        InputError: If the file isn't there, isn't a weights file, or belongs to another genome.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a weights file ({error})") from None
    if WEIGHTS_FORMAT not in metadata:
        raise InputError(f"{path}: not weights written by genenet ({WEIGHTS_FORMAT})")
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in state.items()}
    if metadata[WEIGHTS_FORMAT] not in genome.ids or found != expected:
        detail = _first_difference(expected, found)
        raise InputError(
            f"{path}: these are weights of genome {metadata[WEIGHTS_FORMAT]}, not of {genome.id}{detail}"
        )
    network.load_state_dict(state)


def _first_difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f": {name} has shape {found.get(name)}, where {expected.get(name)} is needed"
    return ""
