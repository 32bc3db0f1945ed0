import numpy as np
import pytest

from genenet.metrics import IGNORE
from genenet.patches import PatchSampler, class_weights

RNG = np.random.default_rng(0)


def image_of(shape):
    image = RNG.random(shape, dtype=np.float32)
    return image, (image * 4).astype(np.uint8)  # labels that can be recomputed from the image


def sampler(images, sizes=(16, 8), **values):
    return PatchSampler.make(
        images, sizes, **{"batch_size": 4, "flips_and_turns": True, "seed": (1, 2), **values}
    )


def test_labels_stay_with_their_voxels_under_flips_and_turns():
    s = sampler([image_of((3, 30, 40))])
    for iteration in range(20):
        images, labels = s.batch(iteration)
        assert images.shape == (4, 1, 16, 16)
        assert images.dtype == np.float32
        assert labels.shape == (4, 8, 8)
        assert np.array_equal((images[:, 0, 4:12, 4:12] * 4).astype(np.uint8), labels)


def test_all_eight_symmetries_occur():
    image = np.arange(16 * 16, dtype=np.float32).reshape(1, 16, 16)
    s = sampler([(image, np.zeros((1, 16, 16), np.uint8))], sizes=(16, 16))
    assert len({s.batch(i)[0][j].tobytes() for i in range(50) for j in range(4)}) == 8
    still = sampler([(image, np.zeros((1, 16, 16), np.uint8))], sizes=(16, 16), flips_and_turns=False)
    assert len({still.batch(i)[0][j].tobytes() for i in range(10) for j in range(4)}) == 1


def test_a_batch_depends_on_seed_and_iteration_alone():
    images = [image_of((3, 30, 40))]
    a, b = sampler(images), sampler(images)
    a.batch(0)
    assert np.array_equal(a.batch(7)[0], b.batch(7)[0])
    assert not np.array_equal(a.batch(7)[0], a.batch(8)[0])
    assert not np.array_equal(a.batch(7)[0], sampler(images, seed=(1, 3)).batch(7)[0])


def test_every_voxel_is_learnt_and_what_is_outside_is_reflected():
    labels = np.arange(10 * 12, dtype=np.uint8).reshape(1, 10, 12)
    s = sampler([(labels.astype(np.float32), labels)])
    seen = {int(v) for i in range(100) for v in np.unique(s.batch(i)[1])}
    assert seen == set(range(120))
    assert all(np.isin(s.batch(i)[0], labels).all() for i in range(10))


def test_an_image_smaller_than_an_output_is_learnt_whole_and_the_rest_ignored():
    image, labels = image_of((1, 5, 6))
    _, batch = sampler([(image, labels)], flips_and_turns=False).batch(0)
    inside = batch[0] != IGNORE
    assert inside.sum() == 30
    assert np.array_equal(batch[0][inside], labels.ravel())


def test_images_are_drawn_by_their_voxels():
    big, small = np.zeros((1, 80, 80), np.float32), np.ones((1, 40, 40), np.float32)
    s = sampler([(big, np.zeros(big.shape, np.uint8)), (small, np.ones(small.shape, np.uint8))])
    share = np.mean([s.batch(i)[1].mean() for i in range(300)])
    assert share == pytest.approx(0.2, abs=0.04)


def test_class_weights():
    counts = np.array([80, 20, 0])
    assert class_weights(counts, 0).tolist() == [1, 1, 0]
    inverse = class_weights(counts, 1)
    assert inverse[1] / inverse[0] == pytest.approx(4)
    assert inverse[2] == 0
    assert (inverse * counts / 100).sum() == pytest.approx(1)
