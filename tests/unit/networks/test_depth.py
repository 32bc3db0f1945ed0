"""Networks of several slices at a time: 3d, 2.5d and both in one, trained and applied."""

import numpy as np
import pytest
import torch

from genenet.config.training import Training
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.training.prepared_images import LabelledArray
from genenet.training.trainer import Trainer
from genenet.volumes.normalisation import Normalisation

NET = {"n_convkernels": 6, "n_stacks": 1, "n_convlayers": 1, "input_size": 20, "log_learning_rate": -1.5}
DEEP = {"spatial_mode": 1, "input_depth": 12}
FLAT = {"spatial_mode": 2, "input_depth": 4}
HYBRID = {
    "net": {**NET, **FLAT, "input_depth": 8},
    "net/encode": {"spatial_mode": -1},  # 3d
    "net/decode/stack1": {"spatial_mode": -1},
}


def squares_of_slices_beside(depth=12, size=48, seed=0):
    """An image of bright squares, and labels that show in each slice the squares of those before and after it."""
    rng = np.random.default_rng(seed)
    is_bright = rng.random((depth, size // 8, size // 8)) < 0.3
    bright = is_bright.repeat(8, axis=1).repeat(8, axis=2)
    around = np.pad(bright, [(1, 1), (0, 0), (0, 0)], mode="reflect")
    labels = (around[:-2] | around[2:]).astype(np.uint8)
    image = (60 + 80 * bright + rng.normal(0, 10, bright.shape)).clip(0, 255).astype(np.uint8)
    return LabelledArray("squares", image, labels, Normalisation.of_volume(image.mean(), image.std()))


def new(deltas, iterations, **settings):
    genome = Genome("g", deltas)
    values = {"batch_size": 4, "threads": 1, "validation_interval": iterations, "device": "cpu"}
    recipe = Training(iterations=iterations, **{**values, "precision": "float32", **settings})
    train, validation = squares_of_slices_beside(), squares_of_slices_beside(6, seed=1)
    counts = np.bincount(train.labels.ravel(), minlength=2)
    return Trainer(genome, plan(genome.net, 2), [train], [validation], counts, recipe, 0, torch.device("cpu"))


def trained(deltas, iterations=150, **settings):
    t = new(deltas, iterations, **settings)
    for _ in t.run():
        pass
    return t


@pytest.mark.slow
def test_3d_layers_see_other_slices_and_2d_ones_do_not():
    deep, plane = trained({"net": {**NET, **DEEP}}), trained({"net": NET})
    assert deep.network.plan.output_shape[0] > 1
    assert deep.history[-1].validation_ari > 0.5
    assert abs(plane.history[-1].validation_ari) < 0.1


@pytest.mark.slow
def test_a_hybrid_of_3d_and_2_5d_layers_learns_too():
    hybrid = trained(HYBRID)
    assert {layer.kernel[0] for stack in hybrid.network.plan.stacks for layer in stack.layers} == {1, 3}
    assert hybrid.history[-1].validation_ari > 0.5


@pytest.mark.parametrize("deltas", [{"net": {**NET, **DEEP}}, {"net": {**NET, **FLAT}}, HYBRID])
def test_the_whole_recipe_takes_patches_of_several_slices(deltas):
    t = trained(
        deltas,
        iterations=6,
        loss={"kind": "dice_cross_entropy", "border_weight": 3},
        sampling={"rare_classes": 0.5},
        augmentation={
            "elastic_voxels": 2, "brightness": 0.2, "contrast": 0.2, "gamma": 0.2, "blur_voxels": 1,
            "noise": 0.1, "missing_slices": 0.2, "shifted_slices": 0.2, "shifted_slices_voxels": 3,
        },
        optimiser={"kind": "adamw", "ema_decay": 0.9, "gradient_clip": 1},
    )  # fmt: skip
    assert np.isfinite(t.history[-1].training_loss)
    assert t.sampler.output_shape == t.network.plan.output_shape
    assert t.sampler.output_shape[0] > 1


def test_a_3d_training_goes_on_from_its_state_as_if_it_had_never_stopped():
    deltas = {"net": {**NET, **DEEP, "dropout_rate": 0.2, "norm": 1}}
    whole, other = new(deltas, 8), new(deltas, 8)
    for t in (whole, other):
        for _ in range(4):
            t.step()
    again = new(deltas, 8)
    again.restore(other.state())
    for t in (whole, again):
        for _ in range(4):
            t.step()
    for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
