"""Phantoms whose objects are numbered."""

import numpy as np
import tifffile

from genenet.phantoms.phantom import CLASSES
from tests.support.search import Search

IMAGE = "{phantom: {shape: [2, 96, 96], seed: %d, touching: true, noise: 1.5}, instances: {cell: {of: [%s]}}}"


def test_networks_learn_from_numbered_objects(tmp_path):
    search = Search(tmp_path, "small.yaml")
    train, validation = (IMAGE % (seed, ", ".join(CLASSES[1:])) for seed in (1, 2))
    search.add("objects.yaml", f"data: {{train: [{train}], validation: [{validation}]}}")
    search.snakemake("results/data/train.zarr.zip")
    folder = tmp_path / "results/phantoms/2x96x96-seed1-touching-noise1.5"
    assert {path.name for path in folder.iterdir()} >= {"instances_cell.tif", "instances_alpha_granule.tif"}
    cells, labels = (tifffile.imread(folder / f"{kind}.tif") for kind in ("instances_cell", "labels"))
    np.testing.assert_array_equal(cells > 0, labels > 0)
