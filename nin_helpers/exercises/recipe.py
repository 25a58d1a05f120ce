"""Exercise 1: a recipe, tried in a short run."""

import math
from dataclasses import asdict

import torch

from nin_helpers.architecture import smallest_input_size
from nin_helpers.datasets import load_data
from nin_helpers.exercises.answers import expect
from nin_helpers.nin import NiN
from nin_helpers.training.config import PROFILES, RECIPES, SMALL, TrainConfig, make_config
from nin_helpers.training.loop import train

SHORT_RUN = 5120  # images on which a reader's recipe is tried
# Measured on Fashion-MNIST, all 5,000 held-out images, 2 to 4 seeds: adamw_alive 0.758 to 0.771; lr 2e-3 0.77;
# batches of 64 0.73 to 0.75; with flips, decay or smoothing 0.75 to 0.76; "modern" 0.79; with lr 1e-4 0.70; with the
# starts of Kaiming or Xavier 0.20 to 0.54. So seeds matter less than this share, and what does not learn is far below.
TOLERANCE = 0.04

# What a run has besides its recipe.
BESIDES = (
    "recipe", "profile", "size", "num_epochs", "num_steps", "num_evaluations", "validation_limit", "test_limit",
    "precision", "compile", "device", "seed",
)  # fmt: skip


def check_recipe(answer):
    """Accept a recipe that is none of `RECIPES` and that keeps up with "adamw_alive" in a short run.

    A recipe is how one trains: `_settings`, batch size included, which is that of its profile as long as nobody changes
    it. The short run sets all else for both: size of the pictures, length, seed, device, precision. To keep up is to
    lose less than `TOLERANCE`, and what chance does with so many held-out images: it matters for the stand-in's 120.
    """
    known = isinstance(answer, TrainConfig) and answer.profile in PROFILES
    expect(known, "This should be what make_config(…) returns.")
    usual = PROFILES[answer.profile]["batch_size"]
    for name in RECIPES:
        expect(
            _settings(answer) != _settings(make_config("full", name, batch_size=usual)),
            f"It trains as recipe {name!r} does. Length, size of the pictures, seed, device and precision are no part "
            f"of a recipe, and only 'sgd' has momentum.",
        )
    expect(answer.batch_size <= SHORT_RUN, f"The check trains on {SHORT_RUN:,} images: less than a batch of it.")
    size = round(smallest_input_size() / SMALL) if answer.progressive_resizing else smallest_input_size()
    ours, data = make_config("full", batch_size=usual), load_data()
    (score, steps), (reference, our_steps) = (_short_run(recipe, size, data) for recipe in (answer, ours))
    chance = 2 * math.sqrt((score * (1 - score) + reference * (1 - reference)) / len(data.validation))  # two deviations
    expect(
        score >= reference - TOLERANCE - chance,
        f"In a short run of {steps} steps it reaches {score:.2f} on held-out images, adamw_alive {reference:.2f} in "
        f"{our_steps}. What does its loss do: stay near ln 10, fall slowly, or jump?",
    )


def _settings(config):
    """Return the settings of a `TrainConfig` that are its recipe; momentum only where the optimizer has one."""
    besides = {*BESIDES, *(() if config.optimizer == "sgd" else ("momentum",))}
    return {name: value for name, value in asdict(config).items() if name not in besides}


def _short_run(recipe, size, data):
    """Return the accuracy on all held-out images after `SHORT_RUN` training images, and the number of steps."""
    num_steps = SHORT_RUN // recipe.batch_size
    length = {"size": size, "num_steps": num_steps, "num_evaluations": 1, "validation_limit": None, "test_limit": 1}
    config = make_config("smoke", **length, **_settings(recipe))
    torch.manual_seed(0)
    history = train(NiN(**config.model_options()), data, config, on_evaluation=lambda history: None)
    if history["interrupted"]:
        raise KeyboardInterrupt
    return history["evaluations"][-1]["validation_accuracy"], num_steps
