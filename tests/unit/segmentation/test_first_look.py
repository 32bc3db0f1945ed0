"""A volume is compared with what the ensemble has seen before it is segmented."""

import json
import logging

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from genenet.config.segmentation import Segmentation
from genenet.core.atomic_files import read_json, write_json
from genenet.core.geometry import Box
from genenet.ensembles.ensemble import load_ensemble
from genenet.ensembles.reference import Reference
from genenet.segmentation.first_look import LEAST_TILES, MOST_TILES, TILE, FirstLook
from genenet.volumes import ome_zarr
from genenet.volumes.base import ArrayVolume
from genenet.volumes.grey_values import grey_values
from genenet.volumes.normalisation import Normalisation
from tests.support.ensembles import CPU, job, write_ensemble

RNG = np.random.default_rng(0)
SMOOTH = gaussian_filter(RNG.normal(0, 1, (4, 150, 170)), (0, 2, 2))
IMAGE = (100 + 30 * SMOOTH / SMOOTH.std()).clip(0, 255).astype(np.uint8)
NOISY = np.clip(IMAGE + RNG.normal(0, 60, IMAGE.shape), 0, 255).astype(np.uint8)


def look(image, mask=None, like=None):
    """A first look at an image that is normalised by itself, or as another one."""
    known = (image if like is None else like).astype(float)
    norm = Normalisation.of_volume(float(known.mean()), float(known.std()))
    return FirstLook(ArrayVolume(image, "image"), norm, mask)


@pytest.fixture(params=["volume", "training"])
def folder(tmp_path, request):
    """An ensemble that has seen IMAGE, which is also image.tif."""
    mean, deviation = float(IMAGE.mean()), float(IMAGE.std())
    rule = {"mode": request.param, "mean": mean, "deviation": deviation}
    place = write_ensemble(tmp_path / "ensemble", n_stacks=(1, 0), normalisation=rule)
    ensemble = load_ensemble(place)
    seen = look(IMAGE)
    greys = [grey_values(seen.volume, seen.normalisation).model_dump()]
    predicted = seen.predictions(ensemble.predictor(CPU), None).model_dump()
    description = read_json(place / "ensemble.json")
    write_json(
        place / "ensemble.json", {**description, "reference": {"images": greys, "validation": predicted}}
    )
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, photometric="minisblack")
    return tmp_path


def warnings_of(folder, image=None, parts=1, name="a.ome.zarr", **options):
    """Segment an image in some jobs; return the warnings in the store, and those of each receipt."""
    if image is not None:
        tifffile.imwrite(folder / "image.tif", image, photometric="minisblack")
    receipts = [job(folder, name, **options).run(part, parts) for part in range(1, parts + 1)]
    return ome_zarr.open_store(folder / name).attributes["warnings"], [r.warnings for r in receipts]


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_what_the_ensemble_has_seen_is_not_talked_about(folder, caplog):
    assert warnings_of(folder) == ([], [[]])
    assert said(caplog) == []


def test_noise_is_one_line_in_log_store_and_receipts_whatever_the_number_of_jobs(folder, caplog):
    one, receipts = warnings_of(folder, NOISY)
    assert len(one) == 1
    assert "neighbouring voxels differ" in one[0]
    assert receipts == [one]
    assert said(caplog) == one
    three, receipts = warnings_of(folder, parts=3, name="b.ome.zarr")
    assert (three, receipts) == (one, [one] * 3)
    assert said(caplog) == one * 2  # only the job that creates a store warns


@pytest.mark.parametrize("folder", ["training"], indirect=True)
def test_darker_voxels_are_too_different_if_the_training_image_normalises(folder):
    (line,), _ = warnings_of(folder, (0.5 * IMAGE).astype(np.uint8))
    assert "its normalised grey values are" in line
    assert "of the training images" not in line  # the older check would say the same again


@pytest.mark.parametrize("folder", ["volume"], indirect=True)
def test_darker_voxels_are_no_reason_if_each_volume_is_normalised_by_itself(folder):
    lines, _ = warnings_of(folder, (0.5 * IMAGE).astype(np.uint8))
    assert lines == []


@pytest.mark.parametrize("folder", ["training"], indirect=True)
def test_a_constant_volume_is_warned_of(folder):
    (line,), _ = warnings_of(folder, np.full(IMAGE.shape, 3, np.uint8))
    assert "its normalised grey values are" in line


def test_only_voxels_inside_the_mask_count(folder):
    mask = np.zeros(IMAGE.shape, np.uint8)
    mask[:, 10:140, 10:160] = 1
    tifffile.imwrite(folder / "mask.tif", mask, photometric="minisblack")
    source = {"mask": [folder / "mask.tif"]}
    assert warnings_of(folder, np.where(mask, IMAGE, 255).astype(np.uint8), source=source)[0] == []
    (line,), _ = warnings_of(
        folder, np.where(mask, NOISY, 0).astype(np.uint8), name="b.ome.zarr", source=source
    )
    assert "neighbouring voxels differ" in line


def test_an_ensemble_of_an_older_version_is_not_compared(tmp_path, caplog):
    write_ensemble(tmp_path / "ensemble")
    with caplog.at_level(logging.DEBUG):
        assert warnings_of(tmp_path, NOISY) == ([], [[]])
    assert said(caplog) == []
    assert "image.tif: not compared, an older version made the ensemble" in caplog.text


def test_another_voxel_size_stands_in_the_store_too(folder):
    (line,), _ = warnings_of(folder, source={"voxel_size_nm": (40, 8, 8)})
    assert "has voxels of (40.0, 8.0, 8.0) nm" in line


def test_predictions_do_not_depend_on_tiles_turns_or_threads(folder):
    ensemble = load_ensemble(folder / "ensemble")
    seen = look(IMAGE)
    plain = seen.predictions(ensemble.predictor(CPU), None)
    for settings in ({"turns": True}, {"tile": (1, 40, 40)}, {"disagreement": True}):
        assert seen.predictions(ensemble.predictor(CPU, Segmentation(**settings)), None) == plain


def test_more_tiles_are_drawn_of_a_larger_volume_but_only_so_many():
    def tiles(shape):
        return look(np.broadcast_to(np.uint8([0, 1])[:, None, None], (2, *shape)))._tiles(TILE)

    assert len(tiles((200, 200))) == LEAST_TILES
    assert len(tiles((4000, 4000))) == MOST_TILES
    inside = Box.of_shape((2, 4000, 4000))
    assert all(box.intersect(inside) == box and box.shape == TILE for box in tiles((4000, 4000)))
    assert tiles((50, 60))[0].shape == (1, 50, 60)


def test_the_reference_is_read_as_it_was_written(folder):
    values = json.loads((folder / "ensemble/ensemble.json").read_text())["reference"]
    assert load_ensemble(folder / "ensemble").reference == Reference.model_validate(values)
