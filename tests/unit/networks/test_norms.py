"""Normalisation layers: their values by hand, their memory format, and the precision that they keep."""

import numpy as np
import pytest
import torch

from genenet.networks.norms import ChannelNorm, InstanceNorm

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channel_norm(n_channels):
    norm = ChannelNorm(n_channels)
    torch.manual_seed(0)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def test_two_channels_become_minus_one_and_one_by_hand():
    x = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)  # mean 4, deviation 1
    assert ChannelNorm(2)(x).flatten().tolist() == pytest.approx([-1, 1], abs=1e-5)
    norm = ChannelNorm(2)
    norm.load_state_dict({"weight": torch.tensor([2.0, 3.0]), "bias": torch.tensor([0.5, -1.0])})
    assert norm(x).flatten().tolist() == pytest.approx([-1.5, 2], abs=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (2, 5, 3, 7, 6)])
@pytest.mark.parametrize("is_last", [False, True])
def test_channel_norm_is_its_formula_in_every_memory_format(shape, is_last):
    norm, memory_format = channel_norm(5), FORMATS[len(shape)] if is_last else torch.contiguous_format
    x = torch.randn(shape).contiguous(memory_format=memory_format)
    data, one = x.numpy(), (1, 5) + (1,) * (len(shape) - 2)
    mean, variance = data.mean(axis=1, keepdims=True), data.var(axis=1, keepdims=True)
    weight, bias = (p.detach().numpy().reshape(one) for p in (norm.weight, norm.bias))
    y = norm(x)
    assert np.allclose(
        y.detach().numpy(), (data - mean) / np.sqrt(variance + 1e-6) * weight + bias, atol=1e-5
    )
    assert y.is_contiguous(memory_format=memory_format)


def test_channel_norm_of_a_voxel_depends_on_no_other_voxel():
    norm, x = channel_norm(4).train(), torch.randn(2, 4, 6, 6)
    changed = x.clone()
    changed[1] = 100
    changed[0, :, 3:] = -7
    assert torch.equal(norm(x)[0, :, :3], norm(changed)[0, :, :3])


def test_channel_norm_stays_in_the_precision_of_its_input():
    norm, x = channel_norm(4), torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), norm(x), atol=0.05)


def test_training_uses_the_mean_and_deviation_of_each_patch_and_channel_by_hand():
    norm = InstanceNorm(2)
    norm.load_state_dict({"weight": torch.tensor([1.0, 2.0]), "bias": torch.tensor([0.0, 10.0])})
    x = torch.tensor([[[1.0, 3.0], [0.0, 8.0]], [[5.0, 5.0], [-1.0, -3.0]]]).view(2, 2, 1, 2)
    expected = [[-1, 1], [8, 12], [0, 0], [12, 8]]
    assert norm(x).view(4, 2).tolist() == pytest.approx(np.array(expected), abs=1e-4)


def test_a_patch_is_normalised_alike_in_every_batch_and_memory_format():
    norm, x = InstanceNorm(3), torch.randn(4, 3, 9, 8)
    torch.nn.init.normal_(norm.weight)
    y = norm(x)
    assert torch.equal(norm(x[2:3])[0], y[2])
    assert torch.allclose(norm(x.contiguous(memory_format=torch.channels_last)), y, atol=1e-5)
    assert norm(x.contiguous(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )


def test_instance_norm_predicts_only_with_fixed_statistics():
    with pytest.raises(RuntimeError, match="only after its statistics were fixed for a volume"):
        InstanceNorm(3).eval()(torch.zeros(1, 3, 4, 4))
