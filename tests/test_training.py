"""Configurations, the loop and its history, against formulas, naive loops and a step written by hand."""

import errno
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nin_helpers.architecture import INITS, last_feature_size
from nin_helpers.datasets import ImageData, LabelledImages
from nin_helpers.files import check_writable, write_json
from nin_helpers.nin import NiN
from nin_helpers.preprocessing import preprocess
from nin_helpers.training import (
    PROFILES,
    RECIPES,
    Steps,
    StuckWarning,
    TrainConfig,
    accuracy,
    compiled,
    dead_classes,
    default_profile,
    describe_progress,
    evaluate,
    is_plateau,
    make_config,
    make_optimizer,
    predict,
    shuffled_batches,
    train,
    train_step,
)

HISTORY_KEYS = {
    "data", "stand_in", "train_images", "config", "precision", "num_steps", "processes", "parts", "interrupted",
    "stuck_since_step", "training_seconds", "points", "device", "device_name", "threads", "versions", "command", "date",
    "test_accuracy", "test_top5_accuracy", "dead_classes", "test_images",
}  # fmt: skip
POINT_KEYS = {"step", "train_loss", "train_accuracy", "validation_accuracy", "images_per_second"}


def tiny_config(**changes):
    """A run of a fraction of a second: the digits at their own 8 × 8, 60 steps, FP32 on the CPU."""
    values = {"size": 8, "batch_size": 64, "num_steps": 60, "num_evaluations": 6, "optimizer": "adam", "lr": 0.01}
    return TrainConfig(**{**values, "mean": 0.3, "std": 0.4, "precision": "fp32", "device": "cpu", **changes})


def tiny_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def dead_model():
    """All logits are 0 behind a ReLU that never opens: the loss is ln 10, and no gradient comes through."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
    nn.init.zeros_(model[1].weight)
    nn.init.constant_(model[1].bias, -1.0)
    return model


def quiet(history):
    """An on_evaluation that shows nothing, so that no progress bar is drawn either."""


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal_states(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- configurations


@pytest.mark.parametrize(
    "name, bad",
    [
        *(
            (name, bad)
            for name in ("batch_size", "size", "num_epochs", "num_evaluations")
            for bad in (0, -1, 2.0, None, True)
        ),
        *((name, bad) for name in ("num_steps", "validation_limit", "test_limit") for bad in (0, -1, 2.5, "3")),
        *(("seed", bad) for bad in (-1, 0.5, None)),
        *(("lr", bad) for bad in (0, -0.1, math.inf, math.nan, "0.1", None)),
        *(("std", bad) for bad in (0, -1.0, math.nan, None)),
        *(("mean", bad) for bad in (math.nan, math.inf, "0.5", None)),
        *(("momentum", bad) for bad in (-0.1, 1, None)),
        *(("weight_decay", bad) for bad in (-0.1, 1, math.nan, "0")),
        *((name, bad) for name in ("optimizer", "schedule", "precision") for bad in ("nonsense", "", None)),
    ],
)
def test_a_bad_setting_is_named_with_its_value(name, bad):
    with pytest.raises(ValueError) as caught:
        make_config("smoke", **{name: bad})
    assert str(caught.value).startswith(f"{name}={bad!r} ")


@pytest.mark.parametrize("name, known", [("profile", PROFILES), ("recipe", RECIPES)])
@pytest.mark.parametrize("bad", ["nonsense", "", None])
def test_an_unknown_profile_or_recipe_is_answered_with_the_known_ones(name, known, bad):
    with pytest.raises(ValueError) as caught:
        make_config(**{name: bad})
    assert str(caught.value).startswith(f"{name}={bad!r} ")
    assert all(word in str(caught.value) for word in known)


def test_an_unknown_setting_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"^learning_rate=0.1 is no setting.*\blr\b"):
        make_config(learning_rate=0.1)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_profile_goes_with_each_recipe(profile, recipe):
    config = make_config(profile, recipe)
    assert (config.profile, config.recipe) == (profile, recipe)
    assert config.init in INITS and last_feature_size(config.size) >= 1
    for name, value in {**PROFILES[profile], **RECIPES[recipe]}.items():
        assert getattr(config, name) == value


def test_full_is_the_textbooks_run_on_all_data():
    config = make_config("full")
    assert (config.size, config.num_epochs, config.batch_size) == (224, 10, 128)
    assert config.num_steps is None and config.test_limit is None


def test_the_last_map_of_quick_is_larger_than_1x1_and_all_test_images_count():
    config = make_config("quick")
    assert last_feature_size(config.size) > 1 and config.test_limit is None


@pytest.mark.parametrize(
    "recipe, init, optimizer, lr",
    [("sgd_default", "default", "sgd", 0.1), ("sgd_xavier", "xavier", "sgd", 0.05), ("adam", "default", "adam", 0.001)],
)
def test_the_historical_recipes_are_those_of_the_chapter(recipe, init, optimizer, lr):
    config = make_config("full", recipe)
    assert (config.init, config.optimizer, config.lr, config.schedule) == (init, optimizer, lr, "constant")
    assert config.momentum == config.weight_decay == 0


def test_adam_normalises_pixels_to_minus_1_to_1():
    config = make_config("full", "adam")
    x = preprocess(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1), 1, config.mean, config.std)
    assert x.flatten().tolist() == pytest.approx([-1, 1])


def test_changes_come_before_recipe_and_profile():
    config = make_config("quick", "adam", lr=0.5, batch_size=7)
    assert (config.lr, config.batch_size) == (0.5, 7)


def test_a_number_of_epochs_replaces_the_profiles_steps():
    assert make_config("quick", num_epochs=2).num_steps is None
    assert make_config("quick", num_epochs=2, num_steps=5).num_steps == 5


def test_the_default_profile_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("NIN_PROFILE", "smoke")
    assert default_profile() == "smoke"
    monkeypatch.delenv("NIN_PROFILE")
    assert default_profile() == ("full" if torch.cuda.is_available() else "quick")


# ---- batches


@pytest.mark.parametrize("count, batch_size", [(10, 3), (12, 4), (5, 8), (1, 1)])
def test_each_epoch_has_every_example_once(count, batch_size):
    per_epoch = math.ceil(count / batch_size)
    batches = list(shuffled_batches(count, batch_size, 3 * per_epoch, seed=0))
    assert len(batches) == 3 * per_epoch and max(map(len, batches)) <= batch_size
    for start in range(0, 3 * per_epoch, per_epoch):
        assert sorted(torch.cat(batches[start : start + per_epoch]).tolist()) == list(range(count))


def test_each_epoch_has_another_order():
    batches = list(shuffled_batches(50, 10, 10, seed=0))
    assert not torch.equal(torch.cat(batches[:5]), torch.cat(batches[5:]))


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        return torch.cat(list(shuffled_batches(50, 10, 7, seed))).tolist()

    first = order(1)
    torch.manual_seed(99)
    assert order(1) == first and order(2) != first


def test_batches_end_within_an_epoch_too():
    assert len(list(shuffled_batches(50, 10, 7, 0))) == 7


# ---- measures


@pytest.mark.parametrize("k", [1, 2, 5])
def test_accuracy_is_that_of_a_naive_loop(k):
    logits, labels = torch.randn(40, 10), torch.randint(10, (40,))
    hits = 0
    for row, label in zip(logits.tolist(), labels.tolist()):
        better = sum(value > row[label] for value in row)
        hits += better < k
    assert 0 < hits < 40
    assert accuracy(logits, labels, k) == pytest.approx(hits / 40)


def test_top_5_of_three_classes_is_all_of_them():
    assert accuracy(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), k=5) == 1.0


def test_dead_classes_are_0_for_every_image():
    logits = torch.tensor([[0.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 2.0]])
    assert dead_classes(logits) == 2  # the first and the third; 0 for one image only is no death


def test_predict_is_one_forward_pass_without_dropout(digits):
    model = nn.Sequential(tiny_model(), nn.Dropout(0.9)).train()
    config, images = tiny_config(), digits.test.images[:25]
    x = preprocess(images, 8, config.mean, config.std)
    logits = predict(model, images, config, batch_size=10)
    torch.testing.assert_close(logits, model[0](x))


def test_evaluate_is_the_accuracy_over_the_test_images(digits):
    config, model = tiny_config(), tiny_model()
    logits = model(preprocess(digits.test.images, 8, config.mean, config.std))
    right = (logits.argmax(1) == digits.test.labels).double().mean().item()
    result = evaluate(model, digits, config)
    assert result["test_accuracy"] == pytest.approx(right) and result["test_images"] == len(digits.test)
    assert result["test_accuracy"] < result["test_top5_accuracy"] <= 1


def test_test_limit_takes_the_first_images(digits):
    config, model = tiny_config(test_limit=30), tiny_model()
    logits = model(preprocess(digits.test.images[:30], 8, config.mean, config.std))
    result = evaluate(model, digits, config)
    assert result["test_images"] == 30
    assert result["test_accuracy"] == pytest.approx(
        (logits.argmax(1) == digits.test.labels[:30]).double().mean().item()
    )


# ---- one step, and the learning rate


@pytest.mark.parametrize(
    "optimizer, make",
    [
        ("sgd", lambda parameters: torch.optim.SGD(parameters, 0.05)),
        ("adam", lambda parameters: torch.optim.Adam(parameters, 0.05)),
        ("adamw", lambda parameters: torch.optim.AdamW(parameters, 0.05, weight_decay=0.0)),
    ],
)
def test_a_step_is_the_step_written_by_hand(digits, optimizer, make):
    batch, config = digits.train[:16], tiny_config(optimizer=optimizer, lr=0.05)
    ours, theirs = tiny_model(), tiny_model()
    logits, loss = train_step(ours, batch, *make_optimizer(ours, config, 10), config, "fp32")

    by_hand = make(theirs.parameters())
    x = (batch.images.float() / 255 - config.mean) / config.std
    expected_logits = theirs(x)
    expected_loss = F.cross_entropy(expected_logits, batch.labels)
    expected_loss.backward()
    by_hand.step()

    torch.testing.assert_close(logits, expected_logits.detach())
    torch.testing.assert_close(loss, expected_loss.detach())
    for our, their in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(our, their)


def test_sgd_takes_momentum_and_weight_decay():
    optimizer, _ = make_optimizer(tiny_model(), tiny_config(optimizer="sgd", momentum=0.9, weight_decay=0.1), 10)
    assert (optimizer.defaults["momentum"], optimizer.defaults["weight_decay"]) == (0.9, 0.1)


def test_a_step_with_bf16_keeps_weights_and_loss_in_fp32(digits):
    model, config = tiny_model(), tiny_config()
    logits, loss = train_step(model, digits.train[:16], *make_optimizer(model, config, 10), config, "bf16")
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def learning_rates(config, num_steps):
    """Return the rate with which each step is taken, and the one after the last."""
    optimizer, schedule = make_optimizer(tiny_model(), config, num_steps)
    rates = []
    for _ in range(num_steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_the_warmup_schedule_has_its_first_peak_and_last_value():
    rates = learning_rates(tiny_config(schedule="warmup_linear", lr=1.0), 100)
    assert rates[0] == pytest.approx(1 / 10)  # the first of ten steps of warm-up
    assert rates[9] == pytest.approx(1) and rates.index(max(rates)) == 9
    assert rates[99] == pytest.approx(1 / 90) and rates[100] == 0  # the last step still moves


def test_the_warmup_schedule_is_linear_on_both_sides():
    rates = torch.tensor(learning_rates(tiny_config(schedule="warmup_linear", lr=1.0), 100))
    torch.testing.assert_close(rates[:10].diff(), torch.full((9,), 1 / 10))
    torch.testing.assert_close(rates[10:].diff(), torch.full((90,), -1 / 90))


@pytest.mark.parametrize("num_steps", [1, 2, 9])
def test_the_warmup_schedule_of_a_short_run_starts_at_its_peak(num_steps):
    rates = learning_rates(tiny_config(schedule="warmup_linear", lr=1.0), num_steps)
    assert rates[0] == 1 and min(rates[:-1]) > 0


def test_the_constant_schedule_is_constant():
    assert set(learning_rates(tiny_config(schedule="constant", lr=0.3), 20)) == {0.3}


# ---- train


def test_training_learns_the_digits_and_warns_of_nothing(digits):
    model = tiny_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(model, digits, tiny_config(num_steps=200), quiet)
    assert history["test_accuracy"] > 0.9  # logistic regression on these digits reaches about 0.95
    assert history["evaluations"][-1]["train_loss"] < history["evaluations"][0]["train_loss"]
    assert history["stuck_since_step"] is None and history["interrupted"] is False


def test_the_history_has_its_keys_and_survives_strict_json(digits):
    history = train(tiny_model(), digits, tiny_config(), quiet)
    assert history.keys() == HISTORY_KEYS
    assert json.loads(json.dumps(history, allow_nan=False)) == history
    assert TrainConfig(**history["config"]) == tiny_config()
    assert (history["data"], history["stand_in"], history["num_steps"]) == ("digits", True, 60)
    assert history["train_images"] == len(digits.train) and history["test_images"] == len(digits.test)


def test_the_points_have_their_keys_and_ranges(digits):
    points = train(tiny_model(), digits, tiny_config(), quiet)["points"]
    assert [point["step"] for point in points] == [10, 20, 30, 40, 50, 60]
    for point in points:
        assert point.keys() == POINT_KEYS
        assert 0 <= point["train_accuracy"] <= 1 and 0 <= point["validation_accuracy"] <= 1
        assert point["train_loss"] > 0 and point["images_per_second"] > 0


def test_a_point_holds_the_mean_since_the_one_before(digits):
    """With a rate too small to change anything, the means over an epoch are those over the training images."""
    model, num_steps = tiny_model(), math.ceil(len(digits.train) / 64)
    config = tiny_config(num_epochs=2, num_steps=None, num_evaluations=2, lr=1e-12)
    points = train(model, digits, config, quiet)["points"]
    logits = predict(model, digits.train.images, config)
    assert [point["step"] for point in points] == [num_steps, 2 * num_steps]
    for point in points:
        assert point["train_loss"] == pytest.approx(F.cross_entropy(logits, digits.train.labels).item(), rel=1e-4)
        assert point["train_accuracy"] == pytest.approx(accuracy(logits, digits.train.labels))
        expected = accuracy(predict(model, digits.validation.images, config), digits.validation.labels)
        assert point["validation_accuracy"] == pytest.approx(expected)


class RecordsModes(nn.Module):
    """Records at each call whether it trains."""

    def __init__(self):
        super().__init__()
        self.model, self.modes = tiny_model(), []

    def forward(self, x):
        self.modes.append(self.training)
        return self.model(x)


def test_steps_run_in_training_mode_and_points_are_measured_outside_it(digits):
    model = RecordsModes().eval()
    train(model, digits, tiny_config(num_steps=4, num_evaluations=2, validation_limit=50, test_limit=50), quiet)
    steps, measured = [True, True], [False]
    assert model.modes == steps + measured + steps + measured + measured  # the last: the test images


@pytest.mark.parametrize("num_steps, num_evaluations", [(7, 3), (5, 20), (1, 1)])
def test_the_last_step_always_has_a_point(digits, num_steps, num_evaluations):
    history = train(tiny_model(), digits, tiny_config(num_steps=num_steps, num_evaluations=num_evaluations), quiet)
    assert history["evaluations"][-1]["step"] == num_steps
    assert len(history["evaluations"]) == min(num_steps, num_evaluations)


def test_epochs_cover_the_data(digits):
    config = tiny_config(num_steps=None, num_epochs=3, batch_size=1000)
    history = train(tiny_model(), digits, config, quiet)
    assert history["num_steps"] == 3 * math.ceil(len(digits.train) / 1000)


def test_on_point_gets_the_history_at_each_point(digits):
    counts = []
    train(tiny_model(), digits, tiny_config(), lambda history: counts.append(len(history["evaluations"])))
    assert counts == [1, 2, 3, 4, 5, 6]


def test_without_on_point_a_bar_on_standard_error_shows_the_progress(digits, capsys):
    train(tiny_model(), digits, tiny_config())
    captured = capsys.readouterr()
    assert "60/60" in captured.err and captured.out == ""


def test_with_on_point_nothing_is_printed(digits, capsys):
    train(tiny_model(), digits, tiny_config(), quiet)
    assert capsys.readouterr() == ("", "")


def small_nin():
    torch.manual_seed(0)
    return NiN(input_size=67, dropout=0.5, init="alive")


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_does_not(digits):
    states = []
    for seed in (1, 1, 2):
        model = small_nin()
        train(
            model,
            digits,
            tiny_config(size=67, batch_size=4, num_steps=3, test_limit=4, validation_limit=4, seed=seed),
            quiet,
        )
        states.append(state_of(model))
    assert equal_states(states[0], states[1])
    assert not equal_states(states[0], states[2])


def test_train_leaves_the_data_alone(digits):
    images, labels = digits.train.images.clone(), digits.train.labels.clone()
    train(tiny_model(), digits, tiny_config(num_steps=3), quiet)
    assert torch.equal(images, digits.train.images) and torch.equal(labels, digits.train.labels)


def test_train_never_sees_held_out_and_test_images(digits):
    """Labels of 10 would be refused by the loss of a model with ten classes; there they are never counted as right."""
    marked = replace(
        digits,
        validation=LabelledImages(digits.validation.images, torch.full_like(digits.validation.labels, 10)),
        test=LabelledImages(digits.test.images, torch.full_like(digits.test.labels, 10)),
    )
    history = train(tiny_model(), marked, tiny_config(), quiet)
    assert history["test_accuracy"] == 0 and history["evaluations"][-1]["validation_accuracy"] == 0


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_part_without_images_is_named(digits, split):
    with pytest.raises(ValueError, match=rf"^data.{split} is empty"):
        train(tiny_model(), replace(digits, **{split: digits.train[:0]}), tiny_config(), quiet)


def test_train_refuses_an_absent_device(digits):
    with pytest.raises(ValueError, match=r"^device='cuda:97' cannot be used here"):
        train(tiny_model(), digits, tiny_config(device="cuda:97"), quiet)


# ---- what goes wrong in training


@pytest.mark.parametrize("classes", [2, 10])
def test_the_plateau_is_within_1_percent_of_ln_classes(classes):
    assert [is_plateau(factor * math.log(classes), classes) for factor in (0.98, 0.995, 1, 1.005, 1.02)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def stop_after_the_first_point(history):
    raise KeyboardInterrupt


def test_the_stop_button_keeps_what_was_learned(digits):
    model, config = tiny_model(), tiny_config(num_steps=600)
    before = state_of(model)
    history = train(model, digits, config, stop_after_the_first_point)
    assert history["interrupted"] is True and [point["step"] for point in history["evaluations"]] == [100]
    assert not equal_states(before, model.state_dict())
    assert history["test_accuracy"] == evaluate(model, digits, config)["test_accuracy"] > 0.5
    assert history.keys() == HISTORY_KEYS


class StopsIn(nn.Module):
    """Presses the stop button within the forward pass of a training step."""

    def __init__(self, step):
        super().__init__()
        self.model, self.left = tiny_model(), step

    def forward(self, x):
        if self.training:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.model(x)


def test_the_stop_button_before_the_first_point_still_gives_a_tested_model(digits):
    history = train(StopsIn(3), digits, tiny_config(), quiet)
    assert history["interrupted"] is True and history["evaluations"] == []
    assert 0 <= history["test_accuracy"] <= 1


def stuck_warnings(model, digits, **changes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = train(model, digits, tiny_config(**changes), quiet)
    return history, [warning for warning in caught if warning.category is StuckWarning]


def test_a_dead_network_is_said_to_be_stuck_once(digits):
    history, found = stuck_warnings(dead_model(), digits, num_steps=300, num_evaluations=30)
    assert len(found) == 1 and "ln(10) = 2.3026" in str(found[0].message)
    assert found[0].filename == __file__  # it points at the reader's line
    assert history["stuck_since_step"] == 0 and history["dead_classes"] == 10
    assert all(point["train_loss"] == pytest.approx(math.log(10), abs=1e-5) for point in history["evaluations"])


@pytest.mark.parametrize("num_steps, expected", [(40, 0), (50, 1)])
def test_fifty_steps_at_the_plateau_are_stuck_and_forty_are_not(digits, num_steps, expected):
    history, found = stuck_warnings(dead_model(), digits, num_steps=num_steps, num_evaluations=num_steps // 10)
    assert len(found) == expected and (history["stuck_since_step"] is not None) == bool(expected)


def test_a_network_that_dies_on_the_way_is_stuck_since_then(digits):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
    nn.init.constant_(model[1].bias, 5.0)  # alive

    def die(history):
        if len(history["evaluations"]) == 4:
            model.load_state_dict(dead_model().state_dict())

    config = tiny_config(
        num_steps=200, num_evaluations=20, optimizer="sgd"
    )  # without the momentum that would revive it
    with pytest.warns(StuckWarning, match="since step 40") as found:
        history = train(model, digits, config, die)
    assert len(found) == 1 and history["stuck_since_step"] == 40


def test_a_network_that_is_stuck_with_one_held_out_image_is_said_to_be(digits):
    history, found = stuck_warnings(dead_model(), digits, validation_limit=1)
    assert len(found) == 1 and history["stuck_since_step"] == 0


def test_the_plateau_is_that_of_the_number_of_classes(digits):
    three = digits.train.labels < 3
    part = LabelledImages(digits.train.images[three], digits.train.labels[three])
    data = ImageData("digits", digits.title, ("0", "1", "2"), part, part, part)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU())
    nn.init.zeros_(model[1].weight)
    nn.init.constant_(model[1].bias, -1.0)
    _, found = stuck_warnings(model, data)
    assert len(found) == 1 and "ln(3) = 1.0986" in str(found[0].message)


def test_a_loss_that_is_not_finite_ends_the_training_with_a_warning(digits):
    model = tiny_model()
    nn.init.constant_(model[1].weight, math.inf)
    with pytest.warns(UserWarning, match=r"the loss is not finite at step 10: stopped; try a smaller lr") as found:
        history = train(model, digits, tiny_config(), quiet)
    assert len(found) == 1 and found[0].filename == __file__
    assert [point["step"] for point in history["evaluations"]] == [10]
    assert 0 <= history["test_accuracy"] <= 1


# ---- what a run writes


def test_write_json_makes_the_folder_and_what_is_read_is_what_was_written(tmp_path):
    content = {"accuracy": 0.1 + 0.2, "points": [1, None, True], "text": "1 × 1"}
    path = tmp_path / "new" / "folder" / "history.json"
    write_json(path, content)
    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert list(path.parent.iterdir()) == [path]


def test_write_json_replaces_what_was_there(tmp_path):
    write_json(tmp_path / "history.json", {"old": 1})
    write_json(tmp_path / "history.json", {"new": 2})
    assert json.loads((tmp_path / "history.json").read_text()) == {"new": 2}


def raise_disk_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raise_stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [raise_disk_full, raise_stop])
def test_an_error_in_the_middle_of_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "history.json"
    write_json(path, {"old": 1})
    before = path.read_bytes()
    write_bytes = Path.write_bytes

    def write_some(path, content):
        write_bytes(path, content[:5])
        error()

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_json(path, {"new": 2})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_with_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", lambda *_: raise_disk_full())
    path = tmp_path / "history.json"
    with pytest.raises(OSError) as caught:
        write_json(path, {})
    assert str(caught.value) == f"{path} cannot be written: No space left on device"


def test_content_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "history.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": torch.zeros(2)})
    assert json.loads(path.read_text()) == {"old": 1} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "write", [lambda path: write_json(path, {}), check_writable], ids=["write_json", "check_writable"]
)
@pytest.mark.parametrize("below", ["history.json", "deeper/history.json"])
def test_a_file_in_the_place_of_the_folder_is_one_clear_message(tmp_path, write, below):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / below
    with pytest.raises(OSError) as caught:
        write(path)
    assert str(caught.value).startswith(f"{path} cannot be written: ") and "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_check_writable_leaves_nothing_but_the_folder(tmp_path):
    check_writable(tmp_path / "new" / "history.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


# ---- memory that runs out, compilation, 16 bits, no waiting


class NeedsMemory(nn.Module):
    """A network that has memory for `fits` images at a time."""

    def __init__(self, fits, inner=None):
        super().__init__()
        self.inner, self.fits = inner or tiny_model(), fits

    def forward(self, x):
        if self.training and len(x) > self.fits:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(x)} GiB.")
        return self.inner(x)


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_a_batch_in_parts_is_the_same_step(digits, parts):
    config, states = tiny_config(), []
    for number in (1, parts):
        model = tiny_model()
        logits, loss = train_step(
            model, digits.train[:16], *make_optimizer(model, config, 10), config, "fp32", accumulation_steps=number
        )
        states.append([logits, loss, *(parameter.grad for parameter in model.parameters())])
    for one, other in zip(*states):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_batch_too_large_goes_through_in_parts_and_the_reader_is_told_once(digits):
    config = tiny_config(num_steps=10)
    plain, small = tiny_model(), NeedsMemory(fits=math.ceil(config.batch_size / 4))
    train(plain, digits, config, quiet)
    with pytest.warns(UserWarning, match="memory ran out") as caught:
        history = train(small, digits, config, quiet)
    assert [str(warning.message).partition(":")[0] for warning in caught] == [
        f"memory ran out with {config.batch_size} images of 8 pixels"
    ] * 2  # into 2 parts, then 4
    assert history["accumulation_steps"] == 4 and "4 parts" in str(caught[-1].message)
    for one, other in zip(plain.parameters(), small.inner.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_one_image_too_many_is_an_error(digits):
    with pytest.warns(UserWarning), pytest.raises(torch.OutOfMemoryError, match="allocate 1 GiB"):
        train(NeedsMemory(fits=0), digits, tiny_config(), quiet)


LITTLE_MEMORY = """
import json, re, resource, sys, torch, warnings
torch.set_num_threads(1)
from nin_helpers.datasets import load_data
from nin_helpers.nin import NiN
from nin_helpers.training import make_config, train
data, model = load_data("digits"), NiN(init="alive", input_size=67)
config = make_config("smoke", batch_size=512, num_steps=2, num_evaluations=1, precision="fp32", device="cpu", test_limit=50)
train(model, data, make_config("smoke", batch_size=8, num_steps=1, num_evaluations=1, precision="fp32", device="cpu",
      test_limit=50), lambda history: None)  # everything is loaded
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
history = train(model, data, config, lambda history: None)
print(json.dumps([history["accumulation_steps"], history["evaluations"]]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process as Linux does")
def test_memory_that_really_runs_out(tmp_path):
    run = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    parts, points = json.loads(run.stdout)
    assert parts >= 2 and "memory ran out with 512 images of 67 pixels" in run.stderr
    assert math.isfinite(points[-1]["train_loss"])


def test_what_cannot_be_compiled_goes_on_without_and_says_why(digits, monkeypatch):
    def no_compiler(model, mode=None, dynamic=None):
        def fail(*_):
            raise RuntimeError("No working C++ compiler found\nand more")

        return fail_like(model, fail)

    def fail_like(model, fail):
        other = nn.Module()
        other.forward = fail
        return other

    monkeypatch.setattr(torch, "compile", no_compiler)
    plain, model = tiny_model(), tiny_model()
    train(plain, digits, tiny_config(), quiet)
    with pytest.warns(UserWarning, match=r"compile failed \(RuntimeError: No working C\+\+ compiler found\): going on"):
        train(model, digits, tiny_config(compile=True), quiet)
    assert equal_states(state_of(plain), state_of(model))


def test_only_whole_batches_are_compiled(digits, monkeypatch):
    counts = {"compiled": [], "plain": []}

    class Recorder(nn.Module):
        def __init__(self, inner, name):
            super().__init__()
            self.inner, self.name = inner, name

        def forward(self, x):
            if self.training:
                counts[self.name].append(len(x))
            return self.inner(x)

    monkeypatch.setattr("nin_helpers.training.compiled", lambda model: Recorder(model.inner, "compiled"))
    data = replace(digits, train=digits.train[:40])
    train(Recorder(tiny_model(), "plain"), data, tiny_config(compile=True, batch_size=16, num_steps=6), quiet)
    assert counts == {"compiled": [16] * 4, "plain": [8] * 2}


def test_batches_in_parts_are_not_compiled(digits, monkeypatch):
    """CUDA graphs would write each part's gradient over that of the one before; not even in a run that is resumed."""
    resets = []
    monkeypatch.setattr("nin_helpers.training.compiled", lambda model: NeedsMemory(fits=8, inner=model))
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(0))
    model, config = tiny_model(), tiny_config(compile=True)
    parts = *make_optimizer(model, config, 10), torch.amp.GradScaler(enabled=False), config, "fp32"
    assert Steps(model, *parts, {"parts": 2}).compiled is None
    steps = Steps(model, *parts, {"accumulation_steps": 1})
    steps.take(digits.train[:8], config)
    assert steps.compiled is not None and not resets
    with pytest.warns(UserWarning, match="memory ran out with 16 images"):
        steps.take(digits.train[:16], config)
    assert steps.compiled is None and steps.history["accumulation_steps"] == 2 and len(resets) == 1


def test_each_shape_is_compiled_for_itself(monkeypatch):
    shapes = []

    def record(graph, inputs):
        shapes.append([side for tensor in inputs for side in tensor.shape])
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=record))
    model = compiled(tiny_model())
    for count in (64, 40, 64, 24):
        model(torch.zeros(count, 1, 8, 8))
    assert len(shapes) == 3 and all(type(side) is int for shape in shapes for side in shape)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler on a CPU")
def test_compiled_or_not_a_run_ends_the_same(digits):
    models = tiny_model(), tiny_model()
    for model, choice in zip(models, (False, True)):
        with warnings.catch_warnings(record=True) as caught:
            train(model, digits, tiny_config(compile=choice, num_steps=5), quiet)
        assert not any("compile failed" in str(warning.message) for warning in caught)
    for one, other in zip(*(model.parameters() for model in models)):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_fp16_scales_the_loss_and_learns(digits, tmp_path):
    model = tiny_model()
    history = train(model, digits, tiny_config(precision="fp16", num_steps=100), quiet, checkpoints=tmp_path)
    assert history["precision"] == "fp16" and history["evaluations"][-1]["train_loss"] < 2
    state = torch.load(sorted(tmp_path.iterdir())[-1] / "state.pt", weights_only=True)
    assert state["scaler"]["scale"] > 1
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


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
        config = tiny_config(
            num_steps=num_steps, num_evaluations=1, optimizer=optimizer, random_flip=True, label_smoothing=0.1
        )
        with CountsReads() as reads:
            train(tiny_model(), digits, config, quiet)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA tells when the host waits")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_no_step_waits_for_the_gpu(digits, precision):
    config = tiny_config(device="cuda", optimizer="adamw", random_flip=True)
    model, data = tiny_model().cuda(), digits.to("cuda")
    optimizer, schedule = make_optimizer(model, config, 10)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "fp16")
    train_step(model, data.train[:16], optimizer, schedule, config, precision, scaler=scaler)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(model, data.train[:16], optimizer, schedule, config, precision, scaler=scaler)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_label_smoothing_is_that_of_pytorch(digits):
    model, config, batch = tiny_model(), tiny_config(label_smoothing=0.1), digits.train[:16]
    logits, loss = train_step(model, batch, *make_optimizer(model, config, 10), config, "fp32")
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.labels, label_smoothing=0.1))


def test_flips_reach_the_network(digits):
    model, split = RecordsInputs(), digits.train[:64]
    config = tiny_config(random_flip=True, mean=0.0, std=1.0)
    train_step(model, split, *make_optimizer(model, config, 10), config, "fp32")
    plain = split.images / 255
    mirrored = [torch.allclose(x, y.flip(2)) for x, y in zip(model.seen, plain)]
    same = [torch.allclose(x, y) for x, y in zip(model.seen, plain)]
    assert all(one or other for one, other in zip(mirrored, same)) and 10 < sum(mirrored) < 54


class RecordsInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = tiny_model()
        self.sizes = []

    def forward(self, x):
        self.seen = x
        if self.training:
            self.sizes.append(x.shape[2])
        return self.inner(x)


def test_the_first_share_of_the_steps_is_small_and_the_answers_are_not(digits):
    model = RecordsInputs()
    model.inner = nn.Sequential(nn.AdaptiveAvgPool2d(8), model.inner)  # takes both sizes
    train(model, digits, tiny_config(size=100, num_steps=8, progressive_resizing=0.5), quiet)
    assert model.sizes == [68] * 4 + [100] * 4 and model.seen.shape[2] == 100


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_a_share_of_small_steps_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"^progressive_resizing={share} must be"):
        make_config(progressive_resizing=share)


@pytest.mark.parametrize("step, left", [(10, "about 45 s left."), (100, "done."), (0, "about 50 s left.")])
def test_progress_is_told_with_the_time_that_is_left(step, left):
    point = {"step": step, "train_loss": 2.0, "train_accuracy": 0.5, "validation_accuracy": 0.25}
    point["images_per_second"] = 64.0
    history = {"num_steps": 100, "config": {"batch_size": 32}, "points": [point]}
    told = f"Step {step} of 100: loss 2.000, accuracy 0.500, on held-out images 0.250; 64 images/s, {left}"
    assert describe_progress(history) == told


def test_long_waits_are_told_in_minutes():
    point = {"step": 0, "train_loss": 2.0, "train_accuracy": 0.5, "validation_accuracy": 0.25, "images_per_second": 1.0}
    history = {"num_steps": 1000, "config": {"batch_size": 6}, "points": [point]}
    assert describe_progress(history).endswith("about 100 min left.")


def test_a_mirrored_answer_is_the_same_for_an_image_and_its_mirror_image():
    model, images = NiN(init="kaiming", input_size=67), torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    plain, mirror = make_config("smoke"), make_config("smoke", flip_in_test=True)
    one, other = (predict(model, batch, plain) for batch in (images, images.flip(3)))
    assert not torch.allclose(one, other)
    for batch in (images, images.flip(3)):
        torch.testing.assert_close(predict(model, batch, mirror), (one + other) / 2)
