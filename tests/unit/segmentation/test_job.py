import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles
from genenet.core.atomic_files import write_json
from genenet.core.errors import InputError
from genenet.core.geometry import Box, blocks_of
from genenet.ensembles.ensemble import load_ensemble
from genenet.metrics.calibration import with_temperature
from genenet.networks import device
from genenet.networks.predictor import Predictor
from genenet.segmentation.channels import entropy, tempered, uncertainty
from genenet.segmentation.evaluation import evaluate_store
from genenet.segmentation.job import SegmentationJob, share
from genenet.volumes import ome_zarr
from genenet.volumes.base import ArrayVolume
from genenet.volumes.formats import natural_order
from genenet.volumes.normalisation import Normalisation
from tests.support import runs
from tests.support.ensembles import arrays, job, write_ensemble, write_image

CPU = torch.device("cpu")


def write_inputs(folder):
    """An ensemble of two networks and an image file of 5 x 70 x 90 voxels."""
    write_ensemble(folder / "ensemble", n_stacks=(1, 2))
    write_image(folder, (5, 70, 90))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_inputs(tmp_path)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The inputs and what was made of them: a.ome.zarr, and the receipt of the job."""
    place = write_inputs(tmp_path_factory.mktemp("segmented"))
    return place, job(place).run()


@pytest.fixture
def segmented(once, tmp_path):
    """A copy of a folder with the inputs and a.ome.zarr."""
    return shutil.copytree(once[0], tmp_path, dirs_exist_ok=True)


def test_the_store_holds_the_ensembles_mean_probabilities(once):
    folder, receipt = once
    image = tifffile.imread(folder / "image.tif")
    channels, labels = arrays(folder / "a.ome.zarr")
    norm = Normalisation.of_volume(image.mean(), image.std())
    networks = load_ensemble(folder / "ensemble").networks
    box = Box.of_shape(image.shape)
    each = [Predictor([n], CPU).probabilities(ArrayVolume(image, "i"), norm, box) for n in networks]
    expected = np.mean(each, axis=0)
    assert np.abs(channels[1:] - expected).max() < 1e-5
    assert np.array_equal(labels, channels[1:].argmax(0))
    assert np.allclose(channels[0], entropy(torch.from_numpy(channels[1:])), atol=1e-6)
    assert (receipt.blocks, receipt.written, receipt.voxels) == (18, 18, image.size)
    assert set(receipt.seconds_by_stage) == {"read", "normalise", "compute", "combine", "write"}
    assert 0 < receipt.seconds_by_stage["compute"] < receipt.seconds_computing * len(os.sched_getaffinity(0))


def test_a_temperature_changes_probabilities_and_uncertainty_but_no_label(segmented):
    folder = segmented
    scores = {"expected_calibration_error": 0.1, "brier": 0.2}
    calibration = {"temperature": 2.0, "before": scores, "after": scores}
    write_ensemble(folder / "ensemble", n_stacks=(1, 2), calibration=calibration)
    job(folder, "warm.ome.zarr").run()
    (plain, labels), (warm, labels_warm) = (arrays(folder / f"{name}.ome.zarr") for name in ("a", "warm"))
    assert np.array_equal(labels, labels_warm)
    assert warm[1:] == pytest.approx(with_temperature(plain[1:], 2), abs=1e-5)
    assert warm[0] == pytest.approx(1 - warm[1:].max(axis=0), abs=1e-6)
    facts = [ome_zarr.open_store(folder / f"{name}.ome.zarr").attributes for name in ("a", "warm")]
    assert [each["temperature"] for each in facts] == [None, 2]
    assert [each["uncertainty"] for each in facts] == ["entropy", "1 - largest probability"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"block": (5, 128, 128)}, {"tile": (1, 16, 16)}, {"block": (1, 17, 23), "tile": (2, 30, 30)}]
)
def test_any_block_and_tile_give_the_same(segmented, settings):
    folder = segmented
    job(folder, "b.ome.zarr", **settings).run()
    (a, labels_a), (b, labels_b) = arrays(folder / "a.ome.zarr"), arrays(folder / "b.ome.zarr")
    assert np.abs(a - b).max() < 1e-5
    best = np.sort(a[1:], axis=0)
    clear = best[-1] - best[-2] > 1e-4
    assert np.array_equal(labels_a[clear], labels_b[clear])


def assert_equal(store, other):
    for a, b in zip(arrays(store), arrays(other), strict=True):
        assert np.array_equal(a, b)


def test_jobs_in_any_order_fill_one_store(segmented):
    for part in (3, 1, 2):
        job(segmented, "parts.ome.zarr").run(part, 3)
    assert_equal(segmented / "a.ome.zarr", segmented / "parts.ome.zarr")


@pytest.mark.parametrize("mask", [False, True])
def test_jobs_share_the_statistics_of_the_norms_whatever_their_tiles(tmp_path, mask):
    write_ensemble(tmp_path / "ensemble", n_stacks=(1, 2), net={"norm": "instance"})
    shape = write_image(tmp_path, (5, 70, 90)).shape
    inside = np.zeros(shape, np.uint8)
    inside[1:, 20:60] = 1
    tifffile.imwrite(tmp_path / "mask.tif", inside, photometric="minisblack")
    source = {"mask": [tmp_path / "mask.tif"]} if mask else {}
    job(tmp_path, source=source).run()
    for part in (2, 1):
        job(tmp_path, "parts.ome.zarr", source=source).run(part, 2)
    job(tmp_path, "large.ome.zarr", source=source, tile=(5, 70, 90), block=(5, 128, 128)).run()
    assert_equal(tmp_path / "a.ome.zarr", tmp_path / "parts.ome.zarr")
    a, _ = arrays(tmp_path / "a.ome.zarr")
    assert np.abs(a - arrays(tmp_path / "large.ome.zarr")[0]).max() < 1e-5
    assert np.allclose(a[1:].sum(axis=0), inside if mask else 1, atol=1e-5)
    stored = [
        ome_zarr.open_store(tmp_path / name).attributes["norm_statistics"]
        for name in ("a.ome.zarr", "parts.ome.zarr", "large.ome.zarr")
    ]
    assert stored[0] == stored[1] == stored[2]
    assert [len(of_member) for of_member in stored[0]] == [6, 10]  # mean and variance of 3 and of 5 layers


@pytest.mark.parametrize("settings", [{}, {"turns": True}, {"block": (5, 70, 90), "tile": None}])
def test_any_number_of_threads_gives_the_same_bits(folder, settings):
    source = {"region": ((0, 2), None, None)} if settings.get("turns") else {}  # eight times as much to do
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            job(folder, f"{n_threads}.ome.zarr", source=source, **settings).run()
    finally:
        torch.set_num_threads(before)
    assert_equal(folder / "1.ome.zarr", folder / "3.ome.zarr")


@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_all_jobs_compute_in_what_the_first_one_found_faster(folder, monkeypatch, first):
    """Whatever their processors, no volume is written in two precisions."""
    source = {"region": ((0, 2), None, None)}
    flags = {"float32": {"avx2"}, "bfloat16": {"avx2", "amx_bf16"}}
    other = "float32" if first == "bfloat16" else "bfloat16"
    for part, precision in ((2, first), (1, other)):
        monkeypatch.setattr(device, "processor", lambda precision=precision: flags[precision])
        job(folder, "auto.ome.zarr", source=source, compute="auto").run(part, 2)
    assert ome_zarr.open_store(folder / "auto.ome.zarr").attributes["compute"] == first
    for precision in (first, other):
        job(folder, f"{precision}.ome.zarr", source=source, compute=precision).run()
        assert ome_zarr.open_store(folder / f"{precision}.ome.zarr").attributes["compute"] == precision
    assert_equal(folder / "auto.ome.zarr", folder / f"{first}.ome.zarr")
    assert not np.array_equal(arrays(folder / "auto.ome.zarr")[0], arrays(folder / f"{other}.ome.zarr")[0])


def test_a_store_of_an_older_version_does_not_say_its_precision(segmented):
    path = segmented / "a.ome.zarr/zarr.json"
    facts = json.loads(path.read_text())
    assert facts["attributes"]["genenet"].pop("compute") == "float32"
    path.write_text(json.dumps(facts))
    (segmented / "a.ome.zarr/0/c/0/0/0/0").unlink()
    assert job(segmented).run().written == 1


def test_what_is_there_is_kept_and_what_is_missing_is_said(folder):
    job(folder).run(1, 2)
    with pytest.raises(InputError, match=r"a\.ome\.zarr: 9 of 18 blocks are missing, the first at .* again"):
        ome_zarr.open_store(folder / "a.ome.zarr").check_complete()
    receipt = job(folder).run()
    assert (receipt.written, receipt.kept) == (9, 9)
    ome_zarr.open_store(folder / "a.ome.zarr").check_complete()


def test_another_ensemble_setting_or_image_makes_the_store_anew(segmented):
    other = {"block": (5, 70, 90), "tile": None}
    assert job(segmented, **other).run().kept == 0
    image = tifffile.imread(segmented / "image.tif")
    tifffile.imwrite(segmented / "image.tif", image[:, ::-1], photometric="minisblack")
    assert job(segmented, **other).run().kept == 0
    assert job(segmented, **other).run().written == 0


@pytest.mark.process
def test_killed_it_goes_on_where_it_was(folder):
    image = np.random.default_rng(0).integers(0, 255, (60, 64, 64), np.uint8)
    tifffile.imwrite(folder / "image.tif", image)
    out = folder / "k.ome.zarr"
    options = ["--out", out, "--block", "1x32x32", "--threads", "1"]
    command = runs.genenet("segment", "--ensemble", folder / "ensemble", folder / "image.tif", *options)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    runs.wait(process, lambda: len(list(out.glob("0/c/*/*/*/*"))) >= 20)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = runs.run([*command, "--receipt", folder / "receipt.json"])
    assert again.returncode == 0, again.stderr
    receipt = json.loads((folder / "receipt.json").read_text())
    assert receipt["kept"] >= 19
    assert receipt["written"] + receipt["kept"] == 240
    reference = runs.run([*command[:-5], folder / "r.ome.zarr", *command[-4:]])
    assert reference.returncode == 0, reference.stderr
    assert_equal(out, folder / "r.ome.zarr")


def peak_anonymous(command):
    """Run a command; return the most anonymous memory (mapped files are the system's) that it was seen to have."""
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        status, peak = Path(f"/proc/{process.pid}/status"), 0
        while process.poll() is None:
            lines = status.read_text().splitlines()
            peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
            time.sleep(0.005)
        assert process.returncode == 0, process.stderr.read()
    return peak


@pytest.mark.process
def test_memory_does_not_grow_with_the_volume(tmp_path):
    write_ensemble(tmp_path / "ensemble", n_stacks=(1, 2))
    # the sample for the statistics would be bounded by a constant of its own, above these volumes' size
    description = json.loads((tmp_path / "ensemble/ensemble.json").read_text())
    description["normalisation"]["mode"] = "training"
    write_json(tmp_path / "ensemble/ensemble.json", description)
    segmenting, exporting = [], []
    for depth in (8, 64):
        image = np.random.default_rng(0).integers(0, 255, (depth, 320, 320), np.uint8)
        path, out = tmp_path / f"{depth}.tif", tmp_path / f"{depth}.ome.zarr"
        tifffile.imwrite(path, image, photometric="minisblack", compression="zlib")
        command = runs.genenet("segment", "--ensemble", tmp_path / "ensemble", path, "--out", out)
        segmenting.append(peak_anonymous([*command, "--block", "4x160x160", "--threads", "1"]))
        exporting.append(peak_anonymous(runs.genenet("export", out, "--tiff", tmp_path / "out.tif")))
    assert segmenting[1] < 1.05 * segmenting[0], segmenting
    assert exporting[1] < 1.1 * exporting[0], exporting


def test_uint8_is_the_default_and_holds_255_steps(segmented):
    job(segmented, "u.ome.zarr", precision="uint8").run()
    a, b = arrays(segmented / "a.ome.zarr")[0], arrays(segmented / "u.ome.zarr")[0]
    assert b.dtype == np.uint8
    assert np.abs(a - b / 255).max() < 0.51 / 255


def test_networks_with_depth_are_given_deep_blocks(tmp_path):
    """Their halos along z would be most of what they compute of flat ones."""
    for mode, expected in (("2d", (16, 1280, 1280)), ("3d", (64, 640, 640))):
        write_ensemble(tmp_path / mode, net={"spatial_mode": mode, "input_depth": 20})
        source = ImageFiles(image=[tmp_path / "i.tif"], labels=None, region=None)
        ensemble = load_ensemble(tmp_path / mode)
        assert SegmentationJob(ensemble, source, Segmentation(), CPU, tmp_path / "o").block == expected
        given = Segmentation(block=(1, 20, 30))
        assert SegmentationJob(ensemble, source, given, CPU, tmp_path / "o").block == (1, 20, 30)


def test_normalisation_by_training_uses_the_ensembles_numbers(tmp_path):
    normalisation = {"mode": "training", "mean": 100.0, "deviation": 20.0}
    write_ensemble(tmp_path / "ensemble", n_stacks=(1, 2), normalisation=normalisation)
    tifffile.imwrite(tmp_path / "i.tif", np.random.default_rng(0).integers(0, 255, (1, 40, 40), np.uint8))
    source = ImageFiles(image=[tmp_path / "i.tif"], labels=None, region=None)
    ensemble = load_ensemble(tmp_path / "ensemble")
    SegmentationJob(ensemble, source, Segmentation(), CPU, tmp_path / "o.ome.zarr").run()
    assert ome_zarr.open_store(tmp_path / "o.ome.zarr").attributes["mean"] == [100.0]


@given(n=st.integers(0, 50), parts=st.integers(1, 60))
def test_shares_are_fair_and_cover_all(n, parts):
    blocks = blocks_of((n, 1, 1), (1, 1, 1)) if n else []
    shares = [share(blocks, i, parts) for i in range(1, parts + 1)]
    assert [b for s in shares for b in s] == blocks
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_entropy_is_0_when_sure_and_1_when_not():
    p = np.array([[1.0, 1 / 3], [0.0, 1 / 3], [0.0, 1 / 3]], np.float32)[:, :, None, None]
    assert entropy(torch.from_numpy(p)).numpy().ravel() == pytest.approx([0, 1], abs=1e-6)


def test_uncertainty_is_0_when_sure_and_two_thirds_among_three_classes_when_not():
    p = np.array([[1.0, 1 / 3], [0.0, 1 / 3], [0.0, 1 / 3]], np.float32)[:, :, None, None]
    assert uncertainty(torch.from_numpy(p)).numpy().ravel() == pytest.approx([0, 2 / 3], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.4, 1, 3])
def test_a_temperature_is_applied_as_where_it_is_fitted(temperature):
    p = np.random.default_rng(0).dirichlet([0.2, 1, 1], (2, 3, 4)).transpose(3, 0, 1, 2).astype(np.float32)
    found = tempered(torch.from_numpy(p.copy()), temperature).numpy()
    assert found == pytest.approx(with_temperature(p, temperature), abs=1e-6)


def test_scores_against_labels_block_by_block(segmented):
    folder = segmented
    labels = arrays(folder / "a.ome.zarr")[1]
    wrong = labels.copy()
    wrong[0, 0, :10] = 7  # ignored
    tifffile.imwrite(folder / "labels.tif", wrong)
    source = ImageFiles(image=[folder / "image.tif"], labels=[folder / "labels.tif"], region=None)
    scores = evaluate_store(folder / "a.ome.zarr", source, ignore_label=7)
    assert scores["ari"] == 1
    assert scores["n_voxels"] == labels.size - 10
    with pytest.raises(
        InputError,
        match=r"labels\.tif: label 7 \(10 voxels, the first at z, y, x = \(0, 0, 0\)\) is none of the 3 classes",
    ):
        evaluate_store(folder / "a.ome.zarr", source, ignore_label=None)
    tifffile.imwrite(folder / "labels.tif", wrong[:2])
    with pytest.raises(
        InputError, match=r"labels\.tif: its shape 2 x 70 x 90 isn't that of .*image\.tif, 5 x 70 x 90"
    ):
        evaluate_store(folder / "a.ome.zarr", source, ignore_label=7)


def test_from_another_folder_the_same_store_is_continued(folder, monkeypatch):
    """Relative and absolute paths of ensemble, image and store name the same files."""
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    assert job(Path(".")).run(1, 2).written == 9
    monkeypatch.chdir(folder / "elsewhere")
    second = job(Path("..")).run()
    assert (second.written, second.kept) == (9, 9)
    third = job(folder).run()
    assert (third.written, third.kept) == (0, 18)


def test_files_are_stacked_in_the_order_given(tmp_path, caplog):
    """The shell sorts slice_10 before slice_2: the order is kept, and a warning says so."""
    write_ensemble(tmp_path / "ensemble")
    image = write_image(tmp_path, (4, 40, 50))
    names = ["slice_1.tif", "slice_10.tif", "slice_2.tif", "slice_3.tif"]
    for name, section in zip(names, image, strict=True):
        tifffile.imwrite(tmp_path / name, section)
    whole, stacked = (
        job(tmp_path, f"{out}.ome.zarr", source=source)
        for out, source in (("whole", {}), ("stacked", {"image": [tmp_path / name for name in names]}))
    )
    whole.run()
    assert not caplog.records
    stacked.run()
    assert "slice_10.tif: stands where slice_2.tif would in natural order" in caplog.text
    assert np.array_equal(arrays(whole.out)[1], arrays(stacked.out)[1])
    ordered = job(
        tmp_path, "stacked.ome.zarr", source={"image": sorted(stacked.source.image, key=natural_order)}
    )
    assert ordered.run().kept == 0  # another order is another image
    assert not np.array_equal(arrays(whole.out)[1], arrays(ordered.out)[1])


def test_the_region_is_recorded_and_gives_the_place(folder):
    job(folder, source={"region": [[1, 3], None, [20, 60]]}).run()
    store = ome_zarr.open_store(folder / "a.ome.zarr")
    assert store.attributes["region"] == [[1, 3], None, [20, 60]]
    assert store.translation_nm == (40.0, 0.0, 200.0)
