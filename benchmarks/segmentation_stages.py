"""Segmenting: what each stage takes for a voxel, and what bfloat16 changes in the labels."""

import statistics

import numpy as np
from sklearn.metrics import adjusted_rand_score

from bench_data import DATA_SETS
from bench_tools import precisions
from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.networks.device import compute_type
from genenet.networks.predictor import Predictor
from genenet.volumes.base import ArrayVolume
from segmentation_tools import CPU, NET, ROUNDS, end_to_end, inputs

CASES = {  # members, temperature of the ensemble, settings
    "1 network": (1, None, {}),
    "1 network, calibrated": (1, 1.3, {}),
    "4 networks, calibrated, all channels": (4, 1.3, {"disagreement": True, "probabilities": True}),
}
TRAINED = {"n_convkernels": 16, "n_stacks": 2, "n_convlayers": 2, "input_size": 140, "norm": 1}
ITERATIONS = 300


def stages(folder):
    """Print the nanoseconds of a core that each stage takes for a voxel, 7 classes; medians over rounds."""
    for name, (n_members, temperature, settings) in CASES.items():
        inputs(folder, (4, 1280, 1280), [NET] * n_members, temperature=temperature)
        for precision in precisions():
            receipts = []
            for _ in range(ROUNDS):
                end_to_end(folder, receipts, block=(2, 1280, 1280), compute=precision, **settings)
            stages = {
                stage: statistics.median(r.seconds_by_stage[stage] / r.voxels * 1e9 for r in receipts)
                for stage in receipts[0].seconds_by_stage
            }
            others = sum(value for stage, value in stages.items() if stage != "compute")
            text = ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items())
            print(f"  {name}, {precision}: {text}; all but compute {others:.1f} ns", flush=True)


def labels(_):
    """Print how many labels bfloat16 changes, and the ARI of both, after a short training on each data set.

    On a processor without bfloat16 the arithmetic is the same, but slow.
    """
    for name, load in DATA_SETS.items():
        data = load()
        genome = Genome("labels", {"net": {**TRAINED, "log_learning_rate": -2.5}})
        trainer = data.trainer(
            genome, 0, iterations=ITERATIONS, validation_interval=ITERATIONS, precision="float32", batch_size=2,
            threads=1, schedule={"kind": "cosine"},
        )  # fmt: skip
        for _ in trainer.run():
            pass
        for image in data.validation:
            volume = ArrayVolume(image.image, image.name)
            found = {
                precision: Predictor([trainer.network], CPU, type=compute_type(precision, CPU))
                .probabilities(volume, image.normalisation, Box.of_shape(volume.shape))
                .argmax(axis=0)
                for precision in ("float32", "bfloat16")
            }
            changed = np.mean(found["float32"] != found["bfloat16"])
            ari = {each: adjusted_rand_score(image.labels.ravel(), p.ravel()) for each, p in found.items()}
            both = ", ".join(f"{each} {value:.4f}" for each, value in ari.items())
            difference = ari["bfloat16"] - ari["float32"]
            print(
                f"  {name:9} {changed:.4%} of {image.labels.size} labels change; ARI {both}, {difference:+.4f}",
                flush=True,
            )
