"""How long trainings take: a few real steps of some networks on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.presets import preset_values
from genenet.config.training import Training
from genenet.core.errors import InputError
from genenet.core.ignore import IGNORE
from genenet.core.resources import keep_freed_memory
from genenet.genes.plan import plan
from genenet.init.files import FileSet
from genenet.init.sizes import PRESET
from genenet.networks.device import choose_device, set_threads
from genenet.training.prepared_images import LabelledArray
from genenet.training.sources import Source
from genenet.training.trainer import Trainer
from genenet.volumes.base import crop
from genenet.volumes.instances import ClassesOfIds
from genenet.volumes.labels import ClassLabels
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.statistics import image_statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genenet.config.types import ImageRegion
    from genenet.core.geometry import Triple
    from genenet.genes.genome import Genome
    from genenet.init.classes import Classes
    from genenet.init.costs import TrainingCost
    from genenet.init.machine import Machine
    from genenet.init.parts import Part, Split
    from genenet.init.sizes import Sizes

CROP: Triple = (4, 512, 512)  # of the training images that steps are tried on
VALIDATED: Triple = (1, 512, 512)
LONGEST_SECONDS = 6.0
STEADY = 0.05  # standard error of the median step, relative to it
BUSY = 1.7  # the median step over a fast one
N_WARM, N_LEAST, N_MOST = 2, 5, 50  # the first steps are slower than the others


@dataclass(frozen=True)
class Speed:
    """What was measured of a network that was tried; ``is_busy`` if steps took very different times."""

    seconds_per_step: float
    seconds_per_voxel: float  # of a validation
    is_busy: bool


def try_networks(
    networks: Iterable[TrainingCost], parts: Split, classes: Classes, sizes: Sizes, machine: Machine
) -> tuple[tuple[TrainingCost, Speed], ...]:
    """Train each network for some seconds on a crop of the real images, and validate it.

    Raises:
        InputError: If one can't be trained on these images here.
    """
    chosen = {
        "iterations": N_WARM + N_MOST,
        "batch_size": sizes.batch_size,
        "threads": machine.threads,
        "device": "cuda" if machine.kind == "gpu" else "cpu",
    }
    settings = Training.model_validate({**preset_values(PRESET)["training"], **chosen})
    set_threads(settings.threads)
    keep_freed_memory()
    train = _read(parts.train[0], CROP, classes)
    validation = _read(parts.validation[0], VALIDATED, classes)
    return tuple(
        (network, _speed(network.genome, train, validation, classes, settings)) for network in networks
    )


def _speed(
    genome: Genome, train: LabelledArray, validation: LabelledArray, classes: Classes, settings: Training
) -> Speed:
    counts = [int((train.labels == i).sum()) for i in range(len(classes.names))]
    counts[0] = max(1, counts[0])
    built = plan(genome.net, len(classes.names))
    device = choose_device(settings.device)
    trainer = Trainer(genome, built, [train], [validation], counts, settings, 0, device)
    times = _time_steps(trainer)
    fast, usual = np.quantile(times, [0.1, 0.5])  # the machine may be busy with other things
    trainer.validate()  # the first validation chooses tiles
    began = time.monotonic()
    trainer.validate()
    per_voxel = (time.monotonic() - began) / validation.labels.size
    return Speed(float(fast), per_voxel, is_busy=bool(usual > BUSY * fast))


def _time_steps(trainer: Trainer) -> list[float]:
    """Return the seconds of each step after the first ones, until they are known well enough."""
    times: list[float] = []
    began = time.monotonic()
    while len(times) < N_WARM + N_MOST and not is_known(times[N_WARM:], time.monotonic() - began):
        before = time.monotonic()
        trainer.step()
        trainer.check_losses()  # waits for a GPU
        times.append(time.monotonic() - before)
    return times[N_WARM:]


def is_known(times: Sequence[float], elapsed: float) -> bool:
    """Return whether the steps' median is known to 5 %, or as well as ``elapsed`` seconds allow.

    The standard error of a median of n values is about 1.25 σ / √n; σ is 1.48 times the median absolute deviation,
    which single slow steps don't change.
    """
    if len(times) < N_LEAST:
        return False
    median = float(np.median(times))
    sigma = 1.48 * float(np.median(np.abs(np.array(times) - median)))
    return elapsed > LONGEST_SECONDS or 1.25 * sigma / len(times) ** 0.5 < STEADY * median


def _read(part: Part, shape: Triple, classes: Classes) -> LabelledArray:
    """Read a crop of a part, where most voxels are labelled.

    Raises:
        InputError: If nothing is labelled there, a label isn't a class, or the crop has no contrast.
    """
    look = part.look
    opened = FileSet(look.image.path, look.labels, look.image.mask).open(look.flip)
    if opened.problems or not opened.image or not opened.labels:
        raise InputError("; ".join(opened.problems))
    region = _densest(part, shape, classes)
    ids = ClassesOfIds(opened.labels, 1, 0) if look.objects else opened.labels
    labels = ClassLabels(ids, len(classes.names), classes.ignore_label, opened.mask).crop(region)
    source = Source(str(look.image.path), crop(opened.image, region), labels, 1.0)
    statistics = image_statistics(source.image, per_slice=False, mask=source.mask)
    found = LabelledArray.of(source, Normalisation(*statistics))
    if (found.labels == IGNORE).all():
        raise InputError(f"{look.labels}: nothing is labelled in the region that was to be tried")
    return found


def _densest(part: Part, shape: Triple, classes: Classes) -> ImageRegion:
    """Return the region of at most ``shape`` voxels that has the most labelled voxels along each axis by itself."""
    intervals = []
    for axis, n in enumerate(shape):
        start, stop = (part.region and part.region[axis]) or (0, part.look.image.shape[axis])
        size = min(n, stop - start)
        labelled = part.look.places[axis][start:stop, classes.columns].sum(axis=1)
        before = np.cumsum([0, *labelled])
        inside = before[size:] - before[: len(before) - size]
        best = np.flatnonzero(inside == inside.max())
        first = start + int(best[len(best) // 2])  # the middle, if all is labelled
        intervals.append((first, first + size))
    z, y, x = intervals
    return z, y, x
