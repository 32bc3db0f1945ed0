"""Objects that touch: an ensemble's watershed beside plain connected components, and beside that of one network.

python benchmarks/instances.py                       print the table of the cells that are done
python benchmarks/instances.py run [--data gala flyem phantom] [--seeds 3] [--networks 2d 3d]

One cell is a data set, a kind of networks and a seed: the workflow itself runs a search of five networks, with
thresholds from the validation image, and scores objects on the test image, which is another volume. Networks are 2D, or
3D with borders along z. In the same search:

ensemble     objects of the ensemble, as the program finds them
objects      the same of the ensemble whose members were chosen by their objects (strategy best_objects)
components   connected components of the ensemble's classes, which is all there is without borders
single       objects of the best network alone, with its own thresholds

The data sets: neurons of a fly's brain (gala and flyem; voxels between neurons are the class membrane), and phantoms of
platelets that touch, with their mitochondria. Cells in benchmarks/data/instances.json aren't computed again. The real
data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
import torch
import yaml
from skimage.segmentation import find_boundaries

import cells
from bench_tools import ROOT, parser
from genenet.config.settings import SelectSettings, read_settings
from genenet.core.paths import ResultPaths
from genenet.ensembles.scoring import evaluate_ensemble
from genenet.ensembles.select import select
from recipe import where
from transfer_data import FOLDER

CELLS = cells.Cells(ROOT / "benchmarks/data/instances.json", "what", "search")
WAYS = ("ensemble", "objects", "single", "components")
COLUMNS = ("average_precision_50", "f1", "panoptic_quality", "adapted_rand_error", "n_split", "n_merged")
N_NETWORKS, ITERATIONS = 5, 700
NETWORKS = {  # regions of the net, by what the cells are called
    "2d": ("search", {}),
    "3d": ("3d", {"spatial_mode": ["3d"], "input_depth": [12, 16], "input_size": [48, 64]}),
}


def neurons(image, ids, folder, name):
    """Write an image and its neurons; return the config's entry.

    Where no voxel is membrane, those next to another neuron become it.
    """
    membrane = ids == 0
    if membrane.mean() < 0.01:
        membrane |= np.stack([find_boundaries(plane) for plane in ids])
    tifffile.imwrite(folder / f"{name}.tif", image, photometric="minisblack")
    tifffile.imwrite(folder / f"{name}_ids.tif", np.where(membrane, 0, ids), photometric="minisblack")
    return {"path": f"{name}.tif", "instances": {"neuron": {"path": f"{name}_ids.tif"}}}


def neuron_data(read, n_train, folder):
    """Return the config's data of a volume that trains and validates, and another one that is the test."""
    (image, ids), test = read("train"), read("test")
    return {
        "classes": ["membrane", "neuron"],
        "voxel_size_nm": [10, 10, 10],
        "train": [neurons(image[:n_train], ids[:n_train], folder, "train")],
        "validation": [neurons(image[n_train:], ids[n_train:], folder, "validation")],
        "test": [neurons(*test, folder, "test")],
    }


def gala(folder):
    """38 slices train, 12 validate, another crop is the test."""
    names = ("raw", "neurons_instance")
    return neuron_data(lambda s: [tifffile.imread(f"{FOLDER}/gala/{s}_{n}.tif") for n in names], 38, folder)


def flyem(folder):
    """48 slices train, 16 validate, another crop is the test."""
    names = ("raw", "instance")
    return neuron_data(
        lambda s: [tifffile.imread(f"{FOLDER}/flyem/flyem_crop_{s}_{n}.tif") for n in names], 48, folder
    )


def phantom(folder):
    """Platelets that touch, with their organelles, and the mitochondria in them; each volume from another seed."""
    from genenet.phantoms.phantom import CLASSES

    def volume(depth, seed):
        made = {"shape": [depth, 320, 320], "seed": seed, "touching": True}
        return [{"phantom": made, "instances": {"cell": {"of": list(CLASSES[1:])}, "mitochondrion": {}}}]

    return {
        "classes": list(CLASSES),
        "voxel_size_nm": [40, 10, 10],
        "train": volume(8, 1),
        "validation": volume(6, 2),
        "test": volume(12, 3),
    }


DATA = {"gala": gala, "flyem": flyem, "phantom": phantom}


def cell(data, what, seed):
    """Run a search, and score its objects in all ways."""
    regions = dict(NETWORKS.values())[what]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        of_data = DATA[data](folder)
        size = [80, 96] if data == "gala" else [112, 160]
        config = {
            "preset": "modern",
            "results": "results",
            "data": {**of_data, "normalisation": "image"},
            "search": {
                "n_genomes": N_NETWORKS,
                "seed": seed,
                "regions": {"net": {"n_convkernels": [8, 14], "input_size": size, **regions}},
            },
            "training": {"iterations": ITERATIONS, "batch_size": 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        command = [
            "snakemake",
            "--snakefile",
            ROOT / "workflow/Snakefile",
            "--directory",
            folder,
            "--cores",
            "1",
        ]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(
            [*command, "--quiet", "all", "--", "results/test_scores.json"], check=True, env=environment
        )
        together = json.loads((folder / "results/test_scores.json").read_text())
        seconds = round(time.monotonic() - began)
        alone = selected(folder, "single", size=1)
        by_objects = selected(folder, "objects", strategy="best_objects")
    found = {
        name: {
            "ensemble": scores["scores"]["metrics"],
            "components": scores["components"]["metrics"],
            "single": alone[name].scores.metrics,
            "objects": by_objects[name].scores.metrics,
            "contacts": scores["contacts"],
            "n_true": scores["scores"]["n_true"],
        }
        for name, scores in together["objects"].items()
    }
    return {"data": data, "what": what, "seed": seed, **where(), "seconds": seconds, "test": found}


def selected(folder, name, **ensemble):
    """Return the scores of the objects of another ensemble of the same networks, with thresholds of its own."""
    copied = folder / name
    shutil.copytree(folder / "results", copied)
    paths = ResultPaths(copied)
    settings = read_settings(Path(paths.settings("select")), SelectSettings)
    asked = settings.ensemble.model_copy(update={"refit": False, **ensemble})
    runs = [f"r0/{i:03d}" for i in range(N_NETWORKS)]
    select(paths, runs, settings.model_copy(update={"ensemble": asked}))
    return evaluate_ensemble(Path(paths.ensemble), Path(paths.data("test")), torch.device("cpu")).objects


def print_table():
    """Print the means over seeds of each way, and the differences of splits and merges to the ensemble."""
    done = list(CELLS.read().values())
    for data, (networks, (what, _)) in product(DATA, NETWORKS.items()):
        of_data = [each for each in done if (each["data"], each["what"]) == (data, what)]
        for name in of_data[0]["test"] if of_data else ():
            n_true = of_data[0]["test"][name]["n_true"]
            print(f"{data}, {name}, {networks}: {len(of_data)} seeds, {n_true} true objects")
            print(f"  {'':12s} {'  '.join(COLUMNS)}")
            for way in WAYS:
                known = [each["test"][name][way] for each in of_data if way in each["test"][name]]
                if not known:
                    continue
                values = [[scores[c] for scores in known if scores[c] is not None] for c in COLUMNS]
                means = (statistics.fmean(column) for column in values)
                text = "  ".join(f"{m:{len(c)}.3f}" for m, c in zip(means, COLUMNS, strict=True))
                print(f"  {way:12s} {text}")
            errors = [each["test"][name]["contacts"] for each in of_data if each["test"][name]["contacts"]]
            for each in errors:
                print(
                    f"  contacts {each['n']}, wrong {each['n_wrong']}, ECE {each['expected_calibration_error']}"
                )


def main():
    """Compute the cells that the command line asks for; print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("what", nargs="?", choices=["run", "table"], default="table")
    arguments.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=["2d"])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if options.what == "run":
        CELLS.run(cell, options.data, [NETWORKS[each][0] for each in options.networks], options.seeds)
    print_table()


if __name__ == "__main__":
    main()
