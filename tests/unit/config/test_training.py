"""What a recipe and a genome say is what the trainer does: regularisation, labels, sampling, weights of voxels."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from genenet.core.ignore import IGNORE
from genenet.genes.genome import Genome
from genenet.networks.network import Network
from genenet.networks.weights import load_weights, save_weights
from genenet.training.weight_maps import border_weights
from tests.support import runs
from tests.support.trainers import labelled, tensors, train, trainer

LAYERS = ("encode_stack0_layer0", "decode_stack1_layer0", "decode_stack0_layer0")
TOP = "net/decode/stack0/layer0"


def batch_of(t, iteration=0):
    """Images, labels and weights as a step has them."""
    return [None if a is None else torch.from_numpy(a) for a in t.sampler.batch(iteration)]


def seen_by(t, part, act, what=1):
    """What each layer's ``part`` is given (0) or gives (1) while ``act`` runs, by layer."""
    seen = {name: [] for name in LAYERS}
    handles = [
        getattr(t.network.layers[name], part).register_forward_hook(
            lambda _, given, gives, name=name: seen[name].append(
                (given[0], gives)[what].clone()
            )  # what follows may write into it
        )
        for name in LAYERS
    ]
    act()
    for handle in handles:
        handle.remove()
    return seen


def test_penalties_have_the_genomes_weights_layer_by_layer():
    t = trainer(
        {"log_gamma1": -2, "log_gamma2": -1, "log_lambda1": -1.5, "log_lambda2": -0.5},
        deltas={TOP: {"log_gamma2": 0.5, "log_lambda1": 0.5}, "net/decode/stack1/layer0": {"log_gamma1": -9}},
    )
    images, labels, weights = batch_of(t)
    t.network.train()
    loss = t.learner._gradient(images, labels, weights, 1)
    found = [p.grad.clone() for p in t.network.parameters()]
    logits = []
    activations = seen_by(t, "activation", lambda: logits.append(t.network(images)))
    expected = t.learner.loss(logits[0], labels, weights)
    for name, gamma1, gamma2, lambda1 in zip(
        LAYERS, (-2, None, -2), (-1, -1, -0.5), (-1.5, -1.5, -1), strict=True
    ):
        kernel, (activation,) = t.network.layers[name].conv.weight, activations[name]
        expected = expected + (0 if gamma1 is None else 10**gamma1 * kernel.abs().sum())
        expected = expected + 10**gamma2 * kernel.square().sum()
        expected = expected + 10**lambda1 * activation.abs().mean() + 10**-0.5 * activation.square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    gradient = torch.autograd.grad(expected, list(t.network.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(found, gradient, strict=True))


def test_dropout_drops_at_the_genomes_rate_in_training_and_nothing_in_validation():
    t = trainer({"dropout_rate": 0.5, "activation": 4}, deltas={TOP: {"dropout_rate": -0.3}})  # tanh: never 0
    given, kept = (seen_by(t, "dropout", lambda: t.learner.step(*batch_of(t), 0.0, 1), k) for k in (0, 1))
    for name, rate in zip(LAYERS, (0.5, 0.5, 0.2), strict=True):
        (before,), (after,) = given[name], kept[name]
        assert (after == 0).float().mean().item() == pytest.approx(rate, abs=0.03)
        assert torch.allclose(after[after != 0], before[after != 0] / (1 - rate))
    again, other = (
        seen_by(t, "dropout", lambda s=s: t.learner.step(*batch_of(t), 0.0, s))[LAYERS[0]][0] for s in (1, 2)
    )
    assert torch.equal(again, kept[LAYERS[0]][0])
    assert not torch.equal(other, again)
    given, kept = (seen_by(t, "dropout", t.validate, k) for k in (0, 1))
    assert all(torch.equal(a, b) for name in LAYERS for a, b in zip(given[name], kept[name], strict=True))


def test_batch_normalisation_infers_with_the_running_statistics_of_training(tmp_path):
    t = trainer({"norm": 1})
    mean, variance = torch.zeros(3), torch.ones(3)
    for _ in range(4):
        ((values,),) = [seen_by(t, "norm", t.step, 0)[LAYERS[0]]]
        mean = 0.9 * mean + 0.1 * values.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * values.var((0, 2, 3))
    norm = t.network.layers[LAYERS[0]].norm
    assert torch.allclose(norm.running_mean, mean, atol=1e-5)
    assert torch.allclose(norm.running_var, variance, atol=1e-4)
    before = {name: b.clone() for name, b in t.network.named_buffers()}
    given, gave = (seen_by(t, "norm", t.validate, k)[LAYERS[0]] for k in (0, 1))
    expected = (given[0] - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(gave[0], expected, atol=1e-3)
    assert all(torch.equal(b, before[name]) for name, b in t.network.named_buffers())

    genome = Genome("published", {})
    save_weights(t.best, genome.id, tmp_path / "model.safetensors")
    published = Network(t.network.plan)
    load_weights(published, genome, tmp_path / "model.safetensors")
    image = torch.rand(1, 1, 1, 24, 24)
    assert torch.allclose(published.eval()(image), t.network.eval()(image), atol=1e-6)


def test_labels_of_a_few_voxels_are_enough_to_learn_from():
    image, labels = runs.blobs((1, 60, 60), 3)
    known = np.random.default_rng(0).random(labels.shape) < 0.05
    sparse = labelled(image, np.where(known, labels, IGNORE).astype(np.uint8))
    t = trainer({"log_learning_rate": -1.5}, data=[sparse], iterations=80, validation_interval=80)
    t.validation = [labelled(image, labels)]
    assert train(t).history[-1].validation_ari > 0.6


def test_labels_that_are_ignored_change_nothing_whatever_the_image_shows_around_them():
    """The right half is masked: its labels aren't learnt, and what they were doesn't matter."""
    image, labels = runs.blobs((1, 40, 40), 3)
    masked = labels.copy()
    masked[:, :, 20:] = IGNORE
    t = trainer(data=[labelled(image, masked)])
    counted = [int((batch_of(t, i)[1] != IGNORE).sum()) for i in range(10)]
    assert 0 < sum(counted) < 0.7 * 10 * batch_of(t)[1].numel()
    t.validate()
    (_, probabilities), *_ = t.predict(t.validation[0])
    left = adjusted_rand_score(labels[0, :, :20].ravel(), probabilities.argmax(0)[0, :, :20].ravel())
    assert t.history[-1].validation_ari == pytest.approx(left)


def test_border_weights_are_added_to_the_class_weights_as_in_equation_2():
    t = trainer(loss={"border_weight": 7, "border_sigma_voxels": 3, "class_weight_exponent": 0.7})
    (image,) = t.validation
    of_class = t.learner.loss.class_weights.numpy()[image.labels]
    extra = border_weights(image.labels, 7, 3) - 1
    assert extra.max() > 1
    assert of_class * t.sampler.weights[0] == pytest.approx(of_class + extra, rel=1e-5)


def test_rare_classes_are_sought_without_a_bias_in_what_is_reported():
    image, labels = runs.blobs((1, 40, 40), 3)
    labels[0, 7, 8] = 2
    plain, rare = (trainer(data=[labelled(image, labels)], sampling={"rare_classes": r}) for r in (0, 0.9))
    shown = [np.mean([(t.sampler.batch(i).labels == 2).any() for i in range(50)]) for t in (plain, rare)]
    assert shown[1] > 1.3 * shown[0]
    assert torch.equal(plain.learner.loss.class_weights, rare.learner.loss.class_weights)
    (_, probabilities), *_ = train(rare).predict(rare.validation[0])
    expected = adjusted_rand_score(labels[0].ravel(), probabilities.argmax(0).ravel())
    assert rare.history[-1].validation_ari == pytest.approx(expected)


def test_patches_come_from_images_by_their_weights():
    images = [labelled(*runs.blobs((1, 30, 30), seed)) for seed in (1, 2)]
    ids = [
        dataclasses.replace(i, labels=np.full_like(i.labels, k), weight=w)
        for k, (i, w) in enumerate(zip(images, (3, 1), strict=True))
    ]
    t = trainer(data=ids)
    assert np.mean([t.sampler.batch(i).labels.mean() for i in range(100)]) == pytest.approx(0.25, abs=0.06)


def test_a_class_that_never_occurs_has_weight_0():
    assert trainer().learner.loss.class_weights[2] == 0


def test_the_learning_rate_decays_exponentially():
    t = trainer({"log_learning_rate": -2, "decay_rate": 0.5, "decay_steps": 10})
    assert t.current_learning_rate() == pytest.approx(0.01)
    t.iteration = 20
    assert t.current_learning_rate() == pytest.approx(0.0025)


def test_adam_is_the_genomes():
    group = trainer({"log_alpha1": -0.5, "log_alpha2": -2}).learner.optimiser.param_groups[0]
    assert group["betas"] == pytest.approx((1 - 10**-0.5, 0.99))


def test_weights_are_the_same_again_and_others_with_each_seed():
    recipe = {"augmentation": {"noise": 0.2, "elastic_voxels": 2}, "optimiser": {"ema_decay": 0.9}}
    one, again, other = (
        train(trainer({"dropout_rate": 0.1, "log_lambda1": -9.0 - k}, **recipe)) for k in (0, 0, 1)
    )
    assert all(torch.equal(a, tensors(again)[name]) for name, a in tensors(one).items())
    assert not torch.equal(tensors(other)["head.weight"], tensors(one)["head.weight"])
