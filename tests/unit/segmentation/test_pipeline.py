"""Blocks through the pipeline as on a GPU, in batches and through buffers; and on a GPU, where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from genenet.config.segmentation import Segmentation
from genenet.core.geometry import Box, blocks_of
from genenet.ensembles.ensemble import load_ensemble
from genenet.segmentation.channels import Channels
from genenet.segmentation.pipeline import Pipeline
from genenet.volumes.base import ArrayVolume
from genenet.volumes.masks import Mask
from genenet.volumes.normalisation import Normalisation
from tests.support.ensembles import write_ensemble

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]
SHAPE = (3, 50, 70)
IMAGE = np.random.default_rng(0).integers(0, 2**16, SHAPE, np.uint16)
NORM = Normalisation(np.array([3e4, 3.1e4, 3.2e4]), np.array([2e4, 2.1e4, 2.2e4]))
CASES = {
    "2d": ({}, {}),
    "3d": ({"spatial_mode": "3d", "input_depth": 20}, {}),
    "turns": ({}, {"turns": True}),
    "blended": ({"padding": "same", "input_size": 32}, {"blend": True}),
    "bfloat16": ({}, {"compute": "bfloat16"}),
}


def segmented(folder, device="cpu", masked=False, settings=None, **options):
    """Labels and channels of the image; ``options`` are the predictor's."""
    wanted = Segmentation(tile=(1, 24, 24), disagreement=True, probabilities=True, **(settings or {}))
    ensemble = load_ensemble(folder)
    labels, channels = np.full(SHAPE, 255, np.uint8), np.full((5, *SHAPE), 255, np.uint8)

    def write(box, of_labels, of_channels):
        labels[box.slices], channels[:, *box.slices] = of_labels, of_channels

    volume, mask = ArrayVolume(IMAGE, "image"), None
    if masked:
        inside = np.zeros(SHAPE, np.uint8)
        inside[:, 5:24, 3:40] = 1
        mask = Mask(ArrayVolume(inside, "mask"))
    pipeline = Pipeline(
        replace(ensemble.predictor(torch.device(device), wanted), **options),
        mask.applied_to(volume) if mask else volume,
        NORM,
        Channels.of(wanted, ensemble),
        write,
        mask,
    )
    blocks = blocks_of(SHAPE, (2, 32, 40))
    assert list(pipeline.run(blocks)) == blocks
    return labels, channels


def assert_alike(found, expected, steps, least=0.5):
    """Channels differ by few steps of 255, and labels only where two classes are about as probable."""
    (labels, channels), (expected_labels, expected_channels) = found, expected
    assert np.abs(channels.astype(int) - expected_channels).max() <= steps
    best = np.sort(expected_channels[2:].astype(int), axis=0)
    clear = best[-1] - best[-2] > 2 * steps
    assert clear.mean() > least
    assert np.array_equal(labels[clear], expected_labels[clear])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
def test_batches_and_copies_change_nothing(tmp_path, case, device):
    net, settings = CASES[case]
    write_ensemble(tmp_path, n_stacks=(1,) if case in ("3d", "turns") else (1, 2), net=net)
    expected = segmented(tmp_path, settings=settings)
    found = segmented(tmp_path, device, settings=settings, is_copied=True, tiles_at_once=3, piece_voxels=100)
    assert_alike(found, expected, steps=1 if device == "cpu" else 4)


def test_blocks_outside_of_a_mask_are_zeros_among_those_that_are_copied(tmp_path):
    write_ensemble(tmp_path)
    labels, channels = segmented(tmp_path, masked=True, is_copied=True, tiles_at_once=2)
    assert_alike((labels, channels), segmented(tmp_path, masked=True), steps=1, least=0.1)
    outside = np.ones(SHAPE, bool)
    outside[:, 5:24, 3:40] = False
    assert not labels[outside].any()
    assert not channels[:, outside].any()
    assert channels[:, ~outside].any()


def test_batches_hold_every_tile_once_and_only_tiles_that_read_alike(tmp_path):
    predictor = replace(
        load_ensemble(write_ensemble(tmp_path, n_stacks=(1, 2))).predictor(
            torch.device("cpu"), Segmentation(tile=(1, 24, 24), turns=True)
        ),
        tiles_at_once=4,
    )
    box = Box((0, 0, 0), (2, 64, 70))
    batches = list(predictor.batches(box, SHAPE))
    assert sorted(core.start for batch in batches for core in batch) == sorted(
        core.start for core in predictor.cut(box)
    )
    assert max(map(len, batches)) == 4
    assert all(len({core.shape for core in batch}) == 1 for batch in batches)
    one_each = replace(predictor, tiles_at_once=None).batches(box, SHAPE)
    assert {len(batch) for batch in one_each} == {1}
