"""A plan as a ``torch.nn.Module``; weights to and from safetensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from genenet.errors import InputError
from genenet.files import atomic_path

if TYPE_CHECKING:
    from genenet.plan import Layer, Plan

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}
WEIGHTS_FORMAT = "genenet.weights/1"


class ConvLayer(nn.Module):
    """What leads into a layer (pooling, or up and merge), convolution, normalisation, activation, dropout."""

    def __init__(self, layer: Layer, channels: int) -> None:
        """Build ``layer`` onto an input of ``channels`` channels."""
        super().__init__()
        self.layer = layer
        self.entry = _entry(layer, channels)
        padding = layer.kernel_width // 2 if layer.same else 0
        self.conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_width, padding=padding)
        self.norm = nn.BatchNorm2d(layer.out_channels) if layer.batch_norm else nn.Identity()
        self.activation = ACTIVATIONS[layer.activation]()
        self.dropout = nn.Dropout(layer.dropout_rate)
        self.activation_penalty: Tensor | None = None

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (B, C, Y, X) to (B, C', Y', X'); ``skip``, if any, is centre-cropped and concatenated."""
        x = self.entry(x)
        if skip is not None:
            x = torch.cat([x, centre_crop(skip, x.shape[-2:])], dim=1)
        x = self.activation(self.norm(self.conv(x)))
        self.activation_penalty = self._penalty(x) if self.training else None
        return self.dropout(x)  # type: ignore[no-any-return]

    def _penalty(self, x: Tensor) -> Tensor | None:
        """L1 and L2 of the activations, as means."""
        if not (self.layer.lambda1 or self.layer.lambda2):
            return None
        return self.layer.lambda1 * x.abs().mean() + self.layer.lambda2 * x.square().mean()

    def kernel_penalty(self) -> Tensor | None:
        """L1 and L2 of the kernel, as sums."""
        if not (self.layer.gamma1 or self.layer.gamma2):
            return None
        kernel = self.conv.weight
        return self.layer.gamma1 * kernel.abs().sum() + self.layer.gamma2 * kernel.square().sum()


def _entry(layer: Layer, channels: int) -> nn.Module:
    if layer.entry == "up":
        return nn.ConvTranspose2d(channels, layer.out_channels, 2, stride=2)
    if layer.entry == "down":
        return nn.MaxPool2d(2) if layer.pooling == "max" else nn.Conv2d(channels, channels, 2, stride=2)
    return nn.Identity()


def centre_crop(x: Tensor, shape: torch.Size) -> Tensor:
    """Cut the central pixels of ``shape`` (Y, X) out of (B, C, Y', X')."""
    y, x0 = ((have - want) // 2 for have, want in zip(x.shape[-2:], shape, strict=True))
    return x[..., y : y + shape[0], x0 : x0 + shape[1]]


class Network(nn.Module):
    """(B, 1, Y, X) float32 to logits (B, n_classes, Y', X'); Y and X each of a feasible size.

    Xavier-uniform weights, zero biases (Glorot and Bengio 2010).
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        channels = plan.stacks[0].layers[0].in_channels
        self.layers = nn.ModuleDict()
        for layer in itertools.chain.from_iterable(stack.layers for stack in plan.stacks):
            self.layers[layer.path.removeprefix("net/").replace("/", "_")] = ConvLayer(layer, channels)
            channels = layer.out_channels
        self.head = nn.Conv2d(channels, plan.n_classes, 1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        layers = iter(self.layers.values())
        skips: list[Tensor] = []
        for stack in self.plan.stacks:
            for layer in stack.layers:
                x = next(layers)(x, skips.pop() if layer.entry == "up" else None)
            if stack.is_encoder:
                skips.append(x)
        return self.head(x)  # type: ignore[no-any-return]

    def forget_activations(self) -> None:
        """Let go of what a forward left for the penalty: its graph holds all activations until backward."""
        for layer in self.layers.values():
            layer.activation_penalty = None  # type: ignore[assignment]

    def penalty(self) -> Tensor:
        """Return the regularisation of kernels and of the last training forward's activations, a scalar."""
        layers = [layer for layer in self.layers.values() if isinstance(layer, ConvLayer)]
        terms = [term for layer in layers for term in (layer.kernel_penalty(), layer.activation_penalty)]
        present = [term for term in terms if term is not None]
        return torch.stack(present).sum() if present else self.head.weight.new_zeros(())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def save_weights(state: dict[str, Tensor], genome_id: str, path: Path) -> None:
    """Write a state dict, atomically; an empty one is a file without tensors. Equal weights are equal bytes.

    The file's metadata has one entry, since safetensors writes several in any order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={WEIGHTS_FORMAT: genome_id}))


def load_weights(network: Network, genome_id: str, path: Path) -> None:
    """Load weights into a network in place.

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
    if metadata[WEIGHTS_FORMAT] != genome_id or found != expected:
        detail = _first_difference(expected, found)
        raise InputError(
            f"{path}: these are weights of genome {metadata[WEIGHTS_FORMAT]}, not of {genome_id}{detail}"
        )
    network.load_state_dict(state)


def _first_difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f": {name} has shape {found.get(name)}, where {expected.get(name)} is needed"
    return ""
