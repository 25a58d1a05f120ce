"""The chapter's own network behind the functions that each framework's module here has, so that all can be compared.

Each module has `nin_block` and `NiN` with PyTorch's arguments and, for NumPy arrays in PyTorch's order of axes:
`run`, `layer_outputs`, `read_weights`, `save_weights` and `make_step`.
"""

import torch
import torch.nn.functional as F
import weights
from torch import nn

from nin_helpers.nin import NiN, nin_block

__all__ = ["NiN", "layer_outputs", "make_step", "nin_block", "read_weights", "run", "save_weights"]
DISTRIBUTIONS = ("torch",)


@torch.no_grad()
def run(network, x, training=False):
    """Return what a network, or a block, makes of x (batch, channel, height, width); its dropout acts in training."""
    return network.train(training)(torch.from_numpy(x)).numpy()


@torch.no_grad()
def layer_outputs(model, x):
    """Return {layer: its output, (batch, channel, height, width)}: of each ReLU and pooling; last the "logits"."""
    layers = {}

    def keep(name):
        return lambda layer, args, output: layers.update({name: output.numpy().copy()})

    kept = [
        layer.register_forward_hook(keep(name))
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.ReLU, nn.MaxPool2d))
    ]
    logits = run(model, x)
    for hook in kept:
        hook.remove()
    return {**layers, "logits": logits}


def read_weights(model, path):
    """Give the model the weights in a file; see `weights.read_weights` for what is refused."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    arrays = weights.read_weights(path, shapes)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})


def save_weights(model, path):
    """Write the model's weights to a file."""
    weights.write_weights(path, {name: tensor.numpy() for name, tensor in model.state_dict().items()})


def make_step(model, lr):
    """Return a function of x and labels (batch,) that takes a step of plain SGD, and returns the loss before it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)

    def step(x, labels):
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
