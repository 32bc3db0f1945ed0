"""Boxes of a segmented volume, with an ensemble of random networks."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
import torch

from genenet.config.labelling import SuggestionSettings
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.labelling.segmented import SegmentedVolume
from genenet.labelling.suggestion import DISAGREEMENT, SuggestionJob
from genenet.volumes.boxes import read_boxes, read_volume_of_boxes
from genenet.volumes.opening import open_volume
from tests.support import runs
from tests.support.ensembles import arrays, job, write_ensemble, write_image
from tests.support.runs import fails

CPU = torch.device("cpu")
SHAPE = (6, 70, 90)
SIZE = (2, 24, 24)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an ensemble, an image, and its segmentation, a.ome.zarr."""
    folder = tmp_path_factory.mktemp("suggest")
    write_ensemble(folder / "ensemble", n_stacks=(1, 2), net={"norm": 3})
    write_image(folder, SHAPE)
    job(folder, disagreement=True, probabilities=False, precision="uint8").run()
    return folder


def suggested(folder, out, store="a.ome.zarr", labelled=(), channel=DISAGREEMENT, **settings):
    wanted = SuggestionSettings(**{"n": 4, "size": SIZE, **settings})
    volume, ensemble = SegmentedVolume.of(folder / store), load_ensemble(folder / "ensemble")
    return SuggestionJob(volume, ensemble, wanted, CPU, out, channel, labelled).run()


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_each_box_has_image_prediction_and_uncertainty(made, tmp_path):
    rows = suggested(made, tmp_path / "boxes")
    assert len(rows) == 4
    image, (channels, labels) = tifffile.imread(made / "image.tif"), arrays(made / "a.ome.zarr")
    for row in rows:
        part = row.place.slices
        assert np.array_equal(tifffile.imread(row.image(tmp_path / "boxes")), image[part])
        for path in (row.labels(tmp_path / "boxes"), row.prediction(tmp_path / "boxes")):
            assert np.array_equal(tifffile.imread(path), labels[part])
        assert np.array_equal(tifffile.imread(row.uncertainty(tmp_path / "boxes")), channels[0][part])
    assert [row.place for row in read_boxes(tmp_path / "boxes")] == [row.place for row in rows]
    volume = read_volume_of_boxes(tmp_path / "boxes")
    facts = json.loads((made / "a.ome.zarr/zarr.json").read_text())["attributes"]["genenet"]
    assert volume.statistics.mean == facts["mean"]
    assert volume.statistics.norm_statistics == facts["norm_statistics"]
    assert len(volume.statistics.norm_statistics) == 2
    assert (tmp_path / "boxes/boxes.png").read_bytes().startswith(b"\x89PNG")


def test_a_tiff_knows_its_place(made, tmp_path):
    row = suggested(made, tmp_path / "boxes")[-1]
    for path in (row.image(tmp_path / "boxes"), row.labels(tmp_path / "boxes")):
        grid = open_volume(path, is_grey=path == row.image(tmp_path / "boxes")).grid
        assert grid.sizes_nm == pytest.approx((40.0, 10.0, 10.0))
        assert grid.translation_nm == pytest.approx((40.0 * row.z, 10.0 * row.y, 10.0 * row.x))


def test_the_same_call_writes_the_same_bytes(made, tmp_path):
    for name in ("a", "b"):
        suggested(made, tmp_path / name)
    first, second = files(tmp_path / "a"), files(tmp_path / "b")
    assert first == second


def test_scores_are_the_boxes_means(made, tmp_path):
    rows = suggested(made, tmp_path / "boxes", balance=0.0, diversity=0.0)
    disagreement = arrays(made / "a.ome.zarr")[0][1] / 255
    means = [disagreement[row.place.slices].mean() for row in rows]
    assert [row.score for row in rows] == pytest.approx(means, rel=1e-4)
    assert means == sorted(means, reverse=True)
    assert f"disagreement {means[0]:.3f}" in rows[0].reason


def test_rare_classes_count_more(made, tmp_path):
    labels = arrays(made / "a.ome.zarr")[1]
    shares = np.bincount(labels.ravel(), minlength=3) / labels.size
    rarest = int(np.where(shares > 0.002, shares, 1).argmin())

    def found(name, **settings):
        rows = suggested(made, tmp_path / name, diversity=0.0, n=2, **settings)
        return np.mean([(labels[row.place.slices] == rarest).mean() for row in rows])

    assert found("much", balance=1.0) >= found("none", balance=0.0)


def test_a_region_and_a_mask_are_kept_to(made, tmp_path):
    folder = tmp_path
    shutil.copytree(made / "ensemble", folder / "ensemble")
    shutil.copy(made / "image.tif", folder)
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 10:60, 5:70] = 1
    tifffile.imwrite(folder / "mask.tif", mask, photometric="minisblack")
    region = [[2, 6], None, [20, 90]]
    source = {"region": region, "mask": [folder / "mask.tif"]}
    job(folder, source=source, disagreement=True, probabilities=False).run()
    rows = suggested(folder, folder / "boxes", n=20)
    assert 0 < len(rows) < 20
    image = tifffile.imread(folder / "image.tif")
    for row in rows:
        assert mask[row.place.slices].all()
        assert row.z >= 2
        assert np.array_equal(tifffile.imread(row.image(folder / "boxes")), image[row.place.slices])
    with pytest.raises(InputError, match=r"no box of .* lies inside the mask, at most \d+% of one"):
        suggested(folder, folder / "b", size=(2, 60, 60))


def test_what_is_labelled_is_not_suggested_again(made, tmp_path):
    first = suggested(made, tmp_path / "one")
    labelled = [row.place for row in first]
    second = suggested(made, tmp_path / "two", labelled=labelled)
    for box in (row.place for row in second):
        assert not any(min(box.intersect(other).shape) > 0 for other in labelled)
    with pytest.raises(InputError, match="is left beside those that are labelled"):
        suggested(made, tmp_path / "three", labelled=[Box.of_shape(SHAPE)])


def test_boxes_are_not_larger_than_the_volume(made, tmp_path, caplog):
    rows = suggested(made, tmp_path / "boxes", size=(16, 24, 24), n=1)
    assert rows[0].place.shape == (6, 24, 24)
    assert "--size 16 x 24 x 24 doesn't fit" in caplog.text


def test_a_folder_that_exists_is_never_replaced(made, tmp_path):
    suggested(made, tmp_path / "boxes")
    before = files(tmp_path / "boxes")
    with pytest.raises(InputError, match="exists, and a person may have labelled its boxes"):
        suggested(made, tmp_path / "boxes", seed=1)
    assert files(tmp_path / "boxes") == before


@pytest.mark.process
def test_an_image_is_segmented_first(made, tmp_path):
    """The boxes are the same as those of a segmentation, and nothing else is left."""
    options = ["-n", 3, "--size", "2,24,24", "--threads", 1]
    for source, out in (("image.tif", "a"), ("a.ome.zarr", "b")):
        done = runs.run(
            runs.genenet(
                "suggest", made / source, "--ensemble", made / "ensemble", "--out", tmp_path / out, *options
            )
        )
        assert done.returncode == 0, done.stderr
        assert "box_03  z " in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.process
def test_a_store_without_disagreement_is_segmented_again(made, tmp_path):
    job(made, name="plain.ome.zarr", probabilities=False).run()
    command = runs.genenet("suggest", made / "plain.ome.zarr", "--ensemble", made / "ensemble", "-n", 2)
    done = runs.run([*command, "--size", "2x24x24", "--out", str(tmp_path / "a")])
    assert done.returncode == 0, done.stderr
    assert "has no channel disagreement, so its image is segmented again" in done.stderr
    done = runs.run([*command, "--size", "2x24x24", "--out", str(tmp_path / "b"), "--by", "entropy"])
    assert done.returncode == 0, done.stderr
    assert "segmented again" not in done.stderr
    table = list(csv.DictReader((tmp_path / "b/boxes.csv").read_text().splitlines()))
    assert table[0]["reason"].startswith("uncertainty ")
    assert {row["reviewed"] for row in table} == {""}


@pytest.mark.process
def test_what_is_wrong_is_one_line(made, tmp_path):
    def suggest(*arguments):
        out = ["--out", tmp_path / "boxes"]
        return runs.genenet("suggest", *arguments, "--ensemble", made / "ensemble", *out)

    fails(
        suggest(made / "image.tif", "--by", "luck"),
        "'luck' is no way to choose boxes; known are disagreement",
    )
    fails(suggest(made / "image.tif", "--size", "16,256"), "give voxels along z, y and x")
    fails(suggest(made / "image.tif", "--labelled", made), "neither a folder of boxes")
    store = tmp_path / "old.ome.zarr"
    shutil.copytree(made / "a.ome.zarr", store)
    document = json.loads((store / "zarr.json").read_text())
    del document["attributes"]["genenet"]["source"]
    (store / "zarr.json").write_text(json.dumps(document))
    fails(suggest(store), "an older version made it, which didn't record the image; add --image")
    fails(suggest(store, "--image", made / "nowhere.tif"), "nowhere.tif: no such file")
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((6, 70, 91), np.uint8), photometric="minisblack")
    fails(suggest(store, "--image", tmp_path / "other.tif"), "suggest needs the image that was segmented")
    done = runs.run(suggest(store, "--image", made / "image.tif", "-n", 1, "--size", "2,24,24"))
    assert done.returncode == 0, done.stderr
    write_ensemble(tmp_path / "of_two", classes=["a", "b"])
    command = runs.genenet("suggest", made / "a.ome.zarr", "--ensemble", tmp_path / "of_two")
    fails([*command, "--out", str(tmp_path / "c")], "its classes are background, cell, organelle")


@pytest.mark.process
def test_one_network_does_not_disagree(made, tmp_path):
    write_ensemble(tmp_path / "ensemble")
    command = runs.genenet("suggest", made / "image.tif", "--ensemble", tmp_path / "ensemble", "-n", 1)
    done = runs.run([*command, "--size", "2,24,24", "--out", str(tmp_path / "boxes")])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("can't disagree with itself: its entropy is used") == 1
