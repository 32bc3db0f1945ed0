"""Images that a config names are opened before anything is computed."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from genenet.cli.commands.data import check
from genenet.config.model import check_config
from genenet.core.errors import InputError
from genenet.volumes.image_checks import check_images
from tests.support.configs import changed
from tests.support.runs import fails, genenet, run

GREY = {"photometric": "minisblack"}


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    """Images of the kinds that people have."""
    monkeypatch.chdir(tmp_path)
    grey = np.zeros((3, 40, 50), np.uint8)
    tifffile.imwrite("grey.tif", grey, **GREY)
    tifffile.imwrite("ids.tif", grey.astype(np.uint16), **GREY)
    tifffile.imwrite("small.tif", grey[:, :30], **GREY)
    tifffile.imwrite("float.tif", grey.astype(np.float32), **GREY)
    tifffile.imwrite("rgb.tif", np.zeros((40, 50, 3), np.uint8), photometric="rgb")
    Path("cut.tif").write_bytes(Path("grey.tif").read_bytes()[:3000])
    Path("text.tif").write_text("not an image")


def volumes(**named):
    """The default config with these volumes to segment."""
    return changed("data.volumes", named)


def test_what_can_be_segmented_is_described():
    config = check_config(
        volumes(
            a={"path": "grey.tif", "labels": "ids.tif", "mask": "ids.tif"},
            b={"path": "grey.tif", "region": [[1, 3], None, [10, 20]]},
        )
    )
    assert check_images(config) == [
        "data.volumes.a: 3 x 40 x 50 voxels (z, y, x) of uint8",
        "data.volumes.b: 2 x 40 x 10 voxels (z, y, x) of uint8",
    ]


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"path": "rgb.tif"}, "rgb.tif: is an RGB image; convert to greyscale"),
        ({"path": "cut.tif"}, "cut.tif: "),
        ({"path": "text.tif"}, "text.tif: "),
        ({"path": ["grey.tif", "small.tif"]}, "small.tif: has 30 x 50 voxels"),
        ({"path": "grey.tif", "labels": "small.tif"}, "small.tif: "),
        ({"path": "grey.tif", "labels": "float.tif"}, "float.tif: "),
        ({"path": "grey.tif", "labels": "rgb.tif"}, "rgb.tif: is an RGB image"),
        ({"path": "grey.tif", "mask": "small.tif"}, "small.tif: "),
        ({"path": "grey.tif", "mask": "float.tif"}, "float.tif: "),
        ({"path": "grey.tif", "region": [[0, 4], None, None]}, "grey.tif: "),
    ],
)
def test_what_cant_be_segmented_is_one_line_with_its_key(volume, message):
    config = check_config(volumes(fine={"path": "grey.tif"}, odd=volume))
    with pytest.raises(InputError) as caught:
        check_images(config)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"data.volumes.odd: {message}")
    assert check_images(config, ["data.volumes.fine"])


def write_sized(name, nm):
    """A grey image whose file says its voxel size."""
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": nm}
    tifffile.imwrite(
        name, np.zeros((3, 40, 50), "u1"), imagej=True, resolution=(1 / nm,) * 2, metadata=metadata
    )


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (
            {"path": "sized.tif", "mask": "ids.tif"},
            "sized.tif: has labels or a mask, which aren't rescaled with it",
        ),
        (
            {"path": "sized.tif", "labels": "ids.tif"},
            "sized.tif: has labels or a mask, which aren't rescaled",
        ),
        (
            {"path": "grey.tif", "voxel_size_nm": [7, 7, 7], "mask": "ids.tif"},
            "grey.tif: has labels or a mask",
        ),
        ({"path": "grey.tif"}, "grey.tif: its file doesn't say its voxel size, so it can't be rescaled"),
    ],
)
def test_what_cant_be_rescaled_is_found_before_it_is_segmented(volume, message):
    write_sized("sized.tif", 200)
    values = volumes(odd=volume)
    assert check_images(check_config(values), ["data.volumes.odd"])
    values["segmentation"] = {**values.get("segmentation", {}), "rescale": True}
    with pytest.raises(InputError) as caught:
        check_images(check_config(values), ["data.volumes.odd"])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"data.volumes.odd: {message}")


def test_what_can_be_rescaled_is_fine():
    values = volumes(a={"path": "sized.tif"}, b={"path": "grey.tif", "mask": "ids.tif", "labels": "ids.tif"})
    write_sized("sized.tif", 200)
    values["data"]["volumes"]["b"]["voxel_size_nm"] = values["data"]["voxel_size_nm"]
    values["segmentation"] = {**values.get("segmentation", {}), "rescale": True}
    assert len(check_images(check_config(values), ["data.volumes.a", "data.volumes.b"])) == 2


def test_a_warning_about_a_file_is_logged_once(caplog):
    """Also if the file is an image for training and a volume to segment; each stage logs it again."""
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(
            name, np.zeros((40, 50), "u1"), imagej=True, resolution=(72, 72), metadata={"unit": "inch"}
        )
    labelled = {"path": "a.tif", "labels": "one.tif"}
    tifffile.imwrite("one.tif", np.zeros((40, 50), "u1"))
    values = volumes(first={"path": "a.tif"}, again={"path": "a.tif"}, other={"path": "b.tif"})
    values["data"] |= {"train": [labelled, labelled], "validation": [labelled]}
    for n in (1, 2):
        check_images(check_config(values))
        for name in ("a.tif", "b.tif"):
            assert caplog.text.count(f"{name}: says that its voxels are 352778 nm along y") == n


def test_every_unreadable_image_is_named_at_once():
    config = check_config(volumes(one={"path": "rgb.tif"}, two={"path": "text.tif"}))
    with pytest.raises(InputError) as caught:
        check_images(config)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "data.volumes.one",
        "data.volumes.two",
    ]


def test_training_images_are_opened_too():
    config = check_config(changed("data.train", [{"path": "rgb.tif", "labels": "ids.tif"}]))
    with pytest.raises(InputError, match=r"data\.train\.0: rgb\.tif: is an RGB image"):
        check_images(config)


def test_images_that_dont_exist_yet_are_named_and_phantoms_are_left_out():
    config = check_config(
        volumes(later={"path": "later.tif"}, demo={"phantom": {"shape": [1, 40, 40], "seed": 1}})
    )
    assert check_images(config) == ["data.volumes.later: later.tif doesn't exist yet, and wasn't checked"]


def test_the_command_names_validation_images_that_overlap_training(capsys):
    labelled = {"path": "grey.tif", "labels": "ids.tif"}
    values = volumes()
    values["data"] |= {"train": [labelled], "validation": [{**labelled, "region": [[0, 1], None, None]}]}
    Path("both.yaml").write_text(yaml.safe_dump(values))
    check(Path("both.yaml"))
    assert "data.validation.0: shares voxels with data.train.0, so networks" in capsys.readouterr().out


@pytest.mark.parametrize(("mode", "n", "axis"), [("2d", 3, "z"), ("3d", 3, "x"), ("3d", 2, "x")])
def test_folds_of_3d_networks_are_no_thin_slabs(mode, n, axis):
    values = changed("search.regions", {"net": {"spatial_mode": mode, "input_size": 16}})
    values["data"] |= {"train": [{"path": "grey.tif", "labels": "ids.tif"}], "validation": [], "folds": n}
    assert check_images(check_config(values)) == [
        f"data.train.0: 3 x 40 x 50 voxels (z, y, x) of uint8, {n} folds along {axis}"
    ]


@pytest.mark.process
def test_the_command_finds_an_rgb_volume():
    Path("rgb.yaml").write_text(yaml.safe_dump(volumes(a={"path": "rgb.tif"})))
    fails(genenet("check", "rgb.yaml"), "data.volumes.a: rgb.tif: is an RGB image; convert to greyscale")
    Path("fine.yaml").write_text(yaml.safe_dump(volumes(a={"path": "grey.tif"})))
    done = run(genenet("check", "fine.yaml"))
    assert done.returncode == 0, done.stderr
    first, cost, last = done.stdout.splitlines()
    assert first == "data.volumes.a: 3 x 40 x 50 voxels (z, y, x) of uint8"
    assert cost.startswith("trainings: 6 of genomes and 1 of baselines, of up to 350 iterations: ")
    assert last == "fine.yaml: fine"
