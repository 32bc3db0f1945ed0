"""Adapts an ensemble to another volume, of which a few boxes are labelled."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from genenet.api.arrays import threads_of_torch
from genenet.api.ensemble import Ensemble, load_ensemble
from genenet.config.adaptation import AdaptSettings
from genenet.core.resources import cores_of_job
from genenet.core.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from genenet.ensembles.adapted import Adaptation


def adapt(ensemble: Ensemble | str | Path, crops: str | Path, **settings: Any) -> Ensemble:
    """Return the ensemble, adapted to the volume that labelled boxes were cut from, as ``genenet adapt`` does.

    If the new ensemble isn't better on boxes that were left out, a copy of the old one is returned, and a warning is
    logged. ``description["adapted"]`` of a new one holds the scores before and after.

    Args:
        ensemble: an ensemble, or the path of its folder.
        crops: a folder of boxes; those are used that ``boxes.csv`` marks as reviewed.
        **settings: ``layers``: ``head`` (the last 1×1 convolution) or ``last-stack``; ``seed`` of what is drawn;
            ``threads``, CPU cores; ``device``. The same boxes, seed and threads give the same weights.

    Raises:
        InputError: If the boxes can't be read or can't teach this ensemble, or if a setting is wrong.
    """
    wanted = validate(AdaptSettings, settings, "adapt")
    with TemporaryDirectory() as temporary:
        folder = ensemble.save(Path(temporary) / "old") if isinstance(ensemble, Ensemble) else Path(ensemble)
        adapt_folder(folder, Path(crops), Path(temporary) / "new", wanted)
        return load_ensemble(Path(temporary) / "new")


def adapt_folder(
    folder: Path,
    crops: Path,
    out: Path,
    settings: AdaptSettings,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Adaptation:
    """Write the adapted ensemble to a folder, and return how it was adapted.

    Args:
        folder: of the ensemble.
        crops: the folder of boxes.
        out: the new ensemble's folder.
        settings: how.
        show: is called after each member with how many are done, and of how many.

    Raises:
        InputError: As ``adapt``, and if ``out`` exists and isn't an ensemble.
    """
    from genenet.ensembles.adaptation import Adapter
    from genenet.ensembles.description import read_description
    from genenet.ensembles.ensemble import DESCRIPTION
    from genenet.ensembles.labelled_crops import LabelledCrops
    from genenet.networks.device import choose_device

    n_threads = settings.threads or cores_of_job()
    classes = read_description(folder / DESCRIPTION).classes
    with threads_of_torch(n_threads):
        labelled = LabelledCrops.read(crops, classes)
        device = choose_device(settings.device)
        return Adapter(folder, labelled, settings.layers, settings.seed, n_threads, device).run(out, show)
