"""``baselines:``, the networks from the literature that are trained beside the genomes: a key for each entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import create_model

from genenet.core.choices import Table
from genenet.core.models import Closed
from genenet.genes.baselines import BASELINES, Baseline, BaselineOptions


class BaselinesBase(Closed):
    """Networks of the literature, trained like the genomes; ranked, never members of the ensemble."""

    def chosen(self) -> dict[str, BaselineOptions]:
        """Return the options of those that are switched on, by name."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in options.items() if each is not None}


def baselines_model(table: Table[Baseline]) -> type[BaselinesBase]:
    """Return a model with a key for each entry of a table; a baseline that isn't given is null."""
    keys = {name: (entry.options | None, None) for name, entry in table.items()}
    return create_model("Baselines", __base__=BaselinesBase, __doc__=BaselinesBase.__doc__, **keys)  # type: ignore[call-overload, no-any-return]


if TYPE_CHECKING:
    Baselines = BaselinesBase
else:
    Baselines = baselines_model(BASELINES)
