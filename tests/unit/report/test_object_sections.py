"""What the report shows of objects that are told apart."""

import numpy as np
import pytest

from genenet.ensembles.description import EnsembleDescription
from genenet.ensembles.tested import ScoresOnTestImages
from genenet.metrics.instance_overlaps import InstanceOverlaps
from genenet.metrics.instance_scores import InstanceScores
from genenet.objects.tuned import ContactReliability, ObjectScores, TunedObjects
from genenet.report.object_plots import plots_of_objects
from genenet.report.object_sections import N_COLOURS, colour_indices, object_colours, object_sections

TRUTH = np.repeat([1, 2, 3, 4], [5, 50, 50, 60])
FOUND = np.repeat([1, 2, 2, 3, 4], [5, 50, 50, 30, 30])


def scores(truth=TRUTH, found=FOUND):
    overlaps = InstanceOverlaps()
    overlaps.add(truth, found)
    return InstanceScores.of(overlaps.table())


def ensemble(**tuned):
    facts = {
        "classes": ["ground", "cell"],
        "objects": [{"name": "cell", "of": ["cell"]}],
        "voxel_size_nm": (40.0, 10.0, 10.0),
        "normalisation": {"mode": "volume", "mean": 1.0, "deviation": 1.0},
        "members": [{"folder": "members/00", "run": "r0/000", "genome": "0" * 12}],
    }
    return EnsembleDescription.model_validate({**facts, "tuned_objects": tuned})


def test_without_objects_there_is_no_section():
    assert object_sections(ensemble(), None) == []


def test_sizes_are_those_of_the_validation_images_where_no_test_shows_them():
    (section,) = object_sections(ensemble(cell=TunedObjects(scores=scores())), None)
    assert [title for title, _ in section.columns] == ["Validation"]
    assert section.sizes_of == "validation"
    (small, large) = section.shares
    assert small == ("1 to 9", 1, [("found", 1, 100.0)])
    assert large[:2] == ("10 to 99", 3)
    assert {fate: n for fate, n, _ in large[2]} == {"merged": 2, "split": 1}
    assert sum(share for *_, share in large[2]) == pytest.approx(100)
    assert list(section.bins) == []
    assert plots_of_objects([section]) == {}


def test_test_images_stand_beside_their_components():
    contacts = ContactReliability(
        n=30,
        n_wrong=4,
        expected_calibration_error=0.05,
        counts=[20, 0, 10],
        mean_risk=[0.04, 0.0, 0.25],
        share_wrong=[0.05, 0.0, 0.3],
    )
    of_test = ObjectScores(scores=scores(), components=scores(TRUTH, np.ones_like(TRUTH)), contacts=contacts)
    test = ScoresOnTestImages.model_validate(
        {"volumes": ["a"], "objects": {"cell": of_test.model_dump()}, "ari": 0.5, "iou": [], "confusion": []}
    )
    (section,) = object_sections(ensemble(cell=TunedObjects(scores=scores())), test)
    assert [title for title, _ in section.columns] == ["Validation", "Test", "Test, connected components"]
    rows = {title: (is_count, values) for title, _, is_count, values in section.rows}
    assert rows["Merges"] == (True, [1.0, 1.0, 3.0])
    assert rows["F1"][0] is False
    assert list(section.bins) == [(20, 0.04, 0.05), (10, 0.25, 0.3)]
    (plot,) = plots_of_objects([section]).values()
    data = plot.renderers[-1].data_source.data
    assert (data["risk"], data["wrong"]) == ([0.04, 0.25], [0.05, 0.3])
    assert data["size"][0] > data["size"][1]


def test_neighbouring_numbers_have_colours_of_their_own():
    colours = object_colours()
    assert colours.shape == (N_COLOURS + 1, 4)
    assert colours[0].tolist() == [0, 0, 0, 0]
    assert len({tuple(row) for row in colours.tolist()}) == N_COLOURS + 1
    steps = np.abs(np.diff(colours[1:, :3].astype(int), axis=0)).sum(axis=1)
    assert steps.min() > 100
    found = colour_indices(np.array([0, 1, N_COLOURS, 2**31]))
    assert found[0] == 0
    assert (found[1:] >= 1).all()
    assert (found <= N_COLOURS).all()
