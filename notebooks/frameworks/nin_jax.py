"""Network in Network (Lin, Chen and Yan, 2013) in JAX with Flax NNX. What differs from PyTorch:

Inside, images and maps are (batch, height, width, channel) and kernels (height, width, in channels, out channels);
outside, NumPy arrays and files have PyTorch's order. There is no global generator: random numbers come from an
`nnx.Rngs`. Where no window fits, JAX returns an empty map, whose mean is not a number: `NiN` refuses such images.
"""

import secrets
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import weights
from flax import nnx

__all__ = ["NiN", "layer_outputs", "make_step", "nin_block", "read_weights", "run", "save_weights"]
DISTRIBUTIONS = ("jax", "jaxlib", "flax", "optax")
SMALLEST = 67  # height and width in pixels of the smallest image: its last map is 1 × 1
# where each axis of an array inside is found in PyTorch's
AXES = {"map": (0, 2, 3, 1), "weight": (2, 3, 1, 0), "bias": (0,), "logits": (0, 1)}

max_pool = partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2), padding="VALID")
global_average_pool = partial(jnp.mean, axis=(1, 2))


def from_pytorch(array, kind):
    """Return a NumPy array in PyTorch's order of axes as a JAX array in Flax's; kind: a key of `AXES`."""
    return jnp.array(array.transpose(AXES[kind]))


def to_pytorch(array, kind):
    """Return a JAX array in Flax's order of axes as a NumPy array in PyTorch's; kind: a key of `AXES`."""
    return np.asarray(array).transpose(np.argsort(AXES[kind]))


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0, *, rngs=None):
    """Return an NiN block: a convolution and two 1 × 1 convolutions, each followed by a ReLU.

    x: (batch, height, width, in_channels) → (batch, new height, new width, out_channels). `padding` is PyTorch's: so
    many pixels on each side. Weights are Glorot uniform, biases zero; rngs: where they come from (None: a new seed).

    Raises ValueError naming the argument that is out of range.
    """
    _check(1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
    _check(0, padding=padding)
    options = {"kernel_init": nnx.initializers.glorot_uniform(), "rngs": _or_new(rngs)}
    window, sides = (kernel_size, kernel_size), ((padding, padding), (padding, padding))
    return nnx.Sequential(
        nnx.Conv(in_channels, out_channels, window, stride, padding=sides, **options), nnx.relu,
        nnx.Conv(out_channels, out_channels, (1, 1), **options), nnx.relu,
        nnx.Conv(out_channels, out_channels, (1, 1), **options), nnx.relu,
    )  # fmt: skip


class NiN(nnx.Module):
    """NiN: three blocks with max pooling, dropout, a block with one map per class, and the mean of each map.

    x: (batch, height, width, in_channels), float32 → logits (batch, num_classes). 1,992,166 parameters by default.
    dropout: the probability of zeroing an element of the last feature map, 0 ≤ dropout < 1; `model.train()`,
    `model.eval()` and `nnx.view(model, deterministic=…)` switch it. rngs: where weights and dropout come from.

    Raises ValueError naming the bad argument, and for an x that the network cannot take.
    """

    def __init__(self, in_channels=1, num_classes=10, *, dropout=0.5, rngs=None):
        _check(1, in_channels=in_channels, num_classes=num_classes)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout!r} must be a number of at least 0 and less than 1")
        self.in_channels, rngs = in_channels, _or_new(rngs)
        self.block1 = nin_block(in_channels, 96, kernel_size=11, stride=4, rngs=rngs)
        self.block2 = nin_block(96, 256, kernel_size=5, padding=2, rngs=rngs)
        self.block3 = nin_block(256, 384, kernel_size=3, padding=1, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.block4 = nin_block(384, num_classes, kernel_size=3, padding=1, rngs=rngs)

    def _stages(self):
        """Return {PyTorch's name: what it does to x}, from the image to the logits."""
        return {
            "block1": self.block1, "pool1": max_pool,
            "block2": self.block2, "pool2": max_pool,
            "block3": self.block3, "pool3": max_pool, "dropout": self.dropout,
            "block4": self.block4, "logits": global_average_pool,
        }  # fmt: skip

    def __call__(self, x):
        """Return the logits (batch, num_classes) of images (batch, height, width, in_channels)."""
        if x.ndim != 4 or x.shape[-1] != self.in_channels or min(x.shape[1:3]) < SMALLEST:
            wanted = f"(batch, height, width, {self.in_channels}), with height and width of at least {SMALLEST}"
            raise ValueError(f"x has shape {x.shape}, but must be {wanted}")
        for stage in self._stages().values():
            x = stage(x)
        return x


def run(network, x, training=False):
    """Return what a network, or a block, makes of x (batch, channel, height, width); its dropout acts in training."""
    view = nnx.view(network, deterministic=not training, raise_if_not_found=False)
    output = _apply(view, from_pytorch(x, "map"))
    return to_pytorch(output, "map" if output.ndim == 4 else "logits")


def layer_outputs(model, x):
    """Return {layer: its output, (batch, channel, height, width)}: of each ReLU and pooling; last the "logits"."""
    x, layers = from_pytorch(x, "map"), {}
    for name, stage in nnx.view(model, deterministic=True)._stages().items():
        parts = stage.layers if isinstance(stage, nnx.Sequential) else [stage]
        for number, part in enumerate(parts):
            x = part(x)
            if part in (nnx.relu, max_pool):
                layers[f"{name}.{number}" if len(parts) > 1 else name] = to_pytorch(x, "map")
    return {**layers, "logits": to_pytorch(x, "logits")}


def read_weights(model, path):
    """Give the model the weights in a file; see `weights.read_weights` for what is refused."""
    parameters = _parameters(model)
    shapes = {name: to_pytorch(parameter, kind).shape for name, (kind, parameter) in parameters.items()}
    for name, array in weights.read_weights(path, shapes).items():
        kind, parameter = parameters[name]
        parameter[...] = from_pytorch(array, kind)


def save_weights(model, path):
    """Write the model's weights to a file, with PyTorch's names, shapes and order of axes."""
    parameters = _parameters(model).items()
    weights.write_weights(path, {name: to_pytorch(parameter, kind) for name, (kind, parameter) in parameters})


def make_step(model, lr):
    """Return a function of x and labels (batch,) that takes a step of plain SGD, and returns the loss before it."""
    view = nnx.view(model, deterministic=False)  # shares its parameters with the model
    optimizer = nnx.Optimizer(view, optax.sgd(lr), wrt=nnx.Param)

    def step(x, labels):
        return float(_train_step(view, optimizer, from_pytorch(x, "map"), labels))

    return step


@nnx.jit
def _apply(network, x):
    return network(x)


@nnx.jit
def _train_step(model, optimizer, x, labels):
    def mean_loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

    loss, gradients = nnx.value_and_grad(mean_loss)(model)
    optimizer.update(model, gradients)
    return loss


def _parameters(model):
    """Return {PyTorch's name: (kind, the model's nnx.Param)}: block1.layers[0].kernel is "block1.0.weight"."""
    kinds = {"kernel": "weight", "bias": "bias"}
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {f"{block}.{number}.{kinds[leaf]}": (kinds[leaf], parameter) for (block, _, number, leaf), parameter in flat}


def _or_new(rngs):
    return nnx.Rngs(secrets.randbits(31)) if rngs is None else rngs


def _check(smallest, **arguments):
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
            raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}")
