"""A small training, as files: what the command line needs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from genenet.genome import Genome
from genenet.prepare import prepare
from genenet.stages import ImageFiles, PrepareSettings

CLASSES = ["background", "blob", "absent"]
GENOME = {
    "n_convkernels": 3,
    "n_stacks": 1,
    "n_convlayers": 1,
    "input_size": 24,
    "dropout_rate": 0.1,
    "batch_norm": 1,
}


def blobs(shape, seed):
    """Bright blobs on a noisy ground: image uint8, labels uint8 of the classes 0 and 1."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for _ in range(max(4, shape[1] * shape[2] // 400)):
        cy, cx, r = rng.uniform(0, shape[1]), rng.uniform(0, shape[2]), rng.uniform(3, 7)
        labels[(y - cy) ** 2 + (x - cx) ** 2 + 4 * (z - shape[0] / 2) ** 2 < r**2] = 1
    image = 90 + 60 * labels + rng.normal(0, 25, shape)
    return image.clip(0, 255).astype(np.uint8), labels


def write_split(folder, name, shape, seed, classes=CLASSES):
    image, labels = blobs(shape, seed)
    files = [folder / f"{name}.tif", folder / f"{name}_labels.tif"]
    for path, data in zip(files, (image, labels), strict=True):
        tifffile.imwrite(path, data, compression="zlib")
    settings = PrepareSettings(
        images=[ImageFiles(image=[files[0]], labels=[files[1]], region=None)],
        classes=classes,
        ignore_label=None,
        voxel_size_nm=(40, 10, 10),
    )
    prepare(settings, folder / f"{name}.zarr.zip")


def make(folder: Path, genome=None, **training):
    """Write images, a genome and settings; return the command line that trains, but for ``--out``."""
    write_split(folder, "train", (2, 64, 64), 1)
    write_split(folder, "validation", (1, 48, 56), 2)
    Genome("tiny", {"net": {**GENOME, **(genome or {})}}).write(folder / "genome.json")
    values = {
        "iterations": 40,
        "batch_size": 2,
        "threads": 1,
        "validation_interval": 10,
        "checkpoint_seconds": 0,
    }
    settings = {"seed": 5, "normalisation": "volume", "training": {**values, "device": "cpu", **training}}
    (folder / "train.json").write_text(json.dumps(settings))
    return genenet("train", "--genome", folder / "genome.json", "--train", folder / "train.zarr.zip") + [
        *("--validation", str(folder / "validation.zarr.zip"), "--settings", str(folder / "train.json"))
    ]


def genenet(*arguments):
    return [sys.executable, "-m", "genenet", *map(str, arguments)]


def run_without_torch(*arguments):
    """Run genenet in a process of its own, and see that it didn't import torch, which takes seconds."""
    code = "import sys; sys.argv[1:] = {}; from genenet.cli import main"
    code += "\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = run([sys.executable, "-c", code.format(list(map(str, arguments)))])
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    return done


def run(command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
