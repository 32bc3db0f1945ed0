"""Objects on labelled images: thresholds, risks and scores, on predictions that no network has made."""

import numpy as np
import pytest

from genenet.core.outputs import ObjectClass, Outputs
from genenet.ensembles.objects import (
    fitted_risk,
    mean_and_disagreement,
    object_scores,
    reliability,
    tuned,
)
from genenet.objects.stages import Thresholds
from genenet.objects.tuned import Risk, TunedObjects
from genenet.training import object_images
from genenet.training.object_images import ImageInParts, ObjectImage
from tests.support.objects import squares


def test_thresholds_are_those_with_the_best_score():
    image = squares(
        confidence=0.3
    )  # the core at a border is 0.67: only seeds above it tell the objects apart
    found = tuned([image], "panoptic_quality", 0)
    assert found.seed >= 0.7
    assert found.scores.metrics["panoptic_quality"] == 1
    assert tuned([image], "n_merged", 0).seed >= 0.7
    worst = object_scores([image], TunedObjects(seed=0.5), 0).scores
    assert worst.n_predicted == 1


def test_components_are_all_there_is_without_borders():
    found = object_scores([squares(confidence=0.9)], TunedObjects(seed=0.7), 0)
    assert found.components.n_predicted == 1
    assert found.scores.n_predicted == 6
    assert found.contacts is None, "no risk was fitted"


def test_ignored_voxels_count_nowhere():
    image = squares(confidence=0.9)
    ignored = np.zeros(image.truth.shape, bool)
    ignored[:, :, :24] = True
    found = object_scores([ObjectImage(**{**vars(image), "ignored": ignored})], TunedObjects(seed=0.7), 0)
    assert found.scores.n_true == 4


def split_in_two(n=30, seed=0):
    """True objects, each in two pieces by a weak border of the prediction; strong borders between them."""
    image = squares(2 * n, 8, np.tile([0.45, 0.9], n)[: 2 * n - 1], seed=seed)
    return ObjectImage(**{**vars(image), "truth": (image.truth + 1) // 2})


def test_the_risk_tells_wrong_contacts_from_right_ones():
    image, thresholds = split_in_two(), Thresholds(0.7, 0.5)
    means, wrong = image.contacts(image.found(thresholds))
    assert means.shape == (3, 59)
    assert wrong.sum() == 30
    risk = fitted_risk([image], thresholds)
    assert risk.n_contacts == 59
    assert risk.of(*means)[wrong].min() > risk.of(*means)[~wrong].max()
    other = split_in_two(seed=5)
    found = object_scores([other], TunedObjects(seed=0.7, risk=risk), 0)
    assert found.contacts.n == 59
    assert found.contacts.expected_calibration_error < 0.1
    assert found.scores.metrics["n_split"] == 30


def test_contacts_with_something_that_is_no_object_arent_known():
    image = split_in_two()
    truth = image.truth.copy()
    truth[:, :, :8] = 0
    found = ObjectImage(**{**vars(image), "truth": truth})
    assert found.contacts(found.found(Thresholds(0.7, 0.5)))[0].shape == (3, 58)


@pytest.mark.parametrize("confidence", [0.45, 0.9])
def test_without_both_kinds_of_contacts_there_is_no_risk(confidence):
    image = squares(30, 8, confidence)
    assert fitted_risk([image], Thresholds(0.7, 0.5)) is None


def test_too_few_contacts_give_no_risk():
    assert fitted_risk([split_in_two(5)], Thresholds(0.7, 0.5)) is None


def test_reliability_by_hand():
    found = reliability(np.array([0.05, 0.05, 0.35, 1.0]), np.array([False, True, False, True]))
    assert (found.n, found.n_wrong) == (4, 2)
    assert found.counts == [2, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert found.expected_calibration_error == pytest.approx((2 * 0.45 + 0.35 + 0) / 4)


def test_a_risk_is_a_probability():
    risk = Risk(intercept=1, border=-3, disagreement=2, log_faces=0.5, n_contacts=9)
    found = risk.of(np.array([0.5, 0.9]), np.array([0.1, 0.0]), np.array([4.0, 1.0]))
    score = np.array([1 - 1.5 + 0.2 + 0.5 * np.log(4), 1 - 2.7])
    assert found == pytest.approx(1 / (1 + np.exp(-score)))


def test_disagreement_is_the_members_distance_from_their_mean():
    members = [np.array([[1.0, 0.5], [0.0, 0.5]]), np.array([[0.0, 0.5], [1.0, 0.5]])]
    mean, apart = mean_and_disagreement(members, [0.5, 0.5])
    assert mean.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert apart.tolist() == [0.5, 0.0]


class Image:
    def __init__(self, shape):
        self.labels = np.zeros(shape, np.uint8)
        self.labels[:, 0] = 255
        self.instances = {"cell": np.arange(np.prod(shape), dtype=np.uint64).reshape(shape)}


def test_an_image_is_collected_slice_by_slice(monkeypatch):
    outputs = Outputs(
        ["ground", "cell", "organelle"],
        [ObjectClass(name="cell", of=["cell", "organelle"]), ObjectClass(name="organelle", of=["organelle"])],
    )
    rng = np.random.default_rng(0)
    p = np.moveaxis(rng.dirichlet([1] * 5, (4, 5, 6)), -1, 0).astype(np.float32)
    monkeypatch.setattr(object_images, "MOST_VOXELS", 3 * 5 * 6)
    parts = ImageInParts(Image((4, 5, 6)), outputs)
    for z in range(4):
        parts.add(z, p[:, z : z + 1], p[0, z : z + 1])
    found = parts.images()
    assert list(found) == ["cell"], "the organelles aren't numbered in this image"
    cell = found["cell"]
    assert cell.truth.shape == (3, 5, 6), "a large image is cut off"
    assert np.array_equal(cell.ignored, np.broadcast_to(np.arange(5)[:, None] == 0, (3, 5, 6)))
    assert np.array_equal(cell.of_object, np.rint(p[[1, 2, 3], :3].sum(axis=0) * 255))
    assert np.array_equal(cell.border, np.rint(p[3, :3] * 255))
    classes = np.stack([p[0], p[1] + p[3], p[2] + p[4]])[:, :3].argmax(axis=0)
    assert np.array_equal(cell.labels, classes > 0)
    assert np.array_equal(cell.disagreement, p[0, :3])
