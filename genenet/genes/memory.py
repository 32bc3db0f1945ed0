"""How much memory training and prediction take, estimated from the plan without torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from genenet.genes.layer_parts import ACTIVATIONS, NORMS, POOLINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genenet.core.geometry import Triple
    from genenet.genes.layers import Layer
    from genenet.genes.plan import Plan

COPIES = 6  # of the weights: weights, gradients, Adam's two moments, the best weights, one temporary
LOGITS = 4  # float32 arrays as large as the logits: in float32, their logarithms, two gradients
WITH_DEPTH = 1.2  # oneDNN's factor where kernels have three axes: measured 1.1 to 1.5
TORCH_BYTES = 320 * 2**20  # of a process that has imported it and done nothing yet
CONTEXT_BYTES = 3 * 2**29  # of a GPU, most that the driver and CUDA's libraries take for a process


def training_bytes(plan: Plan, batch_size: int, value_bytes: int) -> int:
    """Return about how many bytes a training step takes beyond torch itself and the images, within some 30 %.

    What backward needs of each layer is kept until then: the convolution's input, what the tables of
    ``layer_parts`` say, the dropout's output and mask. At the widest
    layer, three more arrays of its size exist at the same time.

    Args:
        plan: of the network.
        batch_size: patches of a step.
        value_bytes: of a value between layers: 4 in float32, 2 in bfloat16.
    """
    kept = list(kept_values(plan))
    widest = max(values for values, _ in kept)
    activations = sum(value_bytes * values + other for values, other in kept) + 3 * value_bytes * widest
    logits = LOGITS * 4 * plan.n_classes * math.prod(plan.output_shape)
    return COPIES * 4 * plan.n_parameters + batch_size * (activations + logits)


def kept_values(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield, for each layer and one patch, how many values are kept for backward, and bytes of other types."""
    channels = 1
    for layer, entered, shape in plan.shapes():
        inside, output = math.prod(entered), layer.out_channels * math.prod(shape)
        values = other = 0
        if layer.entry == "down":
            values += channels * inside
            other += POOLINGS[layer.pooling].index_bytes * channels * inside
        if layer.entry == "up":
            values += layer.in_channels * inside
        if layer.window_pool:
            values += layer.in_channels * inside
            other += POOLINGS["max"].index_bytes * layer.in_channels * inside
        values += output * _n_kept(layer) + NORMS[layer.norm].n_kept_for_each_voxel * math.prod(shape)
        channels = layer.out_channels
        yield values, other


def _n_kept(layer: Layer) -> int:
    """Return how many arrays of the output's size a layer keeps for backward.

    ::

        convolution ─► norm ─► activation ─► dropout ─► next layer
                     1       2            3           4

    The next convolution keeps 4; a norm keeps 1. An activation keeps 2 or 3; 3 is the same as 4 if there is no dropout.
    Dropout keeps its mask, on the CPU in the type of the values.
    """
    keeps_input, has_dropout = ACTIVATIONS[layer.activation].keeps_input, layer.dropout_rate > 0
    of_activation = 1 if keeps_input or has_dropout else 0
    return 1 + NORMS[layer.norm].n_kept + of_activation + has_dropout


def prediction_bytes(plan: Plan, shape: Triple, value_bytes: int) -> int:
    """Return about how many bytes a forward without gradients takes for an input of ``shape``, at its peak.

    While a layer is computed, memory holds its input and output, what it concatenates, and the outputs of the
    encoder that are still to be merged; at the end it holds the logits in float32, three times.
    """
    peak, skips, before = 0, [0] * (plan.n_poolings + 1), math.prod(shape)
    stacks = [stack for stack in plan.stacks for _ in stack.layers]
    for stack, (layer, entered, output) in zip(stacks, plan.shapes(shape), strict=True):
        n_written = math.prod(output)
        merged = layer.in_channels * math.prod(entered) if layer.entry == "up" else 0
        if layer.entry == "up":
            skips[stack.scale] = 0
        written = layer.out_channels * n_written * (1 + layer.residual)
        pooled = layer.in_channels * math.prod(entered) if layer.window_pool else 0
        peak = max(peak, sum(skips) + before + 2 * merged + pooled + written)
        before = layer.out_channels * n_written
        if stack.is_encoder and layer is stack.layers[-1]:
            skips[stack.scale] = before
    logits = plan.n_classes * n_written
    n_bytes = max(value_bytes * peak, value_bytes * (before + logits) + 2 * 4 * logits)
    return round(n_bytes * WITH_DEPTH) if plan.has_depth else n_bytes
