"""A reader's answer: called, run and told what is wrong with it."""

import torch
from torch import nn


class Wrong(Exception):
    """The answer is wrong; the message is a hint that says what to look at."""


class NotAttempted(Exception):
    """The answer is None or `...`, or a function that returns one: an untouched stub, or one without its return."""


def attempted(value, where):
    """Return `value`, unless it is what an untouched stub has."""
    if value is None or value is ...:
        raise NotAttempted(f"{where} {'None' if value is None else '...'}")
    return value


def expect(condition, hint):
    """Raise `Wrong` with the hint unless the condition holds."""
    if not condition:
        raise Wrong(hint)


def call(function, *arguments):
    """Return what the reader's function returns; a module is none: it can be called, but with pictures.

    Raises `Wrong` for what is no function, `NotAttempted` for what returns nothing.
    """
    built = isinstance(function, nn.Module)
    expect(callable(function) and not built, f"This should be a function; it is of type {type(function).__name__}.")
    return attempted(function(*arguments), "the function returns")


def make_module(function, *arguments):
    """Return the module that the reader's function makes, on the CPU."""
    result = call(function, *arguments)
    expect(
        isinstance(result, nn.Module),
        f"The function should return an nn.Module; it returned a value of type {type(result).__name__}.",
    )
    return result.cpu()


def run_recorded(module, x):
    """Return what `module` makes of x, and (layer, input, output) of each convolution, in the order of the calls."""
    calls = []

    def record(layer, inputs, output):
        calls.append((layer, inputs[0].clone(), output.clone()))  # which an in-place ReLU would overwrite

    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(record) for layer in convolutions]
    try:
        with torch.no_grad():
            output = module(x.clone())  # an in-place layer would overwrite it
    finally:
        for hook in hooks:
            hook.remove()
    expect(isinstance(output, torch.Tensor), f"It makes a value of type {type(output).__name__}, not a tensor.")
    return output, calls
