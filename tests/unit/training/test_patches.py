import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenet.core.ignore import IGNORE
from genenet.training.patches import PatchSampler, Turn, class_positions, class_weights
from genenet.training.prepared_images import LabelledArray
from genenet.volumes.normalisation import Normalisation

RNG = np.random.default_rng(0)
AS_IT_IS = Normalisation.of_volume(0, 1)


def labelled(image, labels, weight=1.0):
    return LabelledArray("a", image, labels, AS_IT_IS, weight)


def image_of(shape, weight=1.0):
    image = RNG.random(shape, dtype=np.float32)
    return labelled(
        image, (image * 4).astype(np.uint8), weight
    )  # labels that can be recomputed from the image


def sampler(images, shapes=((1, 16, 16), (1, 8, 8)), **values):
    return PatchSampler.make(
        images, shapes, **{"batch_size": 4, "flips_and_turns": True, "seed": (1, 2), **values}
    )


@pytest.mark.parametrize(
    "shapes", [((1, 16, 16), (1, 8, 8)), ((6, 16, 16), (2, 8, 8)), ((3, 9, 9), (3, 9, 9))]
)
def test_labels_and_weights_stay_with_their_voxels_under_flips_and_turns(shapes):
    images = [image_of((3, 30, 40))]
    s = sampler(images, shapes, weights=[images[0].image * 2])
    halo = [(n - m) // 2 for n, m in zip(*shapes, strict=True)]
    centre = tuple(slice(h, h + m) for h, m in zip(halo, shapes[1], strict=True))
    for iteration in range(20):
        images, labels, weights = s.batch(iteration)
        assert images.shape == (4, 1, *shapes[0])
        assert images.dtype == np.float32
        assert labels.shape == weights.shape == (4, *shapes[1])
        inner = images[(slice(None), 0, *centre)]
        assert np.array_equal((inner * 4).astype(np.uint8), labels)
        assert np.array_equal(inner * 2, weights)


def test_all_symmetries_occur():
    def seen(shape, **values):
        image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        s = sampler([labelled(image, np.zeros(shape, np.uint8))], (shape, shape), **values)
        return len({s.batch(i)[0][j].tobytes() for i in range(80) for j in range(4)})

    assert seen((1, 9, 9)) == 8
    assert seen((2, 9, 9)) == 16
    assert seen((2, 9, 9), flips_and_turns=False) == 1


def test_a_batch_depends_on_seed_and_iteration_alone():
    images = [image_of((3, 30, 40))]
    a, b = sampler(images), sampler(images)
    a.batch(0)
    assert np.array_equal(a.batch(7)[0], b.batch(7)[0])
    assert not np.array_equal(a.batch(7)[0], a.batch(8)[0])
    assert not np.array_equal(a.batch(7)[0], sampler(images, seed=(1, 3)).batch(7)[0])


def test_every_voxel_is_learnt_and_what_is_outside_is_reflected():
    labels = np.arange(10 * 12, dtype=np.uint8).reshape(1, 10, 12)
    s = sampler([labelled(labels, labels)])
    seen = {int(v) for i in range(100) for v in np.unique(s.batch(i)[1])}
    assert seen == set(range(120))
    assert all(np.isin(s.batch(i)[0], labels).all() for i in range(10))


def test_an_image_smaller_than_an_output_is_learnt_whole_and_the_rest_ignored_without_weight():
    image = image_of((1, 5, 6))
    _, labels, weights = sampler([image], flips_and_turns=False, weights=[image.image + 1]).batch(0)
    inside = labels[0] != IGNORE
    assert inside.sum() == 30
    assert np.array_equal(labels[0][inside], image.labels.ravel())
    assert not weights[0][~inside].any()
    assert weights[0][inside].all()


@pytest.mark.parametrize(("weight", "share"), [(1, 0.2), (4, 0.5)])
def test_images_are_drawn_by_their_voxels_and_weights(weight, share):
    big, small = np.zeros((1, 80, 80), np.uint8), np.ones((1, 40, 40), np.uint8)
    s = sampler([labelled(big, big), labelled(small, small, weight)])
    assert np.mean([s.batch(i)[1].mean() for i in range(300)]) == pytest.approx(share, abs=0.05)


def test_slices_are_normalised_each_by_its_own_statistics_beyond_the_ends_too():
    image = np.stack([np.full((8, 8), z, np.uint8) for z in range(4)])
    norm = Normalisation(np.arange(4.0), np.ones(4))
    s = sampler([LabelledArray("a", image, image, norm)], ((9, 8, 8), (3, 4, 4)))
    assert not s.batch(0)[0].any()


def rare(n=50):
    labels = np.zeros((2, n, n), np.uint8)
    labels[1, 3, 4] = 2
    labels[0, :, :10] = 1
    return labelled(labels, labels)


def share_with(s, c, n=100):
    return np.mean([(labels == c).any() for i in range(n) for labels in s.batch(i)[1]])


def test_rare_classes_are_found_as_often_as_asked():
    assert share_with(sampler([rare()]), 2) < 0.1
    found = share_with(sampler([rare()], rare_classes=0.9), 2)
    assert found == pytest.approx(0.9 / 3, abs=0.1)  # each of three classes


def test_a_rare_voxel_may_lie_anywhere_in_the_patch():
    labels = np.zeros((1, 50, 50), np.uint8)
    labels[0, 25, 25] = 1
    s = sampler([labelled(labels, labels)], flips_and_turns=False, rare_classes=1)
    where = {tuple(np.argwhere(patch == 1)[0]) for i in range(200) for patch in s.batch(i)[1] if patch.any()}
    assert len(where) == 64


@given(st.integers(0, 5), st.integers(1, 400))
def test_positions_are_voxels_of_their_class(seed, kept):
    rng = np.random.default_rng(seed)
    labels = [rng.choice(np.array([0, 2, IGNORE], np.uint8), (2, 9, n), p=[0.6, 0.2, 0.2]) for n in (7, 12)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genenet.training.patches.POSITIONS", kept)
        found = class_positions(labels, (seed,))
    for c, rows in zip((0, 2), found, strict=True):
        assert all(labels[i][z, y, x] == c for i, z, y, x in rows)
        count = sum((array == c).sum() for array in labels)
        assert len({tuple(row) for row in rows}) == len(rows) <= max(kept, 1)
        assert len(rows) == count or count > kept


def test_a_turn_is_a_view():
    a = np.zeros((2, 5, 5))
    assert np.shares_memory(Turn(1, flip_x=True, flip_z=True)(a), a)


def test_class_weights():
    counts = np.array([80, 20, 0])
    assert class_weights(counts, 0).tolist() == [1, 1, 0]
    inverse = class_weights(counts, 1)
    assert inverse[1] / inverse[0] == pytest.approx(4)
    assert inverse[2] == 0
    assert (inverse * counts / 100).sum() == pytest.approx(1)


def partly_labelled():
    """An image of 900 x 900 voxels, labelled in 384 x 384 of them."""
    labels = np.full((1, 900, 900), IGNORE, np.uint8)
    labels[:, 500:884, 10:394] = 1
    return labelled(labels, labels)


def test_nearly_all_patches_of_a_partly_labelled_image_have_labels():
    s = sampler([partly_labelled()], ((1, 160, 160), (1, 120, 120)))
    has_labels = [(labels != IGNORE).any() for i in range(100) for labels in s.batch(i).labels]
    assert np.mean(has_labels) > 0.95  # and a third without further draws
    again = sampler([partly_labelled()], ((1, 160, 160), (1, 120, 120)))
    assert all(np.array_equal(s.batch(i).labels, again.batch(i).labels) for i in (70, 3))


def test_images_are_drawn_by_their_labelled_voxels():
    """As many voxels are labelled in either image, though one has 5.5 times as many voxels."""
    full = np.zeros((1, 384, 384), np.uint8)
    s = sampler([labelled(full, full), partly_labelled()], ((1, 16, 16), (1, 8, 8)))
    partly = [(patch != 0).any() for i in range(300) for patch in s.batch(i).labels]
    assert np.mean(partly) == pytest.approx(0.5, abs=0.05)


def test_an_image_without_labels_is_never_drawn():
    none = np.full((1, 50, 50), IGNORE, np.uint8)
    full = np.zeros((1, 20, 20), np.uint8)
    s = sampler([labelled(none, none), labelled(full, full), labelled(none, none)])
    assert not any(s.batch(i).labels.any() for i in range(30))


def test_further_draws_change_no_other_patch(monkeypatch):
    """Patches that have labels at once are the same with and without further draws, whatever stands before them."""
    images = [partly_labelled(), image_of((1, 400, 400))]
    s = sampler(images)
    found = [s.batch(i) for i in range(40)]
    monkeypatch.setattr("genenet.training.patches.REDRAWS", 0)
    changed = 0
    for i, batch in enumerate(found):
        before = s.batch(i)
        had_labels = (before.labels != IGNORE).any(axis=(1, 2, 3))
        changed += int((~had_labels).sum())
        assert np.array_equal(batch.images[had_labels], before.images[had_labels])
        assert np.array_equal(batch.labels[had_labels], before.labels[had_labels])
    assert 20 < changed < 100


def test_the_draws_of_fully_labelled_images_are_those_of_earlier_versions():
    """The positions are pinned: trainings on such images must keep their bits."""
    labels = [np.arange(n * n, dtype=np.float32).reshape(1, n, n) for n in (40, 60)]
    images = [
        labelled(image, np.zeros(image.shape, np.uint8), w) for image, w in zip(labels, (2, 1), strict=True)
    ]
    found = sampler(images, ((1, 8, 8), (1, 8, 8)), flips_and_turns=False).batch(5).images[:, 0, 0, 0, 0]
    assert found.tolist() == [1971, 1767, 2664, 1004]


def test_memory_mapped_labels_are_counted_slice_by_slice(tmp_path, monkeypatch):
    labels = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=(5, 30, 40))
    labels[2] = IGNORE
    sizes = []
    count = np.count_nonzero
    monkeypatch.setattr(np, "count_nonzero", lambda array: sizes.append(array.size) or count(array))
    s = sampler([labelled(labels, labels), labelled(labels[:2], labels[:2])])
    assert s.shares.tolist() == [4 / 6, 1]
    assert max(sizes) == 30 * 40
