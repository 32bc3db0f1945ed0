"""Volumes with a mask."""

import numpy as np
import pytest
import tifffile

from genenet.config.settings import ImageFiles
from genenet.core.errors import InputError
from genenet.segmentation.evaluation import evaluate_store
from genenet.segmentation.pipeline import Pipeline
from tests.support.ensembles import arrays, job, write_ensemble, write_image

CENTRE = np.uint8(127)  # the mean of write_ensemble


@pytest.fixture
def folder(tmp_path):
    write_ensemble(tmp_path / "ensemble", mode="training")  # so that the mask changes no statistics
    image = write_image(tmp_path)
    mask = np.zeros((4, 70, 90), np.uint16)
    mask[:2, 10:40, 70:] = 300
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack", compression="zlib")
    tifffile.imwrite(tmp_path / "centred.tif", np.where(mask, image, CENTRE), photometric="minisblack")
    return tmp_path


@pytest.mark.parametrize("region", [None, (None, (5, 70), (3, 90))])
@pytest.mark.parametrize("precision", ["uint8", "float16"])
def test_outside_of_the_mask_all_is_0_and_inside_it_the_outside_is_the_centre(
    folder, region, precision, monkeypatch
):
    job(folder, "plain.ome.zarr", image="centred.tif", source={"region": region}, precision=precision).run()
    checked, blocks = Pipeline._checked, []

    def counted(self, box, voxels):
        blocks.append(box)
        return checked(self, box, voxels)

    monkeypatch.setattr(Pipeline, "_checked", counted)
    source = {"region": region, "mask": [folder / "mask.tif"]}
    receipt = job(folder, source=source, precision=precision).run()
    assert receipt.written == receipt.blocks == 2 * 3 * 2
    assert len(blocks) == 2  # of one layer, the upper two of the right blocks
    cut = tuple(slice(*i) if i else slice(None) for i in region or (None,) * 3)
    inside = tifffile.imread(folder / "mask.tif")[cut] > 0
    (plain, plain_labels), (channels, labels) = (
        arrays(folder / name) for name in ("plain.ome.zarr", "a.ome.zarr")
    )
    np.testing.assert_array_equal(labels, np.where(inside, plain_labels, 0))
    np.testing.assert_array_equal(channels, np.where(inside, plain, 0))
    assert channels.dtype == precision
    assert plain_labels.any()


def test_another_mask_makes_the_store_anew(folder):
    source = {"mask": [folder / "mask.tif"]}
    job(folder, source=source).run()
    assert job(folder, source=source).run().written == 0
    mask = tifffile.imread(folder / "mask.tif")
    tifffile.imwrite(folder / "mask.tif", mask[:, ::-1], photometric="minisblack")
    assert job(folder, source=source).run().kept == 0


def test_the_masks_outside_is_not_scored(folder):
    files = ImageFiles(
        image=[folder / "image.tif"],
        labels=[folder / "labels.tif"],
        region=None,
        mask=[folder / "mask.tif"],
    )
    job(folder, source={"mask": files.mask}).run()
    tifffile.imwrite(folder / "labels.tif", arrays(folder / "a.ome.zarr")[1], photometric="minisblack")
    scores = evaluate_store(folder / "a.ome.zarr", files, None)
    assert scores["n_voxels"] == (tifffile.imread(folder / "mask.tif") > 0).sum()


def test_a_mask_that_does_not_fit(folder):
    tifffile.imwrite(folder / "mask.tif", np.ones((4, 70, 80), "u1"), photometric="minisblack")
    with pytest.raises(InputError, match=r"mask\.tif: its shape 4 x 70 x 80 isn't that of .*image\.tif"):
        job(folder, source={"mask": [folder / "mask.tif"]}).run()
    tifffile.imwrite(folder / "mask.tif", np.ones((4, 70, 90), "f4"), photometric="minisblack")
    with pytest.raises(InputError, match=r"mask\.tif: the mask is float32; save it as integers"):
        job(folder, source={"mask": [folder / "mask.tif"]}).run()
