"""A search whose networks learn the borders of objects: what it leaves, and what reruns what."""

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from tests.support.search import Search

OVERLAY = """
data:
  classes: [ground, cell]
  ignore_label: null
  voxel_size_nm: [40, 10, 10]
  train: [{path: train.tif, instances: {cell: {path: train_ids.tif}}}]
  validation: [{path: validation.tif, instances: {cell: {path: validation_ids.tif}}}]
  test: [{path: test.tif, instances: {cell: {path: test_ids.tif}}}]
  volumes:
    demo: {path: test.tif, mask: mask.tif}
training: {iterations: 60, validation_interval: 30, batch_size: 4}
search: {regions: {net: {n_convkernels: [6, 8], input_size: [48, 48]}}}
ensemble: {size: 2, strategy: best_objects}
segmentation: {block: [1, 64, 64], jobs: 1}
"""


OUTSIDE = 20  # columns that the mask leaves out


def write_cells(folder, name, shape, seed):
    """Bright cells that touch, with dark membranes inside of their edges."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (30, 2)) * shape[1:]
    places = np.stack(np.meshgrid(*map(np.arange, shape[1:]), indexing="ij"), axis=-1)[:, :, None]
    distance = np.sqrt(((places - centres) ** 2).sum(axis=-1))
    nearest, second = np.sort(distance, axis=-1)[..., :2].transpose(2, 0, 1)
    ids = np.where(nearest < 14, distance.argmin(axis=-1) + 1, 0)
    grey = np.where(ids == 0, 200.0, np.where(second - nearest < 4, 40, 120))
    image = gaussian_filter(grey, 0.7) + rng.normal(0, 8, (shape[0], *shape[1:]))
    tifffile.imwrite(folder / f"{name}.tif", image.clip(0, 255).astype(np.uint8), photometric="minisblack")
    stack = np.broadcast_to(ids, shape).astype(np.uint16)
    tifffile.imwrite(folder / f"{name}_ids.tif", stack, photometric="minisblack")


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    made = Search(tmp_path_factory.mktemp("objects"), "small.yaml")
    made.add("objects.yaml", OVERLAY)
    for seed, (name, shape) in enumerate(
        {"train": (2, 128, 128), "validation": (2, 96, 128), "test": (3, 100, 120)}.items()
    ):
        write_cells(made.folder, name, shape, seed)
    mask = np.ones((3, 100, 120), np.uint8)
    mask[:, :, :OUTSIDE] = 0
    tifffile.imwrite(made.folder / "mask.tif", mask, photometric="minisblack")
    made.snakemake()
    return made


def test_objects_are_found_listed_and_scored(search):
    receipt = json.loads((search.results / "segmentations/demo/instances.json").read_text())
    n = receipt["classes"]["cell"]["objects"]
    labels = zarr.open(search.results / "segmentations/demo.ome.zarr")["labels/instances_cell/0"][:]
    assert labels.max() == n > 5
    with (search.results / "segmentations/demo.instances_cell.csv").open() as file:
        assert len(list(csv.DictReader(file))) == n
    with (search.results / "segmentations/demo.contacts_cell.csv").open() as file:
        contacts = list(csv.DictReader(file))
    assert len(contacts) == receipt["classes"]["cell"]["contacts"] > 0
    scores = json.loads((search.results / "test_scores.json").read_text())["objects"]["cell"]
    # cells that touch are one component, but several objects
    assert scores["scores"]["metrics"]["f1"] > scores["components"]["metrics"]["f1"]
    assert scores["scores"]["metrics"]["n_merged"] < scores["components"]["metrics"]["n_merged"]
    description = json.loads((search.results / "ensemble/ensemble.json").read_text())
    assert description["objects"] == [{"name": "cell", "of": ["cell"]}]
    assert description["strategy"] == "best_objects"
    tuned = description["tuned_objects"]["cell"]
    assert {name: receipt["classes"]["cell"][name] for name in ("seed", "extent", "overlap")} == {
        name: tuned[name] for name in ("seed", "extent", "overlap")
    }


def test_no_object_lies_outside_of_the_mask(search):
    store = zarr.open(search.results / "segmentations/demo.ome.zarr")
    names = dict(store.attrs)["genenet"]["channels"]
    for name in ("object cell", "border cell"):
        channel = np.asarray(store["0"][names.index(name)])
        assert not channel[:, :, :OUTSIDE].any()
        assert channel[:, :, OUTSIDE:].any()
    assert not store["labels/instances_cell/0"][:, :, :OUTSIDE].any()
    assert store["labels/instances_cell/0"][:, :, OUTSIDE : OUTSIDE + 10].any()


def test_classes_stay_two_and_borders_belong_to_theirs(search):
    attributes = dict(zarr.open(search.results / "segmentations/demo.ome.zarr").attrs)["genenet"]
    assert attributes["classes"] == ["ground", "cell"]
    assert attributes["channels"] == ["uncertainty", "disagreement", "object cell", "border cell"]
    assert set(np.unique(tifffile.imread(search.results / "segmentations/demo.tif"))) <= {0, 1}


def test_each_network_s_objects_are_in_its_scores_and_in_the_ranking(search):
    with (search.results / "ranking.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert len(rows) == 2
    for run, row in rows.items():
        scores = json.loads((search.results / f"runs/{run}/scores.json").read_text())["objects"]["cell"]
        assert float(row["panoptic_quality of cell"]) == scores["metrics"]["panoptic_quality"]
    members = json.loads((search.results / "ensemble/ensemble.json").read_text())["members"]
    genomes = [row for run, row in rows.items() if not run.startswith("baselines/")]
    best = max(genomes, key=lambda row: float(row["panoptic_quality of cell"]))
    assert best["run"] in [member["run"] for member in members]


def test_the_report_shows_the_objects(search):
    report = (search.results / "report.html").read_text()
    assert "Objects of class cell" in report
    assert "Contacts" in report


@pytest.mark.parametrize(
    ("overlay", "jobs"),
    [
        ("", {}),
        (
            "segmentation: {instances: {seed: 0.6}}",
            {"settings": 1, "instances": 1, "export": 1, "report": 1, "all": 1},
        ),
        (
            "ensemble: {object_metric: f1}",
            {
                "settings": 1,
                "select": 1,
                "test": 1,
                "segment": 1,
                "instances": 1,
                "export": 1,
                "report": 1,
                "all": 1,
            },
        ),
    ],
)
def test_what_reruns_what(search, overlay, jobs):
    assert search.planned(*filter(None, [overlay])) == jobs
