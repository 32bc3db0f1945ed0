"""How long trainings take: a few real steps of one genome on this machine, scaled to the others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genenet.config.training import Training
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.ignore import IGNORE
from genenet.core.resources import keep_freed_memory
from genenet.genes.plan import plan
from genenet.networks.device import choose_device, set_threads
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.base import crop, open_volume
from genenet.volumes.normalisation import Normalisation
from genenet.volumes.statistics import Moments

if TYPE_CHECKING:
    from genenet.core.geometry import Triple
    from genenet.genes.genome import Genome
    from genenet.init.classes import Classes
    from genenet.init.sizes import Machine, Sizes
    from genenet.init.split import Part

CROP: Triple = (4, 512, 512)  # of the training images that steps are tried on
VALIDATED: Triple = (1, 512, 512)
TRIAL_SECONDS = 6.0
BUSY = 1.7  # the median step over a fast one
N_WARM, N_LEAST, N_MOST = 2, 5, 50  # the first steps are slower than the rest


@dataclass(frozen=True)
class Speed:
    """What was measured of the genome that was tried; ``is_busy`` if steps took very different times."""

    seconds_per_step: float
    seconds_per_voxel: float  # of a validation
    is_busy: bool

    def seconds(self, sizes: Sizes, n_validation: int, factor: float) -> float:
        """Return how long a training takes of a genome that needs ``factor`` times the operations."""
        n_validations = -(-sizes.iterations // sizes.validation_interval)
        validation = n_validations * n_validation * self.seconds_per_voxel
        return factor * (sizes.iterations * self.seconds_per_step + validation)


def try_genome(
    genome: Genome, train: Part, validation: Part, classes: Classes, sizes: Sizes, machine: Machine
) -> Speed:
    """Train a genome for some seconds on a crop of the real images, and validate it.

    Raises:
        InputError: If it can't be trained on these images here.
    """
    settings = Training(
        iterations=N_WARM + N_MOST,
        batch_size=sizes.batch_size,
        threads=machine.threads,
        device="cuda" if machine.kind == "gpu" else "cpu",
    )
    set_threads(settings.threads)
    keep_freed_memory()
    images = [_read(part, shape, classes) for part, shape in ((train, CROP), (validation, VALIDATED))]
    counts = [int((images[0].labels == i).sum()) for i in range(len(classes.names))]
    counts[0] = max(1, counts[0])
    network_plan = plan(genome.net, len(classes.names))
    device = choose_device(settings.device)
    trainer = Trainer(genome, network_plan, images[:1], images[1:], counts, settings, 0, device)
    fast, usual = _time_steps(trainer)
    trainer.validate()  # the first one chooses tiles
    began = time.monotonic()
    trainer.validate()
    per_voxel = (time.monotonic() - began) / images[1].labels.size
    return Speed(fast, per_voxel, is_busy=usual > BUSY * fast)


def _time_steps(trainer: Trainer) -> tuple[float, float]:
    """Return the time of the fastest tenth of the steps, and of the median: others may be using the machine too."""
    times: list[float] = []
    began = time.monotonic()
    while len(times) < N_WARM + N_LEAST or (
        len(times) < N_WARM + N_MOST and time.monotonic() - began < TRIAL_SECONDS
    ):
        before = time.monotonic()
        trainer.step()
        trainer.check_losses()  # waits for a GPU
        times.append(time.monotonic() - before)
    fast, usual = np.quantile(times[N_WARM:], [0.1, 0.5])
    return float(fast), float(usual)


def _read(part: Part, shape: Triple, classes: Classes) -> LabelledArray:
    """Read the middle of a part; labels that are no classes are ignored."""
    volumes = (crop(open_volume(path), part.region) for path in (part.look.image.path, part.look.labels))
    size: Triple = tuple(min(a, b) for a, b in zip(shape, part.shape, strict=True))  # type: ignore[assignment]
    start: Triple = tuple((a - b) // 2 for a, b in zip(part.shape, size, strict=True))  # type: ignore[assignment]
    image, ids = (volume.read(Box.of_shape(size, start)) for volume in volumes)
    labels = np.where((ids >= 0) & (ids < len(classes.names)), ids, IGNORE).astype(np.uint8)
    moments = Moments.of(image)
    if not moments.squares:
        raise InputError(
            f"{part.look.image.path}: is all the same in the middle, so no training can be tried"
        )
    normalisation = Normalisation(np.array([moments.mean]), np.array([moments.deviation]))
    return LabelledArray(str(part.look.image.path), image, labels, normalisation)
