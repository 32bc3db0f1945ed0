"""What the report shows of objects that are told apart: scores, what became of objects of each size, and contacts."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.instance_metrics import INSTANCE_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages
    from genenet.metrics.instance_scores import InstanceScores, SizeClass
    from genenet.objects.tuned import ContactReliability, TunedObjects

N_COLOURS = 36  # of objects; neighbours with the same one are rare
GOLDEN = 0.618033988749895  # turns of the hue: each new colour is far from the last ones
FATES = ("found", "merged", "split", "missed")


@dataclass(frozen=True)
class ObjectSection:
    """The objects of one class.

    Attributes:
        name: of the class.
        tuned: thresholds, and scores on the validation images.
        columns: title and scores of each column of the table.
        sizes: of the true objects, on the test images if there are any.
        sizes_of: test or validation.
        contacts: reliability of their risk on the test images.
    """

    name: str
    tuned: TunedObjects
    columns: list[tuple[str, InstanceScores]]
    sizes: list[SizeClass]
    sizes_of: str
    contacts: ContactReliability | None

    @property
    def rows(self) -> Iterator[tuple[str, str, bool, list[float | None]]]:
        """Yield title and meaning of each score, whether it is a count, and its values."""
        for name, metric in INSTANCE_METRICS.items():
            values = [scores.metrics.get(name) for _, scores in self.columns]
            yield metric.title, metric.text, name.startswith("n_"), values

    @property
    def shares(self) -> Iterator[tuple[str, int, list[tuple[str, int, float]]]]:
        """Yield the sizes as text, how many objects have them, and number and share of each fate."""
        for size in self.sizes:
            counts = [(fate, getattr(size, fate)) for fate in FATES]
            total = sum(count for _, count in counts)
            text = f"{size.from_voxels:,} to {size.to_voxels:,}"
            yield text, total, [(fate, count, 100 * count / total) for fate, count in counts if count]

    @property
    def bins(self) -> Iterator[tuple[int, float, float]]:
        """Yield the number of contacts of each bin of the risk, their mean risk, and the share that is wrong."""
        if self.contacts:
            c = self.contacts
            for n, risk, wrong in zip(c.counts, c.mean_risk, c.share_wrong, strict=True):
                if n:
                    yield n, risk, wrong


def object_sections(ensemble: EnsembleDescription, test: ScoresOnTestImages | None) -> list[ObjectSection]:
    """Return the sections of all classes of objects; none if the ensemble tells none apart."""
    found = []
    for each in ensemble.objects:
        tuned = ensemble.tuned_objects.get(each.name)
        of_test = test.objects.get(each.name) if test else None
        if tuned is None:
            continue
        columns = [("Validation", tuned.scores)] if tuned.scores else []
        if of_test:
            columns += [("Test", of_test.scores), ("Test, connected components", of_test.components)]
        shown = of_test.scores if of_test else tuned.scores
        found.append(
            ObjectSection(
                each.name,
                tuned,
                columns,
                shown.by_size if shown else [],
                "test" if of_test else "validation",
                of_test.contacts if of_test else None,
            )
        )
    return found


def colour_indices(objects: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colour of each object, 1 to N_COLOURS; 0 where there is none."""
    return np.where(objects == 0, 0, 1 + objects % N_COLOURS).astype(np.uint8)


def object_colours() -> NDArray[np.uint8]:
    """Return the colours (N_COLOURS + 1, 4) of objects; the first, of no object, is transparent.

    Hue and lightness both change from one number to the next, so that the colour-blind can tell neighbours apart, too.
    """
    rows = [(0, 0, 0, 0)]
    for i in range(N_COLOURS):
        red, green, blue = colorsys.hls_to_rgb(i * GOLDEN % 1, (0.35, 0.55, 0.75)[i % 3], 0.85)
        rows.append((round(255 * red), round(255 * green), round(255 * blue), 255))
    return np.array(rows, np.uint8)
