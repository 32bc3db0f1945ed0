"""The temperature of an ensemble, from stored probabilities whose right temperature is known."""

from pathlib import Path

import numpy as np
import pytest

from genenet.core.ignore import IGNORE
from genenet.core.paths import ResultPaths
from genenet.ensembles import calibration
from genenet.ensembles.intervals import ValidationBlocks, lead_intervals
from genenet.metrics.ambiguity import LEVELS
from genenet.metrics.calibration import with_temperature
from genenet.training.outcome_reader import read_outcomes
from genenet.training.prepared import open_prepared
from tests.support.configs import ROOT

SHAPE = (3, 60, 60)
TEMPERATURE = 1.6


def stored(seed=0):
    """Labels (Z, Y, X) drawn from probabilities, and those probabilities (C, Z, Y, X), overconfident, in 255 levels."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), SHAPE).transpose(3, 0, 1, 2)
    p = 0.1 + 0.7 * p  # levels of 1/255 leave too little of smaller ones
    labels = (rng.random(SHAPE) > p.cumsum(axis=0)).sum(axis=0).astype(np.uint8)
    return labels, np.rint(LEVELS * with_temperature(p, 1 / TEMPERATURE)).astype(np.uint8)


def fitted(labels, levels):
    """The temperature of an ensemble of two networks, whose mean is ``levels``, and the scores of its probabilities."""
    networks = [[levels], [levels]]
    sampled = calibration._sample(calibration.means([labels], networks, [1, 3], 3), labels.size)
    temperature = calibration.best_temperature(*sampled)
    return calibration.calibration_of(calibration.means([labels], networks, [1, 3], 3), temperature)


def test_overconfidence_is_found_and_undone():
    found = fitted(*stored())
    assert found.temperature == pytest.approx(TEMPERATURE, rel=0.05)
    assert found.before.expected_calibration_error > 0.05
    assert found.after.expected_calibration_error < 0.02
    assert found.after.brier < found.before.brier
    assert sum(found.after.voxels) == np.prod(SHAPE)


def test_unlabelled_voxels_do_not_count():
    labels, levels = stored()
    labels[0] = IGNORE
    found = fitted(labels, levels)
    assert sum(found.after.voxels) == np.prod(SHAPE[1:]) * 2
    assert found.temperature == pytest.approx(TEMPERATURE, rel=0.06)


def test_the_sample_is_a_share_of_the_voxels_and_repeatable(monkeypatch):
    labels, levels = stored()
    monkeypatch.setattr(calibration, "SAMPLED", 2000)
    samples = [
        calibration._sample(calibration.means([labels], [[levels]], [1], 3), labels.size) for _ in range(2)
    ]
    assert len(samples[0][0]) == pytest.approx(2000, rel=0.1)
    for first, second in zip(*samples, strict=True):
        assert np.array_equal(first, second)


def test_votes_are_shares_of_members():
    labels, levels = stored()
    (_, p), *_ = calibration.means([labels], [[levels], [np.roll(levels, 1, axis=0)]], [1, 1], 3, voting=True)
    assert set(np.unique(p)) == {0, 0.5, 1}


def test_a_search_of_version_0_1_gets_a_temperature_and_intervals_from_what_it_stored():
    paths = ResultPaths(ROOT / "tests/data/version_0.1/search")
    validation = open_prepared(Path(paths.data("validation")))
    runs = read_outcomes(paths, ["r0/000", "r0/001", "baselines/unet2015"], "ari")
    members = [(run, 1.0) for run in runs if not run.is_baseline]
    found = calibration.calibrate(paths, members, validation, "mean")
    assert found.after.brier < found.before.brier
    assert sum(found.after.voxels) == sum(
        int((image.labels[:] != IGNORE).sum()) for image in validation.images
    )
    blocks = ValidationBlocks(paths, validation)
    scores = {run.title: run.ari for run in runs}
    counted = blocks.counted(members)
    table = counted.total()
    leads = lead_intervals(blocks, counted, runs, "ari")
    assert [lead.against for lead in leads] == [members[0][0].run, "U-Net 2015"]
    for lead in leads:
        assert lead.low <= table.adjusted_rand_index - scores[lead.against] <= lead.high
