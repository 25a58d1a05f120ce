"""The layer table against the chapter, and against the models themselves, which it leaves as they were."""

import functools
import re

import pytest
import torch
from torch import nn

from nin_helpers.layer_table import layer_stack, layer_table
from nin_helpers.nin import NiN
from nin_helpers.resources import count_parameters

# The chapter's table of NiN: per stage the output (C, H, W) and the parameters of its convolutions
NIN_STAGES = [
    ("block1", (96, 54, 54), (11_712, 9_312, 9_312)),
    ("pool1", (96, 26, 26), ()),
    ("block2", (256, 26, 26), (614_656, 65_792, 65_792)),
    ("pool2", (256, 12, 12), ()),
    ("block3", (384, 12, 12), (885_120, 147_840, 147_840)),
    ("pool3", (384, 5, 5), ()),
    ("dropout", (384, 5, 5), ()),
    ("block4", (10, 5, 5), (34_570, 110, 110)),
    ("gap", (10, 1, 1), ()),
    ("flatten", (10,), ()),
]


class SharedBlock(nn.Module):
    """One convolution and one normalisation, each called twice, around a shortcut as in a ResNet."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        return self.relu(x + self.norm(self.conv(y)))


class Oddities(nn.Module):
    """Tied weights, a parameter of its own, a frozen one, and a layer that no pass reaches."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6)
        self.decode.weight = self.encode.weight
        self.scale = nn.Parameter(torch.ones(3))
        self.counts = nn.Parameter(torch.ones(5, dtype=torch.int64), requires_grad=False)
        self.unused = nn.Linear(2, 3)

    def forward(self, x):
        return self.decode(self.encode(x)) * self.scale.sum()


@pytest.fixture
def blocks():
    return layer_table(NiN(), (1, 1, 224, 224), per="block")


def test_blocks_of_nin_are_those_of_the_chapter(blocks):
    assert [(row.name, row.output_shape[1:], row.parameters) for row in blocks] == [
        (name, shape, sum(parameters)) for name, shape, parameters in NIN_STAGES
    ]


def test_layers_of_nin_are_those_of_the_chapter():
    table = layer_table(NiN(), (1, 1, 224, 224))
    convolutions = [(row.output_shape[1:], row.parameters) for row in table if row.type == "Conv2d"]
    assert convolutions == [(shape, number) for _, shape, parameters in NIN_STAGES for number in parameters]
    others = {row.type for row in table if row.parameters == 0}
    assert others == {"ReLU", "MaxPool2d", "Dropout", "AdaptiveAvgPool2d", "Flatten"}


@pytest.mark.parametrize("per", ["layer", "block"])
@pytest.mark.parametrize(
    "make, shape",
    [
        pytest.param(lambda: nn.Sequential(SharedBlock(3), SharedBlock(3), nn.ReLU()), (1, 3, 8, 8), id="two_deep"),
        pytest.param(lambda: NiN(batch_norm=True, head="fc", input_size=67), (2, 1, 67, 67), id="NiN"),
        pytest.param(Oddities, (4, 6), id="oddities"),
        pytest.param(lambda: nn.Linear(6, 2), (4, 6), id="one_layer"),
        pytest.param(lambda: nn.LSTM(3, 5), (7, 2, 3), id="tuple_output"),
        pytest.param(nn.Sequential, (4, 6), id="empty"),
    ],
)
def test_rows_count_each_parameter_once(make, shape, per):
    model = make()
    table = layer_table(model, shape, per=per)
    assert table.total_parameters == sum(row.parameters for row in table) == count_parameters(model)


def test_a_module_called_twice_has_two_rows_and_counts_once():
    table = layer_table(SharedBlock(4), (1, 4, 8, 8))
    assert [row.name for row in table] == ["conv", "norm", "relu"] * 2
    assert [row.parameters for row in table] == [144, 8, 0, 0, 0, 0]


def test_tied_weights_count_where_they_are_first_used_and_those_outside_the_pass_have_a_row_without_shapes():
    table = layer_table(Oddities(), (4, 6))
    rows = {row.name: row for row in table}
    counts = {name: row.parameters for name, row in rows.items()}
    assert counts == {"encode": 36, "decode": 6, "(model)": 8, "unused": 9}
    assert rows["unused"].input_shape is rows["unused"].output_shape is rows["(model)"].output_shape is None
    line = next(line for line in str(table).splitlines() if line.startswith("unused"))
    assert line.split() == ["unused", "Linear", "–", "–", "9"]


def test_three_numbers_are_one_image_where_there_are_2d_convolutions():
    assert layer_table(NiN(), (1, 224, 224)).rows == layer_table(NiN(), (1, 1, 224, 224)).rows
    (row,) = layer_table(nn.Linear(6, 2), (4, 5, 6))
    assert (row.name, row.type, row.output_shape, row.parameters) == ("(model)", "Linear", (4, 5, 2), 14)


def test_hooks_of_the_user_neither_fire_nor_vanish_nor_do_harm():
    """What they keep may carry a gradient: deepcopy refuses such tensors."""
    model, kept = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), []
    model[0].register_forward_hook(functools.partial(lambda kept, layer, x, output: kept.append(output), kept))
    model(torch.ones(1, 3))
    assert layer_table(model, (1, 3)).total_parameters == 12 and len(kept) == 1
    model(torch.ones(1, 3))
    assert len(kept) == 2 and kept[0].requires_grad


def test_text_has_the_header_each_row_and_the_total(blocks):
    lines = str(blocks).splitlines()
    assert lines[0].split()[:2] == ["name", "type"]
    assert lines[2].split("  ")[0] == "block1" and "1 × 96 × 54 × 54" in lines[2] and lines[2].endswith("30,336")
    assert lines[-1].startswith("total") and lines[-1].endswith("1,992,166")
    assert len(lines) == len(NIN_STAGES) + 4 and len({len(line) for line in lines}) == 1


def test_html_has_a_line_for_each_row_and_the_total_and_escapes_names(blocks):
    page = layer_table(nn.Sequential(type("<b>&", (nn.Linear,), {})(2, 2)), (1, 2))._repr_html_()
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page
    page = blocks._repr_html_()
    assert page.count("<tr>") == len(NIN_STAGES) + 2
    assert ">1 × 96 × 54 × 54</td>" in page and ">1,992,166</th>" in page


@pytest.mark.parametrize(
    "shape, message",
    [
        ((1, 3, 224, 224), "=(1, 3, 224, 224) does not run through NiN: "),
        ((1, 224), "=(1, 224) does not run through NiN: "),
        ((), "=() does not run through NiN: "),
        ((1, 1, 0, 224), "=(1, 1, 0, 224) has a size at index 2, which=0 must"),
        (224, "=224 must be a tuple"),
    ],
)
def test_a_shape_that_the_model_refuses_or_that_is_none_is_named(shape, message):
    with pytest.raises(ValueError, match=f"^input_shape{re.escape(message)}"):
        layer_table(NiN(), shape)


def test_rows_are_layers_or_blocks():
    with pytest.raises(ValueError, match=r"^per='nonsense' must be"):
        layer_table(NiN(), (1, 1, 224, 224), per="nonsense")


def test_the_stack_of_nin_has_its_convolutions_in_blocks_poolings_and_the_average():
    with torch.device("meta"):
        stack = layer_stack(NiN(head="fc", input_size=67)) + layer_stack(NiN())[-1:]
    assert stack[:4] == [
        ("11 × 11 conv, 96", "conv", "block1"), ("1 × 1 conv, 96", "pointwise", "block1"),
        ("1 × 1 conv, 96", "pointwise", "block1"), ("3 × 3 max pool", "pool", None),
    ]  # fmt: skip
    assert stack[-2:] == [("fully connected, 10", "fc", None), ("global average pool", "mean", None)]
    assert len(stack) == 3 * 4 + 2
