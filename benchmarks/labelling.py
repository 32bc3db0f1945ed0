"""Compare ways to choose the next boxes to label, with true labels in the place of a person.

    python benchmarks/labelling.py run     # computes the cells that are missing in benchmarks/data/labelling.json
    python benchmarks/labelling.py         # prints the table

A cell is a data set, a way (``--by`` of genenet suggest, with what else is set) and a seed. It begins with one labelled
box. In each round three networks are trained anew on all labelled boxes, with equal iterations, and their ensemble is
scored on a test image. It then segments the volume, and the next boxes are chosen and labelled. ``all``: the whole
volume is labelled. The networks of a seed are the same for all ways, as are the first box and the validation image.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch

import bench_data
import genenet
from bench_tools import ROOT
from cells import Cells, main
from genenet.config.labelling import SuggestionSettings
from genenet.config.settings import ImageFiles
from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.labelling.segmented import Segmenting
from genenet.labelling.suggestion import SuggestionJob, channel_of
from genenet.segmentation.receipts import show_nothing
from transfer_data import FOLDER

CPU = torch.device("cpu")
IGNORE = 255
ROUNDS, MEMBERS = 3, 3
REGIONS = {
    "net": {
        "n_convkernels": [12, 16],
        "n_stacks": [2, 3],
        "n_convlayers": 1,
        "input_size": 96,
        "log_learning_rate": -2.0,
        "norm": "batch",
        "padding": "same",
    }
}
RECIPE = {
    "iterations": 250,
    "batch_size": 2,
    "validation_interval": 50,
    "loss": {"kind": "dice_cross_entropy"},
    "sampling": {"rare_classes": 0.5},
    "optimiser": {"kind": "adamw", "weight_decay": 0.01, "gradient_clip": 1.0},
    "schedule": {"kind": "cosine", "warm_up_iterations": 20},
}
WAYS = {
    "random": {"by": "random"},
    "even": {"by": "even"},
    "disagreement": {"by": "disagreement"},
    "entropy": {"by": "entropy"},
    "disagreement, no balance": {"by": "disagreement", "balance": 0.0},
    "disagreement, no diversity": {"by": "disagreement", "diversity": 0.0},
    "all": {},
}


@dataclass(frozen=True)
class Pool:
    """A volume of which boxes are labelled, and images to choose weights and to score, as image and labels (Z, Y, X).

    Attributes:
        size: of a box.
        n: boxes of a round.
    """

    volume: tuple
    validation: tuple
    test: tuple
    n_classes: int
    size: tuple
    n: int

    @property
    def classes(self):
        """Names of the classes."""
        return [f"class {i}" for i in range(self.n_classes)]


def phantom():
    """Phantoms: seven classes, some rare."""
    volume, test = (
        genenet.make_phantom(shape, seed=seed) for shape, seed in (((8, 384, 384), 31), ((4, 320, 320), 32))
    )
    return Pool(volume, genenet.make_phantom((1, 160, 160), seed=33), test, 7, (2, 64, 64), 3)


def axon():
    """Spinal cords: a section of one rat is labelled, another rat's is the test; the third validates with a part."""
    data = bench_data.axon()
    volume, validation = data.train[0], data.train[1]
    part = np.s_[:, :256, :256]
    return Pool(
        (volume.image, volume.labels),
        (validation.image[part], validation.labels[part]),
        (data.validation[0].image, data.validation[0].labels),
        data.n_classes,
        (1, 96, 96),
        2,
    )


def mito():
    """Mitochondria, a tenth of the voxels: of eight slices boxes are labelled, the test is another stack."""
    volume, test = (
        [tifffile.imread(Path(FOLDER) / f"cdeep3m_mito/{split}_{kind}.tif") for kind in ("raw", "mito")]
        for split in ("training", "validation")
    )
    (image, labels), part = volume, np.s_[9:, :256, :256]
    return Pool((image[:8], labels[:8]), (image[part], labels[part]), test, 2, (1, 96, 96), 2)


DATA_SETS = {"phantom": phantom, "axon": axon, "mito": mito}


def first_box(pool, seed):
    """Return a box at random, with voxels of three classes, if there are so many, as a person would begin with."""
    rng = np.random.default_rng(seed)
    _, labels = pool.volume
    while True:
        start = [int(rng.integers(0, n - size + 1)) for n, size in zip(labels.shape, pool.size, strict=True)]
        box = Box.of_shape(pool.size, tuple(start))
        if len(np.unique(labels[box.slices])) >= min(3, pool.n_classes):
            return box


def trained(pool, labels, seed):
    """Train the networks of a seed on labels (Z, Y, X), IGNORE where nobody labelled; return their ensemble."""
    members = [
        genenet.train(
            genenet.random_genome(REGIONS, seed=seed, index=index),
            pool.volume[0],
            labels,
            validation=pool.validation,
            classes=pool.classes,
            ignore_label=IGNORE,
            seed=seed,
            **RECIPE,
        )
        for index in range(MEMBERS)
    ]
    return genenet.make_ensemble(members, voxel_size_nm=(40, 10, 10), size=MEMBERS)


def next_boxes(pool, ensemble, way, labelled, folder, seed):
    """Let an ensemble choose the boxes of the next round; return their places."""
    ensemble.save(folder / "ensemble")
    tifffile.imwrite(folder / "volume.tif", pool.volume[0], photometric="minisblack")
    loaded = load_ensemble(folder / "ensemble")
    source = ImageFiles(image=[folder / "volume.tif"], labels=None, region=None)
    segmented = Segmenting(loaded, CPU, folder / "volume.ome.zarr").run(source, show_nothing)
    settings = SuggestionSettings(n=pool.n, size=pool.size, seed=seed, **way)
    channel = channel_of(settings.by, MEMBERS)
    rows = SuggestionJob(segmented, loaded, settings, CPU, folder / "boxes", channel, labelled).run()
    return [row.place for row in rows]


def compute(data, way, seed):
    """Compute a cell: the test scores after each round."""
    pool, began = DATA_SETS[data](), time.process_time()
    truth, rounds, seconds = pool.volume[1], [], 0.0
    labelled = [Box.of_shape(truth.shape)] if way == "all" else [first_box(pool, seed)]
    for number in range(1 if way == "all" else ROUNDS + 1):
        labels = np.full(truth.shape, IGNORE, np.uint8)
        for box in labelled:
            labels[box.slices] = truth[box.slices]
        ensemble = trained(pool, labels, seed)
        scores = genenet.score(pool.test[1], ensemble.segment(pool.test[0]), classes=pool.classes)
        test = {name: round(scores[name], 4) for name in ("ari", "mean_iou")}
        rounds.append({"labelled": int((labels != IGNORE).sum()), **test})
        print("  ", rounds[-1], flush=True)
        if way != "all" and number < ROUNDS:
            with tempfile.TemporaryDirectory() as folder:
                before = time.process_time()
                labelled += next_boxes(pool, ensemble, WAYS[way], labelled, Path(folder), seed + number)
                seconds += time.process_time() - before
    return {
        "data": data,
        "way": way,
        "seed": seed,
        "rounds": rounds,
        "test": test,
        "cpu_seconds": round(time.process_time() - began),
        "cpu_seconds_suggesting": round(seconds),
    }


class Rounds(Cells):
    """Cells of several rounds."""

    def print_table(self, data_sets, variants):
        """Print the mean test scores of each way after each round, and the mean over the rounds."""
        cells = self.read()
        for data in data_sets:
            print(f"\n{data}: ARI / mean IoU on the test image, by labelled voxels\n")
            heads = next((c["rounds"] for (d, way, _), c in cells.items() if d == data and way != "all"), [])
            columns = [f"{each['labelled']:,}" for each in heads]
            print("| way | " + " | ".join(columns) + " | mean after the first | seeds |")
            print("|---|" + "---|" * (len(columns) + 2))
            for way in variants:
                found = [c["rounds"] for (d, v, _), c in cells.items() if (d, v) == (data, way)]
                if found:
                    print(f"| {way} | " + " | ".join(_row(found, len(columns))) + f" | {len(found)} |")


def _row(found, n):
    """Return the cells of a way: means over seeds of each round, and of all rounds after the first."""
    if len(found[0]) == 1:  # all is labelled
        return ["—"] * n + [_text([rounds[0] for rounds in found])]
    by_round = [_text([rounds[i] for rounds in found]) for i in range(n)]
    return [*by_round, _text([each for rounds in found for each in rounds[1:]])]


def _text(scores):
    return " / ".join(f"{np.mean([each[name] for each in scores]):.3f}" for name in ("ari", "mean_iou"))


if __name__ == "__main__":
    main(__doc__, Rounds(ROOT / "benchmarks/data/labelling.json", "way", "random"), compute, DATA_SETS, WAYS)
