"""Recipes, profiles, and what a configuration refuses."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from nin_helpers.architecture import last_feature_size
from nin_helpers.training import PROFILES, RECIPES, TrainConfig, default_profile, make_config
from nin_helpers.training.config import FASHION_MNIST


@pytest.mark.parametrize(
    "name, bad",
    [
        *((name, 0) for name in ("size", "batch_size", "num_epochs", "num_evaluations")),
        *((name, 2.5) for name in ("num_steps", "validation_limit", "test_limit")),
        *(("seed", bad) for bad in (-1, 2**32)),
        *(("lr", bad) for bad in (0.0, math.inf)),
        *(("std", bad) for bad in (-1.0, (1.0, 0.0))),
        *(("mean", bad) for bad in (math.nan, ())),
        *((name, 1) for name in ("momentum", "weight_decay", "label_smoothing", "progressive_resizing")),
        *((name, "nonsense") for name in ("init", "optimizer", "schedule", "precision")),
        *((name, 1) for name in ("batch_norm", "random_flip", "flip_in_test", "compile")),
    ],
)
def test_a_bad_setting_is_named_with_its_value(name, bad):
    with pytest.raises(ValueError) as caught:
        make_config("smoke", **{name: bad})
    assert str(caught.value).startswith(f"{name}={bad!r} must be ")


def test_numbers_of_numpy_and_lists_become_what_goes_through_json():
    config = make_config("smoke", num_steps=np.int64(10), lr=np.float32(0.5), mean=[0.1, 0.2, 0.3], std=(1, 2, 3))
    plain = make_config("smoke", num_steps=10, lr=0.5, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert config == plain == TrainConfig(**json.loads(json.dumps(asdict(config))))
    with pytest.raises(ValueError, match=r"^mean\[1\]=nan must be a finite number$"):
        make_config("smoke", mean=(0.1, math.nan))


@pytest.mark.parametrize("name, known", [("profile", PROFILES), ("recipe", RECIPES), ("learning_rate", ["lr"])])
def test_an_unknown_name_is_answered_with_the_known_ones(name, known):
    with pytest.raises(ValueError, match=rf"^{name}='nonsense' is .*there are .*{'.*'.join(known)}"):
        make_config(**{name: "nonsense"})


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_goes_with_each_recipe_or_says_which_size_would(profile):
    for recipe in RECIPES:
        size = PROFILES[profile]["size"]
        if "progressive_resizing" in RECIPES[recipe] and size < 99:
            with pytest.raises(ValueError, match=rf"^size={size} is too small for progressive_resizing=0.5.*99 would"):
                make_config(profile, recipe)
            size = 99
        config = make_config(profile, recipe, size=size)
        assert (config.profile, config.recipe, config.size) == (profile, recipe, size)
        assert min(last_feature_size(config.size_at(step, 10)) for step in (1, 10)) >= 1


def test_the_small_steps_are_the_first_ones():
    config = make_config("full", "progressive")
    assert [config.size_at(step, 10) for step in (1, 5, 6, 10)] == [152, 152, 224, 224]
    assert {make_config("full").size_at(step, 10) for step in (1, 10)} == {224}


def test_adam_normalises_pixels_to_minus_1_to_1():
    config = make_config("full", "adam")
    assert [(pixel / 255 - config.mean) / config.std for pixel in (0, 255)] == [-1, 1]


def test_changes_come_before_recipe_and_profile_and_a_number_of_epochs_replaces_the_profiles_steps():
    config = make_config("quick", "adam", lr=0.5, batch_size=7)
    assert (config.lr, config.batch_size) == (0.5, 7)
    assert config.model_options() == {"init": "default", "batch_norm": False, "input_size": 99}
    assert make_config("quick", num_epochs=2).num_steps is None
    assert make_config("quick", num_epochs=2, num_steps=5).num_steps == 5


def test_the_default_profile_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("NIN_PROFILE", "smoke")
    assert default_profile() == "smoke"
    monkeypatch.delenv("NIN_PROFILE")
    for there, profile in ((True, "full"), (False, "quick")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert default_profile() == profile


def test_data_of_ones_own_have_their_own_pixels_where_the_recipe_means_fashion_mnists(digits):
    mine = replace(digits, name="mine", is_stand_in=False)
    own = mine.normalisation()
    assert own != FASHION_MNIST
    for recipe in RECIPES:
        usual, found = (asdict(make_config("full", recipe, data)) for data in (None, mine))
        means_fashion_mnist = usual.items() >= FASHION_MNIST.items()
        assert means_fashion_mnist == (recipe in ("adamw_alive", "modern", "progressive"))
        assert found == (usual | own if means_fashion_mnist else usual)
        assert make_config("full", recipe, replace(mine, name="fashion_mnist")) == make_config("full", recipe, digits)
        assert asdict(make_config("full", recipe, digits)) == usual
    assert make_config("smoke", data=mine, mean=0.1).mean == 0.1
