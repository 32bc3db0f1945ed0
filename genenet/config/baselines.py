"""``baselines:``, the networks of the literature that are trained beside the genomes."""

from __future__ import annotations

from genenet.core.models import Closed
from genenet.genes.baselines import Baseline, Ciresan2012, UNet2015


class Baselines(Closed):
    """Networks of the literature, trained like the genomes; ranked, never members of the ensemble."""

    unet2015: UNet2015 | None = None
    ciresan2012: Ciresan2012 | None = None

    def chosen(self) -> dict[str, Baseline]:
        """Return those that are switched on, by name."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in options.items() if each is not None}
