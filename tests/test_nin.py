"""The block and the network against the textbook's own code, the formulas, and the chapter's counts."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from textbook import textbook_nin
from torch import nn

from nin_helpers.architecture import FAMILY, feature_sizes
from nin_helpers.nin import NiN, initialise, nin_block, nin_family, paper_nin
from nin_helpers.resources import count_macs, count_parameters
from nin_helpers.shapes import conv_output_size


def convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def test_weights_copied_in_order_give_the_textbooks_logits():
    ours, theirs = NiN(init="alive").eval(), textbook_nin().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        logits = ours(x)
    assert logits.shape == (1, 10) and logits.any()
    torch.testing.assert_close(logits, theirs(x))


@pytest.mark.parametrize(
    "options, more",
    [
        ({"num_pointwise": 1}, 1_769_112 - 1_992_166),
        ({"in_channels": 3}, 2 * 96 * 11 * 11),
        ({"batch_norm": True}, 2 * 3 * (96 + 256 + 384 + 10)),
    ],
    ids=str,
)
def test_parameter_counts_are_those_of_the_chapter(options, more):  # of other options: test_resources.py
    with torch.device("meta"):
        model = NiN(**options)
    assert count_parameters(model) == 1_992_166 + more


def test_the_network_holds_plain_parts_only():
    kinds = {type(module) for module in NiN(batch_norm=True).modules()} - {NiN}
    assert kinds == {
        nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Dropout, nn.AdaptiveAvgPool2d, nn.Flatten,
    }  # fmt: skip


def test_a_slice_of_the_network_is_a_plain_sequential_of_the_same_layers():
    model = NiN()
    part = model[:2]
    assert type(part) is nn.Sequential and part.block1 is model.block1 and part.pool1 is model[1]
    assert part(torch.zeros(1, 1, 224, 224)).shape == (1, 96, 26, 26)


@pytest.mark.parametrize("pointwise_kernel_size", [1, 3, 5])
@pytest.mark.parametrize("num_pointwise", [0, 1, 3])
def test_only_the_first_convolution_changes_height_and_width(num_pointwise, pointwise_kernel_size):
    block = nin_block(2, 4, 3, 2, 1, num_pointwise=num_pointwise, pointwise_kernel_size=pointwise_kernel_size)
    shape = block(torch.zeros(1, 2, 13, 20)).shape
    assert shape == (1, 4, conv_output_size(13, 3, 2, 1), conv_output_size(20, 3, 2, 1))
    assert [conv.kernel_size[0] for conv in convolutions(block)] == [3] + [pointwise_kernel_size] * num_pointwise


@pytest.mark.parametrize("head, widths", [("fc", [4 * 384, 10]), ("fc3", [4 * 384, 4096, 4096, 10])])
def test_an_fc_head_is_one_linear_layer_or_alexnets_three_on_the_flattened_map(head, widths):
    model, x = NiN(head=head, init="kaiming", input_size=99, dropout=0.3).eval(), torch.rand(2, 1, 99, 99)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == list(zip(widths[1:], widths))
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.3] * len(layers)
    features = model[: list(dict(model.named_children())).index("flatten")](x).flatten(1)
    for layer in layers[:-1]:
        features = F.relu(layer(features))
    torch.testing.assert_close(model(x), layers[-1](features))


def block_shapes(in_channels, out_channels, kernel_size):
    weights = [(in_channels, kernel_size), (out_channels, 1), (out_channels, 1)]
    return [shape for channels, k in weights for shape in ((out_channels, channels, k, k), (out_channels,))]


def test_widths_depths_and_reduction_place_their_blocks():
    model = NiN(widths=[2, 3, 4], depths=[1, 3, 2], reduction=[6, 5], init="alive")
    assert list(dict(model.named_children())) == [
        "block1", "pool1", "block2", "block2_2", "block2_3", "pool2", "block3", "block3_2", "pool3",
        "dropout", "reduction1", "reduction2", "block4", "gap", "flatten",
    ]  # fmt: skip
    channels_and_kernel = [
        (1, 2, 11), (2, 3, 5), (3, 3, 3), (3, 3, 3), (3, 4, 3), (4, 4, 3), (4, 6, 3), (6, 5, 3), (5, 10, 3),
    ]  # fmt: skip
    expected = [shape for block in channels_and_kernel for shape in block_shapes(*block)]
    assert [tuple(tensor.shape) for tensor in model.state_dict().values()] == expected


def test_only_the_pooling_ends_a_stage():
    model = NiN(widths=(2, 3, 4), depths=(2, 3, 2), reduction=(6,))
    heights, x = {}, torch.zeros(1, 1, 99, 99)
    for name, layer in model.named_children():
        x = layer(x)
        heights[name] = x.shape[-1]
    assert {name: heights[name] for name, _ in feature_sizes(99)} == dict(feature_sizes(99))
    assert heights["block1_2"] == heights["block1"] and heights["block2_3"] == heights["block2"]
    assert heights["reduction1"] == heights["block4"] == heights["pool3"]


def test_the_family_grows_from_a_to_e():
    with torch.device("meta"):
        members = [nin_family(name) for name in "ABCDE"]
    costs = [(count_parameters(model), count_macs(model, (1, 1, 224, 224))) for model in members]
    for smaller, larger in itertools.pairwise(costs):
        assert smaller[0] < larger[0] and smaller[1] < larger[1]
    assert costs[2] == (1_992_166, 762_297_352)


def test_the_last_relu_can_be_left_out(random_images):
    with_relu, without = NiN(final_relu=True, input_size=67).eval(), NiN(final_relu=False, input_size=67).eval()
    without.load_state_dict(with_relu.state_dict())
    # at 67 pixels the last map is 1 × 1, so the mean of the rectified map is the rectified mean
    logits = without(random_images)
    assert (logits < 0).any()
    torch.testing.assert_close(with_relu(random_images), F.relu(logits))


@pytest.mark.parametrize("options", [{}, {"head": "fc"}, {"num_pointwise": 0}, {"final_relu": False}], ids=str)
def test_batch_norm_follows_each_convolution(options):
    model = NiN(batch_norm=True, input_size=67, **options)
    layers = [layer for layer in model.modules() if not list(layer.children())]
    followers = [after for layer, after in itertools.pairwise(layers) if isinstance(layer, nn.Conv2d)]
    assert all(isinstance(layer, nn.BatchNorm2d) for layer in followers)
    channels = [conv.out_channels for conv in convolutions(model)]
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)] == channels


BLOCK = {"in_channels": 1, "out_channels": 2, "kernel_size": 3}
REFUSED = [
    *((nin_block, BLOCK | {name: 0}, f"{name}=0 must be a whole number") for name in (*BLOCK, "stride")),
    *((nin_block, BLOCK | {name: -1}, f"{name}=-1 must be a whole") for name in ("padding", "num_pointwise")),
    (nin_block, BLOCK | {"pointwise_kernel_size": 0}, "pointwise_kernel_size=0 must be a whole number"),
    (nin_block, BLOCK | {"pointwise_kernel_size": 2}, "pointwise_kernel_size=2 must be odd"),
    *((NiN, {name: 0}, f"{name}=0 must be a whole number") for name in ("in_channels", "num_classes", "input_size")),
    *((NiN, {name: "no"}, f"{name}='no' must be one of") for name in ("head", "init", "final_relu", "batch_norm")),
    *((NiN, {name: (1, 0, 1)}, f"{name}[1]=0 must be a whole") for name in ("widths", "depths", "reduction")),
    (NiN, {"dropout": 1}, "dropout=1 must be at least 0 and less than 1"),
    (NiN, {"num_pointwise": -1}, "num_pointwise=-1 must"),
    (NiN, {"head": "fc", "reduction": (96,)}, "reduction=(96,) needs head='gap': head='fc'"),
    (nin_family, {"name": "F"}, "name='F' must be one of 'A', 'B', 'C', 'D', 'E'"),
    (initialise, {"model": nn.Flatten(), "init": "zeros"}, "init='zeros' must be one of"),
]


@pytest.mark.parametrize("function, arguments, message", REFUSED, ids=lambda it: getattr(it, "__name__", str(it)))
def test_what_cannot_be_built_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        function(**arguments)


@pytest.mark.parametrize(
    "head, shape, message",
    [
        ("gap", (1, 1, 224, 66), "input_size=66 is too small"),  # the smaller side decides
        *(("gap", shape, f"x has shape {shape}, but must be (batch, 1,") for shape in ((1, 99, 99), (1, 3, 99, 99))),
        ("fc", (1, 1, 100, 100), "x is 100 × 100 pixels, but a network with head='fc' takes only its input_size=99"),
        ("fc3", (1, 1, 99, 100), "x is 99 × 100 pixels, but a network with head='fc3' takes only its input_size=99"),
    ],
)
def test_pictures_that_the_network_cannot_take_are_refused_in_words(head, shape, message):
    with torch.device("meta"), pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        NiN(head=head, input_size=99)(torch.zeros(shape))


def test_default_leaves_the_weights_as_pytorch_starts_them():
    torch.manual_seed(0)
    ours = NiN(init="default").state_dict().values()
    torch.manual_seed(0)
    theirs = textbook_nin().state_dict().values()
    assert all(torch.equal(our, their) for our, their in zip(ours, theirs))


def test_xavier_weights_fill_their_uniform_bound_and_biases_stay_pytorchs():
    """PyTorch's biases are uniform within 1 / √fan_in."""
    for conv in convolutions(NiN(init="xavier")):
        fan_in, fan_out = (channels * math.prod(conv.kernel_size) for channels in (conv.in_channels, conv.out_channels))
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert conv.weight.abs().max() <= bound
        # of 100 weights, the smallest layer here, one lies in the outer tenth but for a chance of 3 in 100,000
        assert conv.weight.abs().max() > 0.9 * bound
        assert conv.bias.any() and conv.bias.abs().max() <= 1 / math.sqrt(fan_in)


def test_kaiming_weights_have_their_standard_deviation_and_no_bias():
    for layer in NiN(init="kaiming", head="fc").modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            std = math.sqrt(2 / layer.weight[0].numel())
            # the spread of an estimate from n normal numbers is 1 / √(2n): four of these, over all layers
            assert abs(layer.weight.std() / std - 1) < 4 / math.sqrt(2 * layer.weight.numel())
            assert not layer.bias.any()


def test_the_per_pixel_layers_of_the_alive_class_block_copy():
    first, *pointwise = convolutions(NiN(init="alive", num_pointwise=3, pointwise_kernel_size=3).block4)
    maps = F.conv2d(torch.rand(2, 384, 5, 5), first.weight, first.bias, padding=1)
    assert len(pointwise) == 3
    for conv in pointwise:
        torch.testing.assert_close(conv(maps), maps)


def dead_classes_at_the_start(build=NiN, seeds=20, **options):
    """Return for each of `seeds` seeds how many of the ten logits are 0 on all of eight random images."""
    dead = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        # in training mode, so that the batch is normalised by its own statistics
        model = build(input_size=67, **options)
        with torch.no_grad():
            logits = model((torch.rand(8, 1, 67, 67) - 0.286) / 0.353)
        dead.append((logits == 0).all(dim=0).sum().item())
    return dead


@pytest.mark.parametrize(
    "seeds, options",
    [
        (20, {}),
        (20, {"batch_norm": True}),
        (5, {"reduction": (96,)}),
        (5, {"num_pointwise": 0}),
        (5, {"num_pointwise": 3, "pointwise_kernel_size": 3}),
        *((5, {"name": name}) for name in FAMILY),
    ],
    ids=str,
)
def test_alive_starts_with_no_dead_class_on_any_seed(seeds, options):
    build = nin_family if "name" in options else NiN
    assert dead_classes_at_the_start(build, seeds, init="alive", **options) == [0] * seeds


def test_xavier_starts_with_about_half_the_classes_dead():
    dead = dead_classes_at_the_start(init="xavier")
    assert min(dead) > 0
    assert sum(dead) / len(dead) == pytest.approx(4.8, abs=1.2)  # the chapter's mean over 150 seeds


def test_the_papers_network_has_its_counts_and_sizes():
    with torch.device("meta"):
        model = paper_nin()
    assert count_parameters(model) == 966_986
    heights, x = [], torch.zeros(1, 3, 32, 32, device="meta")
    for name, layer in model.named_children():
        x = layer(x)
        heights += [x.shape[2]] if name.startswith(("block", "pool")) else []
    assert heights == [32, 16, 16, 8, 8]


@pytest.mark.parametrize("size", [28, 40])
def test_each_logit_of_the_papers_network_is_the_mean_of_its_map(size):
    model = paper_nin(1, 7, batch_norm=True).eval()
    x = torch.rand(2, 1, size, size)
    maps = model[:-2](x)
    assert maps.shape[1] == 7 and maps.shape[2] > 1
    torch.testing.assert_close(model(x), maps.mean(dim=(2, 3)))
