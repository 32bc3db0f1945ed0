"""Who is to blame when memory runs out: the genome, or other processes beside it. Numbers in GB."""

import pytest
import torch

from genenet.config.training import Training
from genenet.core import exit_codes
from genenet.core.errors import MachineError
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.training import memory
from genenet.training.memory import Shortage, asked_for, check_alone


@pytest.mark.parametrize(
    ("held", "asked", "estimate", "usable", "fits"),
    [
        (10, 2, 11, 78, True),  # a neighbour has the rest
        (0, 0.02, 11, 78, True),  # not even the first tensor: the neighbour has it all
        (76, 3, 60, 78, False),  # it has nearly all itself
        (10, 70, 60, 78, False),  # it asks for too much at once
        (10, 2, 90, 78, False),  # it has only begun, and the plan says that it is too large
        (76, 2, 78, 78, True),  # just
        (1, 0, 1, 0, False),  # a limit of this process alone: no other process can be the cause
    ],
)
def test_a_training_that_fits_alone_ran_out_of_memory_because_of_others(held, asked, estimate, usable, fits):
    assert Shortage(held, asked, estimate, usable).fits_alone == fits


@pytest.mark.parametrize(
    ("message", "n_bytes"),
    [
        ("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 139 GiB", 2.5 * 2**30),
        ("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.78 GiB total capacity)", 20 * 2**20),
        ("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to "
         "allocate 4000000000 bytes. Error code 12", 4e9),
        ("Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)", 7.28 * 2**40),
        ("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", 0),
        ("", 0),
    ],
)  # fmt: skip
def test_the_message_says_how_much_was_asked_for(message, n_bytes):
    assert asked_for(message) == n_bytes


NET = {"n_convkernels": 4, "n_stacks": 1, "n_convlayers": 1, "input_size": 24}


def check(message):
    """On this machine, of which the network takes a few MB."""
    network_plan, settings = plan(Genome("t", {"net": NET}).net, 3), Training(batch_size=2, device="cpu")
    check_alone(RuntimeError(message), network_plan, settings, torch.device("cpu"), 1)


def test_on_the_cpu_the_machines_memory_decides(monkeypatch):
    with pytest.raises(
        MachineError, match="out of memory, though this training fits alone: other processes use"
    ) as caught:
        check("can't allocate memory: you tried to allocate 1000 bytes")
    assert caught.value.status == exit_codes.MACHINE
    check(f"can't allocate memory: you tried to allocate {2**60} bytes")  # no machine has that
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (2**30, 2**30))
    check(
        "can't allocate memory: you tried to allocate 1000 bytes"
    )  # its own limit: no other process's fault


@pytest.mark.parametrize(("total_gb", "is_others"), [(80, True), (30, False)])
def test_on_a_gpu_its_total_decides(monkeypatch, total_gb, is_others):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, total_gb * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 28 * 2**30)
    network_plan = plan(Genome("t", {"net": NET}).net, 3)
    settings = Training(batch_size=2, precision="float32")
    error = RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB")

    def look():
        check_alone(error, network_plan, settings, torch.device("cuda"), 1)

    if is_others:
        with pytest.raises(MachineError):
            look()
    else:
        look()


def test_a_share_of_the_free_memory_of_a_gpu_is_for_a_tile(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 80e9)
    assert memory.tile_bytes(torch.device("cuda")) == 10e9
    assert memory.tile_bytes(torch.device("cpu")) == memory.TILE_BYTES
