"""The loop and its history: what a run says of itself, and what it leaves alone."""

import json
import math
import os
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny import Records, equal_states, quiet, state_of, tiny_config, tiny_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nin_helpers.nin import NiN
from nin_helpers.training import TrainConfig, accuracy, evaluate, find_checkpoints, make_config, predict, train


@pytest.mark.filterwarnings("error")
def test_training_learns_the_digits_and_warns_of_nothing(digits):
    history = train(tiny_model(), digits, tiny_config(num_steps=200), quiet)
    assert history["test_accuracy"] > 0.9  # logistic regression on these digits reaches about 0.95
    assert history["evaluations"][-1]["train_loss"] < history["evaluations"][0]["train_loss"]
    assert history["stuck_since_step"] is None and history["interrupted"] is False


def test_the_history_survives_strict_json(digits):
    history = train(tiny_model(), digits, tiny_config(), quiet)
    assert json.loads(json.dumps(history, allow_nan=False)) == history
    assert TrainConfig(**history["config"]) == tiny_config()
    assert (history["data"], history["stand_in"], history["num_steps"]) == ("digits", True, 60)
    assert history["train_images"] == len(digits.train) and history["test_images"] == len(digits.test)
    assert [evaluation["step"] for evaluation in history["evaluations"]] == [10, 20, 30, 40, 50, 60]
    assert all(evaluation["images_per_second"] > 0 for evaluation in history["evaluations"])


def test_an_evaluation_holds_the_mean_since_the_one_before(digits):
    """With a rate too small to change anything, the means over an epoch are those over the training images."""
    model, num_steps = tiny_model(), math.ceil(len(digits.train) / 64)
    config = tiny_config(num_epochs=2, num_steps=None, num_evaluations=2, lr=1e-12)
    evaluations = train(model, digits, config, quiet)["evaluations"]
    logits = predict(model, digits.train.images, config)
    held_out = predict(model, digits.validation.images, config)
    assert [evaluation["step"] for evaluation in evaluations] == [num_steps, 2 * num_steps]
    for evaluation in evaluations:
        assert evaluation["train_loss"] == pytest.approx(F.cross_entropy(logits, digits.train.labels).item(), rel=1e-4)
        for name, k in (("accuracy", 1), ("top5_accuracy", 5)):
            assert evaluation[f"train_{name}"] == pytest.approx(accuracy(logits, digits.train.labels, k))
            assert evaluation[f"validation_{name}"] == pytest.approx(accuracy(held_out, digits.validation.labels, k))


def test_steps_run_in_training_mode_and_evaluations_outside_it(digits):
    model = Records().eval()
    train(model, digits, tiny_config(num_steps=4, num_evaluations=2, validation_limit=50, test_limit=50), quiet)
    steps, measured = [True, True], [False]
    assert model.modes == steps + measured + steps + measured + measured  # the last: the test images


@pytest.mark.parametrize("num_steps, num_evaluations", [(7, 3), (5, 20), (1, 1)])
def test_the_last_step_always_has_an_evaluation(digits, num_steps, num_evaluations):
    history = train(tiny_model(), digits, tiny_config(num_steps=num_steps, num_evaluations=num_evaluations), quiet)
    assert history["evaluations"][-1]["step"] == num_steps
    assert len(history["evaluations"]) == min(num_steps, num_evaluations)


def test_a_bar_on_standard_error_or_a_function_gets_the_history_at_each_evaluation(digits, capsys):
    train(tiny_model(), digits, tiny_config())
    captured, counts = capsys.readouterr(), []
    assert "60/60" in captured.err and captured.out == ""
    train(tiny_model(), digits, tiny_config(), lambda history: counts.append(len(history["evaluations"])))
    assert counts == [1, 2, 3, 4, 5, 6] and capsys.readouterr() == ("", "")


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_does_not(digits):
    def weights(seed):
        model = nn.Sequential(tiny_model(), nn.Dropout())
        train(model, digits, tiny_config(num_steps=3, seed=seed), quiet)
        return state_of(model)

    assert equal_states(weights(1), weights(1)) and not equal_states(weights(1), weights(2))


def test_the_first_share_of_the_steps_is_small_and_the_answers_are_not(digits):
    model = Records(nn.Sequential(nn.AdaptiveAvgPool2d(8), tiny_model()))  # takes both sizes
    train(model, digits, tiny_config(size=100, num_steps=8, progressive_resizing=0.5), quiet)
    sizes = [shape[2] for shape, trains in zip(model.shapes, model.modes) if trains]
    assert sizes == [68] * 4 + [100] * 4 and model.seen.shape[2] == 100


@pytest.mark.parametrize("recipe", ["adamw_alive", "progressive"])
def test_recipes_train_nin(digits, recipe):
    """A real run of two steps, with what the configuration says of the network."""
    config = make_config("smoke", recipe, size=99, batch_size=4, num_steps=2, test_limit=8, validation_limit=8)
    history = train(NiN(**config.model_options()), digits, config, quiet)
    assert math.isfinite(history["evaluations"][-1]["train_loss"])


def test_train_leaves_the_data_alone_and_never_trains_on_held_out_and_test_images(digits):
    model, images, seen = tiny_model(), digits.train.images.clone(), []
    model.register_forward_pre_hook(lambda model, x: seen.append(x[0]) if model.training else None)
    train(model, digits, tiny_config(num_steps=None, mean=0.0, std=1.0), quiet)
    assert torch.equal(images, digits.train.images)
    trained = {tuple(image.flatten().tolist()) for image in torch.cat(seen)}
    assert trained == {tuple(image.flatten().tolist()) for image in digits.train.images / 255}


@pytest.fixture
def colours(digits):
    """The digits in three channels, of which one is dark, as data of one's own."""
    parts = {}
    for name in ("train", "validation", "test"):
        part = getattr(digits, name)
        parts[name] = replace(part, images=torch.cat([part.images, part.images // 2, part.images * 0], dim=1))
    return replace(digits, name="mine", title="My pictures", is_stand_in=False, **parts)


@pytest.mark.parametrize("name, value", [("in_channels", 1), ("num_classes", 9)])
def test_a_network_for_other_channels_or_classes_is_refused(colours, name, value):
    config = make_config("smoke", data=colours)
    with pytest.raises(ValueError, match=rf"^the network has {name}={value}, but My pictures needs \d+: NiN\("):
        train(NiN(**config.model_options(colours) | {name: value}), colours, config, quiet)


@pytest.mark.filterwarnings("error")
def test_the_pixels_of_fashion_mnist_are_told_where_the_data_are_others(colours):
    colours_model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10))
    options = {"size": 8, "num_steps": 1, "num_evaluations": 1, "test_limit": 8, "device": "cpu", "precision": "fp32"}
    with pytest.warns(UserWarning, match=r"^mean=0.286 and std=0.353 are Fashion-MNIST's; make_config\(…, data=data\)"):
        train(colours_model, colours, make_config("smoke", **options), quiet)
    train(colours_model, colours, make_config("smoke", data=colours, **options), quiet)


def test_a_run_with_a_mean_for_each_channel_goes_on_from_its_checkpoint(colours, tmp_path):
    config = tiny_config(num_steps=4, num_evaluations=1, **colours.normalisation())
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10))
    history, again = (train(model, colours, config, quiet, checkpoints=tmp_path) for _ in range(2))
    assert len(find_checkpoints(tmp_path)) == 1  # the second run finds the same configuration there
    assert again["config"] == history["config"] == json.loads(json.dumps(history["config"]))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_part_without_images_is_named(digits, split):
    with pytest.raises(ValueError, match=rf"^data.{split} is empty"):
        train(tiny_model(), replace(digits, **{split: digits.train[:0]}), tiny_config(), quiet)


def test_a_loss_that_is_not_finite_ends_the_training_with_a_warning(digits):
    model = tiny_model()
    nn.init.constant_(model[1].weight, math.inf)
    with pytest.warns(UserWarning, match=r"the loss is not finite at step 10: stopped; try a smaller lr") as found:
        history = train(model, digits, tiny_config(), quiet)
    assert len(found) == 1 and found[0].filename == __file__
    assert [evaluation["step"] for evaluation in history["evaluations"]] == [10]
    assert 0 <= history["test_accuracy"] <= 1


class PressesIn(nn.Module):
    """Presses Ctrl-C within the forward pass of some training steps."""

    def __init__(self, *steps):
        super().__init__()
        self.inner, self.steps, self.step = tiny_model(), steps, 0

    def forward(self, x):
        if self.training:
            self.step += 1
            for _ in range(self.steps.count(self.step)):
                os.kill(os.getpid(), signal.SIGINT)
        return self.inner(x)


def press(history):
    raise KeyboardInterrupt


def test_the_stop_button_keeps_what_was_learned(digits):
    model, config = tiny_model(), tiny_config(num_steps=600)
    before = state_of(model)
    history = train(model, digits, config, press)
    assert history["interrupted"] is True and history["evaluations"][-1]["step"] == 100
    assert not equal_states(before, state_of(model))
    assert history["test_accuracy"] == evaluate(model, digits, config)["test_accuracy"] > 0.5


@pytest.mark.skipif(os.name == "nt", reason="there os.kill ends the process")
def test_a_run_that_is_stopped_within_a_step_takes_it_to_its_end_and_goes_on_to_the_same_bits(digits, tmp_path):
    whole, model = PressesIn(), PressesIn(3)
    train(whole, digits, tiny_config(), quiet)
    handler = signal.getsignal(signal.SIGINT)
    history = train(model, digits, tiny_config(), quiet, checkpoints=tmp_path)
    assert history["interrupted"] is True and history["evaluations"] == [] and model.step == 3
    assert [int(path.name) for path in find_checkpoints(tmp_path)] == [3] and signal.getsignal(signal.SIGINT) is handler
    resumed = PressesIn()
    history = train(resumed, digits, tiny_config(), quiet, checkpoints=tmp_path)
    assert resumed.step == 57 and history["interrupted"] is False
    assert equal_states(state_of(whole), state_of(resumed))


@pytest.mark.skipif(os.name == "nt", reason="there os.kill ends the process")
def test_pressed_twice_it_stops_at_once_and_leaves_no_half_step(digits, tmp_path):
    history = train(PressesIn(3, 3), digits, tiny_config(), quiet, checkpoints=tmp_path)
    assert history["interrupted"] is True and not find_checkpoints(tmp_path)


class CountsReads(TorchDispatchMode):
    """Counts what makes the host wait for the device: single numbers read from a tensor."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_step_waits_for_the_device(digits, optimizer):
    counts = []
    for num_steps in (10, 40):
        config = tiny_config(num_steps=num_steps, num_evaluations=1, optimizer=optimizer, random_flip=True)
        with CountsReads() as reads:
            train(tiny_model(), digits, replace(config, label_smoothing=0.1), quiet)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0
