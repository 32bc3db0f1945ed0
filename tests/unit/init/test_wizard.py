"""``genenet init``: what it sees, what it finds wrong, what it asks for, what it writes."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from statistics import median

import mrcfile
import numpy as np
import pytest
import tifffile
import yaml
import zarr
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.config.model import read_config
from genenet.config.optimisers import Optimiser
from genenet.config.presets import preset_values
from genenet.config.stages import stage_settings
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.plan import plan
from genenet.init import prompts
from genenet.init.classes import Classes
from genenet.init.config_text import flow, resenc_text, volume_names
from genenet.init.costs import costs, feasible_regions, feasible_share
from genenet.init.files import FileSet
from genenet.init.machine import Machine
from genenet.init.scales import SCALES
from genenet.init.search_cost import SearchCost
from genenet.init.sizes import choose_sizes
from genenet.init.split import split
from genenet.init.survey import look_at_volume, look_labelled
from genenet.init.trial import Speed
from genenet.training.sources import open_source
from tests.support import runs
from tests.support.first_config import init, pair, said, write, wrong
from tests.support.required import require_data
from tests.support.search import Search

CPU = Machine("cpu", "two cores", 8e9, True)
GPU = Machine("gpu", "a GPU", None, False)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(shape=(2, 100, 160), **labels):
    """Write em.tif and labels.tif: two classes, and what else is asked for as {"_3": number of voxels}."""
    image, ids = runs.blobs(shape, 1)
    for name, n in labels.items():
        ids.reshape(-1)[-n:] = int(name[1:])
    write("em.tif", image)
    write("labels.tif", ids)
    return image, ids


def failed(done):
    """The error, where a config may be there from before."""
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_one_image_becomes_two_regions_and_a_valid_config():
    make()
    text = said(pair("--classes", "ground, blob", "--voxel-size", "40x10x10"))
    config = read_config(Path("config.yaml"))
    assert config.data.classes == ["ground", "blob"]
    assert config.data.voxel_size_nm == (40, 10, 10)
    assert config.data.normalisation.over == "image"
    (train,), (validation,) = config.data.train, config.data.validation
    cuts = sorted([train.region[2], validation.region[2]])
    assert cuts[0][0] == 0
    assert cuts[0][1] == cuts[1][0]
    assert cuts[1][1] == 160
    assert validation.region[2][1] - validation.region[2][0] == 48  # 30 %
    assert config.data.volumes["em"].path == [Path("em.tif")]
    assert "ground" in text
    assert "100.0 %" not in text
    for word in ("median", "largest", "U-Net 2015", "snakemake --profile profiles/local"):
        assert word in text
    assert config.ensemble.refit
    assert "# Validation has 30% of the labelled voxels: after" in Path("config.yaml").read_text()
    n = config.ensemble.max_size
    assert f"the members, at most {n}, are trained again with the validation images (ensemble.refit)" in text
    assert f"up to {n} more trainings without validations" in text
    assert config.training.refit_iterations == 6 * config.training.iterations
    assert f"validations, each of {config.training.refit_iterations:,} iterations" in text


def test_frequencies_are_those_of_the_labels(caplog):
    caplog.set_level("INFO")
    _, ids = make()
    text = said(pair())
    assert "rejected" not in caplog.text  # the share of draws that fit is printed
    n = int((ids == 1).sum())
    assert f"1 class 1 {n:,} {100 * n / ids.size:.1f} %" in text


def test_a_class_at_one_end_goes_to_training():
    image, ids = runs.blobs((1, 100, 200), 1)
    ids[:, :20, :12] = 2
    write("em.tif", image)
    write("labels.tif", ids)
    text = said(pair())
    config = read_config(Path("config.yaml"))
    assert config.data.train[0].region[2] == (0, 140)
    assert "class 2: not in the part for validation" in text
    assert "none" in text


def test_of_several_images_the_last_validates():
    make()
    for name in ("a", "b"):
        image, ids = runs.blobs((1, 90, 90), 3)
        write(f"{name}.tif", image)
        write(f"{name}_l.tif", ids)
    said(pair("--image", "a.tif", "--labels", "a_l.tif", "--image", "b.tif", "--labels", "b_l.tif"))
    data = read_config(Path("config.yaml")).data
    assert [str(image.path[0]) for image in data.train] == ["em.tif", "a.tif"]
    assert [str(image.path[0]) for image in data.validation] == ["b.tif"]
    assert data.normalisation.over == "image"
    assert data.train[0].region is None
    assert read_config(Path("config.yaml")).ensemble.refit
    assert "# Validation is an image of its own: after" in Path("config.yaml").read_text()


def test_a_small_part_for_validation_is_not_worth_a_refit():
    """A tenth of a large image is enough for a validation; at both ends of this one half of it isn't labelled."""
    image, ids = runs.blobs((1, 64, 600), 1)
    write("em.tif", image)
    for ends, reason in ((0, "Validation has 10% of the labelled voxels"), (30, None)):
        ids[..., :ends] = ids[..., 600 - ends :] = 255
        write("labels.tif", ids)
        seen = look_labelled(FileSet(Path("em.tif"), Path("labels.tif")), 255)
        classes = Classes(["ground", "blob"], 255)
        parts = split([seen], [], classes, 64 * 60)
        assert parts.validation[0].shape == (1, 64, 60)
        assert parts.reason_to_refit(classes) == reason


def test_on_a_cpu_a_third_of_the_time_searches_and_the_rest_refits():
    once, long = (choose_sizes(500, 3, CPU, None, None, is_refitted=is_) for is_ in (False, True))
    assert (once.n_genomes, once.max_members, once.refit_iterations) == (6, 3, None)
    assert long.iterations == pytest.approx(once.iterations / 2, rel=0.1)  # both are rounded
    assert (long.max_members, long.refit_iterations) == (2, 6 * long.iterations)
    others = [choose_sizes(500, 3, CPU, n, None, is_refitted=True) for n in (1, 3, 20)]
    assert [(each.max_members, each.refit_iterations / each.iterations) for each in others] == [
        (1, 2),
        (2, 3),
        (6, pytest.approx(2 * 20 / 6, rel=0.01)),
    ]
    cost = SearchCost.of(long, CPU, 3, 10**6, long.max_members)
    cost = replace(cost, tried=((cost.median, Speed(0.5, 1e-6, is_busy=False)),))
    shorter = replace(cost, sizes=replace(long, refit_ratio=None))
    assert cost.refit_seconds == pytest.approx(6 * shorter.refit_seconds)
    assert (
        choose_sizes(500, 3, CPU, None, long.iterations, is_refitted=True) == long
    )  # the suggestion was accepted
    asked = choose_sizes(500, 3, CPU, None, 5000, is_refitted=True)
    assert (asked.iterations, asked.max_members, asked.refit_iterations) == (5000, 3, None)


def test_refits_cost_as_much_as_trainings_without_validations():
    sizes = choose_sizes(200, 3, CPU, 4, 100)
    cost = SearchCost.of(sizes, CPU, 3, 10**6, sizes.max_members)
    assert cost.n_refits == 2
    speed = Speed(seconds_per_step=0.5, seconds_per_voxel=1e-6, is_busy=False)
    cost = replace(cost, tried=((cost.median, speed),))
    trainings = sum(cost.seconds(each) for each in cost.genomes[:4])
    steps = sum(0.5 * 100 * each.flops / cost.median.flops for each in cost.genomes[:4]) / 2
    assert cost.refit_seconds == pytest.approx(steps)
    assert cost.refit_seconds < trainings / 2  # half of the networks
    assert choose_sizes(200, 3, CPU, 50, 100).max_members == 10


def test_validation_as_told_and_a_volume_to_segment():
    make()
    image, ids = runs.blobs((1, 90, 90), 3)
    write("v.tif", image)
    write("v_l.tif", ids)
    write("big one.tif", np.zeros((3, 64, 64), np.uint16) + np.arange(64, dtype=np.uint16))
    options = ("--validation-image", "v.tif", "--validation-labels", "v_l.tif", "--segment", "big one.tif")
    text = said(pair(*options))
    data = read_config(Path("config.yaml")).data
    assert data.train[0].region is None
    assert str(data.validation[0].path[0]) == "v.tif"
    assert str(data.volumes["big_one"].path[0]) == "big one.tif"
    assert "big one.tif: its voxels are uint16, but those of em.tif are uint8" in text


@pytest.mark.parametrize("kind", ["imagej", "ome", "zarr"])
def test_the_voxel_size_is_read_from_the_metadata(kind):
    image, ids = runs.blobs((4, 100, 100), 1)
    write("labels.tif", ids)
    if kind == "imagej":
        meta = {"axes": "ZYX", "unit": "um", "spacing": 0.05}
        tifffile.imwrite("em.tif", image, imagej=True, resolution=(125, 125), metadata=meta)
    elif kind == "ome":
        sizes = {"PhysicalSizeX": 8, "PhysicalSizeY": 8, "PhysicalSizeZ": 50}
        units = {f"{name}Unit": "nm" for name in sizes}
        tifffile.imwrite("em.ome.tif", image, ome=True, metadata={"axes": "ZYX", **sizes, **units})
    else:
        axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
        scale = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [50, 8, 8]}]}]
        group = zarr.create_group(
            "em.zarr",
            attributes={"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": scale}]}},
        )
        group.create_array("0", data=image, chunks=(1, 50, 50))
    name = {"imagej": "em.tif", "ome": "em.ome.tif", "zarr": "em.zarr"}[kind]
    said(init("--image", name, "--labels", "labels.tif"))
    assert read_config(Path("config.yaml")).data.voxel_size_nm == pytest.approx((50, 8, 8))
    assert f"from the metadata of {name}" in Path("config.yaml").read_text()


def test_an_unknown_voxel_size_is_said_in_the_file_too():
    make()
    assert "the voxel size isn't known" in said(pair())
    assert "NOT KNOWN" in Path("config.yaml").read_text()


def test_a_size_that_is_partly_known_is_used_as_far_as_it_goes(monkeypatch):
    """ImageJ says 5 nm in y and x, and nothing about z."""
    image, ids = runs.blobs((4, 100, 100), 1)
    write("labels.tif", ids)
    tifffile.imwrite(
        "em.tif", image, imagej=True, resolution=(200, 200), metadata={"axes": "ZYX", "unit": "um"}
    )
    text = said(pair())
    assert "? × 5 × 5" in text
    assert "the voxel size along z isn't known, so 1 x 5 x 5 nm is written" in text
    assert read_config(Path("config.yaml")).data.voxel_size_nm == (1, 5, 5)
    assert "from the metadata of em.tif; z NOT KNOWN" in Path("config.yaml").read_text()
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    done = pair("--force", "--classes", "a,b", "--genomes", 2, "--iterations", 5, fill="thin\n40\n")
    assert "Voxel size in nm along z (along z, y, x the files contain ? x 5 x 5)" in done.output
    assert "give nm along z, y, x" in done.output
    assert read_config(Path("config.yaml")).data.voxel_size_nm == (40, 5, 5)


def imagej(name, nm, shape=(1, 100, 100), seed=1):
    """A pair of files; the image says, as ImageJ does, how large its voxels are along y and x, or nothing."""
    image, ids = runs.blobs(shape, seed)
    write(f"{name}_l.tif", ids)
    if nm is None:
        write(f"{name}.tif", image)
    else:
        meta = {"axes": "ZYX", "unit": "um", "spacing": 0.04}
        resolution = (1000 / nm, 1000 / nm)
        tifffile.imwrite(f"{name}.tif", image, imagej=True, resolution=resolution, metadata=meta)


def labelled(*names):
    return [word for name in names for word in ("--image", f"{name}.tif", "--labels", f"{name}_l.tif")]


def sizes_of_images():
    config = read_config(Path("config.yaml"))
    data = config.data
    volume = data.volumes["c"]  # the last image
    assert volume.voxel_size_nm == data.validation[0].voxel_size_nm
    assert config.segmentation.rescale == (volume.voxel_size_nm is not None)
    assert [str(each.path[0]) for each in data.validation] == ["c.tif"]
    return data.voxel_size_nm, [each.voxel_size_nm for each in (*data.train, *data.validation)]


def test_images_of_other_voxel_sizes_are_resampled():
    for name, nm in (("a", 10), ("b", 20), ("c", None)):
        imagej(name, nm)
    text = said(init(*labelled("a", "b", "c")))
    of_data, of_images = sizes_of_images()
    assert of_data == pytest.approx((40, 10, 10))
    assert of_images == [None, pytest.approx((40, 20, 20)), None]
    assert "b.tif: its voxels are 40 x 20 x 20 nm; it is resampled to 40 x 10 x 10 nm" in text
    assert "c.tif: its file contains no voxel size, so it isn't resampled" in text
    settings = stage_settings(read_config(Path("config.yaml")), "prepare_train")
    shapes = [open_source(each, settings).image.shape for each in settings.images]
    assert shapes == [(1, 100, 100), (1, 200, 200)]
    command = Path("config.yaml").read_text().split("Written by")[1].split("This file defines")[0]
    words = shlex.split(" ".join(command.replace("#", "").replace("\\", "").split()))[2:]
    before = read_config(Path("config.yaml"))
    said(init(*words, "--force"))
    assert read_config(Path("config.yaml")) == before


def test_a_size_that_was_given_is_not_missing():
    for name in ("a", "b", "c"):
        imagej(name, None)
    sizes = [word for nm in (20, 10, 10) for word in ("--image-voxel-size", f"40x{nm}x{nm}")]
    text = said(init(*labelled("a", "b", "c"), *sizes, "--voxel-size", "40x10x10"))
    assert sizes_of_images() == ((40, 10, 10), [(40, 20, 20), None, None])
    assert "contains no voxel size" not in text


def test_files_without_a_voxel_size_get_none():
    for name in ("a", "b", "c"):
        imagej(name, None)
    text = said(init(*labelled("a", "b", "c")))
    assert sizes_of_images() == ((1, 1, 1), [None] * 3)
    assert "resampled" not in text
    said(init(*labelled("a", "b", "c"), "--voxel-size", "40x10x10", "--force"))
    assert sizes_of_images() == ((40, 10, 10), [None] * 3)


def test_voxel_sizes_of_single_images_can_be_given():
    for name, nm in (("a", None), ("b", 20), ("c", None)):
        imagej(name, nm)
    options = [f"--image-voxel-size={size}" for size in ("40x10x10", "none", "40x5x5")]
    said(init(*labelled("a", "b", "c"), *options))
    assert sizes_of_images() == (
        (40, 10, 10),
        [None, pytest.approx((40, 20, 20)), (40, 5, 5)],
    )
    Path("config.yaml").unlink()
    (line,) = wrong(init(*labelled("a", "b", "c"), *options[:2]))
    assert "--image-voxel-size: 2 are given for 3 images; give one for each" in line
    (line,) = wrong(init(*labelled("a", "b", "c"), "--image-voxel-size=big"))
    assert line == "--image-voxel-size big: give nm along z, y, x, such as 40x10x10"


def test_a_size_that_replaces_those_of_the_files_resamples_nothing():
    """Nor does one in a file that is ten times that of the others, or more."""
    for name, nm in (("a", 10), ("b", 20), ("c", 800)):
        imagej(name, nm)
    text = said(init(*labelled("a", "b", "c"), "--voxel-size", "40x10x10"))
    assert sizes_of_images() == ((40, 10, 10), [None] * 3)
    assert "b.tif: its metadata give a voxel size of 40 x 20 x 20 nm, which isn't used" in text
    text = said(init(*labelled("a", "b", "c"), "--force"))
    assert sizes_of_images()[1] == [None, pytest.approx((40, 20, 20)), None]
    assert "c.tif: its metadata give a voxel size of 40 x 800 x 800 nm, which isn't used" in text


def mrc(name, data):
    """A file as IMOD writes it: bytes are signed, 128 less than what they stand for."""
    mrcfile.write(name, (data.astype(np.int16) - 128).astype(np.int8))
    content = bytearray(Path(name).read_bytes())
    content[152:160] = np.array([1146047817, 1], "<i4").tobytes()
    Path(name).write_bytes(content)


def test_labels_and_mask_of_imod_are_0_and_1():
    image, ids = runs.blobs((2, 100, 160), 1)
    for name, data in (("em.mrc", image), ("labels.mrc", ids), ("mask.mrc", np.ones_like(ids))):
        mrc(name, data)
    text = said(init("--image", "em.mrc", "--labels", "labels.mrc", "--mask", "mask.mrc"))
    assert f"1 class 1 {(ids == 1).sum():,}" in text
    assert "0 – 255" in text


def test_mrc_beside_other_formats_needs_flip():
    image, ids = runs.blobs((2, 100, 160), 1)
    mrc("em.mrc", image)
    write("labels.tif", ids)
    write("mask.tif", np.ones_like(ids))
    files = ("--image", "em.mrc", "--labels", "labels.tif")
    assert "em.mrc: is MRC, whose first row is the bottom one, and labels.tif isn't" in wrong(init(*files))[0]
    assert "--flip up: give y" in wrong(init(*files, "--flip", "up"))[0]
    said(init(*files, "--flip", "y", "--mask", "mask.tif"))
    data = read_config(Path("config.yaml")).data
    assert [data.train[0].flip, data.validation[0].flip, data.volumes["em"].flip] == [("y",)] * 3
    command = " ".join(Path("config.yaml").read_text().split("What genenet")[0].replace("#", "").split())
    assert "--image em.mrc --labels labels.tif --mask mask.tif --flip y" in command
    said(init(*files, "--flip", "none", "--force"))
    data = read_config(Path("config.yaml")).data
    assert (data.train[0].flip, data.volumes["em"].flip) == ((), None)


def test_labels_that_tifffile_saved_as_colours():
    """Three slices become planar RGB, if nothing else is said; its own shape tells what they are."""
    image, ids = runs.blobs((3, 100, 160), 1)
    write("em.tif", image)
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        tifffile.imwrite("labels.tif", ids)
    said(pair())
    assert len(read_config(Path("config.yaml")).data.classes) == len(np.unique(ids))


def stack(*values, shape=(1, 100, 100)):
    """Labels that hold these ids, in stripes."""
    return np.resize(np.array(values), shape)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("labels.tif", np.zeros((1, 100, 90), np.uint8), ["labels.tif: its shape 1 x 100 x 90", ", 1 x 100 x 100"]),
        ("labels.tif", stack(0, 1).astype(np.float32), ["labels.tif: labels are float32", "integers"]),
        ("labels.tif", stack(*range(300)).astype(np.uint16), ["has 300 different", "seem to number objects"]),
        ("labels.tif", stack(3).astype(np.uint8), ["labels.tif: all voxels are 3", "two classes"]),
        ("labels.tif", stack(0, 255).astype(np.uint8), ["ids are 0, 255", "256 classes", "Divide by 255"]),
        ("labels.tif", stack(0, 40, 80).astype(np.uint8), ["ids are 0, 40, 80", "renumber them 0 to 2"]),
        ("labels.tif", stack(-2, 0, 1).astype(np.int16), ["label -2 is negative", "--ignore-label -2"]),
        ("labels.tif", stack(-128, -127).astype(np.int8), ["label -128 is negative"]),
        ("em.tif", np.full((1, 100, 100), 9, np.uint8), ["em.tif: all voxels are 9", "contrast"]),
        ("em.tif", np.full((1, 100, 100), np.nan, np.float32), ["em.tif: holds NaN"]),
        ("em.tif", stack(0, 1).astype(np.uint8), ["em.tif: has 2 different values", "swapped"]),
        ("both", np.zeros((1, 20, 100), np.uint8), ["em.tif: is 20 x 100", "at least 32 x 32"]),
        ("both", np.zeros((100, 100, 3), np.uint8), ["em.tif: has 100 x 100 x 3 voxels", "colour"]),
    ],
)  # fmt: skip
def test_each_problem_has_its_line(name, data, expected):
    make((1, 100, 100))
    if "swapped" in expected:  # many labels, few grey values
        write("labels.tif", runs.blobs((1, 100, 100), 1)[0])
    for file in ("em.tif", "labels.tif") if name == "both" else (name,):
        write(file, data)
    lines = wrong(pair())
    assert len(lines) == 1, lines
    for text in expected:
        assert text in lines[0]


def test_labels_of_another_type_and_another_shape():
    make((1, 100, 100))
    write("labels.tif", np.zeros((1, 100, 90), np.float32))
    (of_type, of_shape) = wrong(pair())
    assert "labels are float32" in of_type
    assert "its shape 1 x 100 x 90" in of_shape


def test_colour_images_and_files_that_are_not_there():
    make()
    tifffile.imwrite("em.tif", np.zeros((100, 160, 3), np.uint8), photometric="rgb")
    assert wrong(pair()) == ["em.tif: is an RGB image; convert to greyscale"]
    assert (
        "em.tif: is given as image and as its labels"
        in wrong(init("--image", "em.tif", "--labels", "em.tif"))[0]
    )
    lines = wrong(init("--image", "no.tif", "--labels", "nor.tif"))
    assert lines == ["no.tif: no such file", "nor.tif: no such file"]


def test_all_that_is_wrong_is_said_at_once():
    make()
    write("f.tif", np.zeros((2, 100, 160), np.float32))
    write("s.tif", np.zeros((1, 10, 10), np.uint8))
    lines = wrong(init("--image", "em.tif", "--labels", "f.tif", "--image", "s.tif", "--labels", "s_l.tif"))
    assert [line.split(":")[0] for line in lines] == ["f.tif", "s_l.tif", "s.tif"]


def test_a_part_with_one_class():
    image, ids = runs.blobs((1, 90, 90), 3)
    make()
    write("v.tif", image)
    write("v_l.tif", np.zeros_like(ids))
    lines = wrong(pair("--validation-image", "v.tif", "--validation-labels", "v_l.tif"))
    assert "v_l.tif: the part for validation has 1 of 2 classes" in lines[0]


def test_an_ignore_label_and_a_gap():
    make(_255=500, _3=100)
    text = said(pair())
    data = read_config(Path("config.yaml")).data
    assert data.ignore_label == 255
    assert len(data.classes) == 4
    assert "255 (ignored)" in text
    assert "no voxel has label 2 (class 2)" in text


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("ignored", [-1, -7])
def test_a_negative_label_means_not_labelled(dtype, ignored):
    """-1 is taken for that by itself; another one if it is given."""
    image, ids = runs.blobs((2, 100, 160), 1)
    labels = ids.astype(dtype)
    labels[:, :20] = ignored
    write("em.tif", image)
    write("labels.tif", labels)
    text = said(pair(*(["--ignore-label", ignored] if ignored != -1 else [])))
    data = read_config(Path("config.yaml")).data
    assert (data.ignore_label, len(data.classes)) == (ignored, 2)
    assert f"label {ignored} is treated as 'not labelled'" in text
    assert f"{ignored} (ignored) 6,400" in text
    if ignored != -1:
        assert f"--ignore-label {ignored}" in Path("config.yaml").read_text()


def test_label_0_can_mean_not_labelled():
    make(_2=3000)
    text = said(pair())
    assert (
        "label 0 is treated as the class 'background'; if it means 'not labelled', give --ignore-label 0"
        in text
    )
    text = said(pair("--ignore-label", 0, "--force"))
    data = read_config(Path("config.yaml")).data
    assert (data.ignore_label, data.classes) == (0, ["class 1", "class 2"])
    assert "0 (ignored)" in text
    assert "2 class 2 3,000" in text
    assert "--ignore-label 0: is the id" not in text
    assert "names 1 classes, ids 1 to 1, but labels.tif has label 2" in failed(
        pair("--ignore-label", 0, "--classes", "a", "--force")
    )


def test_classes_that_begin_at_1_lack_none():
    """Where no voxel is 0, 0 isn't a class that nothing can be learnt of."""
    image, ids = runs.blobs((2, 100, 160), 1)
    write("em.tif", image)
    write("labels.tif", ids + 1)
    text = said(pair("--classes", "ground,blob"))
    data = read_config(Path("config.yaml")).data
    assert (data.ignore_label, data.classes) == (0, ["ground", "blob"])
    assert "no voxel has label" not in text
    text = said(pair("--classes", "none,ground,blob", "--force"))  # three names make 0 a class
    data = read_config(Path("config.yaml")).data
    assert (data.ignore_label, data.classes) == (None, ["none", "ground", "blob"])
    assert "no voxel has label 0 (none)" in text


def test_many_classes_may_be_objects():
    image, ids = runs.blobs((1, 200, 200), 1)
    write("em.tif", image)
    write("labels.tif", np.resize(np.arange(20, dtype=np.uint8), ids.shape))
    assert "20 classes are many: if the labels number objects" in said(pair())


def padded(value, dtype=np.float32):
    """An image of 128 x 160 inside 400 x 500 voxels of a value, its labels (9 outside), and its mask."""
    image, ids = runs.blobs((1, 128, 160), 1)
    inside = np.s_[:, 150:278, 300:460]
    arrays = [
        np.full((1, 400, 500), fill, kind) for fill, kind in ((value, dtype), (9, np.uint8), (0, np.uint8))
    ]
    for array, content in zip(arrays, (image, ids, 1), strict=True):
        array[inside] = content
    for name, array in zip(("em.tif", "labels.tif", "mask.tif"), arrays, strict=True):
        write(name, array)
    return image, ids


@pytest.mark.parametrize("value", [0, -3.4e38, np.nan])
def test_only_voxels_inside_the_mask_count(value):
    image, ids = padded(value)
    text = said(pair("--mask", "mask.tif"))
    data = read_config(Path("config.yaml")).data
    assert f"{image.min()} – {image.max()}" in text
    assert f"1 class 1 {(ids == 1).sum():,}" in text
    assert "label 9" not in text
    assert data.train[0].mask == data.validation[0].mask == data.volumes["em"].mask == [Path("mask.tif")]
    (start, stop) = data.validation[0].region[2]  # 30 % of the voxels inside
    assert min(stop, 460) - max(start, 300) == 48


def test_masks_are_checked():
    padded(0)
    write("empty.tif", np.zeros((1, 400, 500), np.uint8))
    write("small.tif", np.ones((1, 40, 50), np.uint8))
    assert wrong(pair("--mask", "empty.tif")) == ["empty.tif: is 0 everywhere, so no voxel of em.tif counts"]
    assert "small.tif: its shape 1 x 40 x 50 isn't that of em.tif" in wrong(pair("--mask", "small.tif"))[0]
    more = ("--image", "em.tif", "--labels", "labels.tif")
    assert "--mask: 1 are given for 2 of --image" in wrong(pair(*more, "--mask", "mask.tif"))[0]
    done = pair("--mask", "none", "--ignore-label", 9, "--segment", "em.tif", "--segment-mask", "mask.tif")
    assert done.exception is None, done.output
    data = read_config(Path("config.yaml")).data
    assert data.train[0].mask is None
    assert data.volumes["em"].mask == [Path("mask.tif")]


def test_nan_outside_a_mask_is_named_only_without_it():
    padded(np.nan)
    (line,) = wrong(pair())
    assert (
        "em.tif: holds NaN or infinite voxels; replace them by numbers, cut them off, or leave them out"
        in line
    )


def test_a_validation_of_one_class_is_avoided():
    """Of several images another one validates; of one, the cut goes through the labelled part."""
    image, ids = runs.blobs((1, 90, 90), 3)
    make()
    for name, labels in (("b", ids), ("c", np.zeros_like(ids))):
        write(f"{name}.tif", image)
        write(f"{name}_l.tif", labels)
    said(pair("--image", "b.tif", "--labels", "b_l.tif", "--image", "c.tif", "--labels", "c_l.tif"))
    data = read_config(Path("config.yaml")).data
    assert [str(each.path[0]) for each in (*data.train, *data.validation)] == ["em.tif", "c.tif", "b.tif"]
    image, _ = runs.blobs((1, 128, 200), 1)
    ids = np.zeros_like(image)
    ids[:, 40:50, 80:84] = 1  # no cut along x has it on both sides
    write("em.tif", image)
    write("labels.tif", ids)
    said(pair("--force"))
    data = read_config(Path("config.yaml")).data
    for part in (*data.train, *data.validation):
        z, y, x = (slice(*ends) if ends else slice(None) for ends in part.region)
        assert set(np.unique(ids[z, y, x])) == {0, 1}


def test_names_must_fit():
    make(_2=100)
    assert "--classes: names 2 classes" in wrong(pair("--classes", "a,b"))[0]
    assert "each class a name of its own" in wrong(pair("--classes", "a,a,b"))[0]
    assert "--voxel-size 3x: give nm" in wrong(pair("--voxel-size", "3x"))[0]


def test_it_asks_for_what_is_missing(monkeypatch):
    make()
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    # one name for two classes is too few; three are allowed, the third never occurs
    files = ["nowhere.tif", "em.tif", "labels.tif", "", ""]
    answers = [*files, "a", "a,b,c", "fast", "30x5x5", "0", "20", ""]
    done = init(fill="\n".join(answers) + "\n")
    assert done.exception is None, done.output
    assert "nowhere.tif: no such file" in done.output
    assert "names 1 classes" in done.output
    assert "give nm along z, y, x" in done.output
    assert "0: give a number above 0" in done.output
    config = read_config(Path("config.yaml"))
    assert config.data.classes == ["a", "b", "c"]
    assert config.data.voxel_size_nm == (30, 5, 5)
    assert config.search.n_genomes == 20
    suggested = choose_sizes(
        100, 3, CPU, 20, None, is_refitted=True
    )  # for the number of genomes that was asked for
    assert config.training.iterations == suggested.iterations
    assert config.training.refit_iterations == suggested.refit_iterations is not None
    command = Path("config.yaml").read_text().split("Written by")[1].split("What genenet")[0]
    assert "--image em.tif --labels labels.tif" in command
    assert "--voxel-size 30x5x5" in command


def test_without_a_terminal_what_is_missing_is_named():
    make()
    assert wrong(init())[0].startswith("--image: is missing")
    assert wrong(init("--image", "em.tif"))[0].startswith("--labels: is missing: the class ids of em.tif")
    assert wrong(pair("--validation-image", "em.tif"))[0].startswith("--validation-labels: is missing")
    assert "--labels: 2 are given for 1" in wrong(pair("--labels", "labels.tif"))[0]


def test_no_file_is_overwritten(monkeypatch):
    make()
    Path("mine.yaml").write_text("precious")
    assert "--force" in wrong(pair("--out", "mine.yaml"))[0]
    assert Path("mine.yaml").read_text() == "precious"
    said(pair("--out", "mine.yaml", "--force"))
    assert read_config(Path("mine.yaml")).results == Path("results_mine")
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    Path("config.yaml").write_text("precious")
    options = ("--classes", "a,b", "--voxel-size", "5", "--genomes", 2, "--iterations", 5)
    done = pair(*options, fill="mine.yaml\nother.yaml\n")
    assert done.exception is None, done.output
    assert Path("config.yaml").read_text() == "precious"
    assert read_config(Path("other.yaml")).training.iterations == 5


def test_large_volumes_are_sampled():
    write("big.tif", np.arange(6 * 512 * 512, dtype=np.uint32).reshape(6, 512, 512))
    seen = look_at_volume(FileSet(Path("big.tif")), None, max_voxels=2**18)
    assert not seen.is_whole
    assert seen.n_read <= 2**19


@pytest.mark.parametrize("machine", [CPU, GPU])
@pytest.mark.parametrize("smallest", [32, 40, 44, 64, 100, 200, 1000])
def test_sizes_fit(smallest, machine):
    sizes = choose_sizes(smallest, 3, machine, None, None)
    low, high = sizes.regions["net"]["input_size"]
    assert low <= high <= smallest
    assert feasible_share(feasible_regions(sizes.regions)) >= 0.5
    assert max(cost.input_size for cost in costs(sizes, 3)) <= smallest
    assert len(costs(sizes, 3)) >= 20
    plans = [plan(cost.genome.net, 3) for cost in costs(sizes, 3)]
    assert all(each.is_same for each in plans)
    assert median(each.receptive_field[2] for each in plans) <= high


@pytest.mark.parametrize("machine", [CPU, GPU])
def test_a_search_takes_as_many_operations_whatever_the_size_of_its_patches(machine):
    """A first search; more genomes aren't trained less, and small batches get more iterations."""
    scale = SCALES[machine.kind]
    for smallest in (200, 1000):
        sizes = choose_sizes(smallest, 3, machine, None, None)
        cost = SearchCost.of(sizes, machine, 3, 1)
        steps = [
            each.flops + scale.per_step
            for each in (*cost.genomes[: scale.n_genomes], *cost.baselines.values())
        ]
        assert 0.6 < sizes.iterations * sum(steps) / scale.operations < 1.4
        assert choose_sizes(smallest, 3, machine, 50, None).iterations == pytest.approx(
            sizes.iterations, rel=0.25
        )
    assert choose_sizes(40, 3, machine, None, None).iterations == scale.most_iterations
    assert choose_sizes(1000, 3, machine, None, 77).iterations == 77


@pytest.mark.parametrize("machine", [CPU, GPU])
def test_resenc_is_trained_beside_the_unet_in_the_same_time(machine):
    sizes = choose_sizes(1000, 3, machine, None, None)
    assert list(sizes.baselines) == ["unet2015", "resenc"]
    assert sizes.iterations < sizes.without_resenc
    assert SearchCost.of(sizes, machine, 3, 1).slowdown < 1.05
    assert choose_sizes(1000, 3, machine, None, sizes.iterations) == sizes
    given = choose_sizes(1000, 3, machine, None, 77)
    assert (list(given.baselines), given.iterations) == (["unet2015"], 77)
    assert "the number of iterations was given" in given.no_resenc.reason
    assert choose_sizes(40, 3, machine, None, None).no_resenc is None  # the images are too small for it


@pytest.mark.parametrize(("seconds", "stays"), [(0.5, True), (5.0, False)])
def test_resenc_is_left_out_if_it_was_measured_to_be_slow(seconds, stays):
    sizes = choose_sizes(1000, 3, CPU, None, None)
    cost = SearchCost.of(sizes, CPU, 3, 1)
    speeds = {name: Speed(0.5, 0.0, is_busy=False) for name in cost.shown}
    speeds["ResEnc U-Net 2024"] = Speed(seconds, 0.0, is_busy=False)
    cost = replace(cost, tried=tuple((each, speeds[name]) for name, each in cost.shown.items()))
    assert cost.taught_per_second(cost.median) == cost.median.n_taught / 0.5
    assert cost.seconds(cost.baselines["resenc"]) == pytest.approx(seconds * sizes.iterations)
    assert cost.is_slowed != stays
    if not stays:
        others = cost.without_resenc(None)
        assert list(others.sizes.baselines) == list(others.baselines) == ["unet2015"]
        assert others.sizes.iterations == sizes.without_resenc
        times = [
            others.seconds(each) for each in others.genomes
        ]  # those between the tried ones, which were alike
        assert times == pytest.approx([0.5 * sizes.without_resenc] * len(times))
        assert cost.without_resenc(sizes.iterations).sizes.iterations == sizes.iterations
        assert "the search was measured here" in resenc_text(others)


def test_small_patches_make_larger_batches():
    """A step takes a fixed time on a CPU, which is most of the time of small patches."""
    assert choose_sizes(40, 3, CPU, None, None).batch_size > 4
    assert choose_sizes(1000, 3, CPU, None, None).batch_size == 4
    assert choose_sizes(40, 3, GPU, None, None).batch_size == 4


def test_more_voxels_are_taught_than_with_valid_convolutions():
    """With the same operations and as wide a view."""
    of_same = choose_sizes(1000, 3, CPU, None, None).regions
    of_valid = {**of_same, "net": {**of_same["net"], "padding": "valid"}}
    taught = {}
    for name, regions in (("same", of_same), ("valid", of_valid)):
        plans = [plan(draw(feasible_regions(regions), 1, index).net, 3) for index in range(10)]
        taught[name] = median(
            math.prod(p.output_shape) / sum(step.flops for step in p.steps()) for p in plans
        )
    assert taught["same"] > 1.3 * taught["valid"]


def test_what_is_written_is_the_preset_and_what_differs():
    make((2, 300, 400))
    text = said(pair("--voxel-size", "40x10x10"))
    written = yaml.safe_load(Path("config.yaml").read_text())
    config = read_config(Path("config.yaml"))
    assert written["preset"] == config.preset == "modern"
    assert set(written["search"]["regions"]["net"]) == {"n_convkernels", "n_stacks", "input_size"}
    preset = preset_values("modern")
    assert config.training.optimiser == Optimiser.model_validate(preset["training"]["optimiser"])
    assert config.training.augmentation.gamma == preset["training"]["augmentation"]["gamma"]
    assert config.search.regions["net"]["padding"] == "same"
    assert "decay_steps" not in config.search.regions["net"]
    n = config.training.iterations
    assert config.training.schedule.options.warm_up_iterations == n // 20 < 50
    lines = Path("config.yaml").read_text().splitlines()
    for key in ("n_convkernels", "n_stacks", "input_size", "iterations", "batch_size", "schedule"):
        (index,) = (i for i, line in enumerate(lines) if line.strip().startswith(f"{key}: "))
        assert lines[index - 1].strip().startswith("# "), f"{key} has no reason"
    assert f"A training has {n} iterations" in text
    assert set(written["baselines"]) == {"unet2015", "resenc"}
    assert re.search(
        r"# ResEnc U-Net 2024 \(resenc\), a strong default of today, takes \d+% of the search",
        "\n".join(lines),
    )
    assert re.search(rf"trainings have {n} instead of \d+ iterations", text)
    assert "million voxels" in text


def test_a_gpu_gets_larger_networks():
    make((2, 500, 600))
    words = ["--no-trial", "--device", "gpu", "--image", "em.tif", "--labels", "labels.tif"]
    said(CliRunner().invoke(app, ["init", *words]))
    config = read_config(Path("config.yaml"))
    net, preset = config.search.regions["net"], preset_values("modern")["search"]["regions"]["net"]
    for name in ("n_convkernels", "input_size", "n_convlayers"):
        assert net[name][1] > preset[name][1]
    assert net["log_learning_rate"][0] < preset["log_learning_rate"][0]
    assert config.training.iterations > 2000
    written = yaml.safe_load(Path("config.yaml").read_text())["training"]
    assert "schedule" not in written  # the preset's warm-up is short enough


@pytest.mark.parametrize(
    ("size", "depth", "hint"),
    [("40x10x10", 20, False), ("12x10x10", 20, True), ("12x10x10", 8, False), (None, 20, True)],
)
def test_3d_is_hinted_at_for_cubic_voxels(size, depth, hint):
    make((depth, 100, 160))
    said(pair(*(["--voxel-size", size] if size else [])))
    assert ("spatial_mode: [2d, 3d]" in Path("config.yaml").read_text()) == hint


def test_little_memory_makes_small_batches():
    roomy = choose_sizes(300, 3, GPU, None, None)
    needed = max(cost.memory_bytes for cost in costs(roomy, 3))
    tight = choose_sizes(300, 3, Machine("gpu", "a small GPU", 0.9 * needed, True), None, None)
    assert tight.batch_size < roomy.batch_size


@pytest.mark.slow
def test_a_trial_counts_only_voxels_inside_the_mask():
    padded(np.nan)
    words = ["--mask", "mask.tif", "--device", "cpu", "--genomes", "2", "--iterations", "50"]
    done = CliRunner().invoke(app, ["init", "--image", "em.tif", "--labels", "labels.tif", *words])
    assert "not measured" not in said(done)


@pytest.mark.slow
def test_a_trial_says_how_long_it_takes():
    make()
    words = "init --image em.tif --labels labels.tif --device cpu --genomes 2 --iterations 50"
    done = CliRunner().invoke(app, words.split())
    text = said(done)
    assert "not measured" not in text
    assert re.search(r"all 2 genomes and the U-Net here.*: about \d", text)
    assert re.search(r"median .* voxels ", text)
    assert "taught per second" in text
    assert re.search(r"on a cluster, one job for each: 3 jobs of about \d", text)
    assert re.search(r"up to 1 more training without validations, about \d.* here", text)


def test_words_of_yaml_are_quoted():
    for value in ("no", "null", "a: b", "1", "plain", ["x", None, [0, 1.5]]):
        assert yaml.safe_load(f"key: {flow(value)}") == {"key": value}
    names = volume_names([Path("a/b c.ome.tif"), Path("x/b c.tif"), Path("….tif")])
    assert names == ["b_c", "b_c_2", "volume"]


@pytest.mark.process
def test_snakemake_finds_nothing_wrong_with_it(folder):
    make()
    said(pair("--classes", "no,a: b", "--voxel-size", "40x10x10", "--genomes", 3))
    search = Search(folder)
    search.configs = [folder / "config.yaml"]
    jobs = search.planned()
    assert jobs["train"] == 5  # three genomes and two baselines
    assert jobs["prepare"] == 3  # training, validation, and both together
    assert jobs["refit"] == 2
    assert jobs["segment"] == 1


def test_the_platelet():
    folder = require_data() / "platelet"
    text = said(init("--image", folder / "50_z0_raw.tif", "--labels", folder / "50_z0_semantic7.tif"))
    config = read_config(Path("config.yaml"))
    assert len(config.data.classes) == 7
    assert "1 class 1 395,475 61.8 %" in text
    assert "6 class 6 112 0.018 %" in text
    assert "class 5 and class 6: not in the part for validation" in text
    sizes = [i[1] - i[0] for i in config.data.train[0].region if i]
    assert sizes == [560]
    low, high = config.search.regions["net"]["input_size"]
    assert low < high <= 560
