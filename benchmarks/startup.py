"""How soon commands answer: those that need no torch, and a training, beside Python itself and an import of torch.

python benchmarks/startup.py
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from genenet.config.stages import ImageFiles, PrepareSettings
from genenet.genes.baselines import UNet2015
from genenet.phantoms.phantom import slabs
from genenet.training.prepare import prepare

RUNS = 7
SHAPE = (8, 320, 320)
STOPPED = 75


def seconds(command, fresh=None):
    """Return the shortest and the median wall time of some runs, after one to warm up; ``fresh`` is removed before."""
    times = []
    for _ in range(RUNS + 1):
        if fresh:
            shutil.rmtree(fresh, ignore_errors=True)
        began = time.monotonic()
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        times.append(time.monotonic() - began)
        assert done.returncode in (0, STOPPED), done.stderr.decode()
    return min(times[1:]), statistics.median(times[1:])


def write_phantom(folder, name, seed):
    """Prepare a phantom's files; return the prepared one."""
    pieces = list(slabs(SHAPE, seed))
    files = [folder / f"{name}.tif", folder / f"{name}-labels.tif"]
    for path, i in zip(files, (1, 2), strict=True):
        tifffile.imwrite(path, np.concatenate([piece[i] for piece in pieces]))
    image = ImageFiles(image=[files[0]], labels=[files[1]], region=None)
    classes = [str(i) for i in range(7)]
    settings = PrepareSettings(images=[image], classes=classes, ignore_label=None, voxel_size_nm=(50, 10, 10))
    prepare(settings, folder / f"{name}.zarr.zip")
    return folder / f"{name}.zarr.zip"


def first_step(folder):
    """Return the command of a training that stops after its first step, with a checkpoint."""
    UNet2015(n_convkernels=16, input_size=252).genome("unet2015").write(folder / "unet.json")
    settings = {"seed": 0, "normalisation": "volume", "training": {"iterations": 1000}}
    (folder / "train.json").write_text(json.dumps(settings))
    data = [write_phantom(folder, name, seed) for seed, name in enumerate(("train", "validation"))]
    options = ["--genome", folder / "unet.json", "--train", data[0], "--validation", data[1]]
    return [
        *options,
        "--settings",
        folder / "train.json",
        "--out",
        folder / "run",
        "--stop-after-minutes",
        "0",
    ]


def main():
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "generate.json"
        settings.write_text(
            '{"seed": 1, "regions": {"net": {"n_convkernels": [30, 110], "n_stacks": [1, 4]}}}'
        )
        genenet = [sys.executable, "-m", "genenet"]
        genome = ["--settings", settings, "--index", "0", "--out", folder / "genome.json"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "genenet --help": [*genenet, "--help"],
            "genenet generate": [*genenet, "generate", *genome],
            "genenet inspect --json": [*genenet, "inspect", folder / "genome.json", "--json"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
            "genenet train, one step": [*genenet, "train", *first_step(folder)],
        }
        times = {what: seconds(command, folder / "run") for what, command in commands.items()}
    _, torch = times["python -c 'import torch'"]
    print(f"{'':26} {'least':>8} {'median':>8}   of importing torch")
    for what, (least, median) in times.items():
        print(f"{what:26} {least:6.2f} s {median:6.2f} s   {median / torch:5.2f}")


if __name__ == "__main__":
    main()
