"""The network that a genome builds, as a table and as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.layers import Layer, LayerStep
from genenet.genes.memory import TORCH_BYTES, kept_values, training_bytes
from genenet.genes.plan import plan

if TYPE_CHECKING:
    from genenet.genes.domains import Number
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan

PENALTIES = ("gamma1", "gamma2", "lambda1", "lambda2")  # weights; 0 is off
VALUE_BYTES = {"float32": 4, "bfloat16": 2}
WIDTH = 140  # of what doesn't go to a terminal


def inspect(genome: Genome, n_classes: int, batch_size: int = 4) -> dict[str, Any]:
    """Return numbers of the network; shapes are (B, C, Z, Y, X), sizes in voxels, FLOPs per output voxel.

    ``taught_per_teraflop`` is the number of output voxels, which the loss compares with labels, for each 10^12
    operations of training; times the operations per second of a machine, it is the voxels taught per second.

    The memory is an estimate of a training step's, torch included, images and validation not.
    """
    p = plan(genome.net, n_classes)
    memory = {name: TORCH_BYTES + training_bytes(p, batch_size, n) for name, n in VALUE_BYTES.items()}
    return {
        "id": genome.id,
        "name": genome.name,
        "n_parameters": p.n_parameters,
        "input_shape": [1, 1, *p.input_shape],
        "output_shape": [1, n_classes, *p.output_shape],
        "halo": list(p.halo),
        "receptive_field": list(p.receptive_field),
        "n_convlayers": p.n_convlayers,
        "n_layers": p.n_layers,
        "n_convkernels": p.stacks[0].layers[0].out_channels,
        "log_learning_rate": float(genome.net.value("log_learning_rate")),
        "flops_per_voxel": p.flops_per_voxel,
        "taught_per_teraflop": p.taught_per_teraflop,
        "batch_size": batch_size,
        "training_memory_mb": {name: round(n / 1e6) for name, n in memory.items()},
        "hyperparameters": {name: _readable(name, value) for name, value in genome.net.values().items()},
        "layers": list(_layers(p)),
    }


def _readable(name: str, value: Number) -> Number | str | bool:
    """Return a value as JSON: a choice by its word."""
    choices = HYPERPARAMETERS[name].choices
    return choices[int(value)] if choices else value


def _layers(p: Plan) -> Iterator[dict[str, Any]]:
    """Yield numbers of each layer; FLOPs and memory are of one patch, memory is what backward needs in float32."""
    kept = [4 * values + other for values, other in kept_values(p)]
    for index, step in enumerate(p.steps()):
        layer = step.layer
        memory = kept[index] if layer else 4 * step.out_channels * math.prod(step.shape)
        yield {
            **(asdict(layer) if layer else _classes(step)),
            "details": layer.details() if layer else [],
            "output_shape": list(step.shape),
            "n_parameters": step.n_parameters,
            "flops": step.flops,
            "memory_mb": round(memory / 1e6, 3),
            "receptive_field": list(p.receptive_field_after(index + 1 if layer else index)),
        }


def _classes(step: LayerStep) -> dict[str, Any]:
    """Describe the last convolution, 1×1, as layers are; it has no activation."""
    (head,) = step.convolutions
    defaults = {field.name: field.default for field in fields(Layer) if field.default is not MISSING}
    sizes = {"in_channels": head.in_channels, "out_channels": head.out_channels, "kernel": head.kernel}
    return {"path": "net/classes", "entry": "forward", **sizes, "activation": None, **defaults}


def print_table(description: dict[str, Any]) -> None:
    """Print it with rich."""
    from rich.console import Console
    from rich.table import Column, Table

    has_depth = any(layer["kernel"][0] > 1 for layer in description["layers"])
    sizes = "z × y × x" if has_depth or description["input_shape"][2] > 1 else "y × x"
    n_axes = sizes.count("×") + 1
    numbers = ("channels", f"output {sizes}", "parameters", "MFLOPs", "MB", "sees")
    on_right = [Column(name, justify="right") for name in numbers]
    table = Table(
        "layer", "through", "kernel", "with", *on_right, box=None, pad_edge=False, header_style="bold"
    )
    for layer in description["layers"]:
        table.add_row(
            layer["path"].removeprefix("net/"),
            {"up": "up and merge"}.get(layer["entry"], layer["entry"]),
            by(layer["kernel"][-n_axes:]),
            ", ".join(layer["details"] + ["penalties"] * any(layer[name] for name in PENALTIES)),
            f"{layer['in_channels']} → {layer['out_channels']}",
            by(layer["output_shape"][-n_axes:]),
            f"{layer['n_parameters']:,}",
            f"{layer['flops'] / 1e6:,.1f}",
            f"{layer['memory_mb']:,.1f}",
            by(layer["receptive_field"][-n_axes:]),
        )
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"[bold]{description['name']}[/bold]  id {description['id']}\n", highlight=False)
    console.print(table)
    console.print("\n".join(["", *_sums(description)]), highlight=False, soft_wrap=True)


def _sums(description: dict[str, Any]) -> list[str]:
    _, _, *input_size = description["input_shape"]
    _, n_classes, *output_size = description["output_shape"]
    memory = " or ".join(f"{mb:,} MB in {name}" for name, mb in description["training_memory_mb"].items())
    return [
        f"{description['n_parameters']:,} parameters, {n_classes} classes, {description['n_convlayers']} convolution "
        f"layers, {description['flops_per_voxel']:,.0f} FLOPs for each voxel written",
        f"input {by(input_size)} → output {by(output_size)} (z × y × x), halo {by(description['halo'])}, "
        f"receptive field {by(description['receptive_field'])}",
        _optimisation(description["hyperparameters"]),
        f"training teaches {description['taught_per_teraflop']:,.0f} voxels for each 10^12 operations",
        f"training with batches of {description['batch_size']} takes about {memory}, torch included",
        "MFLOPs and MB (what backward needs) are of one patch; sees: the voxels that one voxel depends on",
    ]


def _optimisation(values: dict[str, Any]) -> str:
    betas = ", ".join(f"{1 - 10 ** values[name]:.6g}" for name in ("log_alpha1", "log_alpha2"))
    return (
        f"learning rate {10 ** values['log_learning_rate']:.3g}, times {values['decay_rate']:.3g} every "
        f"{values['decay_steps']:,} iterations; betas of Adam {betas}"
    )


def by(shape: list[int]) -> str:
    """Write a shape for people."""
    return " × ".join(map(str, shape))
