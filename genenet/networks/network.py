"""A plan as a ``torch.nn.Module``; weights to and from safetensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from genenet.core.geometry import Triple
    from genenet.genes.genome import Genome
    from genenet.genes.layers import Layer
    from genenet.genes.plan import Plan

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {  # in place where the gradient needs the result alone
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}
WEIGHTS_FORMAT = "genenet.weights/1"


@dataclass(frozen=True)
class Modules:
    """Torch's layers for data of 2 or of 3 spatial axes; a plan's kernels are (z, y, x) in both cases."""

    conv: Callable[..., nn.Module]
    up: Callable[..., nn.Module]
    max_pool: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    n_axes: int

    def memory_format(self, device: torch.device, to_train: bool) -> torch.memory_format:
        """Return the layout in which they are fastest: channels last.

        But for training on processors without AVX-512, where oneDNN takes up to five times as long for the gradients
        of kernels if channels are last (docs/benchmarks.md).
        """
        if to_train and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
            return torch.contiguous_format
        return torch.channels_last if self.n_axes == 2 else torch.channels_last_3d

    def size(self, triple: Triple) -> tuple[int, ...]:
        """Return the sizes along the axes that there are."""
        return triple[3 - self.n_axes :]


class Conv3d(nn.Conv3d):
    """Torch's, but that a single volume is predicted by oneDNN, whatever its size.

    Torch takes an implementation of its own for a batch of one where channels × Z × Y is at most 20 480, as in most
    tiles: up to 17 times as slow, and with each voxel's whole neighbourhood in memory (docs/benchmarks.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Z, Y, X) to (B, C', Z', Y', X')."""
        if x.dtype != torch.float32 or not _is_onednns(x):
            return super().forward(x)
        padding: Any = self.padding  # numbers: none of ours is a name such as "same"
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups
        )


def _is_onednns(x: Tensor) -> bool:
    """Whether oneDNN can be called by itself: on the CPU, without gradients, and without autocast."""
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(x.is_cpu and onednn and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"))


PLANE = Modules(nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.BatchNorm2d, 2)
SPACE = Modules(Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.BatchNorm3d, 3)


class ConvLayer(nn.Module):
    """What leads into a layer (pooling, or up and merge), convolution, normalisation, activation, dropout.

    A residual is added before the activation (He et al. 2016, figure 2).
    """

    def __init__(self, layer: Layer, channels: int, modules: Modules) -> None:
        """Build ``layer`` onto an input of ``channels`` channels."""
        super().__init__()
        self.layer = layer
        self.entry = _entry(layer, channels, modules)
        self.window_pool = _window_pool(layer, modules)
        kernel, reach = modules.size(layer.kernel), modules.size(layer.reach)
        padding = [distance // 2 if layer.same else 0 for distance in reach]
        self.conv = modules.conv(
            layer.in_channels,
            layer.out_channels,
            kernel,
            padding=padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        self.shortcut = _shortcut(layer, modules)
        self.norm = modules.norm(layer.out_channels) if layer.norm == "batch" else nn.Identity()
        self.activation = ACTIVATIONS[layer.activation]()
        self.dropout = nn.Dropout(layer.dropout_rate)
        self.activation_penalty: Tensor | None = None

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (B, C, …) to (B, C', …); ``skip``, if any, is centre-cropped and concatenated."""
        x = self.entry(x)
        if skip is not None:
            x = torch.cat([x, centre_crop(skip, x.shape[2:])], dim=1)
        x = self.window_pool(x)
        if self.shortcut is None:
            x = self.activation(self.norm(self.conv(x)))
        else:
            y = self.norm(self.conv(x))
            x = self.activation(y + self.shortcut(centre_crop(x, y.shape[2:])))
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
        kernel: Tensor = self.conv.weight  # type: ignore[assignment]
        return self.layer.gamma1 * kernel.abs().sum() + self.layer.gamma2 * kernel.square().sum()


def _entry(layer: Layer, channels: int, modules: Modules) -> nn.Module:
    factors = modules.size(layer.pool)
    if layer.entry == "up":
        return modules.up(channels, layer.out_channels, factors, stride=factors)
    if layer.entry == "down" and layer.pooling == "max":
        return modules.max_pool(factors)
    return (
        modules.conv(channels, channels, factors, stride=factors) if layer.entry == "down" else nn.Identity()
    )


def _window_pool(layer: Layer, modules: Modules) -> nn.Module:
    """Return the maximum that a window's max-pooling takes, of all windows at once."""
    if not layer.window_pool:
        return nn.Identity()
    return modules.max_pool(modules.size((1, 2, 2)), stride=1, dilation=layer.window_pool)


def _shortcut(layer: Layer, modules: Modules) -> nn.Module | None:
    """Return what a residual passes, None if there is none."""
    if not layer.residual:
        return None
    return modules.conv(layer.in_channels, layer.out_channels, 1) if layer.is_projected else nn.Identity()


def centre_crop(x: Tensor, shape: torch.Size) -> Tensor:
    """Cut the central voxels of ``shape``, (Y, X) or (Z, Y, X), out of (B, C, …)."""
    for axis, (have, want) in enumerate(zip(x.shape[2:], shape, strict=True), start=2):
        x = x.narrow(axis, (have - want) // 2, want)
    return x


class Network(nn.Module):
    """(B, 1, Z, Y, X) float32 to logits (B, n_classes, Z', Y', X'); Z, Y and X each of a feasible size.

    A network of 2D layers alone takes any number of slices and treats each by itself. Xavier-uniform
    weights, zero biases (Glorot and Bengio 2010).
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.modules_of = SPACE if plan.has_depth else PLANE
        channels = plan.stacks[0].layers[0].in_channels
        self.layers = nn.ModuleDict()
        for layer in itertools.chain.from_iterable(stack.layers for stack in plan.stacks):
            name = layer.path.removeprefix("net/").replace("/", "_")
            self.layers[name] = ConvLayer(layer, channels, self.modules_of)
            channels = layer.out_channels
        self.head = self.modules_of.conv(channels, plan.n_classes, 1)
        self.apply(_initialise)

    def placed(self, device: torch.device, to_train: bool = False) -> Network:
        """Move to a device, in the memory format that is fastest to predict or to train; returns itself."""
        memory_format = self.modules_of.memory_format(device, to_train)
        return self.to(device=device, memory_format=memory_format)  # type: ignore[call-overload, no-any-return]

    def without_norms(self) -> Network:
        """Put batch normalisations into the convolutions before them, to predict only; returns itself.

        The result is the same but for rounding.
        """
        self.eval()
        for layer in self.layers.values():
            if isinstance(layer.norm, nn.BatchNorm2d | nn.BatchNorm3d):
                layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)  # type: ignore[type-var]
                layer.norm = nn.Identity()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        if self.plan.has_depth:
            return self.head(self._layers(x))  # type: ignore[no-any-return]
        batch, depth = x.shape[0], x.shape[2]
        slices = self.head(self._layers(x.transpose(1, 2).flatten(0, 1)))
        return slices.view(batch, depth, *slices.shape[1:]).transpose(1, 2)  # type: ignore[no-any-return]

    def planes(self, x: Tensor) -> Tensor:
        """Return the logits (n_classes, Z', Y', X') of one volume (Z, Y, X), each class a plane of its own.

        What follows a prediction goes plane by plane; from channels that lie side by side it would first have to be
        copied. The last convolution, 1×1, is a product of matrices that writes planes at once.
        """
        x = self._layers(x[None, None] if self.plan.has_depth else x[:, None]).movedim(1, -1)
        kernel, bias = self.head.weight.flatten(1), self.head.bias  # type: ignore[operator]
        logits = torch.addmm(bias[:, None], kernel, x.reshape(-1, x.shape[-1]).T)  # type: ignore[index]
        return logits.view(-1, *(x.shape[1:-1] if self.plan.has_depth else x.shape[:-1]))

    def _layers(self, x: Tensor) -> Tensor:
        layers = iter(self.layers.values())
        skips: list[Tensor] = []
        for stack in self.plan.stacks:
            for layer in stack.layers:
                x = next(layers)(x, skips.pop() if layer.entry == "up" else None)
            if stack.is_encoder:
                skips.append(x)
        return x

    def forget_activations(self) -> None:
        """Let go of what a forward left for the penalty: its graph holds all activations until backward."""
        for layer in self.layers.values():
            layer.activation_penalty = None  # type: ignore[assignment]

    def penalty(self) -> Tensor:
        """Return the regularisation of kernels and of the last training forward's activations, a scalar."""
        layers = [layer for layer in self.layers.values() if isinstance(layer, ConvLayer)]
        terms = [term for layer in layers for term in (layer.kernel_penalty(), layer.activation_penalty)]
        present = [term for term in terms if term is not None]
        return torch.stack(present).sum() if present else self.head.weight.new_zeros(())  # type: ignore[operator]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
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
