"""What an ensemble has seen, and which volumes are too different from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genenet.config.normalisation import NormalisationSettings
from genenet.core.paths import ResultPaths
from genenet.ensembles import reference
from genenet.ensembles.reference import Predictions, Reference
from genenet.ensembles.seen import predictions_of, reference_of
from genenet.metrics.calibration import with_temperature
from genenet.training.outcome_reader import read_outcomes
from genenet.training.prepared import open_prepared
from genenet.volumes.grey_values import LAGS, PERCENTAGES, GreyValues
from tests.support.configs import ROOT

CLASSES = ["background", "cell"]


def greys(shift=0.0, ratio=1.0, skew=-0.2):
    """An image whose grey values are shifted, and whose neighbours differ ``ratio`` times as much."""
    quantiles = [shift + percentage / 100 for percentage in PERCENTAGES]
    found = {"differences": [1.0 * ratio] * len(LAGS), "skews": [skew] * len(LAGS)}
    return GreyValues(name="a.tif", quantiles=quantiles, **found)


SEEN = Reference(
    images=[greys(), greys(shift=5)], validation=Predictions(class_shares=[0.7, 0.3], uncertainty=0.1)
)


def warning(image=None, shares=(0.7, 0.3), uncertainty=0.1):
    found = Predictions(class_shares=list(shares), uncertainty=uncertainty)
    return SEEN.warning("v", CLASSES, image or greys(), found)


def test_what_the_ensemble_has_seen_needs_no_warning():
    assert warning() is None
    assert warning(greys(shift=5)) is None  # as the second image
    assert SEEN.warning("v", CLASSES, None, None) is None


def test_each_limit_has_two_sides():
    below, above = 0.98, 1.02
    limits = reference.GREY_LIMIT, reference.SHARES_LIMIT, reference.UNCERTAINTY_LIMIT
    for share, warns in ((below, False), (above, True)):
        grey, shares, doubt = (share * limit for limit in limits)
        given = [
            {"image": greys(shift=-grey)},
            {"image": greys(ratio=2 ** (share * reference.TEXTURE_LIMIT))},
            {"image": greys(ratio=2 ** (-share * reference.TEXTURE_LIMIT))},
            {"shares": (0.7 - shares, 0.3 + shares)},
            {"uncertainty": 0.1 + doubt},
        ]
        assert [warning(**values) is not None for values in given] == [warns] * len(given)


def test_less_uncertainty_is_no_reason():
    assert warning(uncertainty=0.0) is None


@pytest.mark.parametrize(
    ("skew", "warns"), [(-0.3, False), (0.0, False), (0.05, False), (0.2, True), (0.15, True)]
)
def test_an_inverted_image_is_one_with_the_opposite_skew(skew, warns):
    line = warning(greys(skew=skew))
    assert (line is not None and "the inverse of the labelled images" in line) == warns


def test_the_warning_is_one_line_that_says_what_how_much_and_what_to_do():
    line = warning(greys(shift=-3, ratio=8), (0.1, 0.9), 0.4)
    assert "\n" not in line
    for part in (
        "v: may be too different from what the ensemble has seen: ",
        "its normalised grey values are 3.00 from those of the most similar labelled image",
        "its neighbouring voxels differ 7.9 times as much as in the most similar labelled image (limit 2.4 times",
        "differ by 60% from those on validation",
        "above all cell (90%, there 30%)",
        "the mean uncertainty is 0.40, on validation 0.10",
        "label a slice of this volume and train with it",
    ):
        assert part in line


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_predictions_are_shares_and_mean_uncertainty_of_what_counts(temperature):
    p = np.array([[0.9, 0.6, 0.2, 0.3], [0.1, 0.4, 0.8, 0.7]])[:, None, None]
    inside = np.array([[[True, True, True, False]]])
    found = predictions_of([(p, None), (p, inside)], 2, temperature)
    assert found.class_shares == pytest.approx([4 / 7, 3 / 7], rel=1e-3)
    tempered = p if temperature is None else with_temperature(p, temperature)
    doubt = 1 - tempered.max(axis=0).ravel()
    assert found.uncertainty == pytest.approx((doubt.sum() + doubt[:3].sum()) / 7, rel=1e-3)
    assert predictions_of([(p, np.zeros_like(inside))], 2, temperature) is None


def test_with_folds_the_images_are_counted_once():
    """The validation images of folds are those of training, cut into parts."""
    paths = ResultPaths(ROOT / "tests/data/version_0.1/search")
    train, validation = (open_prepared(Path(paths.data(split))) for split in ("train", "validation"))
    (run,) = read_outcomes(paths, ["r0/000"], "ari")
    folded = replace(run, scores=run.scores.model_copy(update={"folds": 2}))
    rule = train.rule(NormalisationSettings(over="volume"))
    found = reference_of(paths, [(folded, 1.0)], (train, validation), rule, "mean", 1.5)
    assert [image.name for image in found.images] == [image.name for image in train.images]


def test_a_search_of_version_0_1_gets_a_reference_from_what_it_stored():
    paths = ResultPaths(ROOT / "tests/data/version_0.1/search")
    train, validation = (open_prepared(Path(paths.data(split))) for split in ("train", "validation"))
    members = [(run, 1.0) for run in read_outcomes(paths, ["r0/000", "r0/001"], "ari")]
    rule = train.rule(NormalisationSettings(over="volume"))
    found = reference_of(paths, members, (train, validation), rule, "mean", 1.5)
    assert len(found.images) == len(train.images) + len(validation.images)
    assert all(abs(image.quantiles[10]) < 1 for image in found.images)
    assert sum(found.validation.class_shares) == pytest.approx(1, abs=1e-3)
    assert 0 < found.validation.uncertainty < 1
    assert found == Reference.model_validate(found.model_dump(mode="json"))
