"""Scoring an ensemble on prepared images, such as the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.ensemble import load_ensemble
from genenet.errors import InputError
from genenet.geometry import Box
from genenet.inference import Normalisation, Predictor
from genenet.metrics import Contingency, scores
from genenet.prepare import open_prepared
from genenet.training_run import normalisation
from genenet.volume import ArrayVolume

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from genenet.ensemble import Ensemble
    from genenet.prepare import PreparedImage

TILE = 512


def evaluate_ensemble(folder: Path, data: Path, device: torch.device) -> dict[str, Any]:
    """Return the ensemble's scores over all images of a prepared file, slice by slice.

    Raises:
        InputError: If the classes aren't those of the ensemble.
    """
    ensemble, prepared = load_ensemble(folder), open_prepared(data)
    if list(prepared.classes) != list(ensemble.classes):
        raise InputError(f"{data}: has classes {prepared.classes}, the ensemble {ensemble.classes}")
    predictor = Predictor.make(ensemble.networks, TILE, device)
    table = Contingency.empty(len(ensemble.classes))
    for image in prepared.images:
        volume = ArrayVolume(image.image, image.name)
        depth, height, width = volume.shape
        norm = _normalisation(image, ensemble)
        for z in range(depth):
            box = Box((z, 0, 0), (z + 1, height, width))
            table.add(image.labels[z : z + 1], predictor.probabilities(volume, norm, box).argmax(axis=0))
    return {"volumes": [image.name for image in prepared.images], **scores(table)}


def _normalisation(image: PreparedImage, ensemble: Ensemble) -> Normalisation:
    how = ensemble.normalisation
    if how["mode"] == "training":
        return Normalisation.of_volume(how["mean"], how["deviation"])
    return normalisation(image, how["mode"])
