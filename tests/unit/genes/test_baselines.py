from itertools import pairwise

import pytest
import torch
from torch import nn

from genenet.config.baselines import Baselines, baselines_model
from genenet.config.model import Config
from genenet.config.planned_runs import baseline_stage, runs, train_stage
from genenet.config.settings import BaselineSettings
from genenet.config.stages import stage_settings
from genenet.core.choices import Table
from genenet.core.errors import InputError
from genenet.core.paths import of_baseline
from genenet.core.validation import validate
from genenet.genes.baselines import BASELINES, Baseline, BaselineOptions, title_of
from genenet.genes.genome import genome_from_json
from genenet.genes.plan import plan
from genenet.networks.network import Network
from tests.support import runs as runs_support
from tests.support import trainers
from tests.support.search import ROOT


def genome_of(name, **options):
    return BASELINES[name].genome(**options)


def below_the_root(genome):
    return {path: deltas for path, deltas in genome.deltas.items() if path != "net"}


def test_the_unet_is_the_published_one():
    assert plan(genome_of("unet2015").net, 2).n_parameters == 31_030_658


def window_network(network):
    """The network of the paper's table 1, with the weights of ours; it sees one window and says one voxel."""
    convolutions = [layer.conv for layer in network.layers.values()] + [network.head]
    modules = []
    for index, conv in enumerate(convolutions[:4]):
        width = (4, 5, 4, 4)[index]
        plain = nn.Conv2d(conv.in_channels, conv.out_channels, width)
        plain.load_state_dict(conv.state_dict())
        modules += [plain, nn.ReLU(), nn.MaxPool2d(2)]
    modules.append(nn.Flatten())
    for conv in convolutions[4:]:
        connected = nn.Linear(conv.weight[0].numel(), conv.out_channels)
        connected.load_state_dict({"weight": conv.weight.flatten(1), "bias": conv.bias})
        modules += [connected, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def test_all_windows_at_once_are_the_same_as_window_by_window():
    torch.manual_seed(0)
    genome = genome_of("ciresan2012", n_convkernels=5, n_hidden=11)
    network = Network(plan(genome.net, 3)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    image = torch.rand(1, 1, 1, 101, 103)
    with torch.no_grad():
        dense = network(image)[0, :, 0]
        windows = torch.stack([image[0, :, 0, y : y + 95, x : x + 95] for y in range(7) for x in range(9)])
        expected = window_network(network)(windows).T.reshape(3, 7, 9)
    assert dense.std(dim=(1, 2)).min() > 1e-3
    assert (dense - expected).abs().max() < 1e-5


def test_the_sliding_window_has_the_sizes_of_the_paper():
    p = plan(genome_of("ciresan2012").net, 2)
    assert p.receptive_field == (1, 95, 95)
    assert p.halo == (0, 47, 47)
    assert p.output_shape == (1, 34, 34)
    sizes = [(4, 1, 48), (5, 48, 48), (4, 48, 48), (4, 48, 48), (3, 48, 200), (1, 200, 2)]
    assert p.n_parameters == sum((k * k * c + 1) * n for k, c, n in sizes)


def counted(channels, blocks, n_classes, voxels=9, factor=4):
    """Parameters of the residual U-Net, summed by hand; ``voxels`` of a kernel, ``factor`` of a pooling."""

    def layer(n_in, n_out, projected=False):
        return (voxels * n_in + 1) * n_out + 2 * n_out + (n_in + 1) * n_out * projected

    total = layer(1, channels[0]) + blocks[0] * layer(channels[0], channels[0])
    for (above, here), n in zip(pairwise(channels), blocks[1:], strict=True):
        total += (factor * above + 1) * above  # strided convolution
        total += layer(above, here, above != here) + (n - 1) * layer(here, here)
        total += (factor * here + 1) * above + layer(2 * above, above)  # on the way up
    return total + (channels[0] + 1) * n_classes


@pytest.mark.parametrize(
    ("options", "expected", "shape"),
    [
        ({}, counted((32, 64, 128, 256, 512, 512), (1, 3, 4, 6, 6, 6), 3), (1, 512, 512)),
        (
            {"n_convkernels": 16, "max_convkernels": 100, "n_stacks": 4, "input_size": 250},
            counted((16, 32, 64, 100, 100), (1, 3, 4, 6, 6), 3),
            (1, 240, 240),
        ),
        ({"spatial_mode": "3d"}, counted((32, 64, 128), (1, 3, 4), 3, 27, 8), (128, 128, 128)),
        (
            {"spatial_mode": "3d", "n_stacks": 5, "input_size": 100, "input_depth": 70},
            counted((32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6), 3, 27, 8),
            (64, 96, 96),
        ),
    ],
)
def test_the_residual_encoder_has_the_blocks_and_channels_of_the_paper(options, expected, shape):
    p = plan(genome_of("resenc", **options).net, 3)
    assert p.n_parameters == expected
    assert p.input_shape == p.output_shape == shape
    assert {(layer.norm, layer.activation, layer.padding, layer.pooling) for layer in p.layers} == {
        ("instance", "leaky_relu", "same", "conv")
    }
    encoder, decoder = p.stacks[: p.n_poolings + 1], p.stacks[p.n_poolings + 1 :]
    assert [sum(layer.residual for layer in stack.layers) for stack in encoder] == [1, 3, 4, 6, 6, 6][
        : len(encoder)
    ]
    assert not p.layers[0].residual
    assert [[layer.residual for layer in stack.layers] for stack in decoder] == [[False]] * p.n_poolings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_stacks": 6, "input_size": 100}, "input_size 100 is too small for 6 poolings; at least 128"),
        ({"input_depth": 32}, "input_depth needs spatial_mode 3d"),
        (
            {"spatial_mode": "3d", "n_stacks": 3, "input_depth": 7},
            "input_depth 7 is too small for 3 poolings; at least 8",
        ),
        ({"input_size": 63}, "input_size: input should be greater than or equal to 64"),
        ({"spatial_mode": "2.5d"}, "spatial_mode: "),
    ],
)
def test_sizes_of_the_residual_encoder_that_cannot_be_built(options, message):
    with pytest.raises(InputError, match=f"baselines.resenc: .*{message}"):
        BaselineSettings(name="resenc", options=options).genome()


def test_the_smallest_residual_encoders_are_built():
    for options in (
        {"n_stacks": 5, "input_size": 64},
        {"spatial_mode": "3d", "input_size": 64, "input_depth": 4},
    ):
        p = plan(BaselineSettings(name="resenc", options=options).genome().net, 2)
        assert p.output_shape[2] == 64


@pytest.mark.slow
def test_a_3d_residual_encoder_trains_for_one_iteration():
    genome = genome_of("resenc", n_convkernels=1, spatial_mode="3d", input_size=64, input_depth=4)
    data = [trainers.labelled(*runs_support.blobs((5, 70, 70), 0))]
    t = trainers.trainer(genome=genome.deltas["net"], data=data, batch_size=1, deltas=below_the_root(genome))
    before = trainers.weights(t)
    t.step()
    assert torch.isfinite(trainers.weights(t)).all()
    assert not torch.equal(before, trainers.weights(t))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_genome_that_is_built(name):
    genome = genome_of(name, n_convkernels=2, log_learning_rate=-2.5)
    again = genome_from_json(genome.to_json())
    assert again.id == genome.id
    assert again.net.value("log_learning_rate") == -2.5
    p = plan(genome.net, 4)
    with torch.device("meta"):
        assert Network(p)(torch.empty(1, 1, *p.input_shape)).shape == (1, 4, *p.output_shape)
    assert title_of(name) == BASELINES[name].title != ""
    assert name in Baselines.model_fields
    assert name in Config.model_json_schema()["$defs"]["Baselines"]["properties"]
    assert BASELINES[name].text in (ROOT / "docs/method.md").read_text()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_trains_for_one_iteration(name):
    bounds = BASELINES[name].options.model_fields["input_size"].metadata
    smallest = next(bound.ge for bound in bounds if hasattr(bound, "ge"))
    genome = genome_of(name, n_convkernels=1, input_size=smallest)
    side = smallest + 10
    data = [trainers.labelled(*runs_support.blobs((1, side, side), 0))]
    t = trainers.trainer(genome=genome.deltas["net"], data=data, batch_size=1, deltas=below_the_root(genome))
    before = trainers.weights(t)
    t.step()
    after = trainers.weights(t)
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_unknown_baselines_and_options():
    with pytest.raises(InputError, match="vnet: no such baseline; known are unet2015, ciresan2012"):
        BaselineSettings(name="vnet", options={}).genome()
    with pytest.raises(InputError, match=r"baselines\.ciresan2012: input_size: input should be greater"):
        BaselineSettings(name="ciresan2012", options={"input_size": 90}).genome()


def config(**baselines):
    image = {"phantom": {"shape": (1, 64, 64), "seed": 0}}
    data = {"classes": ["a", "b"], "voxel_size_nm": (1, 1, 1), "train": [image], "validation": [image]}
    return Config.model_validate({"data": data, "search": {"n_genomes": 2}, "baselines": baselines})


def test_several_seeds_are_several_trainings_of_one_genome():
    found = config(unet2015={"n_seeds": 3}, ciresan2012={})
    names = ["unet2015", "unet2015_2", "unet2015_3", "ciresan2012"]
    assert runs(found) == ["r0/000", "r0/001", *(f"baselines/{name}" for name in names)]
    assert [of_baseline(name) for name in names[1:]] == [("unet2015", 2), ("unet2015", 3), ("ciresan2012", 1)]
    assert {baseline_stage(f"baselines/{name}") for name in names[:3]} == {"baseline_unet2015"}
    assert [train_stage(run) for run in runs(found)] == ["train"] * 3 + ["train_2", "train_3", "train"]
    assert [stage_settings(found, stage).repeat for stage in ("train", "train_2", "train_3")] == [1, 2, 3]
    one = config(unet2015={})
    assert stage_settings(one, "baseline_unet2015") == stage_settings(found, "baseline_unet2015")


class Unet3dOptions(BaselineOptions):
    n_convkernels: int = 8


def unet_3d(options):
    return {"net": {"n_stacks": 1, "n_convkernels": options.n_convkernels, "spatial_mode": "3d"}}


UNET_3D = Baseline("unet_3d", "a U-Net of 3D kernels", f"{__name__}:unet_3d", Unet3dOptions, title="3D U-Net")


def test_an_entry_of_the_table_is_a_key_of_the_config():
    model = baselines_model(Table("baseline", [*BASELINES.values(), UNET_3D]))
    chosen = model.model_validate({"unet_3d": {"n_convkernels": 4, "n_seeds": 2}}).chosen()
    assert chosen == {"unet_3d": Unet3dOptions(n_convkernels=4, n_seeds=2)}
    with pytest.raises(InputError, match=r"baselines: unet3d: unknown key; did you mean unet_3d"):
        validate(model, {"unet3d": {}}, "baselines")


def test_a_baseline_may_have_underscores_in_its_name(monkeypatch):
    table = Table("baseline", [*BASELINES.values(), UNET_3D])
    monkeypatch.setattr("genenet.config.settings.BASELINES", table)
    monkeypatch.setattr(Baseline, "function", lambda self: globals()[self.name])
    settings = BaselineSettings(name="unet_3d", options={"n_convkernels": 4})
    assert settings.genome().net.value("n_convkernels") == 4
    names = [f"baselines/{name}" for name in ("unet_3d", "unet_3d_2", "unet_3d_11")]
    assert [of_baseline(name) for name in names] == [("unet_3d", 1), ("unet_3d", 2), ("unet_3d", 11)]
    assert [baseline_stage(name) for name in names] == ["baseline_unet_3d"] * 3
    assert [train_stage(name) for name in names] == ["train", "train_2", "train_11"]


@pytest.mark.parametrize("name", ["unet_3", "UNet", "3d_unet", "unet/3d", ""])
def test_a_name_that_paths_could_not_hold_is_refused(name):
    with pytest.raises(ValueError, match="a baseline can't be named"):
        Baseline(name, "", "genenet.genes.baselines:unet2015")
