"""The block and the network against the textbook's own code, the formulas, and the chapter's counts."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from textbook import textbook_nin
from torch import nn

from nin_helpers.architecture import FAMILY, INITS, feature_sizes
from nin_helpers.nin import NiN, initialise, nin_block, nin_family, paper_nin
from nin_helpers.resources import count_macs
from nin_helpers.shapes import conv_output_size


def count_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


# ---- the textbook's network


def test_weights_copied_in_order_give_the_textbooks_logits():
    ours, theirs = NiN(init="alive").eval(), textbook_nin().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        logits = ours(x)
    assert logits.shape == (1, 10) and logits.any()
    torch.testing.assert_close(logits, theirs(x))


@pytest.mark.parametrize(
    "options, parameters",
    [
        ({"num_pointwise": 1}, 1_769_112),  # of other numbers: test_resources.py
        ({"head": "fc"}, 2_053_386),
        ({"in_channels": 3}, 1_992_166 + 2 * 96 * 11 * 11),
        ({"batch_norm": True}, 1_992_166 + 2 * 3 * (96 + 256 + 384 + 10)),
        ({"head": "fc3"}, 58_105_354),
    ],
    ids=str,
)
def test_parameter_counts_are_those_of_the_chapter(options, parameters):
    with torch.device("meta"):
        model = NiN(**options)
    assert count_parameters(model) == parameters


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


# ---- the block


def test_a_1x1_convolution_is_a_linear_layer_at_each_pixel():
    block = nin_block(3, 5, 1, num_pointwise=0)
    linear = nn.Linear(3, 5)
    linear.weight, linear.bias = nn.Parameter(block[0].weight.flatten(1)), block[0].bias
    x = torch.randn(2, 3, 4, 6)
    per_pixel = F.relu(linear(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(block(x), per_pixel)


@pytest.mark.parametrize("pointwise_kernel_size", [1, 3, 5])
@pytest.mark.parametrize("num_pointwise", [0, 1, 3])
def test_only_the_first_convolution_changes_height_and_width(num_pointwise, pointwise_kernel_size):
    options = {"num_pointwise": num_pointwise, "pointwise_kernel_size": pointwise_kernel_size}
    block = nin_block(2, 4, 3, stride=2, padding=1, **options)
    shape = block(torch.zeros(1, 2, 13, 20)).shape
    assert shape == (1, 4, conv_output_size(13, 3, 2, 1), conv_output_size(20, 3, 2, 1))
    assert [conv.kernel_size[0] for conv in convolutions(block)] == [3] + [pointwise_kernel_size] * num_pointwise


# ---- the heads


def test_the_gap_head_is_the_mean_of_the_last_blocks_maps_at_any_size():
    model, x = NiN(input_size=224).eval(), torch.rand(2, 1, 67, 131)
    maps = model[:-2](x)
    assert maps.shape == (2, 10, 1, 3)
    torch.testing.assert_close(model(x), maps.mean(dim=(2, 3)))


def test_the_fc_head_is_one_linear_layer_on_the_flattened_map():
    model = NiN(head="fc", input_size=99).eval()
    x = torch.rand(2, 1, 99, 99)
    maps = model[: list(dict(model.named_children())).index("flatten")](x)
    assert maps.shape == (2, 384, 2, 2)
    torch.testing.assert_close(model(x), F.linear(maps.flatten(1), model.fc.weight, model.fc.bias))


def test_the_fc3_head_is_alexnets_three_layers_on_the_flattened_map():
    model = NiN(head="fc3", init="kaiming", input_size=67, dropout=0.3).eval()
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.3] * 3
    x = torch.rand(2, 1, 67, 67)
    features = model[: list(dict(model.named_children())).index("flatten")](x).flatten(1)
    first, second, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    assert [(layer.in_features, layer.out_features) for layer in (first, second, last)] == [
        (384, 4096), (4096, 4096), (4096, 10),
    ]  # fmt: skip
    hidden = F.relu(F.linear(features, first.weight, first.bias))
    hidden = F.relu(F.linear(hidden, second.weight, second.bias))
    torch.testing.assert_close(model(x), F.linear(hidden, last.weight, last.bias))


@pytest.mark.parametrize("head", ["fc", "fc3"])
def test_an_fc_head_refuses_another_size(head, size=100):
    with torch.device("meta"):
        model = NiN(head=head, input_size=99)
        assert model(torch.zeros(1, 1, 99, 99)).shape == (1, 10)
        with pytest.raises(ValueError, match=rf"^x is {size} × {size} pixels.*head='{head}'.*input_size=99"):
            model(torch.zeros(1, 1, size, size))


# ---- stages: their width, their depth, and the reduction behind them


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


def test_a_reduction_needs_a_block_4_to_lead_to():
    with pytest.raises(ValueError, match=r"^reduction=\(96,\) needs head='gap': head='fc'"):
        NiN(head="fc", reduction=(96,))


@pytest.mark.parametrize("name", ["widths", "depths", "reduction"])
def test_widths_depths_and_reduction_are_whole_numbers(name):
    with pytest.raises(ValueError, match=rf"^{name}\[1\]=0 must be a whole number"):
        NiN(**{name: (1, 0, 1)})


# ---- the family


def test_the_family_grows_from_a_to_e():
    with torch.device("meta"):
        members = [nin_family(name) for name in "ABCDE"]
    costs = [(count_parameters(model), count_macs(model, (1, 1, 224, 224))) for model in members]
    assert list(FAMILY) == list("ABCDE")
    for smaller, larger in itertools.pairwise(costs):
        assert smaller[0] < larger[0] and smaller[1] < larger[1]
    assert costs[2] == (1_992_166, 762_297_352)


@pytest.mark.parametrize("name", FAMILY)
def test_each_member_takes_other_sizes_and_options(name):
    with torch.device("meta"):
        model = nin_family(name, num_classes=7, in_channels=3)
        assert model(torch.zeros(1, 3, 67, 67)).shape == (1, 7)


def test_an_unknown_member_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"^name='F' must be one of 'A', 'B', 'C', 'D', 'E'$"):
        nin_family("F")


def test_the_last_relu_can_be_left_out(random_images):
    with_relu, without = NiN(final_relu=True, input_size=67).eval(), NiN(final_relu=False, input_size=67).eval()
    without.load_state_dict(with_relu.state_dict())
    # at 67 pixels the last map is 1 × 1, so the mean of the rectified map is the rectified mean
    logits = without(random_images)
    assert (logits < 0).any()
    torch.testing.assert_close(with_relu(random_images), F.relu(logits))


def test_dropout_acts_in_training_only(random_images):
    model = NiN(dropout=0.9, init="alive", input_size=67)
    assert not torch.equal(model.train()(random_images), model(random_images))
    assert torch.equal(model.eval()(random_images), model(random_images))


@pytest.mark.parametrize("options", [{}, {"head": "fc"}, {"num_pointwise": 0}, {"final_relu": False}], ids=str)
def test_batch_norm_follows_each_convolution(options):
    model = NiN(batch_norm=True, input_size=67, **options)
    layers = [layer for layer in model.modules() if not list(layer.children())]
    followers = [after for layer, after in itertools.pairwise(layers) if isinstance(layer, nn.Conv2d)]
    assert all(isinstance(layer, nn.BatchNorm2d) for layer in followers)
    channels = [conv.out_channels for conv in convolutions(model)]
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)] == channels


# ---- bad arguments


BLOCK_ARGUMENTS = {"in_channels": 1, "out_channels": 2, "kernel_size": 3}


@pytest.mark.parametrize(
    "name, bad",
    [
        *((name, 0) for name in ("in_channels", "out_channels", "kernel_size", "stride", "pointwise_kernel_size")),
        *((name, -1) for name in ("padding", "num_pointwise")),
    ],
)
def test_the_block_names_an_argument_that_is_out_of_range(name, bad):
    with pytest.raises(ValueError, match=rf"^{name}={bad} must be a whole number"):
        nin_block(**{**BLOCK_ARGUMENTS, name: bad})


def test_an_even_pointwise_kernel_is_refused_because_the_size_would_change():
    with pytest.raises(ValueError, match=r"^pointwise_kernel_size=2 must be odd"):
        nin_block(**BLOCK_ARGUMENTS, pointwise_kernel_size=2)


@pytest.mark.parametrize(
    "name, bad",
    [
        ("in_channels", 0), ("num_classes", 0), ("head", "FC"), ("init", "he"), ("num_pointwise", -1),
        ("pointwise_kernel_size", 2), ("dropout", 1), ("final_relu", 2), ("batch_norm", "no"), ("input_size", 0),
        ("input_size", (224, 224)),
    ],
)  # fmt: skip
def test_the_constructor_names_the_bad_argument(name, bad):
    with pytest.raises(ValueError) as caught:
        NiN(**{name: bad})
    assert str(caught.value).startswith(f"{name}={bad!r} ")


# ---- input sizes


def test_66_pixels_fail_in_the_forward_pass_too_and_67_work():
    model = NiN()
    for shape in ((66, 66), (224, 66)):  # the smaller side decides
        with pytest.raises(ValueError, match=r"^input_size=66 is too small.*pool3.*67 is the smallest that works$"):
            model(torch.zeros(1, 1, *shape))
    assert model(torch.zeros(1, 1, 67, 67)).shape == (1, 10)


@pytest.mark.parametrize("shape", [(224, 224), (1, 224, 224), (1, 1, 1, 224, 224), (1, 3, 224, 224), (2, 0, 224, 224)])
def test_the_forward_pass_says_which_shape_it_got_and_which_it_takes(shape):
    with pytest.raises(ValueError) as caught:
        NiN()(torch.zeros(shape))
    assert f"x has shape {shape}" in str(caught.value) and "(batch, 1, height, width)" in str(caught.value)


# ---- how the weights start


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


@pytest.mark.parametrize("init", INITS)
def test_initialise_returns_the_model_and_a_seed_repeats_it(init):
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(NiN(init=init, head="fc", input_size=67))
        assert initialise(models[-1], "default") is models[-1]
        with pytest.raises(ValueError, match=r"^init='zeros' "):
            initialise(models[-1], "zeros")
    states = [model.state_dict().values() for model in models]
    assert all(torch.equal(one, other) for one, other in zip(*states))


def test_alive_is_kaiming_outside_the_class_block():
    torch.manual_seed(0)
    alive = NiN(init="alive").state_dict()
    torch.manual_seed(0)
    kaiming = NiN(init="kaiming").state_dict()
    assert all(torch.equal(alive[name], kaiming[name]) for name in alive if not name.startswith("block4"))


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
    [(20, {}), (20, {"batch_norm": True}), (5, {"reduction": (96,)}), *((5, {"name": name}) for name in FAMILY)],
    ids=str,
)
def test_alive_starts_with_no_dead_class_on_any_seed(seeds, options):
    build = nin_family if "name" in options else NiN
    assert dead_classes_at_the_start(build, seeds, init="alive", **options) == [0] * seeds


def test_xavier_starts_with_about_half_the_classes_dead():
    dead = dead_classes_at_the_start(init="xavier")
    assert min(dead) > 0
    assert sum(dead) / len(dead) == pytest.approx(4.8, abs=1.2)  # the chapter's mean over 150 seeds


@pytest.mark.parametrize(
    "options", [{}, {"num_pointwise": 0}, {"num_pointwise": 3, "pointwise_kernel_size": 3}], ids=str
)
def test_every_alive_class_gets_a_gradient(options, random_images):
    torch.manual_seed(0)
    model = NiN(init="alive", input_size=67, **options)
    F.cross_entropy(model(random_images), torch.tensor([0, 1, 2, 3])).backward()
    gradients = convolutions(model.block4)[0].weight.grad.flatten(1)
    assert gradients.shape[0] == 10 and gradients.any(dim=1).all()


# ---- the paper's own network


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
