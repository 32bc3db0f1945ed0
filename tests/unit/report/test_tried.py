"""What the report says an ensemble was tried on."""

from pathlib import Path

import pytest

from genenet.core.atomic_files import read_json, write_json
from genenet.ensembles.description import EnsembleDescription
from genenet.ensembles.tested import ScoresOnTestImages
from genenet.report import plot_style
from genenet.report.tried import tried_on
from genenet.volumes.grey_values import LAGS, PERCENTAGES
from genenet.volumes.ome_zarr import open_store
from tests.support.results import Search

LINE = "demo.tif: may be too different from what the ensemble has seen: <its mean uncertainty is 0.40>"


def image(name):
    quantiles = [percentage / 50 - 1 for percentage in PERCENTAGES]
    return {
        "name": name,
        "quantiles": quantiles,
        "differences": [0.5] * len(LAGS),
        "skews": [0.1] * len(LAGS),
    }


def ensemble(train=("a.tif[0:8, :, :]",), validation=("a.tif[8:10, :, :]",), reference=True):
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
    }
    return EnsembleDescription.model_validate(values)


@pytest.mark.parametrize(
    ("description", "test", "sentence"),
    [
        (
            ensemble(),
            None,
            "the validation images are regions of images that also train, and there are no test",
        ),
        (ensemble(validation=("b.tif",)), None, "on an image on which nothing was chosen: there are no test"),
        (
            ensemble(reference=False),
            None,
            "on an image on which nothing was chosen: there are no test images",
        ),
        (ensemble(), ["a.tif[10:12, :, :]"], "all test images are regions of images that also train"),
        (ensemble(), ["a.tif[10:12, :, :]", "c.tif"], None),
        (ensemble(reference=False), ["c.tif"], None),
    ],
)
def test_whether_it_was_tried_on_another_image(description, test, sentence):
    found = tried_on(description, ScoresOnTestImages(volumes=test) if test else None, {})
    assert sum("wasn't tried" in each for each in found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


def test_what_its_images_are_like():
    (found,) = [each for each in tried_on(ensemble(), None, {}) if each.startswith("Its 2 labelled")]
    assert "voxels of uint8 of 40 x 10 x 10 nm (z, y, x)" in found
    assert "from -0.9 to 0.9 (5 to 95 %); mean uncertainty on validation 0.12." in found


@pytest.mark.parametrize(
    ("description", "warnings", "sentence"),
    [
        (ensemble(), {"a": [LINE], "b": []}, "as said beside their pictures: a."),
        (ensemble(), {"a": [], "b": []}, "No segmented volume was found to differ from these images."),
        (ensemble(reference=False), {"a": []}, None),
        (ensemble(), {}, None),
    ],
)
def test_which_volumes_differ(description, warnings, sentence):
    found = [each for each in tried_on(description, None, warnings) if "egmented volume" in each]
    assert len(found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


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
    assert (
        "Segmented volumes that differ from these images, as said beside their pictures: demo." in page.text
    )
