"""A child's network that begins with the weights of its parent's: what it computes, and what is left at random."""

from collections import Counter

import pytest
import torch

from genenet.genes.genome import Genome
from genenet.genes.inheritance import n_inherited, origins
from genenet.genes.plan import plan
from genenet.networks.inheritance import inherit
from genenet.networks.network import Network

BASE = {"n_convkernels": 4, "n_stacks": 2, "n_convlayers": 2, "input_size": 64}
SAME = {**BASE, "padding": "same"}
GROWN = {  # what may be in a network that is widened, beside convolutions
    "plain": {},
    "batch": {"norm": "batch"},
    "residual": {"residual": True},
    "strided": {"pooling": "conv"},
    "limited": {"max_convkernels": 12},
    "depth": {"spatial_mode": "2.5d", "input_depth": 4},
}


def planned(values, **deltas):
    return plan(Genome("g", {"net": values, **deltas}).net, 3)


def network(values, seed=0, **deltas):
    """A network whose weights, biases and statistics all differ from those of a new one."""
    torch.manual_seed(seed)
    made = Network(planned(values, **deltas))
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim == 1:
                tensor.normal_(0.1, 0.3)
    return made.eval()


def bred(parent, values, seed=1, **deltas):
    """A child of ``parent``, how its layers begin, and its weights before."""
    torch.manual_seed(seed)
    child = Network(planned(values, **deltas)).eval()
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    return child, inherit(child, parent, torch.Generator().manual_seed(7)), before


def outputs(*networks):
    torch.manual_seed(3)
    shape = networks[0].plan.input_shape
    x = torch.randn(2, 1, *shape)
    with torch.no_grad():
        return [each(x) for each in networks]


@pytest.mark.parametrize("norm", ["none", "batch", "channel"])
def test_a_child_of_the_same_architecture_computes_exactly_its_parents_function(norm):
    values = {**BASE, "norm": norm, "residual": True, "pooling": "conv", "groups": 2}
    parent = network(values)
    child, counts, before = bred(parent, {**values, "log_learning_rate": -1.0, "dropout_rate": 0.2})
    assert counts == Counter(copied=11)
    state = parent.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in child.state_dict().items())
    assert not all(torch.equal(tensor, state[name]) for name, tensor in before.items())
    assert torch.equal(*outputs(child, parent))


@pytest.mark.parametrize("wider", [5, 8, 11])
@pytest.mark.parametrize("what", GROWN)
def test_a_wider_child_computes_its_parents_function_up_to_rounding(what, wider):
    values = {**BASE, **GROWN[what]}
    parent = network(values)
    child, counts, _ = bred(parent, {**values, "n_convkernels": wider})
    assert not counts["fresh"] + counts["narrowed"]
    torch.testing.assert_close(*outputs(child, parent), rtol=1e-4, atol=1e-5)


def test_widening_of_some_layers_passes_poolings_merges_and_projections():
    values = {**BASE, "residual": True}
    parent = network(values)
    deltas = {
        "net/encode/stack0/layer1": {"n_convkernels": 3},
        "net/decode/stack2/layer0": {"n_convkernels": 2},
    }
    child, counts, _ = bred(parent, values, **deltas)
    assert counts["widened"] >= 5
    assert counts["copied"] >= 4
    torch.testing.assert_close(*outputs(child, parent), rtol=1e-4, atol=1e-5)


def test_channel_norm_is_kept_if_all_channels_have_equally_many_copies():
    values = {**BASE, "norm": "channel"}
    parent = network(values)
    twice, thrice_some = (bred(parent, {**values, "n_convkernels": n})[0] for n in (8, 10))
    of_parent, of_twice, of_some = outputs(parent, twice, thrice_some)
    torch.testing.assert_close(of_twice, of_parent, rtol=1e-3, atol=1e-4)
    assert (of_some - of_parent).abs().max() > 0.01


def test_copies_of_a_channel_get_different_gradients():
    child, _, _ = bred(network(BASE), {**BASE, "n_convkernels": 8})
    first = child.layers["encode_stack0_layer0"].conv
    assert torch.equal(first.weight[:4], first.weight[4:])
    child(torch.randn(1, 1, *child.plan.input_shape)).square().mean().backward()
    gradient = first.weight.grad.flatten(1)
    for one, other in zip(gradient[:4], gradient[4:], strict=True):
        assert one.abs().max() > 0
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=0)
        assert cosine < 0.999


@pytest.mark.parametrize(
    "change", [{"n_convlayers": 3}, {"kernel_width": 5}, {"n_convlayers": 3, "n_convkernels": 6}]
)
@pytest.mark.parametrize("more", [{}, {"residual": True}])
def test_a_deeper_child_or_one_with_wider_kernels_computes_its_parents_function(change, more):
    parent = network({**SAME, **more})
    child, counts, _ = bred(parent, {**SAME, **more, **change})
    assert counts["inserted"] == (5 if "n_convlayers" in change else 0)
    assert not counts["fresh"]
    torch.testing.assert_close(*outputs(child, parent), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "channel"])
def test_an_inserted_residual_with_a_norm_adds_nothing(norm):
    values = {**SAME, "norm": norm, "residual": True}
    parent = network(values)
    child, counts, _ = bred(parent, {**values, "n_convlayers": 3})
    assert counts["inserted"] == 5
    torch.testing.assert_close(*outputs(child, parent), rtol=1e-4, atol=1e-5)


def test_a_narrower_child_begins_with_the_first_channels_and_the_centres_of_kernels():
    parent = network(BASE)
    child, counts, _ = bred(parent, {**BASE, "n_convkernels": 3})
    assert counts == Counter(narrowed=10, copied=1)
    kernels = [each.layers["decode_stack1_layer0"].conv.weight for each in (child, parent)]
    merged = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]  # 6 of 8 from below, 6 of 8 of the encoder
    assert torch.equal(kernels[0], kernels[1][:6][:, merged])
    large = network({**SAME, "kernel_width": 5})
    small, counts, _ = bred(large, SAME)
    assert counts == Counter(narrowed=10, copied=1)
    wide = large.layers["encode_stack1_layer0"].conv.weight
    assert torch.equal(small.layers["encode_stack1_layer0"].conv.weight, wide[..., 1:-1, 1:-1])


def test_a_deeper_network_takes_the_bottom_for_its_encoder():
    parent = network({**BASE, "n_stacks": 1})
    child, counts, before = bred(parent, BASE)
    assert counts == Counter(copied=7, fresh=4)
    fresh = ("decode_stack2", "decode_stack1")
    for name, tensor in child.state_dict().items():
        is_fresh = name.startswith(tuple(f"layers.{stack}" for stack in fresh))
        assert torch.equal(tensor, before[name]) == is_fresh, name
    bottom = parent.layers["decode_stack1_layer0"].conv.weight
    assert torch.equal(child.layers["encode_stack1_layer0"].conv.weight, bottom)


@pytest.mark.parametrize(
    ("change", "fresh"),
    [({"kernel_width": 4}, 10), ({"groups": 2}, 9), ({"spatial_mode": "3d", "input_depth": 44}, 0)],
)
def test_what_does_not_fit_keeps_its_random_weights(change, fresh):
    child, counts, before = bred(network(BASE), {**BASE, "input_size": 72, **change})
    assert counts["fresh"] == fresh
    state = child.state_dict()
    of = [name for name in state if name.endswith("conv.weight")]
    assert sum(torch.equal(state[name], before[name]) for name in of) == fresh


def test_another_norm_or_pooling_is_left_as_it_was():
    child, counts, before = bred(network(BASE), {**BASE, "norm": "batch", "pooling": "conv"})
    assert counts == Counter(copied=11)
    state = child.state_dict()
    of = [name for name in state if ".norm." in name or "encode_stack1_layer0.entry" in name]
    assert len(of) > 50
    assert all(torch.equal(state[name], before[name]) for name in of)


def test_a_child_with_fewer_layers_in_its_stacks_copies_those_that_it_has():
    _, counts, _ = bred(network({**BASE, "n_convlayers": 3}), BASE)
    assert counts == Counter(copied=11)


def test_the_number_of_inherited_weights_ranks_parents():
    child = planned({**BASE, "n_convkernels": 6})
    alike, wider, narrower, flat = (
        n_inherited(child, planned({**BASE, **values}))
        for values in ({"n_convkernels": 6}, {"n_convkernels": 9}, {"n_convkernels": 3}, {"n_stacks": 1})
    )
    of_kernels = sum(layer.out_channels * layer.in_channels // layer.groups * 9 for layer in child.layers)
    assert alike == wider == of_kernels
    assert 0 < flat < alike
    assert narrower < alike
    assert [origin.beginning for origin in origins(child, child)] == ["copied"] * 10
