"""Whether networks of a config may see more than one slice: then images are resampled along z too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config.start import member_genomes
from genenet.genes.baselines import BASELINES

if TYPE_CHECKING:
    from genenet.config.model import Config

OF_DEPTH = ("spatial_mode", "n_context_stacks")  # 2D networks have 0 of both


def sees_depth(config: Config) -> bool:
    """Return whether a genome that can be drawn, a member that is trained further, or a baseline has depth.

    That is, whether it is 3D, 2.5D or a hybrid.
    """
    members = member_genomes(config.search.from_) if config.search.from_ is not None else []
    regions = {} if members else config.search.feasible_regions().get("net", {})
    if any(regions[name].clip(1000) > 0 for name in OF_DEPTH if name in regions):
        return True
    chosen = config.baselines.chosen()
    genomes = [BASELINES[name].genome(**options.model_dump()) for name, options in chosen.items()] + members
    return any(
        deltas.get(name) for genome in genomes for deltas in genome.deltas.values() for name in OF_DEPTH
    )
