"""How soon commands answer: those that need no torch, and a training, beside Python itself and an import of torch.

python benchmarks/startup.py
"""

import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench_tools import GENENET, parser, print_times
from genenet.config.settings import ImageFiles, PrepareSettings
from genenet.core.exit_codes import STOPPED
from genenet.genes.baselines import BASELINES
from genenet.phantoms.phantom import CLASSES, write_phantom
from genenet.training.prepare import prepare

RUNS = 7
SHAPE = (8, 320, 320)
GENERATE = {"seed": 1, "regions": {"net": {"n_convkernels": [30, 110], "n_stacks": [1, 4]}}}
TRAIN = {"seed": 0, "normalisation": "volume", "training": {"iterations": 1000}}


def prepared_phantom(folder, name, seed):
    """Prepare a phantom; return its file."""
    files = [folder / f"{name}.tif", folder / f"{name}-labels.tif"]
    write_phantom(SHAPE, seed, *files)
    image = ImageFiles(image=[files[0]], labels=[files[1]], region=None)
    facts = {"classes": list(CLASSES), "ignore_label": None, "voxel_size_nm": (40, 10, 10)}
    prepare(PrepareSettings(images=[image], **facts), folder / f"{name}.zarr.zip")
    return folder / f"{name}.zarr.zip"


def first_step(folder):
    """Return the options of a training that stops after its first step, with a checkpoint."""
    BASELINES["unet2015"].genome(n_convkernels=16, input_size=252).write(folder / "unet.json")
    (folder / "train.json").write_text(json.dumps(TRAIN))
    data = [prepared_phantom(folder, name, seed) for seed, name in enumerate(("train", "validation"))]
    options = ["--genome", folder / "unet.json", "--train", data[0], "--validation", data[1]]
    options += ["--settings", folder / "train.json", "--out", folder / "run"]
    return [*options, "--stop-after-minutes", "0"]


def main():
    """Print the table."""
    parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings, genome = folder / "generate.json", folder / "genome.json"
        settings.write_text(json.dumps(GENERATE))
        generate = ["generate", "--settings", settings, "--index", "0", "--out", genome]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "genenet --help": [*GENENET, "--help"],
            "genenet generate": [*GENENET, *generate],
            "genenet inspect --json": [*GENENET, "inspect", genome, "--json"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
            "genenet train, one step": [*GENENET, "train", *first_step(folder)],
        }
        clear = partial(shutil.rmtree, folder / "run", ignore_errors=True)
        print_times(commands, RUNS, "python -c 'import torch'", before=clear, allowed=(0, STOPPED))


if __name__ == "__main__":
    main()
