"""The round of docs/labelling.md, each command as it stands there, on a phantom."""

import re
import shlex

import pytest
import tifffile
import yaml

from genenet.config.model import check_config
from genenet.core.geometry import Box
from genenet.phantoms.phantom import CLASSES
from genenet.volumes.ome_zarr import open_store
from genenet.volumes.opening import open_volume
from tests.support import runs
from tests.support.configs import ROOT
from tests.support.ensembles import write_ensemble

PAGE = (ROOT / "docs/labelling.md").read_text()
ROUND = PAGE.partition("## A round")[2].partition("\n## ")[0]
ADAPT = PAGE.partition("## Adapt to another volume")[2].partition("\n## ")[0]


@pytest.mark.process
def test_the_round_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ensemble(tmp_path / "results/ensemble", n_stacks=(1, 1), classes=CLASSES)
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    said = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```", ROUND, re.M | re.S):
        if language == "python":
            exec(block, {})
            continue
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[0] == "genenet"
            done = runs.run(runs.genenet(*words[1:]))
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    assert len(said) == 3
    assert "box_04  z " in said[1]
    assert "corrections.ome.zarr: 3 labelled boxes; all other voxels are 255" in said[2]
    lines = yaml.safe_load(said[2].partition("lines for config.yaml:")[2])["data"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["data"]["ignore_label"] = lines["ignore_label"]
    config["data"]["train"] += lines["train"]
    (_, corrected) = check_config(config).data.train
    truth = tifffile.imread("truth.tif")
    labels = open_volume(corrected.labels, is_grey=False).read(Box.of_shape(truth.shape))
    labelled = labels != lines["ignore_label"]
    assert labelled.sum() == 3 * 4 * 128 * 128
    assert (labels[labelled] == truth[labelled]).all()
    for line in re.findall(r"^genenet .*", ADAPT, re.M):  # the boxes of the round serve another purpose, too
        done = runs.run(runs.genenet(*shlex.split(line)[1:]))
        assert done.returncode == 0, done.stderr
        if "adapt" in line:
            assert "on 3 boxes, each of which was left out of the training once:" in done.stdout
            assert "ensemble_new: 2 networks with a new head, temperature " in done.stdout
    facts = open_store(tmp_path / "volume.ome.zarr").attributes
    assert facts["temperature"] > 0
