"""genenet beside the field's usual tools and its own controls: segmenting another image, at the same processor time.

python benchmarks/peers.py                           print the table of the cells that are done
python benchmarks/peers.py run [--data axon mito] [--peer genenet monai] [--seeds 3]

One cell is a data set, a peer and a seed: 600 seconds of the processor for all trainings, then the test image, which is
another animal or another volume. Cells in benchmarks/data/peers.json aren't computed again, so an interrupted run
continues. The peers:

genenet     six networks of preset: modern; the ensemble of the best, as many as validation says
refit       the same with ensemble.refit, in the same time: six shorter trainings, then up to three members anew, as
            long, with training and validation images together
refit_half  the same with training.refit_iterations: half of the time for the six, half for at most two members
refit_third the same with a third of the time for the six and two thirds for at most two members, as genenet init writes
one         one architecture, six seeds: the genome that is best on validation in genenet's cell, as an ensemble
resenc      the baseline resenc, nnU-Net's residual encoder, with 16 to 128 channels: one training with genenet's recipe
            and deep supervision
monai       MONAI's BasicUNet (16 to 128 features) in a plain loop: Adam, Dice and cross-entropy, flips, turns and
            random grey values, each image normalised by itself
nnunet      nnU-Net v2, 2D, its plan shrunk to a processor's size: 16 to 128 features, patches of at most 256 voxels,
            batches of 2, as many iterations as fit; augmentation and everything else as it plans them

MONAI and nnU-Net also train on the validation image, since they need none. They live in an environment of their own,
benchmarks/.peers, which the first run makes (several GB). All peers use one core. The real data is looked for in
$GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

import numpy as np

import cells
from bench_tools import ROOT
from genenet.config.presets import preset_values
from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS
from genenet.genes.baselines import BASELINES
from genenet.genes.genome import Genome
from genenet.metrics.calibration import Reliability, best_temperature, with_temperature
from recipe import ensemble_scores, genomes_of, outputs_of, scored, where
from transfer_data import TRANSFER_SETS, TransferData

CELLS = cells.Cells(ROOT / "benchmarks/data/peers.json", "peer", "refit_third")
ENVIRONMENT = ROOT / "benchmarks/.peers"
REQUIREMENTS = ["torch==2.14.1", "torchvision==0.29.1", "monai==1.6.1", "nnunetv2==2.8.1"]
SECONDS = 600
N_NETWORKS = 6


def recipe():
    """Return the preset as the recipe of a cell."""
    preset = preset_values("modern")
    regions = preset["search"]["regions"]
    training = {**preset["training"], "batch_size": preset["training"].get("batch_size", 2)}
    return {"net": regions["net"], "stack": regions["stack"], "training": training}


def search(data, seed, seconds):
    """Draw and train the networks of a search; return the genomes, facts of each training, and its outputs."""
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    genomes = genomes_of(recipe(), smallest, seed, N_NETWORKS)
    return genomes, *outputs_of(data, [(genome, seed) for genome in genomes], recipe(), seconds)


def genenet(name, data, seed):
    """Return the ensemble of a search: the best networks, as many as give the best validation, by each metric."""
    genomes, members, outputs = search(data, seed, SECONDS / N_NETWORKS)
    by_metric = {metric: selected(data, members, outputs, metric) for metric in SELECTION_METRICS}
    best = genomes[by_metric[RANKING_METRIC]["members"][0]]
    return {
        "members": members,
        "best": best.deltas,
        "by_metric": by_metric,
        "test": by_metric[RANKING_METRIC]["test"],
    }


def refit(name, data, seed, most, search_share):
    """Return a search with ensemble.refit, and the test scores of its ensemble before the refit.

    The search has its share of the seconds; the refits of at most so many members have the rest.
    """
    genomes, members, searched = search(data, seed, search_share * SECONDS / N_NETWORKS)
    chosen = selected(data, members, searched, RANKING_METRIC, most)
    seconds = (1 - search_share) * SECONDS / len(chosen["members"])
    all_images = TransferData([*data.train, *data.validation], [], data.n_classes, data.test)
    training = {**recipe()["training"], "stopping": {"weights": "last"}}
    trainings = [(genomes[i], seed) for i in chosen["members"]]
    again, outputs = outputs_of(
        all_images, trainings, {**recipe(), "training": training}, seconds, turns=True
    )
    of_members = {split: [found[i] for i in chosen["members"]] for split, found in searched.items()}
    calibration = {
        "before_refit": calibration_errors(data, of_members["validation"], of_members["test"]),
        "refitted": calibration_errors(data, of_members["validation"], outputs["test"]),
    }
    return {
        "members": members,
        "refitted": again,
        "before_refit": chosen["test"],
        "calibration": calibration,
        **test_scores(data, outputs),
    }


def test_scores(data, outputs):
    """Return the scores of an ensemble on the test images, and those of its predictions over flips and turns."""
    return {
        key: scored(data.test, zip(*outputs[key], strict=True), data.n_classes) for key in ("test", "turned")
    }


def calibration_errors(data, validation, test):
    """Fit a temperature to networks' outputs of validation; return it, and the errors of test without and with it."""
    temperature = best_temperature(*pooled(data.validation, validation))
    labels, p = pooled(data.test, test)
    errors = []
    for each in (1.0, temperature):
        reliability = Reliability()
        reliability.add(labels, with_temperature(p, each))
        errors.append(round(reliability.expected_error, 4))
    return {"temperature": temperature, "error_without": errors[0], "error_with": errors[1]}


def pooled(images, outputs):
    """Return the labels (N,) of images, and the mean of networks' probabilities (C, N)."""
    means = [np.mean(of, axis=0, dtype=np.float32) / 255 for of in zip(*outputs, strict=True)]
    labels = np.concatenate([image.labels.ravel() for image in images])
    return labels, np.concatenate([mean.reshape(len(mean), -1) for mean in means], axis=1)


def selected(data, members, outputs, metric, most=N_NETWORKS):
    """Rank networks and choose how many are the ensemble, by a metric of validation; return them and the test."""
    score = SELECTION_METRICS[metric].of_scores
    order = sorted(range(len(members)), key=lambda i: -score(members[i]["validation"]))

    def of_best(split, n):
        return ensemble_scores(data, split, [outputs[split][i] for i in order[:n]])

    best = max(range(1, min(most, len(order)) + 1), key=lambda n: score(of_best("validation", n)))
    return {"members": order[:best], "test": of_best("test", best)}


def one(name, data, seed):
    """Return one architecture with several seeds: that of genenet's cell, which is computed before."""
    chosen = Genome("one", CELLS.read()[name, "genenet", seed]["best"])
    trainings = [(chosen, 100 * seed + i) for i in range(N_NETWORKS)]
    members, outputs = outputs_of(data, trainings, recipe(), SECONDS / N_NETWORKS, turns=True)
    return {"members": members, **test_scores(data, outputs)}


def resenc(name, data, seed):
    """Return one training of nnU-Net's network, with the preset's recipe, deep supervision, and all the seconds."""
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    sizes = {"n_convkernels": 16, "max_convkernels": 128, "input_size": min(256, smallest)}
    genome = BASELINES["resenc"].genome(**sizes, log_learning_rate=-2.5)
    training = {**recipe()["training"], "deep_supervision": True}
    members, outputs = outputs_of(
        data, [(genome, seed)], {**recipe(), "training": training}, SECONDS, turns=True
    )
    return {"members": members, **test_scores(data, outputs)}


def in_environment(program, name, data, seed):
    """Run a peer's program in its own environment, on images as files; return its scores and facts."""
    make_environment()
    with tempfile.TemporaryDirectory() as folder:
        images = {"train": [*data.train, *data.validation], "test": data.test}
        arrays = {f"{split}_{i}": image.image for split, of in images.items() for i, image in enumerate(of)}
        labels = {f"labels_{i}": image.labels for i, image in enumerate(images["train"])}
        np.savez(Path(folder, "images.npz"), **arrays, **labels)
        task = {"n_classes": data.n_classes, "seconds": SECONDS, "seed": seed}
        Path(folder, "task.json").write_text(json.dumps(task))
        python = ENVIRONMENT / "bin/python"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {
            f"nnUNet_{kind}": str(Path(folder, kind)) for kind in ("raw", "preprocessed", "results")
        }
        command = [python, ROOT / "benchmarks" / program, folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(Path(folder, "probabilities.npz")) as found:
            outputs = [[found[f"test_{i}"]] for i in range(len(data.test))]
        facts = json.loads(Path(folder, "facts.json").read_text())
    return {"members": [facts], "test": scored(data.test, outputs, data.n_classes)}


def make_environment():
    """Install the peers, once."""
    done = ENVIRONMENT / "installed"
    if done.exists() and done.read_text().split() == REQUIREMENTS:
        return
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    subprocess.run([ENVIRONMENT / "bin/pip", "install", "-q", *REQUIREMENTS], check=True)
    done.write_text("\n".join(REQUIREMENTS))


PEERS = {
    "genenet": genenet,
    "refit": functools.partial(refit, most=3, search_share=2 / 3),
    "refit_half": functools.partial(refit, most=2, search_share=1 / 2),
    "refit_third": functools.partial(refit, most=2, search_share=1 / 3),
    "one": one,
    "resenc": resenc,
    "monai": functools.partial(in_environment, "peer_programs/basic_unet.py"),
    "nnunet": functools.partial(in_environment, "peer_programs/nnunet_v2.py"),
}


def cell(data_name, peer, seed):
    """Compute one cell."""
    data = TRANSFER_SETS[data_name]("image")
    return {"data": data_name, "peer": peer, "seed": seed, **where(), **PEERS[peer](data_name, data, seed)}


def print_best_networks():
    """Print the mean test scores of the best network of each cell that has several, by the metric that chose it."""
    of_cells = [[m for m in c["members"] if "validation" in m] for c in CELLS.read().values()]
    of_cells = [members for members in of_cells if len(members) > 1]
    for metric in SELECTION_METRICS if of_cells else ():
        score = SELECTION_METRICS[metric].of_scores
        best = [max(members, key=lambda m, of=score: of(m["validation"]))["test"] for members in of_cells]
        means = [fmean(test[name] for test in best) for name in cells.METRICS]
        print(f"best network by {metric}: " + " / ".join(f"{m:.3f}" for m in means) + f" ({len(best)} cells)")


def print_metrics():
    """Print the mean test scores of genenet's ensembles by the metric that selected them."""
    cells_of = [c["by_metric"] for c in CELLS.read().values() if "by_metric" in c]
    for metric in SELECTION_METRICS if cells_of else ():
        means = [fmean(c[metric]["test"][name] for c in cells_of) for name in cells.METRICS]
        print(f"selected by {metric}: " + " / ".join(f"{m:.3f}" for m in means) + f" ({len(cells_of)} cells)")


def print_turns():
    """Print by peer what averaging over flips and turns changes on the test images, of the cells that have both."""
    of_peers = {}
    for c in CELLS.read().values():
        if "turned" in c:
            of_peers.setdefault(c["peer"], []).append([c["turned"][m] - c["test"][m] for m in cells.METRICS])
    for peer, found in of_peers.items():
        means = " / ".join(cells.with_error(of_metric) for of_metric in zip(*found, strict=True))
        print(f"flips and turns averaged, {peer}: {means} ({len(found)} cells)")


if __name__ == "__main__":
    cells.main(__doc__, CELLS, cell, TRANSFER_SETS, PEERS)
    print_best_networks()
    print_metrics()
    print_turns()
