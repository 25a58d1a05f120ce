"""What a model costs, against figures worked out by hand and those of the chapter."""

import pytest
import torch
from torch import nn

from nin_helpers.nin import NiN
from nin_helpers.resources import count_macs, count_parameters, prediction_memory, training_memory

MIB = 2**20


def convolution():
    """Return a model small enough to count by hand: 2 × 8 × 8 → 3 × 6 × 6 → 3 × 3 × 3."""
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2))


@pytest.mark.parametrize(
    ("options", "parameters", "macs"),
    [
        ({}, 1_992_166, 762_297_352),
        ({"num_pointwise": 0}, 1_546_058, 577.5e6),
        ({"num_pointwise": 3}, 2_215_220, 854.7e6),
        ({"pointwise_kernel_size": 3}, 5_549_094, 2.241e9),
    ],
)
def test_parameters_and_macs_of_nin(options, parameters, macs):
    with torch.device("meta"):
        model = NiN(**options)
    assert count_parameters(model) == parameters
    assert count_macs(model, (1, 1, 224, 224)) == pytest.approx(macs, rel=1e-3 if options else 0)


def test_memory_of_nin():
    with torch.device("meta"):
        model = NiN()
    assert prediction_memory(model, (128, 1, 224, 224)) / MIB == pytest.approx(305.5, abs=0.05)
    assert prediction_memory(model, (1, 1, 224, 224)) / MIB == pytest.approx(9.93, abs=0.005)
    # 949 with a dropout mask of one byte; on the meta device, as on a CPU, it is a float
    assert training_memory(model, (128, 1, 224, 224)) / MIB == pytest.approx(949, rel=0.005)


def test_a_small_model_by_hand():
    model, shape = convolution(), (5, 2, 8, 8)
    weights = 3 * 2 * 3 * 3 + 3
    assert count_parameters(model) == weights
    assert count_macs(model, shape) == 5 * 3 * 6 * 6 * 2 * 3 * 3
    image, middle, last = 5 * 2 * 8 * 8, 5 * 3 * 6 * 6, 5 * 3 * 3 * 3
    # the convolution keeps its input, the ReLU its output, which the pooling keeps too, with an int64 index each
    assert training_memory(model, shape) == 4 * (2 * weights + image + middle) + 8 * last
    assert prediction_memory(model, shape) == 4 * (weights + image + 2 * middle)


def test_the_model_is_left_as_it_was():
    model = convolution().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for function in (count_macs, training_memory, prediction_memory):
        function(model, (1, 2, 8, 8))
    assert model.training and next(model.parameters()).device.type == "cpu"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
