"""Answers and accuracies, against naive loops."""

import math

import pytest
import torch
from tiny import tiny_config, tiny_model
from torch import nn

from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import accuracy, dead_classes, evaluate, is_plateau, make_config, predict


@pytest.mark.parametrize("k", [1, 5, 11])  # all are among the 11 largest of 10
def test_accuracy_is_that_of_a_naive_loop(k):
    logits, labels = torch.randn(40, 10), torch.randint(10, (40,))
    hits = sum((row > row[label]).sum().item() < k for row, label in zip(logits, labels))
    assert 0 < hits < 40 or k > 10
    assert accuracy(logits, labels, k) == pytest.approx(hits / 40)


def test_dead_classes_are_0_for_every_image():
    logits = torch.tensor([[0.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 2.0]])
    assert dead_classes(logits) == 2  # the first and the third; 0 for one image only is no death


def test_the_plateau_is_within_1_percent_of_ln_classes():
    found = [is_plateau(factor * math.log(2), 2) for factor in (0.98, 0.995, 1, 1.005, 1.02)]
    assert found == [False, True, True, True, False]


@pytest.mark.parametrize("limit", [None, 30])
def test_answers_and_the_accuracy_over_the_first_test_images_are_those_of_one_pass_without_dropout(digits, limit):
    config, split, model = tiny_config(test_limit=limit), digits.test[:limit], nn.Sequential(tiny_model(), nn.Dropout())
    logits = model[0](preprocess(split.images, 8, config.mean, config.std))
    torch.testing.assert_close(predict(model, split.images, config, batch_size=20), logits)
    result = evaluate(model, digits, config)
    assert result["test_accuracy"] == pytest.approx((logits.argmax(1) == split.labels).double().mean().item())
    assert result["test_images"] == len(split) and result["test_accuracy"] < result["test_top5_accuracy"] <= 1


def test_an_answer_flipped_in_the_test_is_the_same_for_an_image_and_its_mirror_image():
    model, images = NiN(init="kaiming", input_size=67), torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    plain, flipped = make_config("smoke"), make_config("smoke", flip_in_test=True)
    one, other = (predict(model, batch, plain) for batch in (images, images.flip(3)))
    assert not torch.allclose(one, other)
    for batch in (images, images.flip(3)):
        torch.testing.assert_close(predict(model, batch, flipped), (one + other) / 2)
