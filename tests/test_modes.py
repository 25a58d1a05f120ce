"""Whoever looks at a model leaves it as it was: each function that takes one, on one that has something to lose."""

from collections import OrderedDict
from functools import partial

import pytest
import torch
from tiny import tiny_config
from torch import nn

from nin_helpers import resources
from nin_helpers.diagnostics import class_maps, diagnose, map_states, shift_accuracy
from nin_helpers.instruments import ShiftTest
from nin_helpers.layer_table import layer_table
from nin_helpers.modes import evaluating
from nin_helpers.roofline import time_layers
from nin_helpers.training import predict

SHAPE = (4, 1, 8, 8)
PICTURES = torch.zeros(SHAPE, dtype=torch.uint8)
LOOKS = {
    "class_maps": lambda model: class_maps(model, torch.rand(SHAPE)),
    "diagnose": lambda model: diagnose(model, (torch.rand(SHAPE), torch.arange(4) % 3)),
    "map_states": lambda model: map_states(model, torch.rand(SHAPE)),
    "shift_accuracy": lambda model: shift_accuracy(model, torch.rand(SHAPE), torch.arange(4) % 3, (0, 1)),
    "predict": lambda model: predict(model, PICTURES, tiny_config()),
    "shift_test": lambda model: ShiftTest({"it": model}, PICTURES, torch.arange(4) % 3, "abc", tiny_config()),
    "time_layers": lambda model: time_layers(model, torch.rand(SHAPE), seconds=0.001),
    "layer_table": partial(layer_table, input_shape=SHAPE),
    "count_parameters": resources.count_parameters,
    "allocated_memory": partial(resources.allocated_memory, input_shape=SHAPE, training=True),
    **{
        name: partial(getattr(resources, name), input_shape=SHAPE)
        for name in ("layer_costs", "count_macs", "count_training_flops", "training_memory", "prediction_memory")
    },
}


def used_model():
    """Return a network with mixed modes, a frozen layer, gradients, running statistics and a hook of the user's."""
    layers = OrderedDict(
        conv=nn.Conv2d(1, 4, 3, padding=1), norm=nn.BatchNorm2d(4), relu=nn.ReLU(), dropout=nn.Dropout(),
        block=nn.Conv2d(4, 3, 1), gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
    )  # fmt: skip
    model = nn.Sequential(layers).train()
    model.conv.requires_grad_(False)
    model(torch.rand(SHAPE)).sum().backward()
    model.block.eval()
    model.relu.register_forward_hook(lambda *_: None)
    return model


def all_of(model):
    """Return what a look could change, with tensors as lists of numbers."""
    return {
        "modes": [module.training for module in model.modules()],
        "numbers": {name: (tensor.device.type, tensor.tolist()) for name, tensor in model.state_dict().items()},
        "frozen": [not parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if weights.grad is None else weights.grad.tolist() for weights in model.parameters()],
        "hooks": [dict(vars(module)[name]) for module in model.modules() for name in vars(module) if "_hooks" in name],
    }


@pytest.mark.parametrize("look", LOOKS)
def test_a_model_that_was_looked_at_is_as_it_was(look):
    model = used_model()
    before = all_of(model)
    LOOKS[look](model)
    assert all_of(model) == before


def test_modes_are_put_back_after_an_error_too():
    model = used_model()
    before = all_of(model)["modes"]
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(module.training for module in model.modules())
        1 / 0  # noqa: B018
    assert all_of(model)["modes"] == before
