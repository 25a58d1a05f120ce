"""NiN in numbers, against the layers themselves."""

import numpy as np
import pytest
import torch
from textbook import textbook_nin

from nin_helpers.architecture import (
    HEADS,
    feature_sizes,
    head_parameters,
    last_feature_size,
    map_fields,
    smallest_input_size,
)
from nin_helpers.nin import NiN
from nin_helpers.shapes import fields


def run_the_layers(size):
    """Return the height behind each block and pooling of the textbook's network, up to the one that PyTorch refuses."""
    x, heights = torch.empty(1, 1, size, size, device="meta"), []
    for layer in textbook_nin()[:6].to("meta"):
        try:
            x = layer(x)
        except RuntimeError:
            break
        heights.append(x.shape[2])
    return heights


@pytest.mark.parametrize("size", [67, 68, 96, 99, 112, 128, 224, 333])
def test_feature_sizes_are_those_of_the_layers(size):
    assert [height for _, height in feature_sizes(size)] == run_the_layers(size)
    assert last_feature_size(size) == run_the_layers(size)[-1]


@pytest.mark.parametrize("feature_size", [2, 3, 5])
def test_smallest_input_size_of_a_larger_map_is_the_smallest(feature_size):
    size = smallest_input_size(feature_size)
    assert (last_feature_size(size), last_feature_size(size - 1)) == (feature_size, feature_size - 1)


@pytest.mark.parametrize(
    "size, layer", [(1, "block1"), (10, "block1"), (11, "pool1"), (34, "pool2"), (35, "pool3"), (66, "pool3")]
)
def test_a_size_that_is_too_small_names_the_layer_that_breaks_and_what_would_do(size, layer):
    names = ["block1", "pool1", "block2", "pool2", "block3", "pool3"]
    assert names[len(run_the_layers(size))] == layer
    message = rf"^input_size={size} is too small.*{layer},.*; 67 is the smallest that works$"
    with pytest.raises(ValueError, match=message):
        NiN(input_size=size)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("input_size, num_classes", [(224, 10), (99, 3), (67, 1000)])
def test_head_parameters_are_those_of_the_network_behind_the_dropout(head, input_size, num_classes):
    with torch.device("meta"):
        model = NiN(head=head, input_size=input_size, num_classes=num_classes)
    behind = model[list(dict(model.named_children())).index("dropout") :]
    assert head_parameters(head, input_size, num_classes) == sum(p.numel() for p in behind.parameters())


def test_head_parameters_refuse_what_is_no_head():
    with pytest.raises(ValueError, match="head='mean' must be one of 'gap', 'fc', 'fc3'"):
        head_parameters("mean")
    with pytest.raises(ValueError, match="num_classes=0"):
        head_parameters("gap", num_classes=0)


def test_the_fields_of_the_map_are_those_of_the_networks_own_layers():
    layers = [layer for layer in NiN().modules() if hasattr(layer, "kernel_size")]
    numbers = [(layer.kernel_size, layer.stride, layer.padding) for layer in layers]
    windows = [[np.max(number) for number in window] for window in numbers]  # 3 or (3, 3): both are a square's
    assert map_fields(224) == fields(224, windows)
