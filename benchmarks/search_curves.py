"""Learning curves of random genomes, recorded once: ``search.py replay`` searches in them.

Two data sets of about 200 000 validation voxels with 7 classes each: the real platelet slice as in ``quality.py``, and
a phantom. Each genome trains once for the full budget, with a validation every 27th of it, so that the rungs of all
usual reduction factors are validations (27 = 3^3). The decay of the learning rate counts absolute iterations, so the
start of a curve is also the curve of a training that stops there.
"""

import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context

import numpy as np
import torch
import yaml

from bench_data import DATA_SETS
from genenet.core.atomic_files import atomic_path, read_json, write_json
from genenet.core.errors import InputError
from genenet.core.resources import keep_freed_memory
from genenet.core.version import build
from genenet.genes.feasible_regions import read_region
from genenet.genes.generation import draw
from genenet.training.trainer import Diverged

N_VALIDATIONS = 27
REGIONS = yaml.safe_load("""
net: {n_convkernels: [4, 20], n_stacks: [1, 3], n_convlayers: [1, 3], input_size: [76, 140],
  log_learning_rate: [-4.5, -1.5], norm: [none, batch], decay_steps: 200, decay_rate: [0.6, 0.95]}
stack: {n_convlayers: [-1, 1]}
""")
TRAINING = yaml.safe_load("""
{batch_size: 3, threads: 1, device: cpu, precision: float32,
 loss: {class_weight_exponent: 0.25}, augmentation: {flips_and_turns: true}}
""")


@dataclass(frozen=True)
class Recording:
    """What the curves of a work folder are of; all of it must agree before more curves are added."""

    data: str
    iterations: int
    seed: int = 8
    regions: dict = field(default_factory=lambda: REGIONS)
    training: dict = field(default_factory=lambda: TRAINING)

    def genome(self, index):
        """Draw one of its genomes."""
        regions = {
            level: {name: read_region(level, name, value) for name, value in values.items()}
            for level, values in self.regions.items()
        }
        return draw(regions, self.seed, index)

    def trainer(self, index):
        """Return the training of a genome, not begun."""
        intervals = {"iterations": self.iterations, "validation_interval": self.iterations // N_VALIDATIONS}
        return DATA_SETS[self.data]().trainer(self.genome(index), self.seed, **intervals, **self.training)


def truth(data):
    """Return the labels of the validation voxels, (voxels,), and the number of classes."""
    found = DATA_SETS[data]()
    return np.concatenate([image.labels.ravel() for image in found.validation]), found.n_classes


def train_one(recording, index, path):
    """Train a genome and write its file; return its best ARI and the seconds of the processor.

    The file holds ``iteration``, ``ari`` and ``seconds`` (of the processor, from the start of the training) of each
    validation, fewer than 27 of a training that diverged, and the best weights' ``probabilities`` (C, voxels) in 255
    levels, none if it diverged.
    """
    trainer = recording.trainer(index)
    seconds, status, began = [], "ok", time.process_time()
    try:
        for _ in trainer.run():
            if len(trainer.history) > len(seconds):
                seconds.append(time.process_time() - began)
    except Diverged as error:
        status = str(error)
    ari = [row.validation_ari for row in trainer.history]
    found = {
        "iteration": np.array([row.iteration for row in trainer.history], np.int32),
        "ari": np.array(ari, np.float64),
        "seconds": np.array(seconds, np.float64),
        "status": np.array(status),
        "n_parameters": np.array(trainer.network.plan.n_parameters),
        "id": np.array(recording.genome(index).id),
        "probabilities": _probabilities(trainer) if status == "ok" else np.zeros((0, 0), np.uint8),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **found)
    return max(ari, default=float("nan")), time.process_time() - began


def _probabilities(trainer):
    trainer.use_best()
    images = [[p[:, 0] for _, p in trainer.predict(image)] for image in trainer.validation]
    n_classes = trainer.network.plan.n_classes
    return np.concatenate([np.stack(of, axis=1).reshape(n_classes, -1) for of in images], axis=1)


def record(data, folder, n_genomes, iterations, processes):
    """Train the genomes that have no file yet; it can be killed and started again.

    Raises:
        InputError: If the curves in the folder were recorded with other settings.
    """
    if iterations % N_VALIDATIONS:
        raise InputError(f"{iterations} iterations: must be a multiple of {N_VALIDATIONS}, the validations")
    recording = Recording(data, iterations)
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder / "recording.json", recording)
    waiting = {i: folder / f"{i:03}.npz" for i in range(n_genomes) if not (folder / f"{i:03}.npz").exists()}
    with ProcessPoolExecutor(processes, get_context("spawn"), _prepare) as pool:
        futures = {pool.submit(train_one, recording, i, path): i for i, path in waiting.items()}
        for n_done, future in enumerate(as_completed(futures), n_genomes - len(waiting) + 1):
            ari, seconds = future.result()
            line = f"ARI {ari:.4f}, {seconds:.0f} s; {n_done} of {n_genomes}"
            print(f"{data} {futures[future]:03}: {line}", flush=True)


def _prepare():
    keep_freed_memory()
    torch.set_num_threads(1)


def _check_same(path, recording):
    machine = f"{os.uname().machine}, {torch.backends.cpu.get_cpu_capability()}"
    versions = {"torch": torch.__version__, "numpy": np.__version__, "genenet": build()}
    made_with = {"machine": machine, "python": platform.python_version(), **versions}
    if not path.exists():
        write_json(path, {"recording": asdict(recording), "versions": made_with})
    elif read_json(path)["recording"] != asdict(recording):
        raise InputError(f"{path}: recorded with other settings; choose another folder")


def read_folder(folder):
    """Return the recording.json of a work folder, and (index, file) of each genome, in order."""
    paths = sorted(folder.glob("[0-9][0-9][0-9].npz"))
    return read_json(folder / "recording.json"), [(int(path.stem), np.load(path)) for path in paths]
