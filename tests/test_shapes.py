"""The convolution arithmetic against PyTorch."""

import itertools

import pytest
import torch
from torch import nn

from nin_helpers.shapes import conv_output_size, fields


@pytest.mark.parametrize("kernel_size, stride", list(itertools.product((1, 2, 3, 5, 11), (1, 2, 4))))
def test_conv_output_size_is_that_of_conv2d(kernel_size, stride):
    for size, padding in itertools.product((11, 12, 28, 67, 224), (0, 1, 2, 5)):
        conv = nn.Conv2d(1, 1, kernel_size, stride, padding, device="meta")
        height = conv(torch.empty(1, 1, size, size, device="meta")).shape[2]
        assert conv_output_size(size, kernel_size, stride, padding) == height


@pytest.mark.parametrize("kernel_size, stride, padding", [(1, 1, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (5, 3, 2)])
def test_conv_output_size_is_that_of_max_pool2d(kernel_size, stride, padding):
    pool = nn.MaxPool2d(kernel_size, stride, padding)
    for size in range(kernel_size, 60):
        assert conv_output_size(size, kernel_size, stride, padding) == pool(torch.zeros(1, size, size)).shape[1]


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


def test_conv_output_size_defaults_to_stride_1_without_padding():
    assert conv_output_size(10, 3) == 8


@pytest.mark.parametrize("name, bad", [("size", 0), ("kernel_size", 0), ("stride", 0), ("padding", -1)])
def test_conv_output_size_names_the_argument_that_is_out_of_range(name, bad):
    with pytest.raises(ValueError, match=rf"^{name}={bad} must be"):
        conv_output_size(**{"size": 8, "kernel_size": 3, name: bad})


@pytest.mark.parametrize("size, kernel_size, padding", [(2, 3, 0), (4, 11, 3), (1, 4, 1)])
def test_conv_output_size_refuses_a_window_that_does_not_fit_and_says_what_would(size, kernel_size, padding):
    with pytest.raises(ValueError, match=rf"^size={size} is too small") as caught:
        conv_output_size(size, kernel_size, padding=padding)
    smallest = int(str(caught.value).rsplit(" ", 1)[1])
    assert conv_output_size(smallest, kernel_size, padding=padding) == 1
    with pytest.raises(ValueError):
        conv_output_size(smallest - 1, kernel_size, padding=padding)


def test_a_field_is_where_a_gradient_arrives():
    windows, x = [(5, 2, 1), (3, 2, 0), (3, 1, 1)], torch.zeros(1, 1, 31, requires_grad=True)  # no row of it is unused
    layers = [nn.Conv1d(1, 1, *window) for window in windows]
    for layer in layers:
        nn.init.ones_(layer.weight)
    found = fields(31, windows)
    for (first, last), output in zip(found, nn.Sequential(*layers)(x).flatten(), strict=True):
        (gradient,) = torch.autograd.grad(output, x, retain_graph=True)
        seen = gradient.flatten().nonzero().flatten().tolist()
        assert seen == list(range(max(first, 0), min(last, 30) + 1))
