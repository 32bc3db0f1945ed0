"""What a genome builds, for people and for programs. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.memory import TORCH_BYTES, training_bytes
from genenet.plan import plan

if TYPE_CHECKING:
    from genenet.genome import Genome

VALUE_BYTES = {"float32": 4, "bfloat16": 2}


def inspect(genome: Genome, n_classes: int, batch_size: int = 4) -> dict[str, Any]:
    """Return numbers of the network; shapes are (B, C, Z, Y, X), sizes in voxels, FLOPs per output voxel.

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
        "batch_size": batch_size,
        "training_memory_mb": {name: round(n / 1e6) for name, n in memory.items()},
        "layers": [
            {
                "path": layer.path,
                "entry": layer.entry,
                "in_channels": layer.in_channels,
                "out_channels": layer.out_channels,
                "kernel": list(layer.kernel),
            }
            for stack in p.stacks
            for layer in stack.layers
        ],
    }


def print_table(description: dict[str, Any]) -> None:
    """Print it with rich."""
    from rich.console import Console
    from rich.table import Table

    layers = Table("layer", "through", "channels in", "channels out", "kernel")
    for layer in description["layers"]:
        numbers = str(layer["in_channels"]), str(layer["out_channels"]), by(layer["kernel"])
        layers.add_row(layer["path"], layer["entry"], *numbers)
    console = Console()
    console.print(f"[bold]{description['name']}[/bold]  id {description['id']}")
    console.print(layers)
    _, _, *input_size = description["input_shape"]
    _, n_classes, *output_size = description["output_shape"]
    console.print(
        f"{description['n_parameters']:,} parameters, {n_classes} classes, "
        f"input {by(input_size)} → output {by(output_size)} (z × y × x), halo {by(description['halo'])}, "
        f"receptive field {by(description['receptive_field'])}, {description['flops_per_voxel']:,.0f} FLOPs a voxel"
    )
    memory = " or ".join(f"{mb:,} MB in {name}" for name, mb in description["training_memory_mb"].items())
    console.print(f"training with batches of {description['batch_size']} takes about {memory}")


def by(shape: list[int]) -> str:
    """Write a shape for people."""
    return " × ".join(map(str, shape))
