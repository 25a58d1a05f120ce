"""What a case of an experiment stands for: its configuration, its network and its start, and what is measured of it."""

from dataclasses import asdict, replace

import torch
from torch import nn

from nin_helpers.architecture import smallest_input_size
from nin_helpers.classics import alexnet, lenet, vgg11
from nin_helpers.diagnostics import map_states, shift_accuracy
from nin_helpers.experiments.results import best_settings
from nin_helpers.files import as_json
from nin_helpers.hardware import autocast
from nin_helpers.nin import NiN, initialise, lift, make_copies, nin_family, paper_nin
from nin_helpers.preprocessing import preprocess
from nin_helpers.training.config import make_config

# Exercise 5: whose memory is measured.
NETWORKS = {"LeNet": lenet, "AlexNet": alexnet, "VGG-11": vgg11, "NiN": NiN}

SHIFTS = (0, 4, 8, 12, 16, 24, 32)  # in pixels, of the pictures that a trained network is shown


def case_config(case, profile, folder=None, **changes):
    """Return the `TrainConfig` of a `Case` on a profile, with `changes`; what a search found is read from `folder`."""
    if case.recipe == "search":
        return searched_config(profile, best_settings(folder=folder), **changes, **case.settings)
    return make_config(profile, case.recipe, **changes, **case.settings)


def searched_config(profile, settings, **changes):
    """Return the `TrainConfig` of a trial's settings, on as many images as `profile` has; pixels as in "adamw_alive".

    settings: lr, batch_size, init, schedule, and optimizer: "sgd", "adamw", or "momentum", which is SGD with 0.9 of it.
    """
    base = make_config(profile, "adamw_alive", **changes)
    if settings["optimizer"] == "momentum":
        settings = {**settings, "optimizer": "sgd", "momentum": 0.9}
    num_steps = base.num_steps and base.num_steps * base.batch_size // settings["batch_size"]
    return replace(base, recipe="search", num_steps=num_steps, **settings)


def recorded_config(config, case=None):
    """Return what a file of results holds of a run's configuration: all but seed and device, which the run tells."""
    settings = {key: value for key, value in asdict(config).items() if key not in ("seed", "device")}
    return as_json(settings if case is None else {**settings, "model": dict(case.model), "change": case.change})


def build(case, config):
    """Return the network of a `Case`, with the start and the input size of `config`."""
    options = {**config.model_options(), **case.model}
    if options.pop("paper", False):
        return initialise(paper_nin(1, batch_norm=config.batch_norm), config.init)
    family = options.pop("family", None)
    return NiN(**options) if family is None else nin_family(family, **options)


@torch.no_grad()
def change_start(model, change):
    """Make the changes of `CHANGES` that are named in the tuple `change`, or kill the first `change` classes."""
    if isinstance(change, int):
        last = [layer for layer in model.block4 if isinstance(layer, nn.Conv2d)][-1]
        last.bias[:change] = -100
    else:
        for name in change or ():
            CHANGES[name](model)


def _zero_biases(model):
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()


# Parts of the cure that a start has not, in the order in which they are made.
CHANGES = {
    "zero biases": _zero_biases,
    "lift": lambda model: lift(model.block4),
    "copies": lambda model: make_copies(model.block4),
}


def _measure_shifts(model, data, config, history):
    """Return the accuracy on 1,000 test images, shifted, and, where the head takes them, at other sizes."""
    split = data.test[:1000].to(next(model.parameters()).device)
    fill = (0 - config.mean) / config.std
    with autocast(split.images.device, history["precision"]):
        x = preprocess(split.images, config.size, config.mean, config.std)
        shifts = shift_accuracy(model, x, split.labels, SHIFTS, fill)
        found = {"shifts": {str(shift): accuracy for shift, accuracy in shifts.items()}}  # as JSON has them
        if model.head == "gap":
            found["sizes"] = {}
            for size in range(config.size - 64, config.size + 97, 32):
                if size >= smallest_input_size():
                    x = preprocess(split.images, size, config.mean, config.std)
                    found["sizes"][str(size)] = shift_accuracy(model, x, split.labels, (0,))[0]
    return found


def _measure_maps(model, data, config, history):
    """Return the `MapState` of each ReLU from the last pooling on, over 500 test images, in FP32."""
    images = data.test.images[:500].to(next(model.parameters()).device)
    states = map_states(model, preprocess(images, config.size, config.mean, config.std))
    return {"maps": [asdict(state) for state in states if state.name.startswith(("block3", "reduction", "block4"))]}


def _keep_evaluations(model, data, config, history):
    return {key: history[key] for key in ("num_steps", "train_images", "evaluations", "test_top5_accuracy")}


# By the name that a `Case` has: functions of the trained network, its data, configuration and history.
MEASURES = {"shifts": _measure_shifts, "maps": _measure_maps, "evaluations": _keep_evaluations}
