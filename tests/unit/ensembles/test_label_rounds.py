"""Rounds of labelling: what each added, and what it brought."""

from pathlib import Path

import pytest

from genenet.ensembles.description import ClassVoxels, Refit, read_description
from genenet.ensembles.label_rounds import LabelRound, round_rows

ENSEMBLE = Path(__file__).parents[2] / "data/version_0.1/search/ensemble/ensemble.json"


def made(folder, images, n, ari, test=None, **changes):
    return LabelRound(
        **{
            "folder": Path(folder),
            "images": images,
            "voxels": {"ground": n, "cell": 2 * n},
            "validation_images": images[:1],
            "validation": {"ari": ari, "mean_iou": None},
            "test_images": ["t.tif"] if test else [],
            "test": {"ari": test, "mean_iou": 0.5} if test else {},
            **changes,
        }
    )


def test_what_a_round_added_and_what_it_brought():
    first, second = round_rows(
        [made("a", ["v", "x"], 10, 0.5, 0.4), made("b", ["v", "x", "y"], 15, 0.7, 0.5)]
    )
    assert (first.added, first.more_voxels) == (["v", "x"], None)
    assert set(first.gains["validation"].values()) == {None}
    assert (second.added, second.more_voxels) == (["y"], 15)
    assert second.gains["validation"] == {"ari": pytest.approx(0.2), "mean_iou": None}
    assert second.gains["test"] == {"ari": pytest.approx(0.1), "mean_iou": 0}


def test_scores_on_other_images_are_not_compared():
    _, second = round_rows([made("a", ["v"], 10, 0.5, 0.4), made("b", ["w", "v"], 10, 0.7)])
    assert set(second.gains["validation"].values()) == set(second.gains["test"].values()) == {None}


def test_voxels_that_are_not_known_have_no_difference():
    _, second = round_rows([made("a", ["v"], 10, 0.5, voxels={}), made("b", ["v"], 10, 0.7)])
    assert second.more_voxels is None
    assert second.round.n_voxels == 30


@pytest.mark.parametrize(
    ("refit", "expected"),
    [
        (None, {"ground": 12, "cell": 30}),
        (Refit(images=["a"], refitted=[], failed={"r0/000": "killed"}), {"ground": 12, "cell": 30}),
        (Refit(images=["a", "v"], refitted=["r0/000"], failed={}), {"ground": 10, "cell": 20}),
    ],
)
def test_each_labelled_voxel_counts_once(refit, expected):
    """After a refit, the training images are all labelled ones."""
    description = read_description(ENSEMBLE).model_copy(
        update={
            "classes": ["ground", "cell"],
            "class_voxels": ClassVoxels(train=[10, 20], validation=[2, 10]),
            "refit": refit,
        }
    )
    assert LabelRound.of(Path("a"), description).voxels == expected
