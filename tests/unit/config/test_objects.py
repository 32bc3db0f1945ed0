"""``instances:`` beside an image: what networks then learn, and what is refused."""

import pytest

from genenet.config.data import Data, LabelledImage
from genenet.config.phantom import Phantom
from genenet.core.errors import InputError
from genenet.core.validation import validate

IDS = {"cell": {"path": "cells.tif", "of": ["cell", "mitochondrion"]}, "mitochondrion": {"path": "mito.tif"}}
CLASSES = ["background", "mitochondrion", "cell"]


def data(train=IDS, validation=IDS, classes=CLASSES, labels="labels.tif", **more):
    images = {
        split: [{"path": f"{split}.tif", "labels": labels, "instances": instances}]
        for split, instances in (("train", train), ("validation", validation))
    }
    return validate(Data, {"classes": classes, "voxel_size_nm": [40, 10, 10], **images, **more}, "data")


def test_objects_are_in_the_order_of_the_classes():
    found = data()
    assert [(each.name, each.of) for each in found.objects] == [
        ("mitochondrion", ["mitochondrion"]),
        ("cell", ["cell", "mitochondrion"]),
    ]
    assert found.n_outputs == 5


def test_without_instances_nothing_changes():
    found = data({}, {})
    assert found.n_outputs == 3
    assert "instances" not in found.train[0].model_dump()


def test_objects_alone_are_labels_of_two_classes():
    ids = {"cell": {"path": "cells.tif"}}
    assert data(ids, ids, ["background", "cell"], labels=None).n_outputs == 3
    with pytest.raises(
        InputError, match=r"train\.0: labels: is missing; instances: alone are enough only if"
    ):
        data(ids, ids, labels=None)


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (
            {"cel": {"path": "a.tif"}},
            IDS,
            r"train\.0\.instances\.cel: cel is no class; classes are background",
        ),
        ({"cell": {"path": "a.tif", "of": ["mitochondrion"]}}, {}, r"cell\.of: must contain cell itself"),
        (IDS, {"cell": IDS["cell"]}, r"validation\.0: has no instances: for mitochondrion, as train\.0 has"),
        (
            IDS,
            {**IDS, "cell": {"path": "a.tif"}},
            r"validation\.0\.instances\.cell: of: and border_nm: must be",
        ),
        ({"cell": {}}, IDS, r"instances\.cell: path: is missing"),
        ({"cell": {"path": "a.tif", "border_nm": 0}}, IDS, r"border_nm"),
    ],
)
def test_what_is_refused(train, validation, message):
    with pytest.raises(InputError, match=message):
        data(train, validation)


def test_test_images_may_lack_objects_but_not_have_others():
    test = {"path": "test.tif", "labels": "test-labels.tif"}
    assert data(test=[test]).objects
    with pytest.raises(InputError, match=r"test\.0\.instances\.cell: networks don't learn these objects"):
        data({}, {}, test=[{**test, "instances": {"cell": {"path": "a.tif"}}}])


def test_objects_of_volumes_are_refused_since_they_arent_scored():
    with pytest.raises(
        InputError, match=r"volumes\.v: instances: objects are scored on the images of data\.test"
    ):
        data(volumes={"v": {"path": "a.tif", "instances": {"cell": {"path": "b.tif"}}}})


def test_a_phantom_has_its_own_objects():
    phantom = {"phantom": {"shape": [2, 64, 64], "seed": 0}, "instances": {"cell": {"path": "a.tif"}}}
    values = {"classes": ["background", "cell"], "voxel_size_nm": [40, 10, 10], "train": [phantom]}
    with pytest.raises(InputError, match="a phantom has its own; leave path: out"):
        validate(Data, values, "data")


def test_a_phantom_numbers_only_some_classes():
    phantom = {"phantom": {"shape": [2, 64, 64], "seed": 0}, "instances": {"dense granule core": {}}}
    with pytest.raises(
        InputError, match=r"instances\.dense granule core: a phantom numbers the objects of cell,"
    ):
        validate(LabelledImage, phantom, "image")


@pytest.mark.parametrize(
    ("more", "name", "options"),
    [
        ({}, "", []),
        ({"touching": True}, "-touching", ["--touching"]),
        (
            {"touching": True, "contrast": 0.8, "noise": 1.5},
            "-touching-contrast0.8-noise1.5",
            ["--touching", "--contrast=0.8", "--noise=1.5"],
        ),
    ],
)
def test_a_phantom_has_a_name_and_options(more, name, options):
    phantom = Phantom(shape=(2, 64, 80), seed=3, **more)
    assert phantom.name == f"2x64x80-seed3{name}"
    assert phantom.options == ["--shape=2x64x80", "--seed=3", *options]
