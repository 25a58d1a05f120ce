"""When a network is said to be stuck, and how its progress is told."""

import math
import warnings

import pytest
from tiny import dead_model, quiet, tiny_config, tiny_model
from torch import nn

from nin_helpers.datasets import ImageData
from nin_helpers.training import StuckWarning, describe_progress, train


def stuck_warnings(model, data, **changes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = train(model, data, tiny_config(**changes), quiet)
    return history, [warning for warning in caught if warning.category is StuckWarning]


@pytest.mark.parametrize("num_steps, since", [(40, None), (50, 0), (300, 0)])
def test_a_dead_network_is_said_to_be_stuck_once_after_fifty_steps(digits, num_steps, since):
    history, found = stuck_warnings(dead_model(), digits, num_steps=num_steps, num_evaluations=num_steps // 10)
    assert len(found) == (since == 0) and history["stuck_since_step"] == since and history["dead_classes"] == 10
    losses = [evaluation["train_loss"] for evaluation in history["evaluations"]]
    assert losses == pytest.approx([math.log(10)] * (num_steps // 10), abs=1e-5)
    for warning in found:
        assert "ln(10) = 2.3026 since step 0. The last ReLU is dead" in str(warning.message)
        assert warning.filename == __file__  # it points at the reader's line


def test_a_network_that_dies_on_the_way_is_stuck_since_then(digits):
    model = tiny_model().append(nn.ReLU())
    nn.init.constant_(model[1].bias, 5.0)  # alive

    def die(history):
        if len(history["evaluations"]) == 4:
            model.load_state_dict(dead_model().state_dict())

    # without the momentum that would revive it
    config = tiny_config(num_steps=200, num_evaluations=20, optimizer="sgd")
    with pytest.warns(StuckWarning, match="since step 40") as found:
        history = train(model, digits, config, die)
    assert len(found) == 1 and history["stuck_since_step"] == 40


def test_one_held_out_image_is_enough_to_be_told(digits):
    history, found = stuck_warnings(dead_model(), digits, validation_limit=1)
    assert len(found) == 1 and 'recipe="adamw_alive"' in str(found[0].message) and history["stuck_since_step"] == 0


def test_the_plateau_is_that_of_the_number_of_classes(digits):
    part = digits.train[digits.train.labels < 3]
    _, found = stuck_warnings(dead_model(3), ImageData("mine", "Mine", ("0", "1", "2"), part, part, part))
    assert len(found) == 1 and "ln(3) = 1.0986" in str(found[0].message)


@pytest.mark.parametrize(
    "step, speed, left", [(10, 64.0, "about 45 s left."), (100, 64.0, "done."), (0, 0.5, "about 107 min left.")]
)
def test_progress_is_told_with_the_time_that_is_left(step, speed, left):
    evaluation = {"step": step, "train_loss": 2.0, "train_accuracy": 0.5, "validation_accuracy": 0.25}
    history = {"num_steps": 100, "config": {"batch_size": 32}}
    told = describe_progress({**history, "evaluations": [{**evaluation, "images_per_second": speed}]})
    assert told.startswith(f"Step {step} of 100: loss 2.000, accuracy 0.500, on held-out images 0.250; ")
    assert told.endswith(f" images/s, {left}")
