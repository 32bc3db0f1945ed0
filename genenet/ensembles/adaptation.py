"""Adapts an ensemble to another volume: trains the last layers of its members on a few labelled crops of it.

::

    crops ─► frozen layers of a member ─► last layers, fitted to all crops but one ─► that crop's probabilities
                                       └► last layers, fitted to all crops ─► the new member

The mean of the members' probabilities for crops that were left out gives the temperature, then the priors of the
classes, and the scores that decide whether the new ensemble is taken, and whether with priors.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.adaptation import LAYERS
from genenet.config.ensemble import COMBINATIONS
from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.core.atomic_files import atomic_path, write_json
from genenet.core.errors import InputError
from genenet.core.ignore import IGNORE
from genenet.core.version import build
from genenet.ensembles.adapted import Adaptation, Crop
from genenet.ensembles.adapted_members import FittedMember, MemberFitter
from genenet.ensembles.calibration import calibration_of
from genenet.ensembles.description import read_description
from genenet.ensembles.ensemble import DESCRIPTION, load_ensemble, write_ensemble
from genenet.metrics.calibration import best_priors, best_temperature, with_priors, with_temperature
from genenet.metrics.contingency import Contingency, class_scores

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from genenet.core.geometry import Box
    from genenet.ensembles.ensemble import LoadedEnsemble
    from genenet.ensembles.labelled_crops import LabelledCrops
    from genenet.metrics.scores import ClassScores

    OfCrops = Sequence[NDArray[np.floating]]  # class probabilities (C, N) of each crop

CALIBRATED = 2**16  # voxels that the temperature and the priors are fitted to, at most
RECORD = "adaptation.json"  # in the new ensemble's folder

log = logging.getLogger(__name__)


def show_nothing(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Calibration:
    """The temperature and the priors that are fitted to labelled voxels; no priors are an empty list."""

    temperature: float
    priors: list[float]

    @classmethod
    def of(cls, truths: Sequence[NDArray[np.uint8]], probabilities: OfCrops, has_priors: bool) -> Calibration:
        """Fit the temperature, then the priors, to the classes (N,) and probabilities (C, N) of crops.

        Of many voxels, every second one, every third one, … is taken. A class has a prior if two crops show it: how
        frequent it is in the volume can't be told from one of them.
        """
        step = 1 + sum(map(len, truths)) // CALIBRATED
        truth = np.concatenate(truths)[::step]
        p = np.concatenate(probabilities, axis=1)[:, ::step]
        temperature = best_temperature(truth, p)
        if not has_priors:
            return cls(temperature, [])
        n_crops = Counter(each for of_crop in truths for each in np.unique(of_crop).tolist())
        often = [each for each, n in n_crops.items() if n > 1]
        known = np.where(np.isin(truth, often), truth, np.uint8(IGNORE))
        return cls(temperature, best_priors(known, with_temperature(p, temperature)))

    def applied(self, p: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities (C, N) with the temperature and the priors."""
        return with_priors(with_temperature(p, self.temperature), self.priors)


@dataclass(frozen=True)
class Adapter:
    """An ensemble, crops of a volume, and how it is adapted to them.

    Attributes:
        folder: of the ensemble.
        crops: of one volume.
        layers: that are trained, a name of LAYERS.
        seed: of what is drawn.
        threads: CPU cores, for the record: other numbers give other bits.
        device: that computes.
    """

    folder: Path
    crops: LabelledCrops
    layers: str
    seed: int
    threads: int
    device: torch.device

    @cached_property
    def ensemble(self) -> LoadedEnsemble:
        """The old ensemble, whose batch normalisations aren't merged into convolutions."""
        return load_ensemble(self.folder)

    def run(self, out: Path, show: Callable[[int, int], None] = show_nothing) -> Adaptation:
        """Adapt the ensemble and write the new one, or a copy of the old one if the new one isn't better.

        Args:
            out: the new folder.
            show: is called after each member with how many are done, and of how many.

        Raises:
            InputError: If the folder exists and isn't an ensemble, or the crops are of no use for the ensemble.
        """
        if out.exists() and not (out / DESCRIPTION).is_file():
            raise InputError(f"{out}: exists and isn't an ensemble; choose another name")
        if out.resolve() == self.folder.resolve():
            raise InputError(f"{out}: is the ensemble to be adapted; choose another name for the new one")
        self.crops.check(self.ensemble)
        fitted = []
        n = len(self.ensemble.networks)
        for index in range(n):
            fitted.append(self._fitter.fit(index))
            show(index + 1, n)
        left_out = self._mean([member.left_out for member in fitted])
        record = self._record(self._mean([member.before for member in fitted]), left_out)
        if record.is_better:
            self._write(out, fitted, record, left_out)
        else:
            _copy(self.folder, out)
        write_json(out / RECORD, record.model_dump(mode="json"))
        return record

    @cached_property
    def _parts(self) -> list[list[Box]]:
        has_depth = any(plan.has_depth for plan in self.ensemble.plans)
        return self.crops.parts(has_depth, self.seed)

    @cached_property
    def _truths(self) -> list[NDArray[np.uint8]]:
        return self.crops.truths(self._parts)

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Crops that are left out together: one each, unless there are many."""
        n = len(self.crops.images)
        n_groups = min(n, LAYERS[self.layers].most_left_out)
        return [list(range(first, n, n_groups)) for first in range(n_groups)]

    @cached_property
    def _fitter(self) -> MemberFitter:
        return MemberFitter(
            self.ensemble, self.crops, self._parts, self._groups, self.layers, self.seed, self.device
        )

    def _mean(self, members: Sequence[Sequence[NDArray[np.float32]]]) -> OfCrops:
        """Return the ensemble's class probabilities (C, N) of each crop, given those of its members."""
        votes, weights = COMBINATIONS[self.ensemble.combination].votes, self.ensemble.weights
        found = []
        for of_members in zip(*members, strict=True):
            said = [np.eye(len(p), dtype=p.dtype)[:, p.argmax(axis=0)] if votes else p for p in of_members]
            found.append(np.average(said, axis=0, weights=weights))
        return found

    def _record(self, before: OfCrops, left_out: OfCrops) -> Adaptation:
        description = read_description(self.folder / DESCRIPTION)
        metric = SELECTION_METRICS[description.metric]

        def value(scores: ClassScores) -> float:
            found = metric.of_scores(scores.metrics)
            return -1.0 if found is None else found

        old = self._scores([self.ensemble.final(p) for p in before])
        by_priors = [self._scores(self._calibrated(left_out, has_priors)) for has_priors in (False, True)]
        fitted = Calibration.of(self._truths, left_out, has_priors=True)
        with_fitted = self._scores([fitted.applied(p) for p in left_out])
        has_priors = min(value(by_priors[1]), value(with_fitted)) > value(by_priors[0])
        new = by_priors[has_priors]
        voxels = self.crops.voxels(len(self.ensemble.classes))
        runs = [entry.run for entry in description.members]
        return Adaptation(
            ensemble=str(self.folder),
            fingerprint=self.ensemble.fingerprint,
            source=self.crops.source,
            crops=[
                Crop(name=image.name, voxels=of_crop)
                for image, of_crop in zip(self.crops.images, voxels, strict=True)
            ],
            layers=self.layers,
            only_heads=[run for index, run in enumerate(runs) if self._fitter.only_head(index)],
            seed=self.seed,
            threads=self.threads,
            metric=description.metric,
            before=old,
            after=new,
            has_priors=has_priors,
            is_better=value(new) > value(old),
            genenet=build(),
        )

    def _calibrated(self, left_out: OfCrops, has_priors: bool) -> OfCrops:
        """Return the new probabilities of each crop, with the temperature and the priors of crops of other groups."""
        found = list(left_out)
        for group in self._groups:
            others = [crop for crop in range(len(left_out)) if crop not in group]
            truths = [self._truths[crop] for crop in others]
            calibration = Calibration.of(truths, [left_out[crop] for crop in others], has_priors)
            for crop in group:
                found[crop] = calibration.applied(left_out[crop])
        return found

    def _scores(self, probabilities: OfCrops) -> ClassScores:
        table = Contingency.empty(len(self.ensemble.classes))
        for truth, p in zip(self._truths, probabilities, strict=True):
            table.add(truth, p.argmax(axis=0))
        return class_scores(table)

    def _write(
        self, out: Path, fitted: Sequence[FittedMember], record: Adaptation, left_out: OfCrops
    ) -> None:
        """Write the new ensemble.

        What was predicted for the validation images holds no longer, so volumes are compared with grey values alone.
        """
        old = read_description(self.folder / DESCRIPTION)
        calibration = Calibration.of(self._truths, left_out, record.has_priors)
        slices = iter(zip(self._truths, left_out, strict=True))
        changes: dict[str, Any] = {
            "calibration": calibration_of(slices, calibration.temperature, calibration.priors),
            "class_priors": calibration.priors,
            "adapted": record,
            "dtypes": sorted({*old.dtypes, *(image.image.dtype.name for image in self.crops.images)}),
        }
        if old.reference:
            seen = {"images": [*old.reference.images, *self.crops.greys], "validation": None}
            changes["reference"] = old.reference.model_copy(update=seen)
        members = [
            each.member(self.folder, entry, plan)
            for each, entry, plan in zip(fitted, old.members, self.ensemble.plans, strict=True)
        ]
        write_ensemble(out, members, old.model_copy(update=changes))


def _copy(folder: Path, out: Path) -> None:
    """Write the old ensemble as the new one."""
    log.warning("the new ensemble isn't better on crops that were left out, so %s is the old one", out)
    with atomic_path(out) as new:
        shutil.copytree(folder, new)
        (new / RECORD).unlink(missing_ok=True)
