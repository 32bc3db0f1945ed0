"""``test_scores.json``: the scores of an ensemble, and of what it is compared with, on the test images."""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Literal

from pydantic import Field

from genenet.core.atomic_files import read_json
from genenet.core.validation import validate
from genenet.ensembles.description import CalibrationEntry
from genenet.metrics.block_scores import BlockScores
from genenet.metrics.scores import ClassScores
from genenet.metrics.table import METRICS
from genenet.objects.tuned import ObjectScores


class ScoresOnTestImages(BlockScores):
    """``test_scores.json``: the scores of the ensemble on the test images.

    Attributes:
        volumes: names of the test images.
        strategies: scores of the ensembles of the strategies that weren't chosen.
        networks: scores of the best network and of the baselines, by run; none if an older version wrote the file.
        before_refit: scores of the ensemble before its members were trained anew; None if they weren't.
        objects: scores of the objects of each class that are told apart.
        calibration: reliability of the probabilities, without and with the ensemble's temperature.
    """

    format: Literal["genenet.test_scores/1"] = "genenet.test_scores/1"
    volumes: list[str]
    strategies: dict[str, ClassScores] = Field(default_factory=dict)
    networks: dict[str, BlockScores] = Field(default_factory=dict)
    calibration: CalibrationEntry | None = None
    before_refit: BlockScores | None = None
    objects: dict[str, ObjectScores] = Field(default_factory=dict, exclude_if=not_)

    @property
    def comparable(self) -> BlockScores:
        """The scores to compare with those of networks that learned from training images only: before the refit."""
        return self.before_refit or self

    def of_classes(self) -> BlockScores:
        """Return the ensemble's scores alone."""
        return BlockScores.model_validate(self.model_dump(include={*BlockScores.model_fields, *METRICS}))


def read_test_scores(path: Path) -> ScoresOnTestImages | None:
    """Read the scores on the test images; None if there are none.

    Raises:
        InputError: If the file isn't JSON, or isn't such a file of this or an earlier version.
    """
    return validate(ScoresOnTestImages, read_json(path), str(path)) if path.exists() else None
