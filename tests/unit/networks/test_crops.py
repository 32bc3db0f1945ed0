"""A crop and its gradient are torch's own, bit for bit; only the layout of the gradient is another one."""

import pytest
import torch

from genenet.networks.crops import centre_crop, crop

SHAPES = {
    4: ((9, 11), (2, 3), (4, 5), torch.channels_last),
    5: ((6, 9, 11), (1, 2, 3), (4, 4, 5), torch.channels_last_3d),
}


@pytest.mark.parametrize("n_axes", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [True, False])
def test_values_and_gradient_are_those_of_slices(n_axes, dtype, channels_last):
    sizes, first, shape, last = SHAPES[n_axes]
    memory_format = last if channels_last else torch.contiguous_format
    x = torch.randn(2, 3, *sizes).to(dtype).contiguous(memory_format=memory_format)
    ours, theirs = (x.clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(2))
    places = tuple(slice(start, start + n) for start, n in zip(first, shape, strict=True))
    cut, expected = crop(ours, first, shape), theirs[(..., *places)]
    assert torch.equal(cut, expected)
    gradient = torch.randn(cut.shape).to(dtype)
    seen = []
    ours.register_hook(lambda g: seen.append(g.stride()))  # before the leaf chooses a layout of its own
    cut.backward(gradient), expected.backward(gradient)
    assert torch.equal(ours.grad, theirs.grad)
    assert seen == [x.stride()]


def test_without_gradients_a_crop_is_a_view():
    x = torch.randn(1, 2, 6, 6)
    assert centre_crop(x, torch.Size((2, 4))).data_ptr() == x[:, :, 2:, 1:].data_ptr()


def test_nothing_is_cut_where_the_shapes_are_the_same():
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    assert centre_crop(x, torch.Size((6, 6))) is x
