"""How fast a chip can go, how fast each layer goes on it, and what a training step spends its time on.

The roofline (Williams, Waterman and Patterson, 2009): an operation takes at least its floating-point operations over
the rate at which the chip multiplies matrices, and at least the bytes that it moves over the rate of the memory (less
where they are still in a cache). On a GPU a small layer's time may be that of starting it.
"""

import functools
import statistics
import time
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nin_helpers.hardware import autocast, keep_memory, wait_for
from nin_helpers.layer_table import bare_copy

KINDS = {  # of what a profiler calls an operation, first match first
    "convolution": ("conv", "gemm", "xmma", "cutlass", "nvjet", "fprop", "dgrad", "wgrad", "cudnn_"),
    "pooling": ("pool",),
    "ReLU": ("relu", "threshold", "clamp"),
    "copying": ("copy", "memcpy", "memset", "aten::to", "aten::cat"),
    "update": ("adam", "foreach", "multi_tensor"),
}


@dataclass(frozen=True)
class LayerTiming:
    """What the forward and the backward pass of one layer cost, for a whole batch.

    flops: floating-point operations, a multiply–accumulate is two. bytes: what its operations read and write, each
    tensor once an operation. seconds: measured, the layer alone.
    """

    name: str
    type: str
    flops: int
    bytes: int
    seconds: float

    def limits(self, matrix_rate, memory_rate):
        """Return the seconds that arithmetic and memory traffic take at least; the larger one binds."""
        return self.flops / matrix_rate, self.bytes / memory_rate


def matrix_rate(device, precision, seconds=0.5):
    """Return the floating-point operations a second of `device`, multiplying square matrices; the best of five sizes.

    precision: "fp32" (on CUDA in TF32 where convolutions are), "bf16" or "fp16". Each size is repeated for a fifth
    of `seconds`, and its median counts.
    """
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    sizes = (768, 1024, 1536, 2048, 3072) if device.type == "cpu" else (2048, 4096, 6144, 8192, 12288)
    rates, tf32 = [], torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        for size in sizes:
            one, two = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
            product = functools.partial(torch.mm, one, two, out=torch.empty_like(one))
            rates.append(2 * size**3 / _median_seconds(product, device, seconds / len(sizes)))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32
    return max(rates)


def memory_rate(device, seconds=0.5):
    """Return the bytes a second that a copy within the memory of `device` reads and writes, 128 MiB of each."""
    source = torch.ones(2**25, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _median_seconds(lambda: target.copy_(source), device, seconds)


def time_layers(model, x, precision="fp32", seconds=0.2):
    """Return a `LayerTiming` for each layer without layers of its own that computes, in the order of the forward pass.

    x: (batch, channel, height, width), on the model's device. Each layer of a copy of the model runs forward and
    backward on what it gets in the network, for about `seconds`; the first one without a gradient for its input, as in
    training.
    """
    model = bare_copy(model, x.device).train()
    inputs, costs = {}, []
    leaves = {layer: name for name, layer in model.named_modules() if not list(layer.children())}

    def keep(layer, args):
        inputs[layer] = args[0].detach()

    hooks = [layer.register_forward_pre_hook(keep) for layer in leaves]
    with torch.no_grad(), autocast(x.device, precision):
        model(x)
    for hook in hooks:
        hook.remove()  # before the layers run by themselves
    with keep_memory(x.device):
        for layer, value in inputs.items():
            if type(layer).__name__ in ("Flatten", "Identity"):
                continue
            value.requires_grad_(bool(costs))
            run = functools.partial(_forward_and_backward, layer, value, [], precision)
            run()
            with FlopCounterMode(display=False) as flops, _Traffic() as traffic:
                run()
            taken = _median_seconds(run, x.device, seconds)
            costs.append(
                LayerTiming(leaves[layer], type(layer).__name__, flops.get_total_flops(), traffic.bytes, taken)
            )
            value.grad = None
            layer.zero_grad()
    return costs


def profile_step(step, device):
    """Return [(kind, name, start, duration), …] of the operations of one call of `step`, in seconds from its first one.

    On CUDA these are the kernels, elsewhere PyTorch's operations, without those that run inside another. kind: one of
    `KINDS`, or "the rest". `step` is called twice before.
    """
    on_cuda = device.type == "cuda"
    for _ in range(2):
        step()
    wait_for(device)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_cuda
    with profile(activities=activities, acc_events=True) as recorded:  # without it torch 2.11, which Colab has, warns
        step()
        wait_for(device)
    events = [event for event in recorded.events() if _is_kernel(event)]
    events = events or [event for event in recorded.events() if _is_outermost(event)]  # no CUDA, or one that tells none
    first = min(event.time_range.start for event in events)
    return [
        (kind_of(event.name), event.name, (event.time_range.start - first) / 1e6, event.time_range.elapsed_us() / 1e6)
        for event in sorted(events, key=lambda event: event.time_range.start)
    ]


def backward_begins(events):
    """Return when the backward pass of a step begins, in seconds: its first operation has "backward" in its name."""
    return min(start for _, name, start, _ in events if "backward" in name.lower())


def kind_of(name):
    """Return which of `KINDS` an operation or kernel called `name` is, or "the rest"."""
    found = [kind for kind, parts in KINDS.items() if any(part in name.lower() for part in parts)]
    return found[0] if found else "the rest"


def _forward_and_backward(layer, x, gradient, precision):
    """Run `layer` on x and back; `gradient` is a list that keeps the one that comes from above, made the first time."""
    layer.zero_grad()  # what is there would be added to
    x.grad = None
    with autocast(x.device, precision):
        output = layer(x)
    if not gradient:
        gradient.append(torch.ones_like(output))
    if output.requires_grad:
        output.backward(gradient[0])


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of the tensors that operations take and return; one that returns a view moves none."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view and function is not torch.ops.aten.detach.default:
            moved = tree_leaves((args, kwargs, result))
            self.bytes += sum(tensor.nbytes for tensor in moved if isinstance(tensor, torch.Tensor))
        return result


def _is_kernel(event):
    return event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation


def _is_outermost(event):
    parent = event.cpu_parent
    while parent is not None and not parent.name.startswith("aten::"):
        parent = parent.cpu_parent
    return event.name.startswith("aten::") and parent is None


def _median_seconds(call, device, seconds):
    """Return the median time of `call`, after one that is not counted: three times, more within `seconds`.

    On a GPU a time is that of ten short calls in a row, for it takes a while until the host hears that one is done.
    """

    def timed(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait_for(device)
        return (time.perf_counter() - start) / calls

    timed(1)
    calls = 1 if device.type == "cpu" or timed(1) > 0.01 else 10
    times = []
    while len(times) < 3 or calls * sum(times) < seconds:
        times.append(timed(calls))
    return statistics.median(times)
