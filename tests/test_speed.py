"""The roofline's parts against counts by hand, and a benchmark's figures against a small made-up one."""

import pytest
import torch
from torch import nn

from nin_helpers import speed
from nin_helpers.nin import NiN
from nin_helpers.resources import count_training_flops
from nin_helpers.roofline import LayerTiming, kind_of, profile_step, time_layers
from nin_helpers.throughput import best_textbook, compare, compiling, ratio, report

CPU = torch.device("cpu")


def test_the_rates_are_the_work_over_its_time(monkeypatch):
    monkeypatch.setattr(speed, "_median_seconds", lambda call, device, seconds: 2.0)
    assert speed.matrix_rate(CPU, "fp32") == 2 * 3072**3 / 2.0
    assert speed.memory_rate(CPU) == 2 * 128 * 2**20 / 2.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_rates_of_this_machine_are_rates(precision):
    assert speed.matrix_rate(CPU, precision, seconds=0.01) > 0 and speed.memory_rate(CPU, seconds=0.01) > 0


def test_layers_do_together_the_arithmetic_of_a_training_step():
    model = NiN(init="alive", input_size=67)
    costs = time_layers(model, torch.rand(2, 1, 67, 67), seconds=0.001)
    assert sum(cost.flops for cost in costs) == count_training_flops(model, (2, 1, 67, 67))
    assert [cost.name for cost in costs] == [
        name for name, layer in model.named_modules() if not list(layer.children()) and name != "flatten"
    ]
    assert all((cost.flops > 0) == (cost.type == "Conv2d") and cost.seconds > 0 for cost in costs)
    assert all(parameter.grad is None for parameter in model.parameters())


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
    assert sum(name == "aten::conv2d" for _, name, *_ in events) == 12
    assert sum(name == "aten::convolution_backward" for _, name, *_ in events) == 12


@pytest.mark.parametrize(
    "name, kind",
    [
        ("aten::convolution_backward", "convolution"),
        ("sm90_xmma_fprop_implicit_gemm_bf16", "convolution"),
        ("aten::max_pool2d_with_indices_backward", "pooling"),
        ("aten::threshold_backward", "ReLU"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::launch_clamp_scalar(...)>", "ReLU"),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_NNT", "convolution"),
        ("aten::_fused_adamw_", "the rest"),
    ],
)
def test_kinds_of_operations(name, kind):
    assert kind_of(name) == kind


def made_up():
    rates = {"textbook, 0 workers": (10, 20, 30), "textbook, 2 workers": (11, 22, 33), "ours, fp32": (22, 66, 66)}
    rates |= {"compute only, fp32": (22, 66, 60), "ours, bf16": (55, 110, 330), "compute only, bf16": (55, 110, 330)}
    runs = [
        {"case": case, "repeat": repeat, "images_per_second": value}
        for case, values in rates.items()
        for repeat, value in enumerate(values)
    ]
    limits = [
        {"precision": precision, "matrix_rate": 1000 * rate, "memory_rate": 1}
        for precision, rate in (("fp32", 1), ("bf16", 2), ("fp32", 3), ("bf16", 4), ("fp32", 2), ("bf16", 3))
    ]
    return {
        "command": "python -m benchmarks", "date": "2026-01-01", "device_name": "a chip", "threads": 2,
        "versions": {"torch": "2"}, "settings": {"size": 224, "batch_size": 128, "precision": "bf16"},
        "flops_per_image": 10, "runs": runs, "limits": limits, "peak_bytes": dict.fromkeys(rates, 2**30),
    }  # fmt: skip


def test_a_benchmark_is_told_by_median_and_spread():
    figures = compare(made_up())
    assert figures["ours, fp32"] == {
        "median": 66, "lowest": 22, "highest": 66, "utilisation": 66 * 10 / 2000, "peak_bytes": 2**30,
    }  # fmt: skip
    assert figures["ours, bf16"]["utilisation"] == 110 * 10 / 3000
    assert figures["textbook, 2 workers"]["utilisation"] == 22 * 10 / 2000


def test_ratios_are_taken_round_by_round():
    assert ratio(made_up(), "ours, fp32", "textbook, 2 workers") == {"median": 2, "lowest": 2, "highest": 3}
    assert best_textbook(made_up()) == "textbook, 2 workers"


@pytest.mark.parametrize("bad", ["ours, fp8", "textbook"])
def test_a_case_that_there_is_not_is_named(bad):
    with pytest.raises(ValueError, match=rf"^case='{bad}' .* the benchmark has textbook, 0 workers, "):
        ratio(made_up(), bad, "ours, fp32")


def test_a_case_that_misses_a_round_is_refused():
    result = made_up()
    result["runs"].pop()
    with pytest.raises(ValueError, match="must be in each round"):
        ratio(result, "compute only, bf16", "ours, fp32")


def test_the_report_tells_each_case_and_how_it_was_measured():
    text = report(made_up())
    assert all(part in text for part in ("python -m benchmarks", "a chip", "224 px", "median (range) of 3 rounds"))
    row = "ours, bf16 110.0 (55.0 – 330.0) 5.00 (5.00 – 10.00) 37% 1.00 GiB"
    assert row in [" ".join(line.split()) for line in text.splitlines()]
    assert "ours, fp32 to compute only, fp32: 1.000 (1.000 – 1.100)" in text
    assert text.endswith("torch.compile: not measured\nseconds to the textbook's accuracy: not measured")


@pytest.mark.parametrize(
    ("rates", "images", "told"),
    [  # ours without it: 110 images a second, 1 s at the start
        ((110, 220, 330), 20 / (1 / 110 - 1 / 220), "2.00 (1.00 – 2.00) times as fast; 20 s at the start, gained back"),
        ((55, 55, 66), None, "0.50 (0.20 – 1.00) times as fast; 20 s at the start, never gained back"),
    ],
)
def test_compiling_is_weighed_against_what_it_takes_at_the_start(rates, images, told):
    result = made_up() | {"first_seconds": {"ours, bf16": 1, "ours compiled, bf16": 21}}
    for case in ("ours compiled, bf16", "compute only compiled, bf16"):
        result["peak_bytes"][case] = 2**30
        result["runs"] += [
            {"case": case, "repeat": repeat, "images_per_second": rate} for repeat, rate in enumerate(rates)
        ]
    found = compiling(result)
    assert found["seconds"] == 20 and found["images"] == pytest.approx(images)
    assert f"torch.compile: {told}" in report(result)
    assert "ours compiled, bf16 to compute only compiled, bf16: 1.000 (1.000 – 1.000)" in report(result)


def test_compiling_that_was_not_measured_is_not_told():
    assert compiling(made_up()) is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1234.5, "0.88 on held-out images: 1,234 s, 64,000 images of 224 px, recipe modern"),
        (None, "0.88 on held-out images: not reached with 64,000 images of 224 px, recipe modern"),
    ],
)
def test_the_report_tells_the_seconds_to_an_accuracy(seconds, told):
    found = {"accuracy": 0.88, "seconds": seconds, "images": 64000, "config": {"size": 224, "recipe": "modern"}}
    assert report(made_up() | {"until": found}).endswith(told)
