"""Copies to a device and back; on the CPU through the same buffers, to try them."""

import numpy as np
import pytest
import torch

from genenet.networks.transfers import Buffers, Results, Transfers

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]
CPU = torch.device("cpu")


class Late:
    """An event that is over as soon as someone waits for it."""

    def __init__(self):
        self.waited = 0

    def synchronize(self):
        self.waited += 1


def test_a_buffer_is_used_again_once_the_copy_that_used_it_has_ended():
    buffers, event = Buffers(CPU), Late()
    first = buffers.take((4, 5), torch.float32)
    second = buffers.take((4, 5), torch.float32)  # while the first one is in use
    assert first.data_ptr() != second.data_ptr()
    buffers.give_back(first, event)
    assert event.waited == 0
    again = buffers.take((3, 3), torch.uint8)
    assert (again.data_ptr(), event.waited) == (first.data_ptr(), 1)
    assert (again.shape, again.dtype) == ((3, 3), torch.uint8)


def test_the_smallest_buffer_that_is_large_enough_is_used_and_too_small_ones_are_dropped():
    buffers = Buffers(CPU)
    taken = [buffers.take((n,), torch.uint8) for n in (100, 1000, 10)]
    places = [buffer.data_ptr() for buffer in taken]
    for buffer in taken:
        buffers.give_back(buffer, Late())
    assert buffers.take((50,), torch.uint8).data_ptr() == places[0]
    assert buffers.take((2000,), torch.uint8).data_ptr() not in places  # drops the one of 1000 bytes
    assert buffers.take((10,), torch.uint8).data_ptr() == places[2]
    assert buffers.take((1000,), torch.uint8).numel() == 1000


@pytest.mark.parametrize("device", DEVICES)
def test_what_goes_to_the_device_and_back_is_the_same(device):
    transfers = Transfers(torch.device(device), is_copied=True)
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 4), (5, 6, 7), (1, 2, 2)):
        voxels, means = rng.integers(0, 2**16, shape, np.uint16), rng.random((shape[0], 1, 1))
        raw, centres = transfers.upload([voxels, means])
        results = transfers.results([shape, (2, *shape)], [np.uint8, np.float32])
        assert {tensor.device.type for tensor in (raw, *results.tensors)} == {device}
        results.tensors[0][...] = (raw.float() / 2**9).to(torch.uint8)
        results.tensors[1][1] = raw.float() - centres
        transfers.download(results)
        labels, channels = results.arrays()
        assert np.array_equal(labels, (voxels / 2**9).astype(np.uint8))
        assert np.array_equal(channels[1], (voxels - means).astype(np.float32))
        assert not channels[0].any()
        transfers.release(results)


def test_on_the_cpu_nothing_is_copied_unless_asked_for():
    transfers, voxels = Transfers(CPU), np.arange(6, dtype=np.int16).reshape(1, 2, 3)
    (there,) = transfers.upload([voxels])
    there[0, 0, 0] = 7
    assert voxels[0, 0, 0] == 7
    results = transfers.results([(2,)], [np.float16])
    results.tensors[0][1] = 3
    transfers.download(results)
    assert results.arrays()[0].tolist() == [0, 3]
    transfers.release(results)  # the array stays whose it is
    assert not transfers.results([(2,)], [np.float16]).arrays()[0].any()
    assert results.arrays()[0].tolist() == [0, 3]


def test_arrays_that_torch_can_not_hold_are_converted():
    transfers = Transfers(CPU)
    fixed = np.arange(4.0)
    fixed.flags.writeable = False
    found = transfers.upload([fixed[::-1], np.array([1.5], np.longdouble)])
    assert [tensor.tolist() for tensor in found] == [[3, 2, 1, 0], [1.5]]
    assert Results.on_host([np.zeros(2)]).arrays()[0].tolist() == [0, 0]
