"""Joins the trainings of all folds of a genome: the results of one training, on all labelled images.

Each voxel's stored probabilities are those of the one network that hasn't learned from it::

    runs/r0/003/folds/0/validation.zarr.zip   images of fold 0 ─┐
    runs/r0/003/folds/1/validation.zarr.zip   images of fold 1 ─┼─► runs/r0/003/validation.zarr.zip, scores.json, …
    runs/r0/003/folds/2/validation.zarr.zip   images of fold 2 ─┘

The images come in the same order as in ``data/validation.zarr.zip``. So ranking and selection read the results of a
search with folds as those of any other. The weights stay with the folds; ``model.safetensors`` holds no tensors.
"""

from __future__ import annotations

import hashlib
import logging
import math
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.core.atomic_files import read_csv
from genenet.core.errors import InputError
from genenet.core.tolerant_read import as_number
from genenet.metrics.contingency import Contingency, class_scores
from genenet.networks.weights import save_weights
from genenet.training.object_images import network_objects
from genenet.training.outcome_files import write_history
from genenet.training.prepared import open_prepared
from genenet.training.probabilities import open_probabilities, write_probabilities
from genenet.training.scores import PredictionTime, Scores, read_scores
from genenet.training.trainer import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genenet.core.paths import ResultPaths, RunPaths
    from genenet.training.prepared import Prepared

log = logging.getLogger(__name__)


def join_folds(paths: ResultPaths, run: str, n_folds: int) -> None:
    """Publish what the trainings of all folds of a genome came to; ``scores.json`` is written last.

    If one of them isn't ok, the whole has its status, without weights and probabilities, and the reason names it.

    Args:
        paths: of the search.
        run: such as ``r0/003``.
        n_folds: all of which have been trained.

    Raises:
        InputError: If a fold has no results, or they are of other images than the prepared ones.
    """
    files, validation = paths.run(run), open_prepared(Path(paths.data("validation")))
    folds = files.of_folds(n_folds)
    ended = [read_scores(fold.scores) for fold in folds]
    is_ok = all(each.is_ok for each in ended)
    save_weights({}, ended[0].genome, files.weights)
    write_history(files.history, mean_history([fold.history for fold in folds]))
    if not is_ok:
        write_probabilities(files.validation, validation.checksum, validation.outputs, [])
        joined(ended, validation).write(files.scores)
        return
    for fold, each in enumerate(folds):
        _check_images(each, paths.fold_data(fold, "validation"))
    table = _join_probabilities(folds, validation, files.validation)
    found = joined(ended, validation, table)
    objects = network_objects(files.validation, validation)
    found.model_copy(update={"objects": objects}).write(files.scores)


def _check_images(files: RunPaths, data: str) -> None:
    """Raise InputError if a fold's probabilities are of other images than those that are prepared for it."""
    with open_probabilities(files.validation) as stored:
        if stored.checksum != open_prepared(Path(data)).checksum:
            raise InputError(
                f"{files.validation}: made from other validation images than {data}; train again"
            )


def _join_probabilities(folds: Sequence[RunPaths], validation: Prepared, out: Path) -> Contingency:
    """Write the probabilities of all folds one after the other; return their table against the labels.

    Raises:
        InputError: If they aren't those of the validation images.
    """
    table = Contingency.empty(len(validation.classes))
    with ExitStack() as stack:
        stored = [stack.enter_context(open_probabilities(fold.validation)) for fold in folds]
        arrays = [array for each in stored for array in each.arrays]
        images = validation.images
        if [array.shape[1:] for array in arrays] != [image.labels.shape for image in images]:
            raise InputError(
                f"{out.parent}: the images of the folds aren't those of data/validation; train again"
            )

        def slices(index: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
            for z in range(arrays[index].shape[1]):
                probabilities: NDArray[np.uint8] = np.asarray(arrays[index][:, z : z + 1])
                classes = validation.outputs.semantic(probabilities).argmax(axis=0)
                table.add(np.asarray(images[index].labels[z : z + 1]), classes)
                yield z, probabilities

        shapes = enumerate(array.shape[1:] for array in arrays)
        write_probabilities(
            out, validation.checksum, validation.outputs, ((shape, slices(i)) for i, shape in shapes)
        )
    return table


def joined(ended: Sequence[Scores], validation: Prepared, table: Contingency | None = None) -> Scores:
    """Return the scores of all folds together.

    Args:
        ended: how the training of each fold has ended.
        validation: all labelled images.
        table: of the joined probabilities; None if a fold has none.
    """
    first, failed = ended[0], [(fold, each) for fold, each in enumerate(ended) if not each.is_ok]
    for fold, each in failed:
        log.warning(
            "%s: fold %d has no network (%s), so its folds aren't joined", first.name, fold, each.status
        )
    found: dict[str, Any] = {
        "name": first.name,
        "genome": first.genome,
        "n_parameters": first.n_parameters,
        "volumes": [image.name for image in validation.images],
        "fingerprint": hashlib.sha256("".join(str(e.fingerprint) for e in ended).encode()).hexdigest(),
        "folds": len(ended),
        "seconds": sum(each.seconds or 0.0 for each in ended),
    }
    if failed:
        reason = "; ".join(f"fold {fold} {each.status}: {each.reason}" for fold, each in failed)
        return Scores(**found, status=failed[0][1].status, reason=reason)
    return Scores(
        **found,
        status="ok",
        iterations=_mean([each.iterations for each in ended]),
        best_iteration=_mean([each.best_iteration for each in ended]),
        prediction=_prediction(ended),
        made_with=first.made_with,
        inherited=first.inherited,
        validation=class_scores(table) if table else None,
    )


def _mean(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return round(fmean(known)) if known else None


def _prediction(ended: Sequence[Scores]) -> PredictionTime | None:
    """Return the time that the networks of all folds would take for all images: each has taken it for its part."""
    times = [each.prediction for each in ended if each.prediction]
    if len(times) < len(ended):
        return None
    seconds = len(ended) * sum(time.seconds for time in times)
    return PredictionTime(seconds=round(seconds, 4), voxels=sum(time.voxels for time in times))


def mean_history(histories: Sequence[Path]) -> list[Row]:
    """Return the means over all folds, for the iterations at which all of them were validated.

    Seconds are sums. Where a value isn't known for one fold, the mean isn't either.
    """
    rows = [{int(row["iteration"]): row for row in read_csv(path)} for path in histories]
    shared = sorted(set.intersection(*(set(each) for each in rows)))
    names = [field.name for field in fields(Row) if field.name != "iteration"]
    found = []
    for iteration in shared:
        values = {name: [as_number(each[iteration].get(name, "")) for each in rows] for name in names}
        means = {name: _mean_or_nan(numbers) for name, numbers in values.items()}
        means["seconds"] *= len(histories)
        found.append(Row(iteration=iteration, **means))
    return found


def _mean_or_nan(numbers: Sequence[float | None]) -> float:
    return fmean(math.nan if number is None else number for number in numbers)
