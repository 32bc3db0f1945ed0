"""What the report says an ensemble was tried on."""

from pathlib import Path

import pytest

from genenet.core.atomic_files import read_json, write_json
from genenet.ensembles.description import EnsembleDescription
from genenet.ensembles.tested import ScoresOnTestImages
from genenet.report import plot_style
from genenet.report.tried import not_tried, tried_on
from genenet.volumes.grey_values import LAGS, PERCENTAGES
from genenet.volumes.ome_zarr import open_store
from tests.support.results import Search

LINE = "demo.tif: may be too different from what the ensemble has seen: <its mean uncertainty is 0.40>"

REFIT = {"images": [], "refitted": ["r0/000"]}
FAILED = {"images": [], "refitted": [], "failed": {"r0/000": "failed"}}
FOLDS = [{"folder": f"members/0{fold}", "run": f"r0/000/folds/{fold}", "genome": "abc"} for fold in range(2)]


def image(name):
    quantiles = [percentage / 50 - 1 for percentage in PERCENTAGES]
    return {
        "name": name,
        "quantiles": quantiles,
        "differences": [0.5] * len(LAGS),
        "skews": [0.1] * len(LAGS),
    }


def ensemble(train=("a.tif[0:8, :, :]",), validation=("a.tif[8:10, :, :]",), reference=True, **more):
    seen = {
        "images": [image(name) for name in (*train, *validation)],
        "validation": {"class_shares": [0.6, 0.4], "uncertainty": 0.123},
    }
    values = {
        "classes": ["background", "cell"],
        "voxel_size_nm": [40, 10, 10],
        "dtypes": ["uint8"],
        "normalisation": {"mode": "image", "mean": 1, "deviation": 2},
        "selected_on": list(validation),
        "members": [{"folder": "members/00", "run": "r0/000", "genome": "abc"}],
        "reference": seen if reference else None,
        **more,
    }
    return EnsembleDescription.model_validate(values)


@pytest.mark.parametrize(
    ("description", "test", "kind"),
    [
        (ensemble(), None, "validation"),
        (ensemble(validation=("b.tif",)), None, None),
        (ensemble(reference=False), None, None),
        (ensemble(), ["a.tif[10:12, :, :]"], "test"),
        (ensemble(), ["a.tif[10:12, :, :]", "c.tif"], None),
        (ensemble(reference=False), ["c.tif"], None),
        (ensemble(["a.tif"], ["b.tif[0:50, :, :]"]), ["b.tif[50:99, :, :]"], None),
        (ensemble(["a.tif"], ["b.tif[0:50, :, :]"], refit=REFIT), ["b.tif[50:99, :, :]"], "test"),
        (ensemble(["a.tif"], ["b.tif[0:50, :, :]"], refit=REFIT), ["c.tif"], None),
        (ensemble(["a.tif"], ["b.tif"], refit=REFIT), None, None),
        (ensemble(["a.tif"], ["b.tif[0:50, :, :]"], refit=FAILED), ["b.tif[50:99, :, :]"], None),
        (ensemble(["a.tif", "b.tif"], ["a.tif", "b.tif"], members=FOLDS), ["a.tif[9:12, :, :]"], "test"),
        (ensemble(["a.tif", "b.tif"], ["a.tif", "b.tif"], members=FOLDS), None, None),
        (ensemble(["x [1]/a.tif"], ["x [2]/b.tif"]), None, None),
        (ensemble(["x [1]/a.tif[0:8, :, :]"], ["x [1]/a.tif[8:9, :, :]"]), None, "validation"),
    ],
)
def test_whether_it_was_tried_on_another_image(description, test, kind):
    found = not_tried(description, ScoresOnTestImages(volumes=test) if test else None, {})
    line = f"Another image: all {kind} images are regions of images that also train."
    assert found == ([line] if kind else [])


def test_what_its_images_are_like():
    (found,) = tried_on(ensemble(), {})
    assert found == (
        "2 labelled images: voxels of uint8 of 40 x 10 x 10 nm (z, y, x), normalised grey values from -0.9 to 0.9 "
        "(5 to 95 %); mean uncertainty on validation 0.12."
    )
    assert tried_on(ensemble(reference=False), {"a": []}) == []


def test_which_volumes_differ_and_which_do_not():
    warnings = {"a": [LINE], "b": []}
    other = ensemble(validation=("b.tif",))
    assert not_tried(other, None, warnings) == ["Volumes such as a, which differ from its labelled images."]
    assert tried_on(other, warnings)[1:] == ["Segmented volumes that weren't found to differ: b."]


def test_the_report_shows_a_warning_once_beside_the_volume(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(plot_style, "code", lambda: "")
    search = Search(tmp_path)
    search.write()
    files = search.segment("demo")
    place = Path(search.paths.store("demo")) / "zarr.json"
    values = read_json(place)
    values["attributes"]["genenet"]["warnings"] = [LINE]
    write_json(place, values)
    assert open_store(place.parent).attributes["warnings"] == [LINE]
    page = search.page(demo=files)
    assert page.text.count(LINE) == 1
    assert "Volumes such as demo, which differ from its labelled images." in page.text
