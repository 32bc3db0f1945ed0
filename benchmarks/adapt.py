"""What genenet adapt brings on another volume: with 2, 4 and 8 labelled crops, by the layers that are trained.

python benchmarks/adapt.py                           print the table of the cells that are done
python benchmarks/adapt.py run [--data axon mito] [--seeds 3]

One cell is a data set and a seed: five networks of preset: modern are trained for 45 s of the processor each. The other
image is another animal (axon: rats 1 and 3, then rat 4), another volume (mito), or a phantom of lower contrast and more
noise. It is cut in two: random crops of 128 × 128 voxels of its left part are labelled, and the right part is the test.
Ensembles are kept in benchmarks/.adapt, cells in benchmarks/data/adapt.json; neither is made again, so an interrupted
run continues. The table gives ARI / mean IoU on the test, means over seeds, of what genenet adapt writes: the old
ensemble where the new one isn't better on crops that were left out. Seconds are those of the processor, on one core.

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import statistics
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import cells
from bench_tools import ROOT
from genenet.api.selection import new_member
from genenet.config.adaptation import LAYERS
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.ensembles.adaptation import Adapter
from genenet.ensembles.description import EnsembleDescription, NormalisationEntry
from genenet.ensembles.ensemble import entries, load_ensemble, write_ensemble
from genenet.ensembles.labelled_crops import LabelledCrops
from genenet.metrics.contingency import Contingency, scores
from genenet.phantoms.phantom import slabs
from genenet.phantoms.variants import Variant
from genenet.training.prepared_images import LabelledArray
from genenet.volumes.base import ArrayVolume
from peers import recipe
from recipe import genomes_of, iterations_in, maker, trained, where
from transfer_data import TRANSFER_SETS, WHOLE, parts

SECONDS, N_NETWORKS, VALIDATIONS = 45, 5, 2
N_CROPS, CROP = (2, 4, 8), 128
ENSEMBLES = ROOT / "benchmarks/.adapt"
CPU = torch.device("cpu")


def phantom(rule):
    """Return phantoms to train with, and one of lower contrast and more noise to test with."""
    variant = Variant(contrast=0.6, noise=1.5)
    _, image, labels = zip(*slabs((4, 320, 320), 3, variant=variant), strict=True)
    test = parts("phantom 3", np.concatenate(image), np.concatenate(labels), rule, WHOLE)
    return replace(TRANSFER_SETS["phantom"](rule), test=test)


SETS = {"axon": TRANSFER_SETS["axon"], "mito": TRANSFER_SETS["mito"], "phantom": phantom}


def ensemble(name, data, seed):
    """Return the folder of the trained ensemble."""
    folder = ENSEMBLES / f"{name}-{seed}"
    if folder.exists():
        return folder
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    members = []
    for index, genome in enumerate(genomes_of(recipe(), smallest, seed, N_NETWORKS)):
        make = maker(data, genome, recipe(), seed, VALIDATIONS)
        trainer, _ = trained(make, iterations_in(make, SECONDS, VALIDATIONS))
        members.append(new_member(genome, trainer.network, f"r0/{index:03d}", None, 1.0))
    description = EnsembleDescription(
        classes=[f"class {i}" for i in range(data.n_classes)],
        voxel_size_nm=(1, 1, 1),
        normalisation=NormalisationEntry(mode="image", mean=0, deviation=1),
        members=entries(members),
    )
    write_ensemble(folder, members, description)
    return folder


def halves(image):
    """Return the left and the right part of an image, normalised as the whole."""
    middle = image.image.shape[2] // 2
    return (
        LabelledArray(image.name, image.image[:, :, part], image.labels[:, :, part], image.normalisation)
        for part in (slice(middle), slice(middle, None))
    )


def random_crops(image, n, seed):
    """Return crops of an image that don't overlap."""
    depth, height, width = image.image.shape
    corners = [
        (z, y, x)
        for z in range(depth)
        for y in range(0, height - CROP + 1, CROP)
        for x in range(0, width - CROP + 1, CROP)
    ]
    chosen = [corners[i] for i in np.random.default_rng(seed).permutation(len(corners))[:n]]
    places = [Box.of_shape((1, CROP, CROP), corner).slices for corner in chosen]
    return LabelledCrops(
        [
            LabelledArray(
                f"crop {i}",
                np.ascontiguousarray(image.image[place]),
                np.ascontiguousarray(image.labels[place]),
                image.normalisation,
            )
            for i, place in enumerate(places)
        ]
    )


def tested(folder, test):
    """Return the scores of an ensemble on an image."""
    loaded, volume = load_ensemble(folder), ArrayVolume(test.image, test.name)
    whole = Box.of_shape(volume.shape)
    p = loaded.predictor(CPU).probabilities(volume, test.normalisation, whole)
    table = Contingency.empty(len(loaded.classes))
    table.add(test.labels, loaded.final(p).argmax(axis=0))
    found = scores(table)
    return {name: round(found[name], 4) for name in cells.METRICS}


def adapted(folder, crops, layers, test):
    """Adapt an ensemble; return its test scores, whether it was taken, and the seconds."""
    with TemporaryDirectory() as temporary:
        out, began = Path(temporary) / "new", time.process_time()
        try:
            done = Adapter(folder, crops, layers, 0, 1, CPU).run(out)
        except InputError:  # random crops may show one class only
            return {"test": tested(folder, test), "taken": False, "seconds": 0.0}
        seconds = round(time.process_time() - began, 1)
        left_out = {
            when: {name: getattr(done, when).metrics[name] for name in cells.METRICS}
            for when in ("before", "after")
        }
        return {
            "test": tested(out, test),
            "taken": done.is_better,
            "priors": done.has_priors,
            "left_out": left_out,
            "seconds": seconds,
        }


def cell(data_name, networks_name, seed):
    """Compute one cell."""
    data = SETS[data_name]("image")
    folder = ensemble(data_name, data, seed)
    labelled, test = halves(data.test[0])
    found = []
    for n in N_CROPS:
        crops = random_crops(labelled, n, seed)
        for layers in LAYERS:
            found.append({"crops": n, "layers": layers, **adapted(folder, crops, layers, test)})
            print(f"  {found[-1]}", flush=True)
    old = tested(folder, test)
    names = {"data": data_name, "networks": networks_name, "seed": seed}
    return {**names, **where(), "adapted": found, "test": old}


class Cells(cells.Cells):
    """The cells, and the table by number of crops."""

    def print_table(self, data_sets, variants):
        """Print ARI / mean IoU on the test, in how many cells the new ensemble was taken, and seconds."""
        heads = "".join(f" {n} crops | taken | s |" for n in N_CROPS)
        print(f"| data | layers | 0 crops |{heads}")
        print("|---|---|---|" + "---|" * 3 * len(N_CROPS))
        for name in data_sets:
            of_data = [each for (data, _, _), each in self.read().items() if data == name]
            if of_data:
                for layers in LAYERS:
                    columns = [column for n in N_CROPS for column in columns_of(of_data, n, layers)]
                    print(
                        "|", " | ".join([name, layers, mean_of([c["test"] for c in of_data]), *columns]), "|"
                    )


def columns_of(of_data, n, layers):
    """Return the columns of a number of crops: scores, in how many cells it was taken, seconds."""
    found = [
        each for cell in of_data for each in cell["adapted"] if (each["crops"], each["layers"]) == (n, layers)
    ]
    seconds = statistics.mean(each["seconds"] for each in found)
    taken = sum(each["taken"] for each in found)
    return [mean_of([each["test"] for each in found]), f"{taken} of {len(found)}", f"{seconds:.0f}"]


def mean_of(tests):
    """Write mean scores."""
    return " / ".join(f"{statistics.mean(test[metric] for test in tests):.3f}" for metric in cells.METRICS)


CELLS = Cells(ROOT / "benchmarks/data/adapt.json", "networks", "modern")

if __name__ == "__main__":
    cells.main(__doc__, CELLS, cell, SETS, ["modern"])
