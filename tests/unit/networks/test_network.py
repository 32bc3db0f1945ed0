import subprocess
import sys

import numpy as np
import pytest
import torch
import torchinfo
from torch.utils.flop_counter import FlopCounterMode

from genenet.config.model import Search
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.genome import Genome
from genenet.genes.inspection import inspect
from genenet.genes.plan import plan
from genenet.genes.sizes import output_size
from genenet.networks.crops import centre_crop
from genenet.networks.device import is_faster_in_bfloat16
from genenet.networks.modules import Conv3d
from genenet.networks.network import Network
from genenet.networks.weights import load_weights, save_weights
from tests.support.published import PUBLISHED

SMALL = {"n_convkernels": 3, "n_stacks": 2, "n_convlayers": 1, "input_size": 40}
REGIONS = {
    "net": {
        "n_convkernels": [1, 6],
        "n_stacks": [1, 3],
        "n_convlayers": [1, 3],
        "input_size": [40, 120],
        "kernel_width": [1, 5],
        "norm": ["none", "batch", "channel", "instance"],
        "pooling": ["max", "conv"],
        "padding": ["valid", "same"],
        "residual": [False, True],
        "dilation": [1, 2],
        "groups": [1, 4],
        "spatial_mode": ["2d", "3d", "2.5d"],
        "input_depth": [30, 40],
        "activation": ["relu", "leaky_relu", "elu", "gelu", "tanh", "swish"],
        "dropout_rate": [0, 0.5],
        "max_convkernels": [4, 30],
        "log_lambda1": [-20, -4],
        "log_gamma2": [-20, -4],
    },
    "stack": {"n_convlayers": [-1, 1], "kernel_width": [-2, 2]},
    "layer": {"n_convkernels": [-2, 2], "padding": [-1, 1], "spatial_mode": [-1, 1], "dilation": [0, 1]},
    "edge": {"pooling": [-1, 1]},
}


def small(**values):
    return Genome("small", {"net": {**SMALL, **values}})


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("genome", "n_classes", "parameters", "size", "out"), PUBLISHED)
def test_published_networks_come_out_exactly(genome, n_classes, parameters, size, out):
    said = inspect(genome, n_classes)
    assert said["n_parameters"] == parameters
    assert said["input_shape"] == [1, 1, 1, size, size]
    assert said["output_shape"] == [1, n_classes, 1, out, out]
    assert said["halo"] == [0, (size - out) // 2, (size - out) // 2]
    network_plan = plan(genome.net, n_classes)
    with torch.device("meta"):
        network = Network(network_plan)
        assert network(torch.empty(1, 1, 1, size, size)).shape == (1, n_classes, 1, out, out)
    assert n_parameters(network) == parameters


@pytest.mark.parametrize("index", range(30))
def test_what_is_planned_is_what_is_built(index):
    genome = draw(Search(regions=REGIONS).feasible_regions(), seed=7, index=index)
    p = plan(genome.net, 4)
    with torch.device("meta"):
        network = Network(p)
        with FlopCounterMode(display=False) as counter:
            out = network(torch.empty(1, 1, *p.input_shape))
    assert out.shape == (1, 4, *p.output_shape)
    assert n_parameters(network) == p.n_parameters
    assert counter.get_total_flops() == pytest.approx(p.flops_per_voxel * np.prod(p.output_shape))


@pytest.mark.parametrize("index", range(0, 30, 3))
def test_the_layers_numbers_are_those_of_independent_counters(index):
    genome = draw(Search(regions=REGIONS).feasible_regions(), seed=8, index=index)
    said = inspect(genome, 4)
    network = Network(plan(genome.net, 4).with_fixed_norms()).eval()
    with FlopCounterMode(display=False, depth=3) as counter:
        network(torch.empty(1, 1, *said["input_shape"][2:]))
    summary = torchinfo.summary(network, said["input_shape"], verbose=0, depth=2, device="cpu")
    layers = {
        info.var_name: info
        for info in summary.summary_list
        if info.class_name == "ConvLayer" or info.var_name == "head"
    }
    for layer, (name, info) in zip(said["layers"], layers.items(), strict=True):
        module = f"Network.{name if name == 'head' else f'layers.{name}'}"
        assert layer["n_parameters"] == info.num_params
        assert layer["flops"] == sum(counter.flop_counts[module].values())
        assert layer["out_channels"] == info.output_size[1]
        assert layer["output_shape"][-len(info.output_size[2:]) :] == info.output_size[2:]
    assert summary.total_params == said["n_parameters"] == sum(x["n_parameters"] for x in said["layers"])
    assert said["layers"][-1]["receptive_field"] == said["receptive_field"]
    assert said["flops_per_voxel"] * np.prod(said["output_shape"][2:]) == pytest.approx(
        sum(x["flops"] for x in said["layers"])
    )
    assert said["taught_per_teraflop"] == pytest.approx(1e12 / (3 * said["flops_per_voxel"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"padding": "same"},
        {"kernel_width": 5, "input_size": 80},
        {"spatial_mode": "3d", "input_depth": 44},
        {"spatial_mode": "2.5d", "input_depth": 2},
        {"n_context_stacks": 1, "n_stacks": 1, "input_depth": 10},
        {"n_context_stacks": 1, "n_stacks": 1, "input_depth": 10, "residual": True, "dilation": 2},
        {"dilation": 3, "input_size": 100, "n_stacks": 1},
        {"dilation": 2, "padding": "same", "n_stacks": 1},
        {"kernel_width": 2, "window_pooling": 1, "n_stacks": 0, "n_convlayers": 2},
        {"residual": True, "n_convlayers": 2, "n_stacks": 1},
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_receptive_field_and_halo_are_what_gradients_reach(values, axis):
    p = plan(small(**values).net, 2)
    torch.manual_seed(0)
    network = Network(p)
    for layer in network.layers.values():
        layer.activation = torch.nn.Identity()  # so that no gradient is cut
    shape = p.read_shape(p.multiple)
    widths = []
    for position in range(p.multiple[axis]):
        offset = [h - m for h, m in zip(p.halo, p.margin, strict=True)]
        offset[axis] += position
        # a maximum shows one of its inputs a run: gather what several random images reach
        reached = torch.zeros(shape[axis], dtype=torch.bool)
        for _ in range(30):
            x = torch.rand(1, 1, *shape, requires_grad=True)
            network(x)[0, 0, *offset].backward()
            reached |= x.grad[0, 0].abs().movedim(axis, 0).flatten(1).amax(1) > 0
        index = torch.nonzero(reached).flatten()
        widths.append(int(index[-1] - index[0]) + 1)
    assert max(widths) == p.receptive_field[axis]


def test_an_input_that_does_not_fit_is_lowered_to_the_largest_that_does():
    p = plan(small(input_size=43).net, 2)
    assert p.input_shape == (1, 42, 42)
    assert not output_size(p.stacks, 1, 43)
    deep = plan(small(input_size=43, input_depth=47, spatial_mode="3d").net, 2)
    assert deep.input_shape == (46, 42, 42)
    with pytest.raises(InputError, match="net: input_depth 17 is too small .*; at least 22 is needed"):
        plan(small(spatial_mode="3d", input_depth=17).net, 2)


def test_networks_without_a_centre_are_refused():
    with pytest.raises(InputError, match="net: no input size is feasible: kernels of even width"):
        plan(Genome("g", {"net": {**SMALL, "n_stacks": 0, "kernel_width": 4}}).net, 2)
    for values, said in (
        ({"kernel_width": 4, "padding": "same"}, "kernel_width 4 is even; padding same needs an odd one"),
        ({"kernel_width": 2, "residual": True}, "kernel_width 2 is even; a residual needs an odd one"),
        ({"window_pooling": 1, "padding": "same"}, "window_pooling 1 needs padding valid"),
    ):
        with pytest.raises(InputError, match=f"net/encode/stack0/layer0: {said}"):
            plan(small(**values).net, 2)


def test_a_residual_is_added_before_the_activation():
    network = Network(plan(small(n_stacks=0, n_convlayers=2, residual=True, activation="tanh").net, 2))
    first, second = network.layers.values()
    assert first.shortcut.weight.shape == (3, 1, 1, 1)  # 1 channel becomes 3
    assert list(second.shortcut.parameters()) == []
    x = torch.rand(1, 1, 12, 12)
    middle = torch.tanh(first.conv(x) + first.shortcut(x[:, :, 1:-1, 1:-1]))
    assert torch.allclose(first(x), middle)
    assert torch.allclose(second(middle), torch.tanh(second.conv(middle) + middle[:, :, 1:-1, 1:-1]))


def test_a_hybrid_sees_neighbouring_slices_at_its_lowest_scales_only():
    p = plan(small(n_context_stacks=2, n_stacks=2, input_depth=24).net, 2)
    kernels = {layer.path: layer.kernel for layer in p.layers}
    assert kernels["net/encode/stack0/layer0"] == kernels["net/decode/stack0/layer0"] == (1, 3, 3)
    assert {k for path, k in kernels.items() if "stack0" not in path} == {(3, 3, 3)}
    assert p.has_depth
    assert p.multiple == (4, 4, 4)


def test_2d_layers_treat_each_slice_by_itself_whatever_stands_beside_it():
    x = torch.rand(2, 1, 3, 40, 40)
    network = Network(plan(small().net, 2)).eval()
    flat = Network(plan(small(spatial_mode="2.5d").net, 2)).eval()
    assert flat.plan.has_depth
    weights = {name: t.reshape(flat.state_dict()[name].shape) for name, t in network.state_dict().items()}
    flat.load_state_dict(weights)
    with torch.no_grad():
        found, of_flat = network(x), flat(x)
        alone = torch.cat([network(x[:, :, z : z + 1]) for z in range(3)], dim=2)
    assert torch.allclose(found, alone, atol=1e-6)
    assert torch.allclose(found, of_flat, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"padding": 1}, {"dilation": 2}, {"kernel_size": 1}, {"kernel_size": 2, "stride": 2}]
)
def test_a_volume_is_predicted_by_the_convolution_that_it_was_trained_with(options):
    torch.manual_seed(0)
    conv = Conv3d(5, 4, **{"kernel_size": 3, **options})
    x = torch.rand(1, 5, 8, 10, 12)
    trained = conv(x)
    assert trained.grad_fn
    with torch.inference_mode():
        assert torch.allclose(conv(x), trained, atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            assert conv(x).dtype == torch.bfloat16


def test_depth_is_pooled_where_a_3d_layer_follows_and_given_back_at_the_same_scale():
    genome = Genome(
        "hybrid",
        {
            "net": {**SMALL, "input_depth": 20, "input_size": 60},
            "net/encode/stack1": {"spatial_mode": 2},
            "net/decode/stack2": {"spatial_mode": 1},
            "net/decode/stack0": {"spatial_mode": 1},
        },
    )
    p = plan(genome.net, 2)
    assert [layer.pool for stack in p.stacks for layer in stack.layers] == [
        (1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)
    ]  # fmt: skip
    assert [layer.kernel[0] for stack in p.stacks for layer in stack.layers] == [1, 1, 3, 1, 3]
    assert p.multiple == (2, 4, 4)
    with torch.no_grad():
        assert Network(p)(torch.rand(1, 1, *p.input_shape)).shape[2:] == p.output_shape


def test_edges_concatenate_what_was_cropped_from_the_centre():
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert torch.equal(centre_crop(x, torch.Size((2, 4))), x[..., 2:4, 1:5])


def test_penalties_of_kernels_are_sums_and_of_activations_means():
    network = Network(plan(small(log_gamma1=-1, log_gamma2=-2, log_lambda1=-1.5, log_lambda2=-0.5).net, 2))
    seen = []
    for layer in network.layers.values():
        layer.activation.register_forward_hook(lambda *a: seen.append(a[2]))
    network.train()(torch.rand(2, 1, 1, 40, 40))
    expected = sum(
        0.1 * layer.conv.weight.abs().sum() + 0.01 * layer.conv.weight.square().sum()
        for layer in network.layers.values()
    ) + sum(10**-1.5 * a.abs().mean() + 10**-0.5 * a.square().mean() for a in seen)
    assert len(seen) == 5
    assert network.penalty().item() == pytest.approx(expected.item(), rel=1e-5)


def test_penalties_below_1e_10_are_off():
    network = Network(plan(small(log_gamma1=-10.1, log_lambda2=-11).net, 2))
    network.train()(torch.rand(1, 1, 1, 40, 40))
    assert network.penalty().item() == 0


def test_initial_weights_are_xavier_uniform_and_biases_zero():
    network = Network(plan(small(n_convkernels=64).net, 2))
    conv = network.layers["encode_stack1_layer0"].conv
    bound = np.sqrt(6 / ((64 + 128) * 9))
    assert conv.weight.abs().max() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert not conv.bias.any()


def test_dropout_and_batch_norm_and_strided_convolution_are_there():
    network = Network(plan(small(dropout_rate=0.3, norm="batch", pooling="conv").net, 2))
    layer = network.layers["encode_stack1_layer0"]
    assert layer.dropout.p == 0.3
    assert isinstance(layer.norm, torch.nn.BatchNorm2d)
    assert (layer.entry.kernel_size, layer.entry.stride) == ((2, 2), (2, 2))


def test_weights_come_back_and_know_their_genome(tmp_path):
    genome, path = small(), tmp_path / "model.safetensors"
    network, other = (Network(plan(genome.net, 2)) for _ in range(2))
    save_weights(network.state_dict(), genome.id, path)
    load_weights(other, genome, path)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    stranger = small(n_convkernels=4)
    with pytest.raises(
        InputError, match=f"weights of genome {genome.id}, not of {stranger.id}: .* has shape"
    ):
        load_weights(Network(plan(stranger.net, 2)), stranger, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"model\.safetensors: not a weights file"):
        load_weights(network, genome, path)


@pytest.mark.process
@pytest.mark.parametrize(
    ("values", "batch", "precision"),
    [
        (
            {"n_convkernels": 30, "n_stacks": 1, "n_convlayers": 5, "input_size": 150, "norm": 1},
            8,
            "float32",
        ),
        (
            {"n_convkernels": 24, "n_stacks": 2, "input_size": 252, "dropout_rate": 0.2, "activation": 3},
            4,
            "bfloat16" if is_faster_in_bfloat16(torch.device("cpu")) else "float32",
        ),
    ],
)
def test_the_memory_of_a_training_step_is_about_what_inspect_says(values, batch, precision):
    code = f"""
import numpy as np, torch
from genenet.config.training import Training
from genenet.genes.genome import Genome
from genenet.training.prepared_images import LabelledArray
from genenet.core.resources import peak_memory
from genenet.volumes.normalisation import Normalisation
from genenet.genes.plan import plan
from genenet.training.trainer import Trainer
g = Genome("g", {{"net": {values}}})
image = np.random.default_rng(0).integers(0, 7, (1, 300, 300), dtype=np.uint8)
data = [LabelledArray("a", image, image, Normalisation.of_volume(3, 2))]
settings = Training(batch_size={batch}, threads=1, device="cpu", precision="{precision}")
t = Trainer(g, plan(g.net, 7), data, data, np.ones(7), settings, 0, torch.device("cpu"))
for _ in range(3):
    t.step()
print(peak_memory() / 1e6)
"""
    used = float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    said = inspect(Genome("g", {"net": values}), 7, batch)["training_memory_mb"][precision]
    assert said == pytest.approx(used, rel=0.35)
