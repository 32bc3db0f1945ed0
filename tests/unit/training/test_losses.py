import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from genenet.config.losses import LOSSES, Loss
from genenet.core.ignore import IGNORE
from genenet.training.losses import make_loss, soft_dice

KINDS = tuple(LOSSES)
SHAPES = ((2, 6, 5), (2, 3, 6, 5))


def example(shape=(2, 6, 5), n_classes=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], n_classes, *shape[1:], generator=rng, requires_grad=True)
    labels = torch.randint(0, n_classes, shape, generator=rng).to(torch.uint8)
    return logits, labels


def loss_of(kind="cross_entropy", weights=(1.0, 1.0, 1.0), **settings):
    return make_loss(Loss(kind=kind, **settings), torch.tensor(weights))


@pytest.mark.parametrize("shape", SHAPES)
def test_unweighted_it_is_torchs_cross_entropy(shape):
    logits, labels = example(shape)
    assert loss_of()(logits, labels).item() == pytest.approx(F.cross_entropy(logits, labels.long()).item())


def test_classes_weigh_what_they_are_given_and_the_mean_is_over_voxels():
    logits, labels = example()
    weights = torch.tensor([1.0, 2.0, 0.0])
    terms = F.cross_entropy(logits, labels.long(), reduction="none") * weights[labels.long()]
    assert loss_of(weights=weights.tolist())(logits, labels).item() == pytest.approx(terms.mean().item())


def test_voxels_weigh_what_they_are_given():
    logits, labels = example()
    weights = torch.rand(labels.shape) + 0.1
    terms = F.cross_entropy(logits, labels.long(), reduction="none") * weights
    assert loss_of()(logits, labels, weights).item() == pytest.approx(terms.mean().item())


@pytest.mark.parametrize("kind", KINDS)
def test_a_voxel_of_weight_0_counts_as_an_ignored_one(kind):
    logits, labels = example()
    out = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    loss, weights = loss_of(kind, (1.0, 3.0, 0.5)), torch.where(out, 0.0, 1.0)
    ignored = labels.masked_fill(out, IGNORE)
    assert loss.total(labels, weights) == loss.total(ignored) == (~out).sum()
    assert loss(logits, labels, weights).item() == pytest.approx(loss(logits, ignored).item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["ignored", "weightless"])
def test_what_does_not_count_has_no_part_in_loss_and_gradient(kind, how):
    logits, labels = example()
    out = torch.zeros(labels.shape, dtype=torch.bool)
    out[0, :3] = True
    weights = torch.where(out, 0.0, 1.5) if how == "weightless" else None
    loss = loss_of(kind)

    def value_and_gradient(logits, labels):
        leaf = logits.detach().clone().requires_grad_()
        value = loss(leaf, labels, weights)
        value.backward()
        return value.item(), leaf.grad

    if how == "ignored":
        labels = labels.masked_fill(out, IGNORE)
        other_labels = labels
    else:
        other_labels = torch.where(out, (labels + 1) % 3, labels)
    wild = torch.where(out[:, None], torch.tensor(1e4), logits.detach())
    value, gradient = value_and_gradient(logits, labels)
    other, other_gradient = value_and_gradient(wild, other_labels)
    assert value == other
    assert torch.equal(gradient, other_gradient)
    assert not gradient.movedim(1, -1)[out].any()
    assert gradient.movedim(1, -1)[~out].any()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_learn_is_0_without_gradient(kind):
    logits, labels = example()
    value = loss_of(kind)(logits, torch.full_like(labels, IGNORE))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


def dice_literally(logits, labels, weights):
    """1 - Dice class by class, over the voxels that count, in float64."""
    counts = (labels != IGNORE) & (weights > 0)
    w, truth = weights[counts].double(), labels[counts]
    p = logits.detach().double().softmax(1).movedim(1, -1)[counts]
    losses = [
        1 - 2 * (w * p[:, c])[truth == c].sum() / ((w * p[:, c]).sum() + w[truth == c].sum())
        for c in truth.unique().tolist()
    ]
    return torch.stack(losses).mean().item() if losses else 0.0


@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from(SHAPES), st.integers(1, 3))
def test_dice_is_its_definition(seed, scale, shape, n_shown):
    logits, labels = example(shape, seed=seed)
    labels = labels.clamp(max=n_shown - 1)
    rng = torch.Generator().manual_seed(seed)
    labels = labels.masked_fill(torch.rand(shape, generator=rng) < 0.2, IGNORE)
    weights = (scale * torch.rand(shape, generator=rng)).masked_fill(
        torch.rand(shape, generator=rng) < 0.2, 0
    )
    found = loss_of("dice_cross_entropy", dice_share=1)(logits, labels, weights).item()
    assert found == pytest.approx(dice_literally(logits, labels, weights), abs=1e-4)


@pytest.mark.parametrize("weight", [0.5, 1.0, 11.0])
def test_a_weight_of_all_voxels_changes_nothing_in_dice(weight):
    logits, labels = example()
    labels = labels.long()
    weights = torch.full(labels.shape, weight)
    assert soft_dice(logits, labels, weights).item() == pytest.approx(
        soft_dice(logits, labels).item(), abs=1e-5
    )


def test_dice_is_0_for_the_truth_and_1_for_its_opposite():
    labels = torch.tensor([[0, 0, 1, 1]])
    right = F.one_hot(labels, 2).movedim(-1, 1) * 100.0
    for weights in (None, torch.tensor([[1.0, 11.0, 3.0, 1.0]])):
        assert soft_dice(right, labels, weights).item() == pytest.approx(0, abs=1e-4)
        assert soft_dice(-right, labels, weights).item() == pytest.approx(1, abs=1e-4)


def test_dice_counts_small_classes_like_large_ones():
    labels = torch.tensor([[0] * 98 + [1] * 2])
    all_background = torch.tensor([100.0, -100.0])[None, :, None].expand(1, 2, 100)
    assert soft_dice(all_background, labels).item() == pytest.approx((1 + 2 / 198) / 2, abs=1e-3)


def test_dice_cross_entropy_is_their_weighted_mean():
    logits, labels = example()
    expected = 0.3 * soft_dice(logits, labels.long()) + 0.7 * loss_of()(logits, labels)
    found = loss_of("dice_cross_entropy", dice_share=0.3)(logits, labels)
    assert found.item() == pytest.approx(expected.item())


def test_focal_of_gamma_0_is_cross_entropy_and_more_gamma_counts_easy_voxels_less():
    logits, labels = example()
    assert loss_of("focal", focal_gamma=0)(logits, labels).item() == pytest.approx(
        loss_of()(logits, labels).item()
    )
    p = logits.softmax(1).gather(1, labels.long()[:, None])[:, 0]
    expected = ((1 - p) ** 2 * -p.log()).mean().item()
    assert loss_of("focal", focal_gamma=2)(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_focal_weighs_classes_and_voxels_as_cross_entropy_does():
    logits, labels = example()
    weights = torch.rand(labels.shape)
    of_classes = (1.0, 3.0, 0.5)
    focal, plain = loss_of("focal", of_classes, focal_gamma=0), loss_of(weights=of_classes)
    assert focal(logits, labels, weights).item() == pytest.approx(plain(logits, labels, weights).item())


def test_focal_of_small_gamma_has_a_finite_gradient_where_the_network_is_sure():
    labels = torch.tensor([[0, 1, IGNORE]], dtype=torch.uint8)
    logits = torch.tensor([[[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]]], requires_grad=True)
    loss_of("focal", (1.0, 1.0), focal_gamma=0.5)(logits, labels).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_halves_add_up_to_the_whole(kind):
    logits, labels = example((4, 6, 5))
    labels[0, :4] = IGNORE
    weights = torch.rand(labels.shape)
    loss = loss_of(kind, (1.0, 3.0, 0.5))
    whole = loss.total(labels, weights)
    parts = [
        loss(logits[i::2], labels[i::2], weights[i::2]) * loss.total(labels[i::2], weights[i::2]) / whole
        for i in range(2)
    ]
    assert sum(parts).item() == pytest.approx(loss(logits, labels, weights).item())


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_logits_are_computed_in_float32(kind):
    logits, labels = example()
    rough = logits.detach().bfloat16()
    found = loss_of(kind)(rough, labels)
    assert found.dtype == torch.float32
    assert found.item() == loss_of(kind)(rough.float(), labels).item()


@pytest.mark.parametrize("kind", KINDS)
def test_memory_format_and_a_flat_z_axis_change_nothing(kind):
    logits, labels = example()
    weights = torch.rand(labels.shape)
    expected = loss_of(kind)(logits, labels, weights).item()
    last = logits.detach().contiguous(memory_format=torch.channels_last)
    found = loss_of(kind)(last.unsqueeze(2), labels.unsqueeze(1), weights.unsqueeze(1))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_leads_to_the_truth(kind):
    logits, labels = example()
    leaf = logits.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.3)
    for _ in range(40):
        optimiser.zero_grad()
        loss_of(kind)(leaf, labels).backward()
        optimiser.step()
    assert np.array_equal(leaf.argmax(dim=1).numpy(), labels.numpy())
