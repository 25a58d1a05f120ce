"""The parts of the roofline against counts by hand."""

import pytest
import torch
from torch import nn

from nin_helpers import roofline
from nin_helpers.nin import NiN
from nin_helpers.resources import count_training_flops
from nin_helpers.roofline import LayerTiming, backward_begins, kind_of, profile_step, time_layers

CPU = torch.device("cpu")


def test_the_rates_are_the_work_over_its_time(monkeypatch):
    monkeypatch.setattr(roofline, "_median_seconds", lambda call, device, seconds: 2.0)
    assert roofline.matrix_rate(CPU, "fp32") == 2 * 3072**3 / 2.0
    assert roofline.memory_rate(CPU) == 2 * 128 * 2**20 / 2.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_rates_of_this_machine_are_rates(precision):
    assert roofline.matrix_rate(CPU, precision, seconds=0.01) > 0 and roofline.memory_rate(CPU, seconds=0.01) > 0


def test_layers_do_together_the_arithmetic_of_a_training_step():
    model = NiN(init="alive", input_size=67)
    costs = time_layers(model, torch.rand(2, 1, 67, 67), seconds=0.001)
    assert sum(cost.flops for cost in costs) == count_training_flops(model, (2, 1, 67, 67))
    assert [cost.name for cost in costs] == [
        name for name, layer in model.named_modules() if not list(layer.children()) and name != "flatten"
    ]
    assert all((cost.flops > 0) == (cost.type == "Conv2d") and cost.seconds > 0 for cost in costs)


def test_a_layer_reads_and_writes_each_tensor_once_an_operation():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    convolution, relu = time_layers(model, torch.rand(5, 1, 8, 8), seconds=0.001)
    x, y, w, b = 4 * 5 * 64, 4 * 5 * 2 * 36, 4 * 18, 4 * 2
    assert relu.bytes == 2 * y + 3 * y  # forward: x, y; backward: y and its gradient, the gradient of x
    forward, backward = x + w + b + y, y + x + w + w + b  # backward: no gradient for the picture
    assert forward + backward <= convolution.bytes <= forward + backward + 3 * (w + b)  # gradients are handed on
    assert convolution.flops == 2 * (2 * 5 * 2 * 36 * 9)


def test_the_limits_are_arithmetic_and_memory():
    assert LayerTiming("block1.0", "Conv2d", flops=600, bytes=40, seconds=9.0).limits(100, 10) == (6, 4)


def test_a_profile_has_the_operations_of_one_call_in_order():
    model, x, calls = NiN(init="alive", input_size=67), torch.rand(2, 1, 67, 67), []

    def step():
        calls.append(0)
        model(x).sum().backward()

    events = profile_step(step, CPU)
    assert len(calls) == 3 and {"convolution", "ReLU", "pooling"} <= {kind for kind, *_ in events}
    starts = [start for *_, start, _ in events]
    assert starts[0] == 0 and starts == sorted(starts) and all(taken >= 0 for *_, taken in events)
    begins = backward_begins(events)
    assert {start < begins for _, name, start, _ in events if name == "aten::conv2d"} == {True}
    names = [name for _, name, *_ in events]
    assert names.count("aten::conv2d") == names.count("aten::convolution_backward") == 12


@pytest.mark.parametrize(
    "name, kind",
    [
        ("aten::convolution_backward", "convolution"),
        ("sm90_xmma_fprop_implicit_gemm_bf16", "convolution"),
        ("aten::max_pool2d_with_indices_backward", "pooling"),
        ("aten::threshold_backward", "ReLU"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::launch_clamp_scalar(...)>", "ReLU"),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_NNT", "convolution"),
        ("aten::_fused_adamw_", "update"),
        ("void at::native::multi_tensor_apply_kernel<...>", "update"),
        ("aten::to", "copying"),
        ("Memcpy DtoD (Device -> Device)", "copying"),
        ("aten::detach", "the rest"),
    ],
)
def test_kinds_of_operations(name, kind):
    assert kind_of(name) == kind


def test_the_backward_pass_begins_with_the_first_operation_that_is_called_so():
    events = [("convolution", "conv", 0.0, 1.0), ("ReLU", "ThresholdBackward0", 2.0, 1.0), ("x", "backward", 4.0, 1.0)]
    assert roofline.backward_begins(events) == 2.0
