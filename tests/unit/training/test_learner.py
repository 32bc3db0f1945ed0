"""Steps of learning: the recipe's options in the trainer, precision, batches in halves."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from genenet.config.settings import TrainSettings
from genenet.config.training import Training
from genenet.core.geometry import Box
from genenet.genes.genome import Genome
from genenet.genes.layer_parts import NORMS
from genenet.metrics.contingency import Contingency
from genenet.networks.device import compute_type, is_faster_in_bfloat16
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.training.inputs import OBSERVERS, VERSION, Inputs
from genenet.training.trainer import Row
from genenet.volumes.base import ArrayVolume
from tests.support.trainers import train, trainer, weights

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "settings",
    [{}, {"loss": {"kind": "focal"}}, {"loss": {"border_weight": 5}}, {"deep_supervision": True}],
)
def test_two_halves_are_the_whole_batch_up_to_rounding(settings):
    genome = {"log_lambda2": -2, "log_gamma2": -3, "n_stacks": 2, "input_size": 60}
    whole, halves = (trainer(genome, **settings) for _ in range(2))
    halves.learner.parts = 2
    whole.network.train(), halves.network.train()
    for _ in range(3):
        batch = whole.sampler.batch(0)
        images, labels = torch.from_numpy(batch.images), torch.from_numpy(batch.labels)
        weights_ = None if batch.weights is None else torch.from_numpy(batch.weights)
        losses = [t.learner._gradient(images, labels, weights_, 1) for t in (whole, halves)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    for a, b in zip(whole.network.parameters(), halves.network.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-6)


def test_a_step_is_that_of_a_plain_loop():
    """What makes steps fast changes nothing of them: contiguous float32 and torch's own Adam give the same losses."""
    t = trainer({"n_stacks": 2, "input_size": 60, "activation": 1})
    plain = Network(t.network.plan).train()
    plain.load_state_dict(t.network.state_dict())
    optimiser = torch.optim.Adam(plain.parameters(), lr=t.current_learning_rate())
    for iteration in range(12):
        batch = t.sampler.batch(iteration)
        images, labels = torch.from_numpy(batch.images), torch.from_numpy(batch.labels).long()
        optimiser.zero_grad()
        sums = cross_entropy(plain(images), labels, t.learner.loss.class_weights, reduction="sum")
        (sums / labels.numel()).backward()
        optimiser.step()
        before = t.losses
        t.step()
        assert t.losses - before == pytest.approx(sums.item() / labels.numel(), rel=1e-4)


def test_bfloat16_learns_like_float32():
    rough, exact = train(trainer(precision="bfloat16")), train(trainer())
    assert not torch.equal(weights(rough), weights(exact))
    assert torch.nn.functional.cosine_similarity(weights(rough), weights(exact), dim=0) > 0.999
    assert all(p.dtype == torch.float32 for p in rough.network.parameters())


@pytest.mark.parametrize(("first", "then"), [("AVX2", "AVX512"), ("AVX512", "AVX2")])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_training_goes_on_on_another_processor(kind, first, then, monkeypatch):
    def on(capability):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        return trainer(optimiser={"kind": kind})

    whole, begun = train(on(first)), on(first)
    for _ in begun.run(until=10):
        pass
    goes_on = on(then)
    goes_on.restore(begun.state())
    train(goes_on)
    layouts = [[p.stride() for p in t.network.parameters()] for t in (whole, goes_on)]
    assert layouts[0] != layouts[1]
    assert torch.allclose(weights(whole), weights(goes_on), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_with_any_norm_a_training_that_was_interrupted_ends_with_the_same_bits(norm):
    recipe = {"optimiser": {"ema_decay": 0.9}, "iterations": 10}
    whole, begun, again = (trainer({"norm": norm}, **recipe) for _ in range(3))
    train(whole)
    for _ in begun.run(until=7):
        pass
    again.restore(begun.state())
    train(again)
    assert all(torch.equal(tensor, again.best[name]) for name, tensor in whole.best.items())
    assert torch.equal(weights(whole), weights(again))
    scores = [[row.validation_ari for row in t.history] for t in (whole, again)]
    assert scores[0] == scores[1]


def test_validation_fixes_statistics_as_a_segmentation_does():
    """The weights that are published give the scored probabilities, in tiles of another size."""
    t = train(trainer({"norm": "instance"}, optimiser={"ema_decay": 0.9}))
    t.use_best()
    (image,) = t.validation
    volume, box = ArrayVolume(image.image, image.name), Box.of_shape(image.image.shape)
    scored = np.concatenate([probabilities for _, probabilities in t.predict(image)], axis=1)
    published = Network(t.network.plan)
    published.load_state_dict(t.network.state_dict())
    predictor = Predictor([published], CPU, tile=(1, 17, 23)).for_volume(volume, image.normalisation)
    assert np.abs(predictor.probabilities(volume, image.normalisation, box) - scored / 255).max() < 0.6 / 255
    table = Contingency.empty(3)
    table.add(image.labels, scored.argmax(axis=0))
    assert table.adjusted_rand_index == t.chosen_row.validation_ari


def test_auto_is_bfloat16_where_the_hardware_computes_it():
    assert compute_type("float32", CPU) is None
    assert compute_type("bfloat16", CPU) == torch.bfloat16
    assert compute_type("auto", CPU) == (torch.bfloat16 if is_faster_in_bfloat16(CPU) else None)


def test_averaged_weights_are_validated_and_kept():
    t = train(trainer(optimiser={"ema_decay": 0.9}, stopping={"weights": "last"}))
    average = {name: tensor.clone() for name, tensor in t.learner.average.tensors.items()}
    own = t.network.state_dict()
    assert not torch.equal(average["head.weight"], own["head.weight"])
    assert all(torch.equal(t.best[name], average[name]) for name in average)


def test_without_patience_left_it_ends():
    t = train(trainer({"log_learning_rate": -8}, iterations=1000, stopping={"patience": 2}))
    assert t.iteration == 15  # the first validation, and two that are no better
    assert t.is_done


def test_last_weights_are_those_of_the_last_iteration():
    last = train(trainer({"log_learning_rate": -1}, stopping={"weights": "last"}))
    assert last.chosen_row is last.history[-1]
    before = weights(last)
    last.use_best()
    assert torch.equal(weights(last), before)


def test_the_schedule_and_the_optimiser_are_the_configs():
    t = trainer(schedule={"kind": "cosine"}, optimiser={"kind": "sgd"})
    t.iteration = 10
    assert t.current_learning_rate() == pytest.approx(t.base_rate / 2)
    assert isinstance(t.learner.optimiser, torch.optim.SGD)


@pytest.mark.slow
def test_augmentation_and_border_weights_change_what_is_learnt_and_are_the_same_again():
    plain = weights(train(trainer()))
    for recipe in (
        {"augmentation": {"noise": 0.5}},
        {"loss": {"border_weight": 10}},
        {"sampling": {"rare_classes": 1}},
    ):
        changed = weights(train(trainer(**recipe)))
        assert not torch.equal(changed, plain)
        assert torch.equal(changed, weights(train(trainer(**recipe))))


def rows(*scores):
    """Validations with these ARIs and mean IoUs."""
    return [Row(i, 1.0, 1e-3, ari, float(i), iou) for i, (ari, iou) in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("metric", "best", "is_done"), [("ari", 1, True), ("mean_iou", 3, False), ("both", 2, False)]
)
def test_the_metric_decides_which_weights_are_kept_and_when_patience_is_over(metric, best, is_done):
    t = trainer(iterations=1000, stopping={"metric": metric, "patience": 2})
    t.history = rows((0.9, 0.1), (0.8, 0.5), (0.5, 0.7))
    assert t.chosen_row.iteration == best
    assert t.is_done is is_done


def test_a_history_of_version_0_1_has_no_mean_iou():
    old = {"iteration": 5, "training_loss": 1.0, "learning_rate": 1e-3, "validation_ari": 0.5, "seconds": 1.0}
    row = Row(**old)
    assert row.score("ari") == 0.5
    assert np.isnan(row.score("mean_iou"))
    assert np.isnan(row.score("both"))


def test_validation_measures_both_metrics():
    t = train(trainer())
    contingency = Contingency.empty(3)
    t.learner.network.eval()
    (image,) = t.validation
    for z, probabilities in t.predict(image):
        contingency.add(image.labels[z : z + 1], probabilities.argmax(axis=0))
    last = t.history[-1]
    assert (last.validation_ari, last.validation_mean_iou) == (
        contingency.adjusted_rand_index,
        contingency.mean_iou,
    )


def test_the_defaults_of_later_keys_leave_checkpoints_of_older_versions_valid():
    genome = Genome("t", {})
    images = SimpleNamespace(classes=["a", "b"], checksum="x")

    def settings(**values):
        training = Training(iterations=1000, **values)
        return TrainSettings(seed=1, normalisation="volume", training=training)

    def fingerprint(**values):
        return Inputs(genome, settings(**values), images, images).fingerprint

    old = settings().model_dump(mode="json", exclude={"training": OBSERVERS | {"iterations"}})
    assert old["training"]["stopping"].pop("metric") == "ari"
    assert old["training"].pop("deep_supervision") is False
    for key in ("rotation_degrees", "scaling", "curves", "random_convolutions"):
        assert old["training"]["augmentation"].pop(key) == 0
    parts = [VERSION, genome.id, old, 2, "x", "x"]
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert fingerprint() == fingerprint(stopping={"metric": "ari"}) == expected
    assert fingerprint(deep_supervision=False) == expected
    assert fingerprint(deep_supervision=True) != expected
    assert fingerprint(augmentation={"scaling": 0.1}) != expected
    assert len({fingerprint(stopping={"metric": m}) for m in ("ari", "mean_iou", "both")}) == 3
