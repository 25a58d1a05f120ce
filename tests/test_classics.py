"""The networks that NiN is compared with: their counts in the chapter, and torchvision's VGG-11."""

import pytest
import torch
import torchvision
from torch import nn

from nin_helpers.architecture import BLOCKS
from nin_helpers.classics import alexnet, lenet, vgg11
from nin_helpers.resources import count_macs, count_parameters

NETWORKS = {"LeNet": lenet, "AlexNet": alexnet, "VGG-11": vgg11}


def on_meta(name, **options):
    with torch.device("meta"):
        return NETWORKS[name](**options)


@pytest.mark.parametrize(
    "name, parameters, macs",
    [("LeNet", 5_612_426, 41.1e6), ("AlexNet", 46_764_746, 938.1e6), ("VGG-11", 128_806_154, 7.547e9)],
)
def test_parameters_and_macs_are_those_of_the_chapter(name, parameters, macs):
    model = on_meta(name)
    assert count_parameters(model) == parameters
    assert count_macs(model, (1, 1, 224, 224)) == pytest.approx(macs, rel=2e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_one_per_class(name):
    assert on_meta(name, num_classes=7)(torch.zeros(2, 1, 224, 224, device="meta")).shape == (2, 7)


def test_lenet_at_its_own_size_by_hand():
    model = lenet(input_size=28)
    # windows of 5 × 5: 1 → 6 → 16 channels; then 16 · 5 · 5 = 400 → 120 → 84 → 10
    weights = 6 * 25 + 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10
    assert count_parameters(model) == weights + 6 + 16 + 120 + 84 + 10 == 61_706
    macs = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10
    assert count_macs(model, (3, 1, 28, 28)) == 3 * macs


@pytest.mark.parametrize("size", [12, 28, 29, 30, 31, 67, 99])
def test_lenet_takes_the_size_that_it_was_built_for(size):
    assert lenet(input_size=size)(torch.rand(2, 1, size, size)).isfinite().all()


def test_alexnets_first_three_convolutions_are_those_of_nins_blocks():
    convolutions = [layer for layer in on_meta("AlexNet") if isinstance(layer, nn.Conv2d)]
    found = [(layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in convolutions[:3]]
    assert found == [(channels, kernel, stride) for channels, kernel, stride, _ in BLOCKS]


def test_vgg11_is_torchvisions_on_one_channel():
    with torch.device("meta"):
        theirs = torchvision.models.vgg11(num_classes=10)
    ours = on_meta("VGG-11")
    first, *rest = [tuple(tensor.shape) for tensor in ours.state_dict().values()]
    assert first == (64, 1, 3, 3) and rest == [tuple(tensor.shape) for tensor in theirs.state_dict().values()][1:]
    assert [type(layer) for layer in ours[:21]] == [type(layer) for layer in theirs.features]


def test_lenet_refuses_a_size_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"^input_size=11 is too small: the smallest that works is 12"):
        lenet(input_size=11)
