"""Trainings of a fraction of a second, which several tests share."""

import torch
from torch import nn

from nin_helpers.training import TrainConfig


def tiny_config(**changes):
    """A run of a fraction of a second: the digits at their own 8 × 8, 60 steps, FP32 on the CPU."""
    values = {"size": 8, "batch_size": 64, "num_steps": 60, "num_evaluations": 6, "optimizer": "adam", "lr": 0.01}
    return TrainConfig(**{**values, "mean": 0.3, "std": 0.4, "precision": "fp32", "device": "cpu", **changes})


def tiny_model(classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def dead_model(classes=10):
    """All logits are 0 behind a ReLU that never opens: the loss is ln(classes), and no gradient comes through."""
    model = tiny_model(classes).append(nn.ReLU())
    nn.init.zeros_(model[1].weight)
    nn.init.constant_(model[1].bias, -1.0)
    return model


class NeedsMemory(nn.Module):
    """A network that has memory for `fits` images at a time."""

    def __init__(self, fits, inner=None):
        super().__init__()
        self.inner, self.fits = inner or tiny_model(), fits

    def forward(self, x):
        if self.training and len(x) > self.fits:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(x)} GiB.")
        return self.inner(x)


class Records(nn.Module):
    """A network that records of each call whether it trains, and the shape of what it gets; seen: the last input."""

    def __init__(self, inner=None):
        super().__init__()
        self.inner, self.modes, self.shapes = inner or tiny_model(), [], []

    def forward(self, x):
        self.modes.append(self.training)
        self.shapes.append(tuple(x.shape))
        self.seen = x
        return self.inner(x)


def quiet(history):
    """An on_evaluation that shows nothing, so that no progress bar is drawn either."""


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal_states(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
