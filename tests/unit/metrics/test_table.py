import numpy as np
import pytest

from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS
from genenet.metrics.contingency import Contingency, class_scores, scores
from genenet.metrics.scores import ClassScores
from genenet.metrics.table import METRICS, score_of_counts

COUNTS = Contingency(np.array([[5, 1, 0], [0, 3, 1], [0, 0, 2]]))


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_of_the_table_is_computed_and_written(name: str) -> None:
    metric = METRICS[name]
    value = metric.function()(COUNTS)
    assert isinstance(value, float)
    assert scores(COUNTS)[name] == value
    assert np.isnan(metric.function()(Contingency.empty(3)))
    assert scores(Contingency.empty(3))[name] is None
    perfect = metric.function()(Contingency(np.diag([3, 2, 1])))
    assert perfect == (1 if metric.is_better_high else 0)
    assert metric.title
    assert metric.text


def test_the_ranking_metric_is_one_of_them() -> None:
    assert METRICS[RANKING_METRIC].is_better_high
    assert RANKING_METRIC in SELECTION_METRICS


@pytest.mark.parametrize("name", SELECTION_METRICS)
def test_each_metric_of_selection_is_a_mean_of_metrics_of_the_table(name: str) -> None:
    metric, values = SELECTION_METRICS[name], scores(COUNTS)
    assert all(METRICS[of].is_better_high for of in metric.of)
    expected = sum(values[of] for of in metric.of) / len(metric.of)
    assert metric.of_scores(values) == score_of_counts(COUNTS, name) == pytest.approx(expected)
    assert metric.of_scores({**values, metric.of[-1]: None}) is None
    assert metric.of_scores({**values, metric.of[-1]: float("nan")}) is None
    assert np.isnan(score_of_counts(Contingency.empty(3), name))
    assert metric.title


def test_scores_are_flat_in_the_file_and_read_back() -> None:
    found = class_scores(COUNTS, ["a", "b", "c"])
    values = found.model_dump(mode="json")
    assert list(values) == ["n_voxels", *METRICS, "iou", "confusion", "class_names"]
    assert ClassScores.model_validate(values) == found
    assert (found.ari, found.mean_iou, found.accuracy) == (
        COUNTS.adjusted_rand_index,
        COUNTS.mean_iou,
        COUNTS.accuracy,
    )
    assert "class_names" not in scores(COUNTS)


@pytest.mark.parametrize("counts", [[[7, 0], [0, 0]], [[5, 2], [0, 0]]])
def test_the_ari_of_one_true_class_is_not_defined(counts):
    """Scikit-learn's index is 1 or 0 for it, so that a constant prediction would come first in a ranking."""
    contingency = Contingency(np.array(counts))
    assert contingency.adjusted_rand_index in (0, 1)
    assert scores(contingency)["ari"] is None
    assert scores(contingency)["accuracy"] == contingency.accuracy


def test_classes_that_are_never_predicted_or_badly_found_are_named():
    """Rows are true classes: the third is taken for the second, the fourth is hardly found, the fifth doesn't occur."""
    table = np.array([[90, 5, 0, 0, 1], [2, 50, 0, 0, 0], [0, 7, 0, 0, 0], [30, 0, 0, 2, 0], [0, 0, 0, 0, 0]])
    found = class_scores(Contingency(table))
    assert found.never_predicted == [2]
    assert found.badly_found == {3: 2 / 32}
    names = ["ground", "cell", "granule", "canaliculus", "mitochondrion"]
    assert found.not_found(names) == (
        "granule is never predicted, although the labels contain it; canaliculus (IoU 0.062) is hardly found"
    )
    good = class_scores(Contingency(np.diag([5, 3, 0])))
    assert (good.never_predicted, good.badly_found, good.not_found(names[:3])) == ([], {}, "")
    assert ClassScores().not_found(names) == ""  # files of older versions may lack the counts
