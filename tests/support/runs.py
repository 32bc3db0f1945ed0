"""A small training, as files: what the command line needs."""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from genenet.cli.main import main
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.genes.genome import Genome
from genenet.training.prepare import prepare

# what a fork server imports before it forks
FORK_SERVER = [
    "genenet.cli.main",
    "genenet.training.prepare",
    "genenet.segmentation.job",
    "genenet.training.run",
    "genenet.training.weight_maps",
]
CLASSES = ["background", "blob", "absent"]
GENOME = {
    "n_convkernels": 3,
    "n_stacks": 1,
    "n_convlayers": 1,
    "input_size": 24,
    "dropout_rate": 0.1,
    "norm": 1,
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


def run_without(module, *arguments):
    """Run genenet in a process of its own, and see that it didn't import a module, which takes seconds."""
    code = "import sys; sys.argv[:] = {}; from genenet.cli.main import main"
    code += "\ntry: main()\nfinally: print({!r} in sys.modules)"
    done = run([sys.executable, "-c", code.format(["genenet", *map(str, arguments)], module)])
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    return done


def run(command, **options):
    """Run a command to its end; genenet in a process that has its imports, seconds of each start, from its birth."""
    command = list(map(str, command))
    if command[:3] == genenet() and set(options) <= {"cwd"}:
        return forked(command, **options)
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def forked(command, cwd="."):
    """What ``subprocess.run`` returns, of a process that a fork server made and that does what genenet does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(FORK_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = context.Process(target=be, args=(command[3:], dict(os.environ), cwd, said))
        process.start()
        process.join()
        return subprocess.CompletedProcess(command, process.exitcode, *(path.read_text() for path in said))


def be(arguments, environment, folder, said):
    """Be ``python -m genenet``."""
    for stream, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = arguments
    main()


def wait(process, condition, seconds=300):
    """Wait for a condition, or for the end of a process, without taking the core that it works on."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fails(command, *said, **options):
    """Run it; it must say each of ``said`` on one line of standard error, and exit with 1."""
    done = run(command, **options)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("genenet: error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for text in said:
        assert text in lines[0]
    return done
