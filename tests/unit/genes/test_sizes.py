"""Feasible input sizes, beside a search through all of them."""

import time

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from genenet.core.errors import InputError
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.genes.sizes import largest_input, multiple, output_size, smallest_input
from tests.support.examples import examples


@examples(100)
@given(
    n_stacks=st.integers(0, 3),
    n_convlayers=st.integers(1, 2),
    kernel_width=st.integers(1, 5),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same"]),
    more=st.integers(-2, 2),
    asked=st.integers(1, 200),
)
def test_the_smallest_input_is_the_first_that_is_feasible(
    n_stacks, n_convlayers, kernel_width, dilation, padding, more, asked
):
    if padding == "same":
        kernel_width, more = kernel_width | 1, more // 2 * 2
    more = max(1, kernel_width + more) - kernel_width
    net = {"n_stacks": n_stacks, "n_convlayers": n_convlayers, "kernel_width": kernel_width}
    net |= {"dilation": dilation, "padding": padding, "input_size": 2048}
    genome = Genome("g", {"net": net, "net/decode": {"kernel_width": more}})
    try:
        stacks = plan(genome.net, 2).stacks
    except InputError:  # kernels of even width, without a centre
        reject()
    first = next(n for n in range(asked, 4096) if output_size(stacks, 2, n))
    assert smallest_input(stacks, 2, asked) == first
    largest = largest_input(stacks, 2, first + multiple(stacks, 2) - 1)
    assert output_size(stacks, 2, largest) >= output_size(stacks, 2, first)


@pytest.mark.parametrize("kernel_width", [14, 15])
def test_a_network_that_needs_a_million_voxels_is_refused_at_once(kernel_width):
    net = {"n_stacks": 6, "n_convlayers": 6, "kernel_width": kernel_width, "dilation": 64, "input_size": 4096}
    start = time.process_time()
    with pytest.raises(InputError, match=r"input_size 4096 is too small .* at least \d{6,} is needed"):
        plan(Genome("g", {"net": net}).net, 2)
    assert time.process_time() - start < 1
