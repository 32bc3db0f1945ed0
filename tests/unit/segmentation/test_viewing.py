"""Viewers and validators that aren't ours open what is written. neuroglancer runs in a real browser."""

import io
import json
import shutil
import subprocess
import sys
from queue import Queue

import numpy as np
import pytest
import tifffile
import yaozarrs
from PIL import Image

from genenet.core.errors import InputError
from genenet.segmentation.export import export_tiff
from genenet.segmentation.viewing import view
from genenet.volumes.palette import class_colours
from genenet.volumes.store_pyramid import build_pyramid
from tests.support.browser import require_browser
from tests.support.stores import write_boxes, write_store, write_touching

SHAPE = (6, 300, 400)


@pytest.fixture
def store(tmp_path):
    """A finished segmentation: the left third is background, the middle cell, the right organelle."""
    labels = np.broadcast_to((np.arange(400) * 3 // 400).astype("u1"), SHAPE)
    channels = np.stack([np.full(SHAPE, 60, "u1"), *(np.uint8(255) * (labels == i) for i in range(3))])
    written = write_store(
        tmp_path / "a.ome.zarr", labels, channels, block=(4, 256, 256), voxel_size_nm=(50.0, 10.0, 10.0)
    )
    build_pyramid(written.path)
    return written.path


def test_an_independent_validator_finds_the_store_valid(store):
    """yaozarrs looks at the metadata and at the arrays that they speak of."""
    for group in ("", "labels", "labels/segmentation"):
        yaozarrs.validate_zarr_store(str(store / group))


@pytest.mark.parametrize(
    ("group", "damage"),
    [
        ("", lambda ome: ome["multiscales"][0]["axes"].pop()),
        ("", lambda ome: ome["multiscales"][0]["datasets"][1].update(path="nowhere")),
        ("labels/segmentation", lambda ome: ome["image-label"]["colors"][0].update(rgba=[1, 2])),
    ],
)
def test_the_validator_sees_what_is_wrong(store, group, damage):
    document = json.loads((store / group / "zarr.json").read_text())
    damage(document["attributes"]["ome"])
    (store / group / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="error"):
        yaozarrs.validate_zarr_store(str(store / group))


def test_the_tiff_says_to_bio_formats_what_it_needs(store, tmp_path):
    """OME's rules: one image, planes in order z, sizes in nm; one IFD for each plane, compressed, BigTIFF."""
    export_tiff(store, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        ome = tifffile.xml2dict(tif.ome_metadata)["OME"]
        assert tif.is_bigtiff
        assert len(tif.pages) == SHAPE[0]
        assert all(page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE for page in tif.pages)
    pixels = ome["Image"]["Pixels"]
    assert pixels["DimensionOrder"] == "XYCZT"
    assert pixels["Type"] == "uint8"
    assert [pixels[f"Size{a}"] for a in "XYZCT"] == [400, 300, 6, 1, 1]
    assert [(pixels[f"PhysicalSize{a}"], pixels[f"PhysicalSize{a}Unit"]) for a in "XYZ"] == [
        (10.0, "nm"),
        (10.0, "nm"),
        (50.0, "nm"),
    ]
    data = pixels["TiffData"]
    assert (data["IFD"], data["PlaneCount"]) == (0, SHAPE[0])


def test_without_neuroglancer_the_command_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    with pytest.raises(InputError, match=r"genenet view needs neuroglancer; pip install 'genenet\[view\]'"):
        view(store)
    with pytest.raises(InputError, match="not a segmentation"):
        view(store / "labels")


def photograph(viewer, folder):
    """What neuroglancer shows in a browser without a screen, (Y, X, 3), once all is loaded."""
    flags = (
        "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader "
        "--enable-unsafe-swiftshader --ignore-gpu-blocklist --window-size=600,400 --remote-debugging-port=0"
    )
    command = [
        shutil.which("chromium"),
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        viewer.get_viewer_url(),
    ]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pictures: Queue[bytes] = Queue()
    with viewer.config_state.txn() as state:
        state.viewer_size, state.show_ui_controls, state.show_panel_borders = [600, 400], False, False
    try:
        viewer.async_screenshot(lambda s: pictures.put(s.screenshot.image))
        picture = pictures.get(timeout=300)  # it computes what a GPU would
    finally:
        browser.terminate()
        browser.wait()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


@pytest.mark.process
@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_neuroglancer_shows_classes_in_their_colours(store, tmp_path):
    require_browser()
    viewer = view(store)
    with viewer.txn() as state:
        state.show_axis_lines = False
        state.layers["segmentation"].selected_alpha = 1
    background, cell, organelle = photograph(viewer, tmp_path)[200, [150, 300, 450]]  # a voxel is a pixel
    assert np.abs(background - 60).max() <= 1  # uncertainty, of which the background hides nothing
    assert np.abs([cell, organelle] - np.array(class_colours(3)[1:])).max() <= 1


BOXES = (
    ("box_01", 1, 10, 20, 3, 8, 16, 0.75, "disagreement", ""),
    ("box_02", 0, 0, 0, 5, 40, 90, 0.5, "", "yes"),
)


@pytest.fixture
def touching(tmp_path):
    """Three cells in a row, rows 10 to 29; they touch between the voxels 39, 40 and 59, 60 along x."""
    return write_touching(tmp_path / "b.ome.zarr", translation_nm=(80.0, 0.0, 100.0)).path


def test_objects_contacts_and_boxes_are_layers(touching, tmp_path):
    state = view(touching, boxes=write_boxes(tmp_path / "boxes", *BOXES)).state
    names = ["uncertainty", "segmentation", "instances_cell", "contacts_cell", "boxes"]
    assert [layer.name for layer in state.layers] == names
    seen = [layer.name for layer in state.layers if layer.visible is not False]
    assert seen == ["uncertainty", "instances_cell", "contacts_cell", "boxes"]
    contacts = state.layers["contacts_cell"].layer
    first, second = contacts.annotations
    # z, y, x are the voxels 2, 19.5, 59.5 of the segmentation, which begins at voxel 2, 0, 10
    assert np.array(first.point).tolist() == [69.5, 19.5, 4]
    assert state.position.tolist() == [69.5, 19.5, 4]
    properties = [each.id for each in contacts.annotation_properties]
    described = dict(zip(properties, first.props, strict=True))
    assert described["risk"] == pytest.approx(1 - 200 / 255, abs=1e-3)
    assert (described["object_a"], described["object_b"]) == (2, 3)
    assert described["risk"] > second.props[0]
    assert [list(map(int, each)) for each in first.segments] == [[2, 3]]
    assert contacts.linked_segmentation_layer["objects"] == "instances_cell"
    box, _ = state.layers["boxes"].layer.annotations
    assert (np.array(box.point_a).tolist(), np.array(box.point_b).tolist()) == (
        [29.5, 9.5, 2.5],
        [45.5, 17.5, 5.5],
    )
    assert box.description == "box_01: disagreement"
    assert [box.props[0] for box in state.layers["boxes"].layer.annotations] == [0, 1]


def test_only_the_most_doubtful_contacts_are_layers(touching):
    contacts = view(touching, most_contacts=1).state.layers["contacts_cell"].layer
    assert [each.id for each in contacts.annotations] == ["2-3"]
    assert "contacts_cell" not in [layer.name for layer in view(touching, most_contacts=0).state.layers]


@pytest.mark.process
@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_neuroglancer_shows_contacts_and_boxes_in_their_places(touching, tmp_path):
    """Ten pixels are a voxel."""
    require_browser()
    viewer = view(touching, boxes=write_boxes(tmp_path / "boxes", BOXES[0]))
    with viewer.txn() as state:
        state.show_axis_lines, state.cross_section_scale = False, 0.1
        state.position = [60, 19.5, 4]
        state.layers["instances_cell"].selected_alpha = 1
    picture = photograph(viewer, tmp_path)
    point = picture[200, 300 + 95]
    assert point[0] > 200 > 100 > point[2], "between yellow and red"
    left, right = picture[230, 300 - 150], picture[230, 300 + 250]
    assert np.abs(left - right).max() > 20, "objects on both sides have other colours"
    # the box ends at 45.5 along x, and at 17.5 along y
    assert is_magenta(picture[140, 150:160]).any()
    assert is_magenta(picture[175:185, 100]).any()
    assert not is_magenta(picture[140, 160:]).any()


def is_magenta(pixels):
    return (pixels[..., 0] > 200) & (pixels[..., 1] < 110) & (pixels[..., 2] > 180)
