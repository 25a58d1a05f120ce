"""Each check with answers that a thoughtful reader may give: the right ones, whatever their form, and the wrong ones.

An answer is followed by what is printed of it: "right", or words of the hint, which must be true of this answer.
"""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import equal_states, state_of
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nin_helpers import resources
from nin_helpers.classics import lenet
from nin_helpers.datasets import DataError
from nin_helpers.exercises import CHECKS, check, check_prediction, recipe
from nin_helpers.layer_table import layer_table
from nin_helpers.nin import NiN, nin_block, paper_nin
from nin_helpers.training import TrainConfig, make_config

ANSWERS = {}


class Uses(nn.Module):
    """A module that does what `forward` says with `layers`, which may stand in another order."""

    def __init__(self, forward, *layers):
        super().__init__()
        self.does, self.layers = forward, nn.ModuleList(layers)

    def forward(self, x):
        return self.does(x, *self.layers)


def block(c, d, *window, kernels=(1, 1, 1), padding=None, behind=(nn.ReLU,), convolution=nn.Conv2d, **options):
    """An NiN block with layers of `kernels` and `options` per pixel, and behind each convolution what is `behind`."""
    layers = [convolution(c, d, *window), *(kind() for kind in behind)]
    for k in kernels:
        layers.append(convolution(d, d, k, padding=k // 2 if padding is None else padding, **options))
        layers += [kind() for kind in behind]
    return nn.Sequential(*layers)


def backwards(x, *layers):
    for layer in reversed(layers):
        x = F.relu(layer(x))
    return x


class Backwards(Uses):
    """A right block with three per-pixel layers, whose layers are defined last to first."""

    def __init__(self, c, d, kernel_size, stride=1, padding=0):
        per_pixel = [nn.Conv2d(d, d, 1) for _ in range(3)]
        super().__init__(backwards, *per_pixel, nn.Conv2d(c, d, kernel_size, stride, padding))


def shared(c, d, *window):
    return nn.Sequential(nn.Conv2d(c, d, *window), nn.ReLU(), *[nn.Conv2d(d, d, 1), nn.ReLU()] * 3)


windows = functools.partial(block, kernels=(3, 3))
lazy = functools.partial(block, convolution=lambda c, *arguments, **options: nn.LazyConv2d(*arguments, **options))

ANSWERS["2.block"] = [
    (lambda *a: nin_block(*a, num_pointwise=3), "right"),
    (Backwards, "right"),  # a class in place of a function
    (lambda *a: block(*a, behind=[lambda: nn.ReLU(inplace=True)]), "right"),
    (lazy, "right"),
    (nin_block, "It calls 3 of nn.Conv2d"),
    (lambda *a: block(*a, bias=False), "2 of 4 is Conv2d(8, 8, kernel_size=(1, 1), stride=(1, 1), bias=False"),
    (lambda c, *a: block(c, 8, 5, 2, 1), "For (1, 4, 3, 1, 0), convolution 1 of 4 is Conv2d(1, 8, kernel_size=(5"),
    (shared, "is one used twice"),
    (lambda c, d, *w: block(c, d, *w, behind=[lambda: nn.BatchNorm2d(d), nn.ReLU]), "another layer that has some"),
    (lambda c, d, *w: block(c, d, *w, behind=[nn.ReLU, nn.Dropout]), "and nothing else"),
    (lambda *a: block(*a)[:-1], "Is there a ReLU behind each"),
    (lambda *a: nn.Sequential(nn.ReLU(inplace=True), *block(*a)), "and nothing else"),
    (block(3, 8, 5, 2, 1), "should be a function; it is of type Sequential"),
    (lambda *a: list(block(*a)), "should return an nn.Module; it returned a value of type list"),
    (lambda *a: Uses(lambda x, layer: None, block(*a)), "makes a value of type NoneType"),
    (lambda c, d, k: block(c, d, k), "raised TypeError"),
]
ANSWERS["3.block"] = [
    (windows, "right"),
    (lambda *a: windows(*a, padding="same"), "right"),
    (lambda c, d, *w: Uses(backwards, *windows(d, d, 3, 1, 1)[2::2], nn.Conv2d(c, d, *w)), "right"),
    (lambda *a: windows(*a, padding=0), "convolution 2 of 3 is Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1))"),
    (lambda *a: windows(*a, kernels=(3, 1)), "convolution 3 of 3 is Conv2d(8, 8, kernel_size=(1, 1)"),
    (lambda *a: windows(*a, padding=2, dilation=2), "dilation=(2, 2)"),
]


def connected(c, h, w, k):
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, k))


def means_in_all_places(x):
    return x.mean(dim=(2, 3), keepdim=True).expand_as(x)


def deep_head(c, h, w, k):
    """Three layers with dropout, the last defined first."""
    layers = nn.Linear(9, k), nn.Linear(c * h * w, 9), nn.Dropout(0.5)
    return Uses(lambda x, last, first, dropout: last(dropout(F.relu(first(x.flatten(1))))), *layers)


ANSWERS["4.head"] = [
    (connected, "right"),
    (deep_head, "right"),
    (lambda c, h, w, k: nn.Sequential(nn.Flatten(), nn.LazyLinear(k)), "right"),
    (lambda c, h, w, k: nn.Sequential(nn.Conv2d(c, k, (h, w)), nn.Flatten()), "right"),  # the same by another name
    (lambda *a: nn.Sequential(nn.AdaptiveAvgPool2d(a[1:3]), *connected(*a)), "right"),  # as torchvision's VGG
    (lambda c, h, w, k: nn.Sequential(nn.AdaptiveAvgPool2d(1), *connected(c, 1, 1, k)), "each of the 120 numbers"),
    (lambda *a: nn.Sequential(Uses(lambda x: x + x.flip(3)), *connected(*a)), "a mirrored map the same scores"),
    (lambda *a: nn.Sequential(Uses(means_in_all_places), *connected(*a)), "a mirrored map the same scores"),
    (lambda c, h, w, k: nn.Linear(w, k), "makes (1, 6, 4, 3); it should be one score"),
    (lambda c, h, w, k: Uses(lambda x, layer: layer(x).squeeze(), nn.Conv2d(c, k, (h, w))), "makes (3,)"),
    (lambda *a: connected(*a).append(nn.Softmax(dim=1)), "softmax"),
    (lambda *a: connected(6, 4, 5, 3), "raised RuntimeError"),  # for one size only
    (lambda c, h, w, k: connected(c, h, h, k), "raised RuntimeError"),  # for square maps only
]


def total(model, shape):
    return sum(parameter.numel() for parameter in model.parameters())


def counted_flops(model, shape):
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(shape))
    return counter.get_total_flops()


def all_outputs(model, shape):
    return 4 * sum(math.prod(row.output_shape) for row in layer_table(model, shape)) + 8 * total(model, shape)


macs, training, prediction = resources.count_macs, resources.training_memory, resources.prediction_memory

ANSWERS["5.parameters"] = [
    (total, "right"),
    (lambda *a: np.int64(total(*a)), "right"),
    (lambda *a: torch.tensor([total(*a)]), "right"),
    (lambda model, shape: 1_992_166, "It gives 1,992,166, which is 1,992,108 too many, for an input of (4, 7)"),
    (lambda model, shape: sum(p.numel() for p in model.parameters() if p.dim() > 1), "8 too few"),
    (lambda *a: f"{total(*a)} parameters", "returned '58 parameters'; it should be a number"),
    (lambda model, shape: torch.tensor([35, 23]), "returned tensor([35, 23]); it should be"),
    (lambda model, shape: math.nan, "returned nan; it should be"),
    (lambda model, shape: True, "returned True; it should be"),
    (58, "should be a function; it is of type int"),
]
ANSWERS["5.macs"] = [
    (macs, "right"),
    (lambda *a: counted_flops(*a) / 2, "right"),
    (counted_flops, "It gives 400, which is 200 too many"),  # operations: two each
    (lambda model, shape: macs(model, (1, *shape[1:])), "It gives 50, which is 150 too few"),  # of one image
    (lambda *a: macs(*a) / 1e6, "It gives 0.0002, which is 199.9998 too few"),
    (lambda model, shape: macs(model, (*shape[:3], *shape[2:3])), "input of (3, 2, 20, 16)"),  # of squares
]
ANSWERS["5.training_memory"] = [
    (training, "right"),
    (lambda *a: 1.05 * training(*a), "right"),
    (lambda *a: training(*a) / 2**20, "too few"),  # MiB
    (lambda *a: training(*a) - 4 * total(*a), "a gradient"),
    (lambda *a: training(*a) + 8 * total(*a), "An optimizer's state is not asked for"),
    (prediction, "Which tensors does the backward pass still need?"),
    (all_outputs, "What two layers need is kept once"),
]
ANSWERS["5.prediction_memory"] = [
    (prediction, "right"),
    (resources.allocated_memory, "right"),
    (training, "how many activations at once"),
    (lambda *a: all_outputs(*a) - 4 * total(*a), "how many activations"),
    (lambda *a: prediction(*a) - 4 * total(*a), "Parameters and input are there all the time"),
]


def steps(*widths, between=nn.ReLU, kernel_size=1):
    """1 × 1 convolutions with `between` between them."""
    layers = []
    for c, d in itertools.pairwise(widths):
        layers += [nn.Conv2d(c, d, kernel_size), between()]
    return nn.Sequential(*layers[:-1])


def lifted(c, k):
    module = steps(c, 2 * k, k)
    nn.init.constant_(module[0].bias, 4.0)
    return module


ANSWERS["6.reduction"] = [
    (lambda c, k: steps(c, 2 * k, k), "right"),
    (lambda c, k: steps(c, 4 * k, 2 * k, k, between=nn.GELU), "right"),
    (lambda c, k: nn.Sequential(nin_block(c, 2 * k, 3, padding=1), nin_block(2 * k, k, 3, padding=1)), "right"),
    (lambda c, k: Uses(backwards, nn.Conv2d(2 * k, k, 1), nn.Conv2d(c, 2 * k, 1)), "right"),
    (lifted, "right"),
    (lambda c, k: nin_block(c, k, 3, padding=1), "make [6, 6, 6]: the fall still happens at once"),
    (lambda c, k: steps(c, 2 * c, k), "make [96, 6]: the fall"),
    (lambda c, k: steps(c, k, 2 * k, k), "make [6, 12, 6]: the fall"),
    (lambda c, k: steps(c, 96, k), "From 48 channels to 6, its convolutions make [96, 6]"),  # for 384 only
    (lambda c, k: steps(c, 2 * k, k, between=nn.Identity), "it is linear"),
    (lambda c, k: steps(c, 2 * k, k, between=lambda: nn.BatchNorm2d(2 * k)), "it is linear"),
    (lambda c, k: steps(c, 2 * k, k, between=nn.Identity).append(nn.ReLU()), "Up to the last step it is linear"),
    (lambda c, k: steps(c, 2 * k, k, kernel_size=3), "makes (3, 6, 1, 1); height and width should stay"),
    (lambda c, k: steps(c, 2 * k, k).append(nn.Flatten()), "height and width should stay"),
]


def small(width, *ending, channels=1, classes=10, first=5, second=1):
    """A network that takes little time; `ending` comes behind the class maps, the average unless given."""
    ending = ending or (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    front = nn.Conv2d(channels, width, first, 4), nn.ReLU(), nn.MaxPool2d(8), nn.Conv2d(width, classes, second)
    return nn.Sequential(*front, *ending)  # class maps of 6 × 6 from 224 × 224 pixels, of 7 × 7 from 256 × 240


def family(*ending, widths=(2, 4, 8), **options):
    return {f"NiN-{width}": small(width, *(make() for make in ending), **options) for width in widths}


def modern(width):
    return small(width, nn.ReLU(inplace=True), nn.Dropout(), nn.BatchNorm2d(10), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def last_first(width):
    first, *rest = small(width)
    return Uses(lambda x, rest, first: rest(first(x)), nn.Sequential(*rest), first)


ANSWERS["7.family"] = [
    ({number: NiN(num_pointwise=number, init="alive") for number in (1, 2, 3)}, "right"),
    (family(), "right"),
    (family(lambda: Uses(lambda x: F.relu(x).mean(dim=(2, 3)))), "right"),
    (family(lambda: nn.MaxPool2d(2), lambda: nn.AdaptiveAvgPool2d(1), nn.Flatten), "right"),
    ({width: modern(width) for width in (2, 4, 8)}, "right"),
    (family(channels=3, classes=100), "right"),
    (nn.ModuleDict(family()), "right"),
    ({width: last_first(width) for width in (2, 4, 8)}, "right"),
    (family(lambda: nn.AdaptiveMaxPool2d(1), nn.Flatten), "'NiN-2', at 224 × 224 pixels: its scores are not"),
    (family(lambda: nn.AvgPool2d(6), nn.Flatten), "at 256 × 240 pixels: its scores are not the means"),
    (family(nn.Flatten, lambda: nn.LazyLinear(10)), "has a fully connected layer"),
    (family(lambda: Uses(lambda x: x.sum(dim=(2, 3)))), "not the means"),
    (family(lambda: nn.AdaptiveAvgPool2d(1)), "makes (2, 10, 1, 1); it should be (image, class)"),
    (family(second=3), "its kernels are [(5, 5), (3, 3)]. What is an NiN block made of?"),
    (family(first=1, second=3), "'NiN-2' begins with a 1 × 1 convolution"),
    (family(widths=(2, 8, 4)), "From 'NiN-8' to 'NiN-4' the parameters do not grow"),
    (family(widths=(2, 4)), "A family of 2 is small"),
    (dict.fromkeys("SML", small), "'S' is of type function, not a model"),
    ([small(2), small(4), small(8)], "should be a dictionary; it is of type list"),
]


def separable(c, d):
    """A window for each channel by itself, and the 1 × 1 layer that mixes them."""
    return nn.Sequential(nn.Conv2d(c, c, 3, padding=1, groups=c), nn.ReLU(), nn.Conv2d(c, d, 1), nn.ReLU())


def small_pictures(*ending, front=(), blocks=None):
    """A network for 28 × 28 pixels: `front`, two blocks with a pooling between, and the average unless given."""
    blocks = blocks or (nin_block(1, 32, 5, 1, 2), nin_block(32, 10, 3, 1, 1))
    ending = ending or (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*front, blocks[0], nn.MaxPool2d(2), *blocks[1:], *ending)


def with_copies(c, d):
    """A block whose 1 × 1 layers start as copies, so that their ReLUs change nothing."""
    copies = block(c, d, 3, 1, 1)
    for layer in copies[2::2]:
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    return copies


ANSWERS["8.network"] = [
    (paper_nin(1, batch_norm=True), "right"),
    (small_pictures(), "right"),
    (small_pictures(front=[nn.ZeroPad2d(2)]), "right"),  # 32 × 32, as LeNet
    (small_pictures(blocks=[separable(1, 64), separable(64, 10)]), "right"),  # as MobileNet
    (small_pictures(Uses(lambda x: x.mean(dim=(2, 3)))), "right"),
    (small_pictures(blocks=[nin_block(1, 8, 5, 1, 2), with_copies(8, 10)]), "right"),
    (small_pictures(blocks=[lazy(1, 8, 5, 1, 2), with_copies(8, 10)]), "right"),
    (NiN(), "raised ValueError: input_size=28 is too small"),
    (nn.Sequential(nn.Upsample(112), NiN(input_size=112)), "makes maps of 112 × 112: nothing is to be enlarged"),
    (small_pictures(front=[nn.Upsample(32, mode="bilinear")]), "makes maps of 32 × 32"),
    (small_pictures(front=[nn.ConvTranspose2d(1, 1, 4, 4)]), "makes maps of 112 × 112: nothing is to be"),
    (lenet(input_size=28), "but none of 44 × 52, as a mean does"),
    (small_pictures(nn.AvgPool2d(14), nn.Flatten()), "At 44 × 52 pixels: its scores are not"),
    (small_pictures(nn.AdaptiveAvgPool2d(1)), "makes (2, 10, 1, 1); it should be (2, 10)"),
    (paper_nin(), "raised RuntimeError"),  # for three channels
    (small_pictures(blocks=[nn.Conv2d(1, 32, 5), nn.ReLU(), *nin_block(32, 10, 3)]), "number 1, a window, has no"),
    (small_pictures(blocks=[nin_block(1, 32, 5), nn.Conv2d(32, 10, 3)]), "number 4, a window, has no"),
    (small_pictures(blocks=[nin_block(1, 32, 5), nn.Conv2d(32, 10, 1)]), "made of several blocks"),
    (small_pictures(blocks=[block(1, 32, 3, behind=()), nin_block(32, 10, 3)]), "Convolution 2 takes what"),
    (small_pictures(blocks=[nin_block(1, 400, 5, 1, 2), nin_block(400, 10, 3)]), "It does 263.9 million"),
    (paper_nin, "should be a model; it is of type function"),
]

ANSWERS["1.recipe"] = [
    (make_config("full"), "trains as recipe 'adamw_alive' does"),
    (make_config("reduced", num_steps=600, size=131, seed=7, device="cpu", precision="fp32"), "Length, size"),
    (make_config("reduced", momentum=0.9), "only 'sgd' has momentum"),
    (make_config("reduced", "modern"), "trains as recipe 'modern' does"),
    (make_config("reduced", batch_size=8192), "less than a batch"),
    ({"lr": 2e-3}, "what make_config(…) returns"),
    (TrainConfig(profile="mine"), "what make_config(…) returns"),
]

ROWS = [
    pytest.param(question, answer, words, id=f"{question}-{number}: {words}")
    for question, rows in ANSWERS.items()
    for number, (answer, words) in enumerate(rows, start=1)
]


def said(question, answer, capsys):
    """Return what is printed of an answer behind the question, having checked that it fits what is returned."""
    is_right = check(question, answer)
    name, text = capsys.readouterr().out.removesuffix("\n").split(": ", 1)
    assert name == question and is_right is (text == "right") and type(is_right) is bool
    return text


@pytest.mark.parametrize(("question", "answer", "words"), ROWS)
def test_what_is_said_of_an_answer_is_true(question, answer, words, capsys):
    text = said(question, answer, capsys)
    assert text == "right" if words == "right" else text.startswith("wrong. ") and words in text


@pytest.fixture
def short(monkeypatch, digits):
    """Let a short run be one on the digits, with as many images as on Fashion-MNIST, and return monkeypatch."""
    monkeypatch.setattr(recipe, "load_data", lambda: digits)
    return monkeypatch


@pytest.mark.parametrize(
    ("images", "answer", "words"),
    [
        (5120, make_config("reduced", lr=2e-3, batch_size=64, num_steps=150), "right"),  # the stub's own hint
        (1280, make_config("reduced", "sgd_xavier", batch_norm=True), "right"),  # it would be stuck without
        (1280, make_config("reduced", "progressive", batch_size=16), "right"),  # small steps need larger pictures
        (1280, make_config("reduced", "sgd_xavier", batch_size=64), "a short run of 20 steps it reaches 0."),
    ],
)
def test_a_recipe_is_trained_as_it_is_given(images, answer, words, short, capsys):
    short.setattr(recipe, "SHORT_RUN", images)
    assert words in said("1.recipe", answer, capsys)


CHANGES = {"batch_size": 64, "weight_decay": 0.05, "label_smoothing": 0.1, "random_flip": True, "flip_in_test": True}
CHANGES |= {"optimizer": "sgd", "progressive_resizing": 0.5, "mean": 0.5, "std": 0.5}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_one_changes_of_how_one_trains_makes_another_recipe(name, short):
    trained = []
    short.setattr(recipe, "_short_run", lambda *run: trained.append(run) or (0.8, 160))
    answer = make_config("reduced", **{name: CHANGES[name]})
    assert check("1.recipe", answer)
    (mine, my_size, _), (ours, size, _) = trained
    assert mine == answer and my_size == size and ours == make_config("full", batch_size=32)


def test_a_recipe_that_loses_more_than_chance_is_wrong(short):
    scores = iter([0.73, 0.8, 0.60, 0.8])
    short.setattr(recipe, "_short_run", lambda *run: (next(scores), 160))
    assert check("1.recipe", make_config("reduced", lr=2e-3)) and not check("1.recipe", make_config("reduced", lr=2e-3))


def test_a_short_run_that_is_stopped_is_no_verdict(short):
    short.setattr(recipe, "train", lambda *run, **options: {"interrupted": True, "evaluations": []})
    with pytest.raises(KeyboardInterrupt):
        check("1.recipe", make_config("reduced", lr=2e-3))


def test_damaged_data_is_no_fault_of_an_answer(monkeypatch):
    monkeypatch.setenv("NIN_DATA", __file__)  # no folder
    with pytest.raises(DataError):
        check("1.recipe", make_config("reduced", lr=2e-3))


STUBS = [(lambda *a: None, "the function returns None"), (lambda *a: ..., "the function returns ...")]


@pytest.mark.parametrize("question", CHECKS)
def test_an_untouched_stub_is_not_attempted(question, capsys):
    functions = [] if question in ("1.recipe", "7.family", "8.network") else STUBS
    for stub, reason in [(None, "it is None"), (..., "it is ..."), *functions]:
        assert said(question, stub, capsys) == f"not attempted yet ({reason})"


def test_an_unknown_question_is_refused():
    with pytest.raises(ValueError, match=r"question='9' is unknown; there are 1\.recipe"):
        check("9", None)


def test_what_the_reader_has_stays_as_it_was():
    models, before = {width: modern(width) for width in (2, 4, 8)}, torch.get_rng_state()
    models[4].eval()
    states = [state_of(model) for model in models.values()]
    assert check("7.family", models)
    assert [model.training for model in models.values()] == [True, False, True]
    assert all(map(equal_states, states, map(state_of, models.values())))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("prediction", "answer", "right", "told"),
    [
        (None, 24, False, "not attempted yet: "),
        (24, 24, True, "right: 24"),
        (2_000_000, 1_992_166, True, "right: 1,992,166"),
        (18, 24, False, "not 18: it is 24"),
        ("shirt", "coat", False, "not 'shirt': it is coat"),
        (np.int64(24), 24, True, "right: 24"),
    ],
)
def test_a_prediction_is_compared_and_none_tells_nothing(prediction, answer, right, told, capsys):
    assert check_prediction(prediction, answer) is right
    out = capsys.readouterr().out
    assert out.startswith(told) and (prediction is not None or str(answer) not in out)
