import pytest
import torch
from torch import nn

from genenet.config.baselines import Baselines
from genenet.config.model import Config
from genenet.config.stages import BaselineSettings, baseline_stage, runs, stage_settings, train_stage
from genenet.core.errors import InputError
from genenet.core.paths import of_baseline
from genenet.genes.baselines import BASELINES, Ciresan2012, UNet2015, title_of
from genenet.genes.genome import genome_from_json
from genenet.genes.plan import plan
from genenet.networks.network import Network


def test_the_unet_is_the_published_one():
    assert plan(UNet2015().genome("u").net, 2).n_parameters == 31_030_658


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
    genome = Ciresan2012(n_convkernels=5, n_hidden=11).genome("c")
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
    p = plan(Ciresan2012().genome("c").net, 2)
    assert p.receptive_field == (1, 95, 95)
    assert p.halo == (0, 47, 47)
    assert p.output_shape == (1, 34, 34)
    sizes = [(4, 1, 48), (5, 48, 48), (4, 48, 48), (4, 48, 48), (3, 48, 200), (1, 200, 2)]
    assert p.n_parameters == sum((k * k * c + 1) * n for k, c, n in sizes)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_genome_that_is_built(name):
    small = BASELINES[name](n_convkernels=2, log_learning_rate=-2.5)
    genome = small.genome(name)
    again = genome_from_json(genome.to_json())
    assert again.id == genome.id
    assert again.net.value("log_learning_rate") == -2.5
    p = plan(genome.net, 4)
    with torch.device("meta"):
        assert Network(p)(torch.empty(1, 1, *p.input_shape)).shape == (1, 4, *p.output_shape)
    assert title_of(name) == small.title
    assert name in Baselines.model_fields


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
