"""Projects whose files have misleading times: copied without them, or from a clock that is ahead."""

import os
import re
import shutil
import time

from tests.support.search import Search

TRAININGS = [f"results/runs/r0/00{index}/scores.json" for index in range(2)]


def test_a_project_copied_without_its_times_is_not_trained_again(tmp_path):
    (tmp_path / "first").mkdir()
    search = Search(tmp_path / "first", "tiny.yaml")
    large = "data: {train: [{phantom: {shape: [8, 512, 512], seed: 1}}]}"  # its content isn't compared
    search.add("two.yaml", f"search: {{n_genomes: 2}}\n{large}")
    search.snakemake(*TRAININGS)
    shutil.copytree(tmp_path / "first", tmp_path / "second", copy_function=shutil.copy)
    copy = Search(tmp_path / "second")
    copy.configs = [copy.folder / name for name in ("tiny.yaml", "two.yaml")]
    for index, path in enumerate(TRAININGS):  # which were copied before the data
        for output in (copy.folder / path).parent.iterdir():
            os.utime(output, (time.time() - 100 + index,) * 2)
    weights = [(copy.folder / path).with_name("model.safetensors") for path in TRAININGS]
    planned = copy.snakemake("--dry-run", *TRAININGS)
    assert "2 finished trainings (r0/000 …) are older than the prepared images" in planned
    assert re.search(r"train +2\n", planned)
    before = [path.read_bytes() for path in weights]
    copy.snakemake("--touch", *TRAININGS)
    assert "Nothing to be done" in copy.snakemake("--dry-run", *TRAININGS)
    assert [path.read_bytes() for path in weights] == before


def test_an_image_of_the_future_is_refused_with_what_helps(tmp_path):
    search = Search(tmp_path, "tiny.yaml")
    search.snakemake("results/phantoms/2x128x128-seed1/image.tif")
    shutil.copytree(tmp_path / "results/phantoms/2x128x128-seed1", tmp_path / "em")
    os.utime(tmp_path / "em/image.tif", (time.time() + 3 * 3600,) * 2)
    search.add("own.yaml", "data: {train: [{path: em/image.tif, labels: em/labels.tif}]}")
    output = search.snakemake("results/data/train.zarr.zip", check=False)
    assert "genenet: error: em/image.tif: the file's time is in the future (" in output
    assert "touch em/image.tif" in output
    assert not (tmp_path / "results/data").exists()
    os.utime(tmp_path / "em/image.tif")
    search.snakemake("results/data/train.zarr.zip")
