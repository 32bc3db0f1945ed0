"""Commands that import no torch, which takes seconds; tried on a finished search.

The figures of the first ones are in docs/benchmarks.md. ``genenet status`` imports even less: its own test says what.
"""

import json
import shutil

import numpy as np
import pytest
import tifffile

from genenet.ensembles.start import write_start
from tests.support import runs
from tests.support.search import ROOT

COMMANDS = {
    "--help": "--help",
    "check": "check config.yaml",
    "generate": "generate --settings generate.json --index 0 --out genome.json",
    "start-weights": "start-weights --settings start.json --out found.json",
    "member": "member --start started.json --index 0 --out genome.json",
    "inspect": "inspect search/genomes/r0/000.json --classes 7",
    "diff": "diff search/genomes/r0/000.json search/genomes/r0/000.json",
    "mutate": "mutate search/genomes/r0/000.json --out child.json",
    "cross": "cross search/genomes/r0/000.json search/genomes/r0/001.json --out child.json",
    "draw": "draw search/genomes/r0/000.json",
    "export": "export search/segmentations/demo.ome.zarr --tiff out.tif",
    "evaluate": "evaluate --segmentation search/segmentations/demo.ome.zarr --settings evaluate.json --out scores.json",
    "report": "report --results search --settings report.json --out report.html",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A search of version 0.1, and what the commands need beside it."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT / "tests/data/version_0.1", folder, dirs_exist_ok=True)
    config = (folder / "config.yaml").read_text()
    config = config.replace("batch_norm: [false, true]", "norm: [none, batch]").replace(
        "results: results", "results: search"
    )
    (folder / "config.yaml").write_text(config)
    tifffile.imwrite(folder / "labels.tif", np.zeros((2, 96, 96), np.uint8), photometric="minisblack")
    image = folder / "search/phantoms/2x96x96-seed3/image.tif"
    volume = {"image": [str(image)], "labels": [str(folder / "labels.tif")], "region": None}
    (folder / "evaluate.json").write_text(json.dumps({"volume": volume, "ignore_label": None}))
    (folder / "generate.json").write_text('{"seed": 1, "regions": {"net": {"n_stacks": [1, 2]}}}')
    (folder / "start.json").write_text(json.dumps({"folder": str(folder / "search")}))
    write_start(folder / "search", folder / "started.json")
    (folder / "report.json").write_text(json.dumps({"volumes": {}}))
    return folder


@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_no_torch(finished, command, monkeypatch):
    monkeypatch.chdir(finished)
    done = runs.run_without("torch", *COMMANDS[command].split())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_all_voxels_are_scored(finished, monkeypatch):
    monkeypatch.chdir(finished)
    assert runs.run(runs.genenet(*COMMANDS["evaluate"].split())).returncode == 0
    assert json.loads((finished / "scores.json").read_text())["n_voxels"] == 2 * 96 * 96
