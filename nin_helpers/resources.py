"""What a model costs: parameters, multiply–accumulates, and the bytes that training and prediction must hold, in FP32.

All figures come from a pass on the meta device, which computes nothing: they are what the mathematics needs, before a
library's workspace. `input_shape` has the batch in front, as in `shapes.layer_table`.
"""

import copy

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from nin_helpers.shapes import layer_table


def count_parameters(model):
    """Return how many parameters `model` has, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model, input_shape):
    """Return the multiply–accumulates of one forward pass of the whole batch: half of PyTorch's count of FLOPs.

    Convolutions and matrix products count; biases, ReLU and pooling do not.
    """
    model, x = _on_meta(model, input_shape)
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() // 2


def training_memory(model, input_shape):
    """Return the bytes that the backward pass waits for: saved activations, pooling indices, parameters, gradients.

    That is what autograd saves (each storage once), plus twice the parameters. The optimizer's state is not counted:
    none for SGD, 8 bytes per parameter for Adam.
    """
    model, x = _on_meta(model, input_shape)
    model.train()
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage  # held, so that no other storage gets its number
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(x)
    activations = sum(storage.nbytes() for key, storage in saved.items() if key not in weights)
    del output
    return activations + 2 * 4 * count_parameters(model)


def prediction_memory(model, input_shape):
    """Return the bytes that prediction holds at its peak, for layers that run one after the other.

    That is the parameters, the input, and the largest sum of one layer's input and output: without gradients each
    output is freed as soon as the next layer has used it. A layer that only reshapes takes no memory of its own.
    """
    table = layer_table(model, input_shape)
    rows = [row for row in table if row.input_shape is not None]
    x = torch.Size(rows[0].input_shape).numel()
    peak = x + torch.Size(rows[0].output_shape).numel()
    for row in rows[1:]:
        if row.type not in ("Flatten", "Identity", "Dropout"):
            peak = max(peak, x + torch.Size(row.input_shape).numel() + torch.Size(row.output_shape).numel())
    return 4 * (count_parameters(model) + peak)


def _on_meta(model, input_shape):
    return copy.deepcopy(model).to("meta"), torch.zeros(input_shape, device="meta")
