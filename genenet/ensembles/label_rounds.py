"""Rounds of labelling: a search, labels that were added, and a search that starts from the first (``training.start``).

Each search keeps in its ``start.json`` what all searches before it learned from and how good they were, so that the
report can tell what each round added and what it brought, also when their folders are gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeInt

from genenet.config.selection_metrics import SCORES
from genenet.config.start import DESCRIPTION, ensemble_folder, is_ensemble
from genenet.core.models import Closed
from genenet.core.paths import ResultPaths
from genenet.ensembles.description import read_description
from genenet.ensembles.tested import read_test_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages
    from genenet.metrics.scores import ClassScores

Values = dict[str, float | None]


class LabelRound(Closed):
    """What the ensemble of a round learned from, and how good it was.

    Attributes:
        folder: the results of the search, or the ensemble.
        images: names of the labelled images that its networks learned from or were chosen on.
        voxels: labelled voxels of these, by class; empty if they aren't known.
        validation_images: names of those that scored it.
        validation: ARI and mean IoU on these; None where one isn't known.
        test_images: names of the test images.
        test: the same scores on these; empty if there are none.
    """

    folder: Path
    images: list[str]
    voxels: dict[str, NonNegativeInt] = Field(default_factory=dict)
    validation_images: list[str]
    validation: Values
    test_images: list[str] = Field(default_factory=list)
    test: Values = Field(default_factory=dict)

    @property
    def n_voxels(self) -> int | None:
        """All labelled voxels; None if they aren't known."""
        return sum(self.voxels.values()) if self.voxels else None

    @classmethod
    def of(
        cls, folder: Path, ensemble: EnsembleDescription, test: ScoresOnTestImages | None = None
    ) -> LabelRound:
        """Return what an ensemble learned from, and how good it is."""
        images = [image.name for image in ensemble.reference.images] if ensemble.reference else []
        return cls(
            folder=folder,
            images=list(dict.fromkeys([*images, *ensemble.selected_on])),
            voxels=dict(zip(ensemble.classes, _labelled_voxels(ensemble), strict=False)),
            validation_images=list(ensemble.selected_on),
            validation=_scores(ensemble.validation),
            test_images=test.volumes if test else [],
            test=_scores(test) if test else {},
        )


def _labelled_voxels(ensemble: EnsembleDescription) -> list[int]:
    """Return the voxels of each class in all labelled images, each counted once; none if they aren't known.

    With folds, and after a refit, the training images are all labelled ones.
    """
    counted, refit = ensemble.class_voxels, ensemble.refit
    if counted is None:
        return []
    if ensemble.n_folds or (refit and refit.refitted):
        return list(counted.train)
    return [sum(both) for both in zip(counted.train, counted.validation, strict=True)]


def _scores(found: ClassScores | None) -> Values:
    metrics: Mapping[str, float | None] = found.metrics if found else {}
    return {name: metrics.get(name) for name in SCORES}


def round_of(folder: Path) -> LabelRound:
    """Return the round of a finished search, or of an ensemble's folder; raises InputError if there is none."""
    description = read_description(ensemble_folder(folder) / DESCRIPTION)
    test = None if is_ensemble(folder) else read_test_scores(Path(ResultPaths(folder).test_scores))
    return LabelRound.of(folder, description, test)


@dataclass(frozen=True)
class RoundRow:
    """A round of labelling beside the one before.

    Attributes:
        round: what it learned from, and how good it was.
        added: names of images that the round before hadn't.
        more_voxels: labelled voxels more than in the round before; None of the first, or if they aren't known.
        gains: by split, how much better each score is than in the round before, where both are on the same images.
    """

    round: LabelRound
    added: list[str]
    more_voxels: int | None
    gains: dict[str, Values]


def round_rows(rounds: Sequence[LabelRound]) -> list[RoundRow]:
    """Return what each round added, and what it brought, first the earliest."""
    rows = []
    for before, each in zip([None, *rounds], rounds, strict=False):
        known = before.images if before else []
        counts = each.n_voxels, before.n_voxels if before else None
        rows.append(
            RoundRow(
                each,
                [name for name in each.images if name not in known],
                None if counts[0] is None or counts[1] is None else counts[0] - counts[1],
                {
                    "validation": _gains(before, each, "validation"),
                    "test": _gains(before, each, "test"),
                },
            )
        )
    return rows


def _gains(before: LabelRound | None, after: LabelRound, split: str) -> Values:
    """Return the differences of scores; none if the images differ, since then they can't be compared."""
    if before is None or set(getattr(before, f"{split}_images")) != set(getattr(after, f"{split}_images")):
        return dict.fromkeys(SCORES)
    old, new = getattr(before, split), getattr(after, split)
    pairs = {name: (old.get(name), new.get(name)) for name in SCORES}
    return {name: None if a is None or b is None else b - a for name, (a, b) in pairs.items()}
