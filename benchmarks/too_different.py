"""How well it can be told, without labels, that an ensemble won't do on a volume what it did on its validation images.

python benchmarks/too_different.py                   print the tables of the cells that are done
python benchmarks/too_different.py run [--data mito flyem] [--seeds 1]

One cell is a data set: two networks of preset: modern are trained for 30 s of the processor each. Their ensemble then
segments many volumes: its own validation and test images, quarters of them, the same images inverted, blurred, with
noise, with other contrast or voxel sizes, darker or brighter by the statistics of the training image, and the test
images of the other sets. Of each volume the cell records what can be seen without labels (quantiles of the normalised
grey values, differences of neighbouring voxels, predicted classes and uncertainty by part of the image), and, where
the classes mean the same, the scores against the labels. Cells in benchmarks/data/too_different.json aren't computed
again, so an interrupted run continues. All limits are chosen from the recorded numbers, without another training.

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

import cells
from bench_tools import ROOT
from genenet.ensembles.reference import Predictions, Reference
from genenet.metrics.calibration import best_temperature, with_temperature
from genenet.metrics.contingency import Contingency, scores
from genenet.volumes.base import ArrayVolume
from genenet.volumes.grey_values import grey_values
from other_volumes import SETS, volumes
from peers import recipe
from recipe import genomes_of, iterations_in, maker, probabilities, trained, where

SECONDS, N_NETWORKS, VALIDATIONS = 30, 2, 2
GRID = 4  # an image is cut into GRID x GRID parts, whose classes are recorded one by one
QUANTILES = (1, *range(5, 100, 5), 99)
LAGS = (1, 2, 4, 8)
SAMPLED = 100_000  # voxels that the temperature is fitted on


def grey_facts(image):
    """Return quantiles of the normalised grey values, and mean differences of neighbours at some distances."""
    voxels = image.normalisation.apply(image.image, 0)
    differences = [
        float(
            (
                np.abs(voxels[:, lag:] - voxels[:, :-lag]).mean()
                + np.abs(voxels[:, :, lag:] - voxels[:, :, :-lag]).mean()
            )
            / 2
        )
        for lag in LAGS
    ]
    return {"quantiles": rounded(np.percentile(voxels, QUANTILES)), "differences": rounded(differences)}


def rounded(values):
    """Round numbers to four digits, so that the file stays small."""
    return [float(f"{value:.4g}") for value in np.ravel(values)]


def predicted_facts(p, temperature):
    """Return, by part of the image, the share of each class, and the mean entropy and uncertainty.

    Args:
        p: (C, Z, Y, X) class probabilities.
        temperature: of the ensemble.
    """
    _, _, height, width = p.shape
    found = {"shares": [], "entropy": [], "uncertainty": [], "tempered": []}
    for rows, columns in np.ndindex(GRID, GRID):
        part = p[
            ...,
            rows * height // GRID : (rows + 1) * height // GRID,
            columns * width // GRID : (columns + 1) * width // GRID,
        ]
        counts = np.bincount(part.argmax(axis=0).ravel(), minlength=len(p))
        found["shares"].append(rounded(counts / counts.sum()))
        found["entropy"].append(
            float(-(part * np.log(np.maximum(part, 1e-9))).sum(axis=0).mean() / np.log(len(p)))
        )
        found["uncertainty"].append(float(1 - part.max(axis=0).mean()))
        found["tempered"].append(float(1 - with_temperature(part, temperature).max(axis=0).mean()))
    return {key: values if key == "shares" else rounded(values) for key, values in found.items()}


def scores_of(labels, p):
    """Return ARI, mean IoU and accuracy of class probabilities (C, Z, Y, X)."""
    table = Contingency.empty(len(p))
    table.add(labels, p.argmax(axis=0))
    found = scores(table)
    return {
        "ari": found["ari"],
        "mean_iou": found["mean_iou"],
        "correct": float((labels == p.argmax(axis=0)).mean()),
    }


def networks(data, seed):
    """Return the trained networks, each with its iterations and seconds."""
    smallest = min(min(image.image.shape[1:]) for image in data.train)
    found = []
    for genome in genomes_of(recipe(), smallest, seed, N_NETWORKS):
        make = maker(data, genome, recipe(), seed, VALIDATIONS)
        n = iterations_in(make, SECONDS, VALIDATIONS)
        trainer, used = trained(make, n)
        found.append((trainer, {"id": genome.id, "iterations": n, "seconds": round(used, 1)}))
    return found


def cell(data_name, networks_name, seed):
    """Compute one cell."""
    data = SETS[data_name]("image")
    members = networks(data, seed)

    def mean_of(image):
        return (
            np.mean([probabilities(trainer, image) for trainer, _ in members], axis=0, dtype=np.float32) / 255
        )

    (validation,) = data.validation
    p = mean_of(validation)
    chosen = np.random.default_rng(0).random(validation.labels.shape) * validation.labels.size < SAMPLED
    temperature = best_temperature(validation.labels[chosen], p[:, chosen])
    found = [
        {
            "volume": volume.name,
            **grey_facts(volume.image),
            **predicted_facts(q := mean_of(volume.image), temperature),
            "scores": scores_of(volume.image.labels, q) if volume.has_labels else None,
        }
        for volume in volumes(data_name, data)
    ]
    return {
        "data": data_name,
        "networks": networks_name,
        "seed": seed,
        **where(),
        "members": [facts for _, facts in members],
        "temperature": temperature,
        "references": [grey_facts(image) for image in [*data.train, validation]],
        "validation": {**predicted_facts(p, temperature), "scores": scores_of(validation.labels, p)},
        "volumes": found,
        "test": next(each["scores"] for each in found if each["volume"] == "test"),
    }


class Cells(cells.Cells):
    """The cells, and the table of warnings."""

    def print_table(self, data_sets, variants):
        """Print how often genenet warns of volumes on which an ensemble is as good as on validation, and of others."""
        found = [each for cell in self.read().values() for each in judged(cell)]
        print("| volumes | as on validation: warned of | worse: warned of | no score: warned of | reasons |")
        print("|---|---|---|---|---|")
        for group in [*dict.fromkeys(each.group for each in found), "all"]:
            of_group = [each for each in found if group in (each.group, "all")]
            columns = [counted([e for e in of_group if e.is_worse is worse]) for worse in (False, True, None)]
            reasons = Counter(reason for each in of_group for reason in each.reasons)
            text = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
            print("|", " | ".join([group, *columns, text]), "|")


def counted(volumes):
    """Return how many volumes are warned of, of how many."""
    return f"{sum(bool(each.reasons) for each in volumes)} of {len(volumes)}" if volumes else ""


@dataclass(frozen=True)
class Judged:
    """A volume: whether the ensemble is worse on it than on validation (None: no score), and why it is warned of."""

    group: str
    is_worse: bool | None
    reasons: list[str]


def judged(cell):
    """Yield the volumes of a cell; grey values are measured anew, so they are those that genenet measures."""
    data = SETS[cell["data"]]("image")
    seen = Reference(
        images=[greys_of(image) for image in [*data.train, *data.validation]],
        validation=predictions(cell["validation"]),
    )
    recorded = {each["volume"]: each for each in cell["volumes"]}
    classes = [str(i) for i in range(data.n_classes)]
    for volume in volumes(cell["data"], data):
        of = recorded[volume.name]
        line = seen.warning("", classes, greys_of(volume.image), predictions(of)) or ""
        reasons = [reason for reason, text in REASONS.items() if text in line]
        least = WORSE * cell["validation"]["scores"]["mean_iou"]
        is_worse = of["scores"]["mean_iou"] < least if of["scores"] else None
        yield Judged(group_of(volume), is_worse, reasons)


WORSE = 0.8  # of the mean IoU on validation
REASONS = {
    "grey values": "grey values are",
    "neighbours": "neighbouring voxels",
    "inverse": "inverse",
    "classes": "predicted classes",
    "uncertainty": "mean uncertainty",
}


def group_of(volume):
    """Return the row of a volume in the table."""
    split, *changes = volume.name.split(", ")
    if split not in ("validation", "test"):
        return "another set, same classes" if volume.has_labels else "another tissue"
    if changes[:1] == ["by training"]:
        return "normalised by training" + ", darker or brighter" * (len(changes) > 1)
    kind = changes[0].split()[0] if changes else "as it is"
    kind = {
        "gamma": "other contrast",
        "other": "other contrast",
        "voxels": "other voxel size",
        "quarter": "quarters",
    }.get(kind, kind)
    return f"{split}, {kind}" if kind in ("as it is", "quarters") else kind


def greys_of(image):
    """Return the grey values of an image as genenet measures them."""
    return grey_values(ArrayVolume(image.image, image.name), image.normalisation)


def predictions(of):
    """Return the predictions that a cell has recorded by part, for the whole volume."""
    shares = np.mean(of["shares"], axis=0).tolist()
    return Predictions(class_shares=shares, uncertainty=float(np.mean(of["tempered"])))


CELLS = Cells(ROOT / "benchmarks/data/too_different.json", "networks", "modern")

if __name__ == "__main__":
    cells.main(__doc__, CELLS, cell, SETS, ["modern"])
