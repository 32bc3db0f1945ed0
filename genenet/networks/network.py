"""A plan as a ``torch.nn.Module``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genenet.genes.layer_parts import ACTIVATIONS, NORMS, PADDINGS, POOLINGS, SPATIAL_MODES
from genenet.networks.crops import centre_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from genenet.genes.layers import Layer, Stack
    from genenet.genes.plan import Plan
    from genenet.networks.modules import Modules


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
        padding = PADDINGS[layer.padding].function()(reach)
        self.conv = modules.conv(
            layer.in_channels,
            layer.out_channels,
            kernel,
            padding=padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        self.shortcut = _shortcut(layer, modules)
        self.norm = NORMS[layer.norm].function()(layer.out_channels, modules)
        self.activation = ACTIVATIONS[layer.activation].function()()
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
    if layer.entry == "down":
        return POOLINGS[layer.pooling].function()(channels, factors, modules)  # type: ignore[no-any-return]
    return nn.Identity()


def _window_pool(layer: Layer, modules: Modules) -> nn.Module:
    """Return the max-pooling of a sliding window, for all windows at once."""
    if not layer.window_pool:
        return nn.Identity()
    return modules.max_pool(modules.size((1, 2, 2)), stride=1, dilation=layer.window_pool)


def _shortcut(layer: Layer, modules: Modules) -> nn.Module | None:
    """Return the module that a residual passes through; None if there is no residual."""
    if not layer.residual:
        return None
    return modules.conv(layer.in_channels, layer.out_channels, 1) if layer.is_projected else nn.Identity()


class Network(nn.Module):
    """(B, 1, Z, Y, X) float32 to logits (B, n_classes, Z', Y', X'); Z, Y and X each of a feasible size.

    A network that has 2D layers only takes any number of slices and treats each separately. Xavier-uniform
    weights, zero biases (Glorot and Bengio 2010).
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.modules_of: Modules = SPATIAL_MODES[plan.spatial_mode].function()
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
        """Merge batch normalisations into the convolutions before them, to predict only; returns itself.

        The result differs by rounding only.
        """
        self.eval()
        for layer in self.layers.values():
            if isinstance(layer.norm, nn.BatchNorm2d | nn.BatchNorm3d):
                layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)  # type: ignore[type-var]
                layer.norm = nn.Identity()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.deep_logits(x, {})[0]

    def deep_logits(self, x: Tensor, heads: Mapping[int, Callable[[Tensor], Tensor]]) -> list[Tensor]:
        """Return the logits, and then what each head makes of the decoder's features at its scale.

        Heads, by scale, map features (B, C, …) to logits (B, n_classes, …), without Z for a network of 2D layers.
        """
        decoded: dict[int, Tensor] = {}
        logits = self.head(self._layers(self._as_slices(x), decoded if heads else None))
        outputs = [logits, *(head(decoded[scale]) for scale, head in heads.items())]
        return [self._as_volumes(output, len(x)) for output in outputs]

    def _as_slices(self, x: Tensor) -> Tensor:
        """Make all slices (B, C, Z, Y, X) a batch (B Z, C, Y, X) if the layers are 2D."""
        return x if self.plan.has_depth else x.transpose(1, 2).flatten(0, 1)

    def _as_volumes(self, x: Tensor, batch_size: int) -> Tensor:
        """Undo ``_as_slices``."""
        if self.plan.has_depth:
            return x
        return x.view(batch_size, len(x) // batch_size, *x.shape[1:]).transpose(1, 2)

    def planes(self, x: Tensor) -> Tensor:
        """Return the logits (n_classes, B, Z', Y', X') of volumes (B, Z, Y, X), each class a plane of its own.

        Later steps work plane by plane, for which channels-last data would have to be copied. So the last convolution,
        1×1, is computed as a product of matrices that writes planes directly.
        """
        n_volumes = len(x)
        x = self._layers(x[:, None] if self.plan.has_depth else x.flatten(0, 1)[:, None]).movedim(1, -1)
        kernel, bias = self.head.weight.flatten(1), self.head.bias
        logits = torch.addmm(bias[:, None], kernel, x.reshape(-1, x.shape[-1]).T)
        return logits.view(len(kernel), n_volumes, -1, *x.shape[-3:-1])

    def before_last_stack(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map (B, 1, Z, Y, X) to what the last stack takes: the features (B, C, …) below, and those to be merged.

        Without depth, all slices are a batch, and the features have no Z.
        """
        skips: list[Tensor] = []
        x = self._layers(self._as_slices(x), stacks=self.plan.stacks[:-1], skips=skips)
        return x, skips[-1] if skips else None

    def last_stack(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map what ``before_last_stack`` returns to the features that the head takes."""
        n = len(self.plan.stacks[-1].layers)
        for layer in list(self.layers.values())[-n:]:
            x, skip = layer(x, skip), None
        return x

    def _layers(
        self,
        x: Tensor,
        decoded: dict[int, Tensor] | None = None,
        stacks: Sequence[Stack] | None = None,
        skips: list[Tensor] | None = None,
    ) -> Tensor:
        """Return what the last layer gives; fill ``decoded``, if given, with the decoder's features by scale.

        With ``stacks``, only these first ones are computed; ``skips`` then holds what later ones merge.
        """
        layers = iter(self.layers.values())
        skips = [] if skips is None else skips
        for stack in self.plan.stacks if stacks is None else stacks:
            for layer in stack.layers:
                x = next(layers)(x, skips.pop() if layer.entry == "up" else None)
            if stack.is_encoder:
                skips.append(x)
            elif decoded is not None:
                decoded[stack.scale] = x
        return x

    def forget_activations(self) -> None:
        """Drop what a forward pass left for the penalty; its graph would keep all activations until backward."""
        for layer in self.layers.values():
            layer.activation_penalty = None  # type: ignore[assignment]

    def penalty(self) -> Tensor:
        """Return the regularisation of kernels and of the last training forward's activations, a scalar."""
        layers = [layer for layer in self.layers.values() if isinstance(layer, ConvLayer)]
        terms = [term for layer in layers for term in (layer.kernel_penalty(), layer.activation_penalty)]
        present = [term for term in terms if term is not None]
        return torch.stack(present).sum() if present else self.head.weight.new_zeros(())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
