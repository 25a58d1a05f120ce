"""Each check with a right answer, with wrong ones, and with an untouched stub."""

import numpy as np
import pytest
import torch
from torch import nn

from nin_helpers import exercises, resources
from nin_helpers.exercises import CHECKS, check, check_prediction
from nin_helpers.nin import NiN, nin_block
from nin_helpers.training import make_config


def three(*arguments):
    return nin_block(*arguments, num_pointwise=3)


def without_biases(*arguments):
    block = three(*arguments)
    for convolution in block[2:]:
        if isinstance(convolution, nn.Conv2d):
            convolution.bias = None
    return block


def windows(*arguments):
    return nin_block(*arguments, pointwise_kernel_size=3)


def connected(channels, height, width, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))


def reduction(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, 2 * classes, 1), nn.ReLU(), nn.Conv2d(2 * classes, classes, 1))


def family(*pointwise):
    return {f"NiN-{number}": NiN(num_pointwise=number) for number in pointwise}


RIGHT = {
    "2.block": three,
    "3.block": windows,
    "4.head": connected,
    "5.parameters": lambda model, shape: sum(p.numel() for p in model.parameters()),
    "5.macs": resources.count_macs,
    "5.training_memory": resources.training_memory,
    "5.prediction_memory": resources.prediction_memory,
    "6.reduction": reduction,
    "7.family": family(1, 2, 3),
}
WRONG = [
    ("2.block", nin_block, "how many"),
    ("2.block", without_biases, "5 tensors, two for each convolution that has a bias"),
    ("2.block", lambda *a: three(a[0], 8, 5, 2, 1), "height, width or channels"),  # hard-coded
    ("2.block", lambda *a: nn.Sequential(*(layer for layer in three(*a) if not isinstance(layer, nn.ReLU))), "ReLU"),
    ("3.block", nin_block, "kernel"),
    ("3.block", lambda *a: 3, "nn.Module"),
    ("4.head", lambda c, h, w, k: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, k)), "features"),
    ("4.head", lambda c, h, w, k: connected(6, 4, 5, 3), "raised RuntimeError"),
    ("4.head", lambda c, h, w, k: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "no nn.Linear"),
    ("5.parameters", lambda model, shape: 1_992_166, "too large"),
    ("5.parameters", lambda model, shape: sum(p.numel() for p in model.parameters() if p.dim() > 1), "biases"),
    ("5.macs", lambda model, shape: resources.count_macs(model, (1, *shape[1:])), "batch"),
    ("5.macs", lambda model, shape: "many", "should be a number"),
    ("5.training_memory", resources.prediction_memory, "backward pass"),
    ("5.prediction_memory", resources.training_memory, "how many activations"),
    ("6.reduction", lambda c, k: nin_block(c, k, 3, padding=1), "at once"),
    ("6.reduction", lambda c, k: nn.Sequential(nn.Conv2d(c, 2 * k, 1), nn.Conv2d(2 * k, k, 1)), "linear"),
    ("7.family", family(1, 3, 2), "do not grow"),
    ("7.family", family(1, 2), "three or more"),
    ("7.family", {name: NiN(head="fc", num_pointwise=name) for name in (1, 2, 3)}, "fully connected"),
    ("7.family", [NiN()], "dictionary"),
]


@pytest.mark.parametrize("question", RIGHT)
def test_a_right_answer_is_right(question, capsys):
    assert check(question, RIGHT[question]) is True
    assert capsys.readouterr().out == f"{question}: right\n"


@pytest.mark.parametrize(("question", "answer", "hint"), WRONG)
def test_a_wrong_answer_is_wrong_with_a_hint(question, answer, hint, capsys):
    assert check(question, answer) is False
    out = capsys.readouterr().out
    assert out.startswith(f"{question}: wrong. ") and hint in out


def untouched(*arguments): ...


@pytest.mark.parametrize(
    ("question", "stub"),
    [(question, None) for question in CHECKS]
    + [(question, untouched) for question in CHECKS if question not in ("1.recipe", "7.family")],
)
def test_an_untouched_stub_is_not_attempted(question, stub, capsys):
    assert check(question, stub) is False
    reason = "it is None" if stub is None else "the function returns None"
    assert capsys.readouterr().out == f"{question}: not attempted yet ({reason})\n"


@pytest.mark.parametrize("kind", [np.int64, np.float64, torch.tensor])
def test_a_number_may_be_one_of_numpy_or_a_tensor(kind):
    assert check("5.macs", lambda model, shape: kind(resources.count_macs(model, shape))) is True


def test_there_is_a_right_and_a_wrong_answer_for_each_question():
    assert set(CHECKS) - {"1.recipe"} == set(RIGHT) == {question for question, _, _ in WRONG}


def test_an_unknown_question_is_refused():
    with pytest.raises(ValueError, match=r"question='8' is unknown; there are 1\.recipe"):
        check("8", None)


def test_the_random_state_is_left_as_it_was():
    before = torch.get_rng_state()
    check("2.block", three)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_is_trained_against_ours(monkeypatch, capsys):
    scores = {None: 0.80}
    monkeypatch.setattr(exercises, "_short_run", lambda recipe: scores.get(recipe and recipe.lr))
    good, bad = make_config("reduced", lr=2e-3), make_config("reduced", lr=1.0)
    scores |= {good.lr: 0.79, bad.lr: 0.10}
    assert check("1.recipe", good) and not check("1.recipe", bad)
    assert not check("1.recipe", make_config("full")) and not check("1.recipe", {"lr": 2e-3})
    out = capsys.readouterr().out
    assert "reaches 0.10" in out and "'adamw_alive' as it was" in out and "make_config" in out


def test_a_short_run_trains_the_recipe_that_it_is_given(monkeypatch, digits):
    monkeypatch.setattr(exercises, "load_data", lambda: digits)
    stuck = make_config("smoke", "sgd_xavier", batch_size=256)
    assert exercises._short_run(stuck) < 0.3


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
