"""When a trial has measured enough."""

import numpy as np
import pytest
import tifffile

from genenet.core.ignore import IGNORE
from genenet.init.classes import Classes
from genenet.init.files import FileSet
from genenet.init.parts import Part
from genenet.init.survey import look_labelled
from genenet.init.trial import LONGEST_SECONDS, N_LEAST, _read, is_known
from tests.support import runs

ALIKE = [1.0, 1.01, 0.99, 1.0, 1.02]
APART = [0.1, 0.9, 0.2, 1.4, 0.7]


@pytest.mark.parametrize(
    ("times", "elapsed", "known"),
    [
        (ALIKE, 1, True),
        (ALIKE[: N_LEAST - 1], 2 * LONGEST_SECONDS, False),  # a few steps are measured, however slow they are
        (APART, 1, False),
        (APART, 2 * LONGEST_SECONDS, True),
        ([*ALIKE, 30.0], 1, True),  # one slow step doesn't matter
    ],
)
def test_a_trial_ends_when_the_speed_is_known(times, elapsed, known):
    assert is_known(times, elapsed) == known


def test_the_median_is_known_as_well_as_is_said():
    """Of many series that are ended as a trial is, the medians are within a few times 5 % of the true one."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        times = []
        while not is_known(times, 0):
            times.append(rng.gamma(25, 1 / 25))  # a deviation of 20 %
        found.append(np.median(times))
    assert np.std(found) < 0.12
    assert abs(np.mean(found) - 0.987) < 0.03


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_trial_reads_where_voxels_are_labelled_and_inside_the_mask(tmp_path, value):
    image, ids = runs.blobs((2, 60, 70), 1)
    inside = np.s_[3:5, 300:360, 10:80]
    arrays = [
        np.full((5, 400, 500), fill, kind)
        for fill, kind in ((value, np.float32), (-1, np.int8), (0, np.uint8))
    ]
    for name, array, content in zip(("em", "labels", "mask"), arrays, (image, ids, 1), strict=True):
        array[inside] = content
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="minisblack")
    files = FileSet(*(tmp_path / f"{name}.tif" for name in ("em", "labels", "mask")))
    part = Part.whole(look_labelled(files, None))
    found = _read(part, (2, 64, 80), Classes(["ground", "blob"], -1))
    assert found.image.shape == (2, 64, 80)
    assert (found.labels != IGNORE).sum() == ids.size
    assert (found.labels == 1).sum() == (ids == 1).sum()
    assert np.isnan(found.image).sum() == found.image.size - ids.size
    assert found.normalisation.mean[0] == pytest.approx(image.mean())
