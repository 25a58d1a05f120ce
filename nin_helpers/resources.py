"""What a model costs: parameters, multiply–accumulates, and the bytes that training and prediction must hold, in FP32.

Three views of memory: what the mathematics needs (`training_memory`, `prediction_memory`), what PyTorch allocates for
it (`allocated_memory`), both from a pass on the meta device, which computes nothing; and what a run really took
(`measured_memory`). `input_shape` has the batch in front, as in `shapes.layer_table`.
"""

import ctypes
import multiprocessing
import re
import sys
import weakref
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nin_helpers.layer_table import bare_copy, layer_table


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


def count_training_flops(model, input_shape):
    """Return the floating-point operations of one training step on the whole batch, a multiply–accumulate being two.

    That is the forward pass and the gradients of weights and activations, the input's own left out: for NiN a little
    less than three times the forward pass.
    """
    model, x = _on_meta(model, input_shape)
    with FlopCounterMode(display=False) as counter:
        _one_pass(model, x, training=True)
    return counter.get_total_flops()


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs: its output's shape, parameters, multiply–accumulates, and bytes of its output in FP32."""

    name: str
    type: str
    output_shape: tuple
    parameters: int
    macs: int
    bytes: int


def layer_costs(model, input_shape):
    """Return the `LayerCost` of each layer of `model` in the order of the calls; the counts are PyTorch's own."""
    rows = [row for row in layer_table(model, input_shape) if row.output_shape is not None]
    model, x = _on_meta(model, input_shape)
    with FlopCounterMode(display=False) as counter:
        model.eval()(x)
    flops = counter.get_flop_counts()
    macs = {name.partition(".")[2] or "(model)": sum(counts.values()) // 2 for name, counts in flops.items()}
    return [
        LayerCost(
            row.name, row.type, row.output_shape, row.parameters, macs.get(row.name, 0), 4 * prod(row.output_shape)
        )
        for row in rows
    ]


def training_memory(model, input_shape):
    """Return the bytes that the backward pass waits for: saved activations, pooling indices, parameters, gradients.

    That is what autograd saves (each storage once), the parameters, and a gradient for each that is not frozen. The
    optimizer's state is not counted: none for SGD, 8 bytes per parameter for Adam.
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
    gradients = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return activations + 4 * (count_parameters(model) + gradients)


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


def allocated_memory(model, input_shape, training=False):
    """Return the most bytes that PyTorch's tensors hold at once in one pass: parameters, input and all that is made.

    training: forward, cross-entropy and backward, so that the gradients of activations count too, in place of a forward
    pass without gradients. Libraries below PyTorch (cuDNN, oneDNN) may take workspace on top.
    """
    model, x = _on_meta(model, input_shape)
    with _Allocations() as allocations:
        for tensor in (*model.parameters(), *model.buffers(), x):
            allocations.add(tensor)
        _one_pass(model, x, training)
    return allocations.peak


def measured_memory(model, input_shape, training=False, device="cpu"):
    """Return the bytes by which the same pass raised the memory really in use, model and input included.

    On the CPU the pass runs in a new process, after one with a batch of 1 that loads the libraries; the figure is the
    rise of that process's peak. On CUDA it is the peak of PyTorch's allocator. ValueError: neither CUDA nor a CPU under
    Linux.
    """
    device, model = torch.device(device), bare_copy(model)
    if device.type == "cuda":
        return _measure_cuda(model, input_shape, training, device)
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        raise ValueError(f"device={str(device)!r} on {sys.platform}: memory is measured on CUDA, and on Linux's CPUs")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure_cpu, model, input_shape, training).result()


class _Allocations(TorchDispatchMode):
    """Follows each storage that an operation returns until it is freed: bytes now, and at the peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.alive = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.add(value)
        return result

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.alive:
            self.alive[key] = weakref.ref(storage, lambda _: self.drop(key, size))
            self.now += size
            self.peak = max(self.peak, self.now)

    def drop(self, key, size):
        self.now -= size
        del self.alive[key]


def _one_pass(model, x, training):
    if training:
        logits = model.train()(x)
        labels = torch.zeros(len(logits), dtype=torch.int64, device=x.device)
        F.cross_entropy(logits, labels).backward()
    else:
        with torch.no_grad():
            model.eval()(x)


def _measure_cuda(model, input_shape, training, device):
    _run_fresh(model, (1, *input_shape[1:]), training, device)  # loads the libraries, and their workspace stays
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    _run_fresh(model, input_shape, training, device)
    return torch.cuda.max_memory_allocated(device) - before


def _measure_cpu(model, input_shape, training):
    _run_fresh(model, (1, *input_shape[1:]), training)  # loads the libraries and their kernels
    ctypes.CDLL(None).malloc_trim(0)  # what that has freed goes back, or it would hide what comes
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _process_memory("VmRSS")
    _run_fresh(model, input_shape, training)
    return _process_memory("VmHWM") - before


def _run_fresh(model, input_shape, training, device="cpu"):
    """Give a copy of `model` memory and numbers, and run one pass."""
    model = bare_copy(model, device)
    for tensor in (*model.parameters(), *model.buffers()):
        torch.nn.init.constant_(tensor, 0.01)  # memory is only taken when it is written
    _one_pass(model, torch.randn(input_shape, device=device), training)


def _process_memory(field):
    """Return a field of /proc/self/status in bytes: VmRSS, in use now, or VmHWM, the most since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


def _on_meta(model, input_shape):
    return bare_copy(model), torch.zeros(input_shape, device="meta")
