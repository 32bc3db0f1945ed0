"""Synthetic volumes, random genomes and their networks from Python. Nothing is written to disk."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genenet.config.presets import preset_regions
from genenet.config.search import Draws
from genenet.core.errors import InputError, naming
from genenet.core.ignore import IGNORE
from genenet.core.validation import validate

if TYPE_CHECKING:
    from genenet.config.presets import Preset
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.networks.network import Network


def make_phantom(shape: tuple[int, int, int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make a synthetic, labelled volume: platelets with organelles, as a block-face microscope shows them.

    Args:
        shape: voxels along z, y, x; a voxel is 40 x 10 x 10 nm.
        seed: not negative; the same seed and shape give the same voxels.

    Returns:
        Image and labels, both (Z, Y, X) uint8. The labels are indices into the seven names of
        ``genenet.phantoms.phantom.CLASSES``.

    Raises:
        InputError: If the shape or the seed is invalid.

    Example:
        >>> import genenet
        >>> image, labels = genenet.make_phantom((2, 64, 80), seed=1)
        >>> image.shape, int(labels.max()) < 7
        ((2, 64, 80), True)
    """
    from genenet.phantoms.phantom import slabs

    parts = [(image, labels) for _, image, labels in slabs(shape, seed)]
    return np.concatenate([image for image, _ in parts]), np.concatenate([labels for _, labels in parts])


def random_genome(
    regions: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    preset: Preset | None = None,
    seed: int = 0,
    index: int = 0,
) -> Genome:
    """Return the random genome number ``index`` of a search.

    It depends on the regions, the seed and the index alone, so it is the same on any machine.

    Args:
        regions: feasible regions by level of the gene (``net``: values; ``path``, ``stack``, ``layer``, ``edge``:
            deltas) and hyperparameter, as ``search.regions`` of config.yaml: ``[low, high]``, or one value.
        preset: regions by name (``modern``, ``published``), of which ``regions`` replace some.
        seed: the seed of the search, not negative.
        index: number of the genome in the search, from 0 on.

    Raises:
        InputError: If a region is invalid, or if none of 1000 draws can be built.

    Example:
        >>> import genenet
        >>> genome = genenet.random_genome({"net": {"n_convkernels": [6, 16], "n_stacks": [1, 3]}}, seed=1)
        >>> genome.name, 6 <= genome.net.value("n_convkernels") <= 16
        ('r0_000', True)
    """
    from genenet.genes.generation import draw as draw_genome

    with naming("random_genome"):
        written = preset_regions(preset, regions or {}) if preset is not None else regions or {}
    search = validate(Draws, {"seed": seed, "regions": written}, "random_genome")
    if not isinstance(index, int) or index < 0:
        raise InputError(f"random_genome: index: an integer of at least 0 is needed, not {index!r}")
    return draw_genome(search.feasible_regions(), search.seed, index)


def draw(regions: Mapping[str, Mapping[str, Any]] | None = None, **options: Any) -> Genome:
    """Return ``random_genome(regions, ...)``: its old name, which warns and will be removed in the next release.

    The command ``genenet draw`` makes a picture; one word must not mean both.
    """
    warnings.warn(
        "genenet.draw() is now genenet.random_genome(); the old name will be removed in the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    return random_genome(regions, **options)


def build(genome: Genome, n_classes: int) -> Network:
    """Build the network of a genome, a ``torch.nn.Module``, with random weights from torch's own generator.

    The network takes normalised images (B, 1, Z, Y, X) of at least ``network.plan.input_shape`` voxels and returns
    logits (B, n_classes, Z', Y', X'), which are smaller by the halo if convolutions are valid.

    Raises:
        InputError: If the network can't be built.

    Example:
        >>> import genenet, torch
        >>> genome = genenet.random_genome({"net": {"n_convkernels": 4, "n_stacks": 1, "input_size": 64}})
        >>> network = genenet.build(genome, n_classes=3)
        >>> network.plan.input_shape, network.plan.output_shape
        ((1, 64, 64), (1, 48, 48))
        >>> network(torch.zeros(2, 1, 1, 64, 64)).shape
        torch.Size([2, 3, 1, 48, 48])
    """
    from genenet.networks.network import Network

    return Network(plan_of(genome, n_classes))


def plan_of(genome: Genome, n_classes: int) -> Plan:
    """Return the plan of a genome's network; raises InputError if it can't be built."""
    from genenet.genes.plan import plan

    if not 1 <= n_classes < IGNORE:
        raise InputError(f"{n_classes} classes: 1 to {IGNORE - 1} are possible")
    return plan(genome.net, n_classes)
