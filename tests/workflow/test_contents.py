"""Corrected labels are noticed by their content, whatever their time is."""

import os
import shutil

import numpy as np
import tifffile

from tests.support.search import Search

TRAIN = "results/data/train.zarr.zip"


def test_corrected_labels_with_an_older_time_and_the_same_size(tmp_path):
    search = Search(tmp_path, "tiny.yaml")
    search.snakemake("results/phantoms/2x128x128-seed1/image.tif")
    shutil.copytree(tmp_path / "results/phantoms/2x128x128-seed1", tmp_path / "em")
    search.add("own.yaml", "data: {train: [{path: em/image.tif, labels: em/labels.tif}]}")
    labels = tifffile.imread(tmp_path / "em/labels.tif")
    tifffile.imwrite(tmp_path / "em/labels.tif", labels, photometric="minisblack")
    search.snakemake(TRAIN)
    for name in ("image.tif", "labels.tif"):
        os.utime(tmp_path / "em" / name)  # as after a copy
    assert "Nothing to be done" in search.snakemake(TRAIN, "--dry-run")
    size = (tmp_path / "em/labels.tif").stat().st_size
    tifffile.imwrite(tmp_path / "em/labels.tif", np.flip(labels, 2), photometric="minisblack")
    os.utime(tmp_path / "em/labels.tif", ns=(10**18, 10**18))
    assert (tmp_path / "em/labels.tif").stat().st_size == size
    planned = search.snakemake(TRAIN, "--dry-run")
    assert "prepare" in planned
    search.snakemake(TRAIN)
    assert "Nothing to be done" in search.snakemake(TRAIN, "--dry-run")
