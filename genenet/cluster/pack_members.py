"""The members of a pack: the trainings that one job does, as commands, with an estimate of the memory of each."""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.cluster.submitit_job import is_fresh
from genenet.config.planned_runs import training_inputs
from genenet.config.rounds import run_name
from genenet.config.settings import TrainSettings, read_settings
from genenet.core.errors import InputError, one_line
from genenet.core.paths import fold_run, of_span, slot_name
from genenet.genes.genome import read_genome
from genenet.genes.memory import training_bytes
from genenet.genes.plan import plan
from genenet.search.halving import run_of_slot
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from genenet.cluster.pack_room import Room
    from genenet.config.training import Training
    from genenet.core.paths import ResultPaths

PROGRAM = (sys.executable, "-m", "genenet")
BORDER_MAP_BYTES = 4  # for each voxel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackMember:
    """One training of a pack.

    Attributes:
        name: such as r0/003.
        command: that trains it.
        inputs: files that it is made from.
        outputs: files that it publishes.
        own_bytes: memory of its steps, validation and images, beyond what each process takes; 0 if it isn't known.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    own_bytes: float = 0.0

    def is_done(self) -> bool:
        """Whether it has published an outcome, whatever its status, since its inputs were made."""
        return is_fresh(self.outputs, self.inputs)


def trainings(
    paths: ResultPaths,
    round_: int,
    span: str,
    room: Room,
    fold: int | None = None,
    settings: Path | None = None,
) -> list[PackMember]:
    """Return the trainings of a span of a round's genomes, in one of the folds if there are any.

    ``settings`` are those of the stage ``train`` by default. If settings or prepared images can't be read, the members
    are returned all the same: each of them counts the failed attempt, until it is given up.
    """
    runs = [run_name(round_, index) for index in of_span(span)]
    names = runs if fold is None else [fold_run(run, fold) for run in runs]
    common = _Common(paths, names[0], room, settings)
    return [_training(common, name) for name in names]


def slots(
    paths: ResultPaths,
    round_: int,
    span: str,
    room: Room,
    iterations: int,
    after: int | None,
    settings: Path | None = None,
) -> list[PackMember]:
    """Return the trainings of a span of a rung's slots, which are continued from the rung before it.

    Args:
        paths: of the search.
        round_: that the rung is in.
        span: of the slots.
        room: that they share.
        iterations: at the end of the rung.
        after: iterations at the end of the rung before it; None if it is the first.
        settings: of the trainings; by default those of the stage ``train``.

    Raises:
        InputError: If the ranking of the rung before can't be read.
    """
    common = _Common(paths, run_name(round_, 0), room, settings)
    return [_slot(common, round_, slot, iterations, after) for slot in of_span(span)]


def _training(common: _Common, name: str) -> PackMember:
    paths, inputs = common.paths, common.inputs(name)
    files, options = paths.run(name), [text for pair in inputs.items() for text in pair]
    command = (
        *(*PROGRAM, "train", *options, "--results", str(paths.results)),
        *("--out", str(files.folder), "--log", paths.train_log(name)),
    )
    made_from = (*inputs.values(), *common.start)
    return PackMember(name, command, made_from, tuple(files.outputs()), common.bytes_of(name))


def _slot(common: _Common, round_: int, slot: int, iterations: int, after: int | None) -> PackMember:
    paths = common.paths
    run = run_of_slot(paths, round_, slot, after)
    inputs = common.inputs(run or run_name(round_, slot))
    if after is not None:
        inputs["--genome"] = paths.rung(round_, after)  # which names the genome
    numbers = {"--round": round_, "--iterations": iterations, "--slot": slot, "--after": after}
    options = [text for name, n in numbers.items() if n is not None for text in (name, str(n))]
    name = slot_name(slot)
    command = (
        *(*PROGRAM, "rung", "--results", str(paths.results), *options),
        *("--settings", inputs["--settings"], "--log", paths.slot_log(round_, iterations, name)),
    )
    output = paths.slot(round_, iterations, name)
    title = f"slot {name} ({run})" if run else f"slot {name}"
    made_from = (*inputs.values(), *common.start)
    return PackMember(title, command, made_from, (output,), common.bytes_of(run) if run else 0.0)


class _Common:
    """What trainings have in common, settings and images, from which their memory is estimated.

    Args:
        paths: of the search.
        name: of one of the trainings.
        room: that they share, which decides on the tiles of a validation.
        settings: of all; None: those of the stage ``train``.
    """

    def __init__(self, paths: ResultPaths, name: str, room: Room, settings: Path | None) -> None:
        self.paths, self.room, self.settings_file = paths, room, settings
        self.settings: Training | None = None
        self.start: list[str] = []  # the file of what they start from, if they do
        try:
            self._read(self.inputs(name))
        except (InputError, OSError) as error:
            log.warning("the memory of trainings isn't known: %s", one_line(error))

    def _read(self, inputs: dict[str, str]) -> None:
        read = read_settings(Path(inputs["--settings"]), TrainSettings)
        self.start, settings = [self.paths.start] * read.starts, read.training
        train, validation = (open_prepared(Path(inputs[split])) for split in ("--train", "--validation"))
        self.n_classes = len(train.outputs)
        of_weights = BORDER_MAP_BYTES if settings.loss.border_weight else 0
        self.image_bytes = sum(
            math.prod(each.image.shape)
            * (each.image.dtype.itemsize + each.labels.dtype.itemsize + of_weights)
            for each in (*train.images, *validation.images)
        )
        shapes = [each.image.shape for each in validation.images]
        self.validation_shapes = [(shape[0], shape[1], shape[2]) for shape in shapes]
        self.settings = settings

    def inputs(self, name: str) -> dict[str, str]:
        """Return the files that a training is made from, by the options of ``genenet train``."""
        given = {"--settings": str(self.settings_file)} if self.settings_file else {}
        return {**training_inputs(self.paths, name), **given}

    def bytes_of(self, run: str) -> float:
        """Return the bytes of a training; 0 if they aren't known or its network can't be built.

        The memory of steps isn't given back before a validation, and a CUDA graph keeps its own in any case.
        """
        if self.settings is None:
            return 0.0
        try:
            built = plan(read_genome(Path(self.paths.genome(run))).net, self.n_classes)
            of_validation = self.room.validation_bytes(built, self.validation_shapes, self.settings.threads)
        except InputError:  # its own process says so
            return 0.0
        value_bytes = 2 if self.settings.precision == "bfloat16" else 4
        of_steps = training_bytes(built, self.settings.batch_size, value_bytes)
        return of_steps + of_validation + self.image_bytes
