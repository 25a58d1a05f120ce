"""The convolution arithmetic against PyTorch."""

import itertools

import pytest
import torch
from torch import nn

from nin_helpers.shapes import conv_output_size, fields


@pytest.mark.parametrize("kernel_size, stride", list(itertools.product((1, 2, 3, 5, 11), (1, 2, 4))))
def test_conv_output_size_is_that_of_convolution_and_pooling(kernel_size, stride):
    for size, padding in itertools.product((11, 12, 28, 67, 224), (0, 1, 2, 5)):
        layers = [nn.Conv2d(1, 1, kernel_size, stride, padding, device="meta")]
        if 2 * padding <= kernel_size:  # PyTorch pools with no more
            layers.append(nn.MaxPool2d(kernel_size, stride, padding))
        for layer in layers:
            height = layer(torch.empty(1, 1, size, size, device="meta")).shape[2]
            assert conv_output_size(size, kernel_size, stride, padding) == height


def test_fields_are_the_pixels_that_reach_an_output():
    windows = [(5, 3, 1), (3, 2, 0), (3, 1, 1)]
    layers = nn.Sequential(*(nn.Conv1d(1, 1, *window) for window in windows)).requires_grad_(False)
    for layer in layers:
        nn.init.ones_(layer.weight)
    found = fields(40, windows)
    for place, (first, last) in enumerate(found):
        x = torch.zeros(1, 1, 40, requires_grad=True)
        layers(x)[0, 0, place].backward()
        seen = x.grad[0, 0].nonzero().flatten()
        assert first <= seen[0] and seen[-1] <= last
        if first >= 0 and last < 40:
            assert (seen[0], seen[-1]) == (first, last)
    assert len(found) == layers(torch.zeros(1, 1, 40)).shape[2] and found[0] == (-7, 15) and found[2] == (5, 27)


@pytest.mark.parametrize(
    "arguments, named",
    [((0, 3), "size=0"), ((8, 0), "kernel_size=0"), ((8, 3, 0), "stride=0"), ((8, 3, 1, -1), "padding=-1")],
)
def test_a_number_that_is_out_of_range_is_named(arguments, named):
    with pytest.raises(ValueError, match=f"^{named} must be a whole number"):
        conv_output_size(*arguments)


@pytest.mark.parametrize("size, kernel_size, padding", [(2, 3, 0), (4, 11, 3), (1, 4, 1)])
def test_conv_output_size_refuses_a_window_that_does_not_fit_and_says_what_would(size, kernel_size, padding):
    with pytest.raises(ValueError, match=rf"^size={size} is too small") as caught:
        conv_output_size(size, kernel_size, padding=padding)
    smallest = int(str(caught.value).rsplit(" ", 1)[1])
    assert conv_output_size(smallest, kernel_size, padding=padding) == 1
    with pytest.raises(ValueError):
        conv_output_size(smallest - 1, kernel_size, padding=padding)
