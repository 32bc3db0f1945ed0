"""Losses at lower scales of the decoder: where labels belong, what is learnt, and what is stored."""

import io
import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from genenet.core.ignore import IGNORE
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.weights import load_network, save_weights
from genenet.training.deep_supervision import Matched, SupervisedNetwork, levels, matched
from genenet.training.losses import make_loss
from genenet.training.optimisation import make_optimiser
from tests.support import runs
from tests.support.trainers import labelled, tensors, train, trainer, weights

CPU = torch.device("cpu")
DEEP = {"n_stacks": 2, "input_size": 60}
NET = {"n_convkernels": 2, "n_convlayers": 1, "norm": "none", "pooling": "conv", "kernel_width": 3}
GEOMETRIES = {
    "valid": ({"n_stacks": 3, "n_convlayers": 2, "input_size": 140}, {}),
    "same": ({"n_stacks": 3, "padding": "same", "input_size": 64}, {}),
    "wide kernels": ({"n_stacks": 2, "kernel_width": 5, "input_size": 90}, {}),
    "four poolings": ({"n_stacks": 4, "input_size": 200}, {}),
    "layers differ": (
        {"n_stacks": 3, "n_convlayers": 2, "input_size": 140},
        {"net/decode/stack1": {"n_convlayers": 1}, "net/decode/stack0": {"n_convlayers": -1}},
    ),
    "3d": ({"n_stacks": 2, "spatial_mode": "3d", "input_size": 52, "input_depth": 48}, {}),
    "2.5d": ({"n_stacks": 2, "spatial_mode": "2.5d", "input_size": 52, "input_depth": 5}, {}),
    "z is pooled at one scale only": (
        {"n_stacks": 2, "spatial_mode": "2.5d", "input_size": 52, "input_depth": 30},
        {"net/encode/stack1": {"spatial_mode": -1}, "net/decode/stack1": {"spatial_mode": -1}},
    ),
}


def passing_positions_on(network):
    """Set the weights so that a voxel of each feature map is the mean of the input where that voxel lies.

    Convolutions take their central voxel, poolings the mean; a merge takes the encoder's channels alone.
    """
    for layer in network.layers.values():
        for module in (layer.entry, layer.conv):
            if isinstance(module, torch.nn.Identity):
                continue
            torch.nn.init.zeros_(module.weight)
        if layer.layer.entry == "down":
            kernel = layer.entry.weight
            torch.nn.init.constant_(kernel, 1 / kernel[0].numel())
        first = (
            layer.layer.out_channels if layer.layer.entry == "up" else 0
        )  # of the channels after the merge
        centre = tuple(n // 2 for n in layer.conv.kernel_size)
        with torch.no_grad():
            layer.conv.weight[(slice(None), slice(first, None), *centre)] = 1 / (
                layer.layer.in_channels - first
            )
    return network


@pytest.mark.parametrize("name", GEOMETRIES)
def test_labels_lie_where_the_voxels_of_the_features_do(name):
    """The input holds each voxel's own coordinate along an axis, and so do the labels."""
    net, deltas = GEOMETRIES[name]
    p = plan(Genome("g", {"net": {**NET, **net}, **deltas}).net, 2)
    network = passing_positions_on(Network(p))
    found = levels(p)
    assert len(found) == max(2, p.n_poolings - 1)
    for axis, n in enumerate(p.input_shape):
        shape = [n if a == axis else 1 for a in range(3)]
        coordinates = torch.arange(n, dtype=torch.float32).reshape(shape).expand(p.input_shape)
        decoded = {}
        with torch.no_grad():
            network._layers(network._as_slices(coordinates[None, None]), decoded)
        margin, size = p.margin[axis], p.output_shape[axis]
        for level in found:
            features = decoded[level.scale][:, 0] if p.has_depth else decoded[level.scale][:, :1]
            where = features[0].movedim(axis, 0).flatten(1)[:, 0].numpy() - margin
            stride = where[1] - where[0] if len(where) > 1 else 1
            nearest = where + (0.5 if stride > 1 else 0)  # of two that are as near, the second
            inside = (nearest >= 0) & (nearest < size)
            of_axis = level.axes[axis]
            assert where[of_axis.first : of_axis.first + of_axis.count].tolist() == where[inside].tolist()
            assert list(range(size)[of_axis.labels]) == nearest[inside].tolist()


def test_centres_outside_the_labels_are_left_out():
    assert matched(4, 4, 10) == Matched(1, slice(3, 8, 4))
    assert matched(8, 1, 8) == Matched(0, slice(0, 8, 1))
    assert matched(5, 2, 10) == Matched(0, slice(1, 10, 2))
    assert matched(2, 4, 2).count == 0


@pytest.mark.parametrize(
    ("n_stacks", "size", "scales"), [(1, 64, []), (2, 64, [0, 1]), (3, 64, [0, 1]), (4, 64, [0, 1, 2])]
)
def test_the_two_lowest_scales_have_no_loss(n_stacks, size, scales):
    p = plan(
        Genome("g", {"net": {**NET, "n_stacks": n_stacks, "padding": "same", "input_size": size}}).net, 2
    )
    supervised = SupervisedNetwork(Network(p), deep=True, seed=0)
    assert [level.scale for level in supervised.levels] == (scales or [0])
    assert sum(supervised.shares) == pytest.approx(1)
    assert all(a == 2 * b for a, b in itertools.pairwise(supervised.shares))
    assert [int(scale) for scale in supervised.heads] == scales[1:]


def batch_of(t):
    batch = t.sampler.batch(0)
    return torch.from_numpy(batch.images), torch.from_numpy(batch.labels)


def test_the_loss_is_the_weighted_sum_over_scales():
    t = trainer(DEEP, deep_supervision=True)
    images, labels = batch_of(t)
    labels[0, 0, :9] = IGNORE
    t.network.train()
    loss = t.learner._gradient(images, labels, None, 1)
    own, lower = t.learner.supervised(images)
    level = t.learner.supervised.levels[1]
    reduced = torch.full((4, 1, *lower.shape[3:]), IGNORE, dtype=torch.uint8)
    for y, x in itertools.product(range(lower.shape[3]), range(lower.shape[4])):
        (z, *_), ys, xs = (
            range(n)[axis.labels] for n, axis in zip(labels.shape[1:], level.axes, strict=True)
        )
        reduced[:, 0, y, x] = labels[:, z, ys[y], xs[x]]
    expected = 0
    for logits, truth, share in ((own, labels, 2 / 3), (lower, reduced, 1 / 3)):
        terms = cross_entropy(
            logits, truth.long(), t.learner.loss.class_weights, ignore_index=IGNORE, reduction="sum"
        )
        expected += share * terms / (truth != IGNORE).sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_weights_of_voxels_are_reduced_as_the_labels_are():
    t = trainer(DEEP, deep_supervision=True)
    _, labels = batch_of(t)
    numbers = torch.arange(labels.numel()).reshape(labels.shape)
    _, lower = t.learner.supervised.targets(numbers, numbers.float())
    assert torch.equal(lower.labels.float(), lower.weights)
    part = lower.part(slice(1, None, 2))
    assert torch.equal(part.labels, lower.labels[1::2])
    assert torch.equal(part.weights, lower.weights[1::2])


def test_the_network_begins_with_the_same_weights_and_its_heads_with_their_own():
    deep, plain = trainer(DEEP, deep_supervision=True), trainer(DEEP)
    assert torch.equal(weights(deep), weights(plain))
    again = trainer(DEEP, deep_supervision=True)
    heads = [t.learner.supervised.heads["1"].conv.weight for t in (deep, again)]
    assert torch.equal(*heads)
    assert heads[0].std() > 0
    assert deep.learner.supervised.heads["1"].conv.bias.tolist() == [0, 0, 0]


@pytest.mark.parametrize("recipe", [{}, {"loss": {"kind": "dice_cross_entropy", "border_weight": 3}}])
def test_without_it_a_training_is_that_of_the_network_and_the_loss_alone(recipe):
    """Bit for bit: what deep supervision needs changes no other training."""
    t = trainer({**DEEP, "norm": 1, "dropout_rate": 0.1}, **recipe)
    network = Network(t.network.plan).placed(CPU, to_train=True).train()
    network.load_state_dict(t.network.state_dict())
    loss_of = make_loss(t.settings.loss, t.learner.loss.class_weights)
    optimiser = make_optimiser(
        network.parameters(), t.settings.optimiser, t.current_learning_rate(), (0.9, 0.999), CPU
    )
    for iteration in range(6):
        images, labels, of_voxels = (
            None if array is None else torch.from_numpy(array) for array in t.sampler.batch(iteration)
        )
        torch.manual_seed(t._torch_seed(1, iteration + 1))
        optimiser.zero_grad(set_to_none=True)
        optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = t.current_learning_rate()
        loss_of(network(images), labels, of_voxels).backward()
        optimiser.step()
        t.step()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, t.network.state_dict()[name]), name


def test_a_network_of_one_pooling_learns_the_same_with_it():
    assert torch.equal(weights(train(trainer(deep_supervision=True))), weights(train(trainer())))


def test_heads_learn_and_are_no_part_of_the_weights(tmp_path):
    t = trainer(DEEP, deep_supervision=True, optimiser={"ema_decay": 0.9})
    before = t.learner.supervised.heads["1"].conv.weight.detach().clone()
    train(t)
    assert not torch.equal(t.learner.supervised.heads["1"].conv.weight, before)
    assert not torch.equal(weights(t), weights(train(trainer(DEEP, optimiser={"ema_decay": 0.9}))))
    assert set(t.best) == set(t.learner.average.tensors) == set(Network(t.network.plan).state_dict())
    genome = Genome("t", {"net": {**runs.GENOME, "dropout_rate": 0, "norm": 0, **DEEP}})
    save_weights(t.best, genome.id, tmp_path / "model.safetensors")
    assert torch.equal(
        load_network(genome, t.network.plan, tmp_path / "model.safetensors").head.weight,
        t.best["head.weight"],
    )


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_training_continues_bit_for_bit(kind):
    def made():
        return trainer(
            {**DEEP, "norm": 1, "dropout_rate": 0.1},
            deep_supervision=True,
            optimiser={"kind": kind, "ema_decay": 0.9, "gradient_clip": 1.0, "weight_decay": 0.01},
        )

    whole, begun, file = train(made()), made(), io.BytesIO()
    for _ in begun.run(until=10):
        pass
    torch.save(begun.state(), file)
    continued = made()
    continued.restore(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    train(continued)
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(continued)[name]), name
    heads = [t.learner.supervised.heads.state_dict() for t in (whole, continued)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_a_checkpoint_without_heads_is_read():
    begun, continued = trainer(DEEP), trainer(DEEP)
    begun.step()
    state = begun.state()
    assert not state["learner"].pop("heads")
    continued.restore(state)
    assert torch.equal(weights(continued), weights(begun))


def test_slices_without_a_label_at_a_centre_teach_the_network_all_the_same():
    """Labels on a few voxels, none of which is the centre of a voxel of scale 1."""
    labels = np.full((1, 40, 40), IGNORE, np.uint8)
    labels[0, 20, 20:22] = (0, 1)
    image = np.arange(1600, dtype=np.uint8).reshape(1, 40, 40)
    t = trainer(DEEP, data=[labelled(image, labels)], deep_supervision=True, sampling={"rare_classes": 1})
    for _ in range(5):
        t.step()
    assert np.isfinite(t.losses)
