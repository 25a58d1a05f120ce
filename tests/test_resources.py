"""What a model costs, against figures worked out by hand and those of the chapter."""

import sys
from types import SimpleNamespace

import pytest
import torch
from processes import SERVED
from tiny import equal_states, state_of
from torch import nn

from nin_helpers import resources
from nin_helpers.nin import NiN
from nin_helpers.resources import (
    allocated_memory,
    count_macs,
    count_parameters,
    layer_costs,
    measured_memory,
    prediction_memory,
    training_memory,
)

MIB = 2**20


def convolution():
    """Return a model small enough to count by hand: 2 × 8 × 8 → 3 × 6 × 6 → 3 × 3 × 3."""
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2))


def tied(size):
    """Return a model of two layers that share their weights, size × size, as a decoder may those of its encoder."""
    model = nn.Sequential(nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False))
    model[1].weight = model[0].weight
    return model


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


def test_memory_of_nin_and_that_pytorch_allocates_as_much_for_prediction_and_a_little_more_for_training():
    with torch.device("meta"):
        model = NiN()
    shape = (128, 1, 224, 224)
    prediction, training = prediction_memory(model, shape), training_memory(model, shape)
    assert prediction == allocated_memory(model, shape) and prediction / MIB == pytest.approx(305.5, abs=0.05)
    assert prediction_memory(model, (1, 1, 224, 224)) / MIB == pytest.approx(9.93, abs=0.005)
    # 949 with a dropout mask of one byte; on the meta device, as on a CPU, it is a float
    assert training / MIB == pytest.approx(949, rel=0.005)
    assert 0.97 < allocated_memory(model, shape, training=True) / training < 1.10


def test_a_small_model_by_hand():
    model, shape = convolution(), (5, 2, 8, 8)
    weights = 3 * 2 * 3 * 3 + 3
    assert count_parameters(model) == weights
    assert count_macs(model, shape) == 5 * 3 * 6 * 6 * 2 * 3 * 3
    image, middle, last = 5 * 2 * 8 * 8, 5 * 3 * 6 * 6, 5 * 3 * 3 * 3
    # the convolution keeps its input, the ReLU its output, which the pooling keeps too, with an int64 index each
    assert training_memory(model, shape) == 4 * (2 * weights + image + middle) + 8 * last
    assert prediction_memory(model, shape) == 4 * (weights + image + 2 * middle)


def test_shared_weights_count_once_and_frozen_ones_have_no_gradient():
    model, weights, x = tied(6), 6 * 6, 5 * 6
    assert count_parameters(model) == weights and count_macs(model, (5, 6)) == 2 * 5 * weights
    assert training_memory(model, (5, 6)) == 4 * (2 * weights + 2 * x)  # each layer keeps its input
    assert prediction_memory(model, (5, 6)) == 4 * (weights + 3 * x)
    assert allocated_memory(model, (5, 6)) == 4 * (weights + 3 * x)
    assert [row.parameters for row in layer_costs(model, (5, 6))] == [weights, 0]
    model.append(nn.Linear(6, 6)).requires_grad_(False)[2].requires_grad_(True)
    assert training_memory(model, (5, 6)) == 4 * (weights + 2 * (weights + 6) + x)  # only the last keeps its input


def test_allocations_of_small_models_by_hand():
    ten = nn.Sequential(*[nn.ReLU() for _ in range(10)])
    assert allocated_memory(ten, (100,)) == 4 * 3 * 100, "what was freed is not counted again"
    in_place = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Unflatten(1, (2, 6)))
    assert allocated_memory(in_place, (5, 3, 4)) == 4 * 5 * 3 * 4, "nor what is in place or only of another shape"
    ten.register_buffer("counts", torch.zeros(50, dtype=torch.int64))
    assert allocated_memory(ten, (100,)) == 8 * 50 + 4 * 3 * 100


# ---- what a run really takes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which only Linux has")
@pytest.mark.parametrize(
    ("model", "training", "weights"), [(tied(2048), False, 2048**2), (nn.Linear(2048, 2048), True, 2 * 2048 * 2049)]
)  # shared weights in training have a gradient from each use
def test_a_run_takes_its_weights_and_input_once_and_leaves_the_model_alone(monkeypatch, model, training, weights):
    monkeypatch.setattr(resources, "multiprocessing", SimpleNamespace(get_context=lambda _: SERVED))
    shape, held = (64, 2048), 4 * (weights + 64 * 2048)
    before = state_of(model)
    found = measured_memory(model.train(), shape, training)
    assert held <= found < 1.8 * held
    assert model.training and next(model.parameters()).device.type == "cpu"
    assert equal_states(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("device, platform", [("mps", "linux"), ("cpu", "win32")])
def test_a_device_whose_memory_cannot_be_measured_is_refused(monkeypatch, device, platform):
    monkeypatch.setattr(sys, "platform", platform)
    told = rf"^device='{device}' on {platform}: memory is measured on CUDA, and on Linux's CPUs$"
    with pytest.raises(ValueError, match=told):
        measured_memory(nn.Linear(2, 2), (1, 2), device=device)


def test_the_cost_of_each_layer_by_hand():
    rows = {row.name: row for row in layer_costs(NiN(), (1, 1, 224, 224))}
    assert sum(row.macs for row in rows.values()) == 762_297_352
    assert rows["block2.0"].macs == 26 * 26 * 256 * 96 * 5 * 5
    assert rows["block1.0"].output_shape == (1, 96, 54, 54) and rows["block1.0"].bytes == 4 * 96 * 54 * 54
    assert all((row.macs > 0) == (row.type == "Conv2d") for row in rows.values())
    (row,) = layer_costs(nn.Linear(7, 5), (3, 7))
    assert (row.parameters, row.macs, row.bytes) == (40, 3 * 35, 4 * 15)
