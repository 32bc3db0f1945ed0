"""What napari is given. Layer data is checked without it; where napari is installed, it opens them without a screen."""

import itertools
import logging
import sys

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from genenet.cli.main import app
from genenet.core.errors import InputError
from genenet.segmentation.lazy_array import LazyArray
from genenet.segmentation.napari_layers import napari_layers
from genenet.segmentation.napari_viewing import add_layers, image_of, open_napari
from genenet.segmentation.shown import read_shown
from genenet.volumes.base import ArrayVolume
from genenet.volumes.palette import class_colours
from genenet.volumes.store_pyramid import build_pyramid
from tests.support.stores import write_boxes, write_touching

TRANSLATION = (80.0, 0.0, 100.0)
BOX = ("box_01", 1, 10, 20, 3, 8, 16, 0.75, "disagreement", "")
REVIEWED = ("box_02", 0, 0, 0, 1, 40, 90, 0.5, "", "yes")
LAYERS = ["uncertainty", "disagreement", "segmentation", "instances_cell", "boxes", "contacts_cell"]


@pytest.fixture
def store(tmp_path):
    written = write_touching(tmp_path / "a.ome.zarr", translation_nm=TRANSLATION)
    build_pyramid(written.path, min_size=30)
    return written


@pytest.fixture
def boxes(tmp_path):
    return write_boxes(tmp_path / "boxes", BOX, REVIEWED)


def layers_of(store, boxes=None, image=()):
    found = napari_layers(read_shown(store.path, boxes), image_of(store, image), boxes)
    return {options["name"]: (data, options, kind) for data, options, kind in found}


def save(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def test_layers_lie_above_each_other_and_where_the_segmentation_lies(store, boxes):
    layers = layers_of(store, boxes)
    assert list(layers) == LAYERS
    assert [kind for *_, kind in layers.values()] == ["image"] * 2 + ["labels"] * 2 + ["shapes", "points"]
    for _, options, _ in layers.values():
        assert (options["scale"], options["translate"]) == ((40, 10, 10), TRANSLATION)
        assert options["units"] == ("nm",) * 3
    seen = [name for name, (_, options, _) in layers.items() if options.get("visible", True)]
    assert seen == ["uncertainty", "instances_cell", "boxes", "contacts_cell"]


def test_pyramids_are_read_when_they_are_looked_at(store):
    layers = layers_of(store)
    for name, whole in {"disagreement": store.root[1], "segmentation": store.labels[...]}.items():
        levels, options, _ = layers[name]
        assert [level.shape for level in levels] == [(5, 40, 90), (5, 20, 45), (5, 10, 23)]
        assert np.array_equal(np.asarray(levels[0]), whole)
        assert options["multiscale"]
    assert layers["instances_cell"][0][0].dtype == np.uint32


def test_classes_have_their_colours_and_names(store):
    _, options, _ = layers_of(store)["segmentation"]
    assert options["features"] == {"index": [0, 1], "class": ["background", "cell"]}
    assert np.allclose(np.array(options["colormap"][1][:3]) * 255, class_colours(2)[1])
    assert options["colormap"][0][3] == options["colormap"][None][3] == 0
    assert "colormap" not in layers_of(store)["instances_cell"][1], "objects have napari's colours"


def test_contacts_are_points_with_their_risk_the_largest_first(store):
    points, options, _ = layers_of(store)["contacts_cell"]
    assert points.tolist() == [[2, 19.5, 59.5], [2, 19.5, 39.5]]
    assert options["features"]["risk"] == [pytest.approx(1 - 200 / 255, abs=1e-3), 0]
    assert (options["features"]["object_a"], options["features"]["object_b"]) == ([2, 1], [3, 2])
    assert options["features"]["disagreement"][0] == pytest.approx(50 / 255, abs=1e-3)


def test_a_box_is_a_rectangle_in_each_of_its_slices(store, boxes):
    rectangles, options, _ = layers_of(store, boxes)["boxes"]
    assert rectangles[:, 0, 0].tolist() == [1, 2, 3, 0]
    assert np.ptp(rectangles[:3, :, 1:], axis=(0, 1)).tolist() == [8, 16]
    assert rectangles[0].min(axis=0).tolist() == [1, 9.5, 19.5]
    features = options["features"]
    assert features["box"] == ["box_01"] * 3 + ["box_02"]
    assert features["reviewed"] == [False] * 3 + [True]
    assert len(set(options["edge_color"])) == 2


def test_labels_of_boxes_can_be_edited_in_their_place(store, boxes):
    labels = np.ones((3, 8, 16), np.uint8)
    save(boxes / "box_01_labels.tif", labels)
    layers = layers_of(store, boxes)
    data, options, kind = layers["box_01_labels"]
    assert (kind, type(data), data.tolist()) == ("labels", np.ndarray, labels.tolist())
    assert options["translate"] == (80 + 40, 100, 100 + 200)
    assert list(layers).index("box_01_labels") < list(layers).index("boxes")


def test_labels_of_another_shape_than_their_box_are_refused(store, boxes):
    path = save(boxes / "box_01_labels.tif", np.ones((3, 8, 15), np.uint8))
    message = r"has 3 x 8 x 15 voxels \(z, y, x\), the box in boxes.csv has 3 x 8 x 16; save it"
    with pytest.raises(InputError, match=message) as raised:
        layers_of(store, boxes)
    assert str(raised.value).startswith(str(path))


def test_an_image_of_as_many_voxels_lies_on_the_segmentation(store, tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (5, 40, 90)).astype(np.uint16)
    layers = layers_of(store, image=[save(tmp_path / "i.tif", image)])
    data, options, _ = layers["image"]
    assert list(layers) == ["image", *(name for name in LAYERS if name != "boxes")]
    assert np.array_equal(np.asarray(data), image)
    assert (options["scale"], options["translate"]) == ((40, 10, 10), TRANSLATION)
    low, high = options["contrast_limits"]
    assert 0 <= low < 10 < 190 < high < 200
    assert not layers["uncertainty"][1]["visible"]


def test_the_whole_image_of_a_region_begins_before_it(tmp_path):
    store = write_touching(
        tmp_path / "a.ome.zarr",
        translation_nm=(120.0, 0.0, 50.0),
        attributes={
            "objects": [{"name": "cell", "of": ["cell"]}],
            "region": [[3, 8], None, [5, 95]],
        },
    )
    image = save(tmp_path / "i.tif", np.zeros((9, 40, 100), np.uint8))
    assert layers_of(store, image=[image])["image"][1]["translate"] == (0, 0, 0)


def test_the_image_that_was_segmented_is_opened_if_it_is_there(tmp_path, caplog):
    grey = np.random.default_rng(0).integers(0, 200, (5, 40, 90)).astype(np.uint8)
    path = save(tmp_path / "i.tif", grey)
    attributes = {
        "objects": [{"name": "cell", "of": ["cell"]}],
        "source": {"image": [str(path)], "labels": None, "region": None},
    }
    store = write_touching(tmp_path / "a.ome.zarr", attributes=attributes)
    assert np.array_equal(np.asarray(layers_of(store)["image"][0]), grey)
    path.unlink()
    with caplog.at_level(logging.WARNING):
        assert "image" not in layers_of(store)
    assert caplog.messages == [f"{store.path}: its image {path} isn't there, and isn't shown; add --image"]


@pytest.mark.parametrize(
    "index", [*itertools.product([2, -1, slice(None), slice(1, 3), slice(0, 4, 2)], repeat=2)]
)
def test_slices_are_those_of_numpy(store, index):
    whole = store.root[1]
    array = LazyArray(store.shape, store.root.dtype, store.root, 1)
    assert np.array_equal(array[index], whole[index])
    assert np.array_equal(array[(*index, slice(5, 70))], whole[(*index, slice(5, 70))])
    assert np.array_equal(LazyArray(store.shape, whole.dtype, ArrayVolume(whole))[index], whole[index])
    assert (array.ndim, array.size) == (3, whole.size)


def test_a_place_outside_is_no_voxel(store):
    array = LazyArray(store.shape, store.root.dtype, store.root)
    with pytest.raises(IndexError, match="7 isn't inside of 5 voxels"):
        array[7]


def test_without_napari_the_command_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(
        InputError, match=r"genenet view --napari needs napari; pip install 'genenet\[napari\]'"
    ):
        open_napari(store.path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a screen")
def test_without_a_screen_it_says_what_works(store, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        InputError, match="napari needs a screen, and none is there; without --napari, genenet view"
    ):
        open_napari(store.path)


@pytest.mark.parametrize("viewer", [[], ["--napari"]])
def test_the_command_refuses_boxes_of_another_segmentation(store, tmp_path, viewer):
    folder = write_boxes(tmp_path / "boxes", (*BOX[:4], 6, *BOX[5:]))
    done = CliRunner().invoke(app, ["view", str(store.path), "--boxes", str(folder), *viewer])
    assert isinstance(done.exception, InputError)
    assert "give the segmentation that the boxes are of" in str(done.exception)


@pytest.fixture
def viewer():
    """napari's viewer without its window, which would need a screen and OpenGL."""
    pytest.importorskip("napari")
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.mark.process
@pytest.mark.filterwarnings("ignore")  # napari's own
def test_napari_opens_all_layers(viewer, store, boxes, tmp_path):
    image = save(tmp_path / "i.tif", np.random.default_rng(0).integers(0, 200, (5, 40, 90)).astype(np.uint8))
    save(boxes / "box_01_labels.tif", np.ones((3, 8, 16), np.uint8))
    shown = read_shown(store.path, boxes)
    add_layers(viewer, shown, napari_layers(shown, image_of(store, [image]), boxes))
    layers = viewer.layers
    assert [layer.name for layer in layers] == ["image", *LAYERS[:4], "box_01_labels", *LAYERS[4:]]
    risks = layers["contacts_cell"].features["risk"].tolist()
    assert risks == sorted(risks, reverse=True)
    assert viewer.dims.current_step[0] == 2
    at = np.array(TRANSLATION) + (80, 200, 300)  # the voxel 2, 20, 30
    assert layers["instances_cell"].get_value(at, world=True)[1] == 1
    assert layers["box_01_labels"].get_value(np.array(TRANSLATION) + (40, 100, 200), world=True) == 1
    layers["box_01_labels"].data_setitem((np.array([1]), np.array([4]), np.array([4])), 0)
    edited = layers["box_01_labels"].data  # which napari saves
    assert (edited.shape, edited.dtype, edited[1, 4, 4], edited[0].min()) == ((3, 8, 16), np.uint8, 0, 1)


@pytest.mark.process
@pytest.mark.filterwarnings("ignore")
def test_n_moves_from_contact_to_contact(viewer, store):
    shown = read_shown(store.path)
    add_layers(viewer, shown, napari_layers(shown))
    show_next = {str(key): function for key, function in viewer.keymap.items()}["N"]
    centres = []
    for _ in range(3):
        show_next(viewer)
        centres.append(getattr(viewer, "scene", viewer).camera.center[-1])
    assert centres == [100 + 595, 100 + 395, 100 + 595]
    assert viewer.status == "objects 2 and 3: risk 0.22"
