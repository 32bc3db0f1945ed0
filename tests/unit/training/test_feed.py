"""Batches that are cut on the device, or prepared in the background, are those that numpy makes, bit for bit."""

import numpy as np
import pytest
import torch

from genenet.core.ignore import IGNORE
from genenet.training import feed as feeds
from genenet.training.feed import AHEAD, Feed, HostPatches, make_feed
from genenet.training.patches import PatchSampler
from genenet.training.prepared_images import LabelledArray
from genenet.training.resident import ResidentPatches
from genenet.volumes.normalisation import Normalisation
from tests.support.trainers import labelled, tensors, train, trainer

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
SHAPES = {"2d": ((1, 24, 24), (1, 8, 8)), "3d": ((6, 16, 16), (2, 8, 8)), "same": ((3, 9, 9), (3, 9, 9))}
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float16", "float32", "float64")


def image_of(shape, dtype="uint8", normalisation=None, weight=1.0):
    """Grey values over most of a type's range, NaN among floats, and labels of which some are IGNORE."""
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(np.float16)
    image = RNG.uniform(float(limits.min) / 2, float(limits.max) / 1.01, shape).astype(kind)
    if kind.kind == "f":
        image[..., ::5] = np.nan
    labels = RNG.choice(np.array([0, 1, 2, IGNORE], np.uint8), shape)
    norm = normalisation or Normalisation.of_volume(np.nanmean(image.astype(float)), 0.7)
    return LabelledArray("a", image, labels, norm, weight)


def sampler(images, shapes="2d", **values):
    return PatchSampler.make(
        images, SHAPES[shapes], **{"batch_size": 4, "flips_and_turns": True, "seed": (1, 2), **values}
    )


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert len(batch) == len(other) == 3
        for one, two in zip(batch, other, strict=True):
            assert (one is None) == (two is None)
            assert one is None or (one.dtype == two.dtype and torch.equal(one, two))


def batches(source, iterations=range(12), ahead=0):
    feed = Feed(source, CPU, ahead)
    return [feed.batch(i) for i in iterations]


def cut_alike(s):
    """Compare both sources of a sampler."""
    assert_same(batches(HostPatches(s)), batches(ResidentPatches(s, CPU)))


@pytest.mark.parametrize("dtype", TYPES)
def test_patches_cut_on_the_device_are_those_of_numpy(dtype):
    cut_alike(sampler([image_of((3, 30, 40), dtype), image_of((2, 26, 30), dtype, weight=3.0)]))


@pytest.mark.parametrize("shapes", SHAPES)
def test_in_two_and_three_dimensions_with_weights_around_rare_classes(shapes):
    images = [image_of((4, 30, 40)), image_of((2, 26, 30))]
    weights = [RNG.random(image.image.shape, dtype=np.float32) for image in images]
    cut_alike(sampler(images, shapes, weights=weights, rare_classes=0.5))
    cut_alike(sampler(images, shapes, flips_and_turns=False))


@pytest.mark.parametrize("shapes", SHAPES)
def test_images_smaller_than_a_patch_are_reflected_and_their_labels_filled(shapes):
    images = [image_of((1, 5, 6)), image_of((2, 7, 4))]
    s = sampler(images, shapes, weights=[np.ones(i.image.shape, np.float32) for i in images])
    cut_alike(s)
    assert (s.batch(0).labels == IGNORE).any()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_slices_with_statistics_of_their_own(dtype):
    norm = Normalisation(RNG.uniform(50, 200, 4), RNG.uniform(1, 40, 4))
    cut_alike(sampler([image_of((4, 20, 20), dtype, norm)], "3d"))


@pytest.mark.parametrize("source", [HostPatches, lambda s: ResidentPatches(s, CPU)])
def test_a_thread_that_works_ahead_gives_the_same_batches_from_any_iteration_on(source):
    s = sampler([image_of((3, 30, 40))])
    order = [*range(6), *range(3, 8), 50, 51, 0]
    assert_same(batches(source(s), order), batches(source(s), order, ahead=AHEAD))


def test_memory_that_is_used_again_changes_no_batch_that_was_handed_out():
    s = sampler([image_of((3, 30, 40))])
    early = batches(HostPatches(s), range(9), ahead=1)
    assert_same(early, batches(HostPatches(s), range(9)))


def test_what_fails_in_the_background_is_raised_where_the_batch_is_needed():
    class Broken(HostPatches):
        def on_host(self, iteration):
            if iteration == 4:
                raise MemoryError("Unable to allocate 1.00 GiB")
            return super().on_host(iteration)

    feed = Feed(Broken(sampler([image_of((3, 30, 40))])), CPU, AHEAD)
    for i in range(4):
        feed.batch(i)
    with pytest.raises(MemoryError, match="Unable to allocate"):
        feed.batch(4)


RECIPE = {
    "loss": {"border_weight": 5},
    "sampling": {"rare_classes": 0.3},
    "augmentation": {"elastic_voxels": 2, "rotation_degrees": 20, "contrast": 0.2, "blur_voxels": 0.5},
    "iterations": 10,
}


def test_a_training_on_resident_images_ends_with_the_same_weights():
    usual, resident = trainer(**RECIPE), trainer(**RECIPE)
    resident.feed = Feed(ResidentPatches(resident.sampler, CPU), CPU, AHEAD)
    train(usual), train(resident)
    assert all(torch.equal(tensor, tensors(resident)[name]) for name, tensor in tensors(usual).items())


def test_on_the_cpu_there_is_no_thread():
    feed = make_feed(sampler([image_of((3, 30, 40))]), CPU, 0)
    assert isinstance(feed.source, HostPatches)
    assert feed.ahead == 0


def test_types_that_differ_or_that_torch_lacks_stay_on_the_host():
    of_type = ResidentPatches.bytes_of
    uint8, uint16 = image_of((2, 30, 30)), image_of((2, 30, 30), "uint16")
    assert of_type(sampler([uint8])) == 2 * 30 * 30 * 2
    assert of_type(sampler([uint16], weights=[np.ones((2, 30, 30), np.float32)])) == 2 * 30 * 30 * 7
    assert of_type(sampler([uint8, uint16])) is None
    assert of_type(sampler([labelled(uint16.image.astype(">u2"), uint16.labels)])) is None
    assert of_type(sampler([image_of((2, 30, 30), "uint64")])) is None


@pytest.mark.parametrize(
    ("free", "kept", "said"),
    [(1e9, True, "are kept on the GPU"), (3e6, False, "room for 1): a thread copies patches in advance")],
)
def test_images_that_fit_are_kept_on_the_gpu(free, kept, said, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(feeds, "free_memory", lambda device: free)
    s = sampler([image_of((4, 600, 600))])  # 2.9 MB
    device = torch.device("meta")  # has no memory, so nothing is copied
    monkeypatch.setattr(feeds, "Feed", lambda source, device, ahead: (type(source), ahead))
    assert make_feed(s, device, 1e6) == (ResidentPatches if kept else HostPatches, AHEAD)
    assert said in caplog.text
