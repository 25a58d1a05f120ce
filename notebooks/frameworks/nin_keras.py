"""The chapter's network in TensorFlow/Keras, behind the functions that `nin_pytorch` has too.

Inside, axes have Keras' order, channels last: maps are (batch, height, width, channel), kernels (height, width, in
channel, out channel). Arrays that go in and come out, and files, have PyTorch's; `to_pytorch` and `from_pytorch`, and
nothing else, turn the one into the other.
"""

import contextlib
import os
from importlib.metadata import packages_distributions

import numpy as np
import weights

os.environ["KERAS_BACKEND"] = "tensorflow"  # Keras 3 runs on others too
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only


@contextlib.contextmanager
def _no_stderr():
    """Send what is written to file descriptor 2 nowhere: TensorFlow 2.21 logs while it loads, whatever its settings."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


with _no_stderr():
    import keras
    from keras import layers

__all__ = ["NiN", "from_pytorch", "layer_outputs", "make_step", "nin_block", "read_weights", "run", "save_weights"]
__all__ += ["to_pytorch"]
DISTRIBUTIONS = (*packages_distributions()["tensorflow"], "keras")  # "tensorflow_cpu" where there is no GPU

# (out_channels, kernel_size, stride, padding) of blocks 1 to 3; a max pooling of 3 with stride 2 follows each
BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))
# which of Keras' axes is PyTorch's first, second, third and fourth
MAPS = (0, 3, 1, 2)  # (batch, channel, height, width) from (batch, height, width, channel)
KERNEL = (3, 2, 0, 1)  # (out, in, height, width) from (height, width, in, out)


def to_pytorch(array, axes=MAPS):
    """Return a NumPy array with its axes as in PyTorch; what has not four of them, a bias or logits, as it is."""
    array = np.asarray(array)
    return array.transpose(axes) if array.ndim == 4 else array


def from_pytorch(array, axes=MAPS):
    """Return a NumPy array with its axes as in Keras: the inverse of `to_pytorch`."""
    return array.transpose(np.argsort(axes)) if array.ndim == 4 else array


def _convolution(name, out_channels, kernel_size, stride=1, padding=0):
    """Return [a convolution with its ReLU], or [a padding, that convolution]: `padding` pixels on each side.

    Keras' "same" keeps ⌈size / stride⌉ pixels, whatever that takes; an odd number of padded rows is split unevenly.
    With stride 1 and an odd window that is half the window on each side, so there it is PyTorch's. Else a layer pads.
    """
    same = stride == 1 and kernel_size == 2 * padding + 1
    how = "same" if same else "valid"
    convolution = layers.Conv2D(out_channels, kernel_size, stride, padding=how, activation="relu", name=name)
    pads = padding > 0 and not same
    return [layers.ZeroPadding2D(padding, name=f"{name}.padding"), convolution] if pads else [convolution]


def _block(prefix, out_channels, kernel_size, stride=1, padding=0):
    """Return the layers of a block, named as PyTorch's convolutions: a ReLU, part of them here, is 1, 3 or 5 there."""
    block = _convolution(f"{prefix}0", out_channels, kernel_size, stride, padding)
    for number in (2, 4):
        block += _convolution(f"{prefix}{number}", out_channels, 1)
    return block


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0):
    """Return an NiN block, a keras.Sequential: a convolution and two per-pixel convolutions, each with its ReLU.

    x: (batch, height, width, in_channels) → (batch, new height, new width, out_channels). Kernels start Glorot
    uniform, biases at 0: Keras' default. Raises ValueError naming the argument that is out of range.
    """
    _check(1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
    _check(0, padding=padding)
    maps = keras.Input((None, None, in_channels))  # any height and width
    return keras.Sequential([maps, *_block("", out_channels, kernel_size, stride, padding)])


def NiN(in_channels=1, num_classes=10, *, dropout=0.5, input_size=None):
    """Return NiN, a keras.Sequential of layers named as in PyTorch: "block1.0", "pool1" and so on.

    x: (batch, height, width, in_channels) → logits (batch, num_classes). dropout: as in PyTorch, with `training=True`
    only. input_size: height and width, for `summary()` to show sizes; None: any, which it shows as None.

    Raises ValueError naming the argument that is out of range, or Keras' own where a pooling no longer fits.
    """
    _check(1, in_channels=in_channels, num_classes=num_classes)
    if input_size is not None:
        _check(1, input_size=input_size)
    if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout!r} must be a number of at least 0 and less than 1")
    stack = [keras.Input((input_size, input_size, in_channels))]
    for number, block in enumerate(BLOCKS, start=1):
        stack += [*_block(f"block{number}.", *block), layers.MaxPooling2D(3, strides=2, name=f"pool{number}")]
    stack += [layers.Dropout(dropout, name="dropout"), *_block("block4.", num_classes, kernel_size=3, padding=1)]
    return keras.Sequential([*stack, layers.GlobalAveragePooling2D(name="gap")], name="nin")  # flattens too


def run(network, x, training=False):
    """Return what a network, or a block, makes of x (batch, channel, height, width); its dropout acts in training."""
    return to_pytorch(network(from_pytorch(x), training=training))


def layer_outputs(model, x):
    """Return {layer: its output, (batch, channel, height, width)}: of each ReLU and pooling; last the "logits"."""
    kept = {}
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            block, number = layer.name.split(".")
            kept[f"{block}.{int(number) + 1}"] = layer.output  # of the ReLU
        elif isinstance(layer, layers.MaxPooling2D):
            kept[layer.name] = layer.output
    outputs = keras.Model(model.inputs[0], [*kept.values(), *model.outputs])(from_pytorch(x), training=False)
    return {name: to_pytorch(output) for name, output in zip([*kept, "logits"], outputs)}


def read_weights(model, path):
    """Give the model the weights in a file; see `weights.read_weights` for what is refused."""
    variables = _variables(model)
    arrays = weights.read_weights(path, {name: to_pytorch(v, KERNEL).shape for name, v in variables.items()})
    for name, variable in variables.items():
        variable.assign(from_pytorch(arrays[name], KERNEL))


def save_weights(model, path):
    """Write the model's weights to a file."""
    weights.write_weights(path, {name: to_pytorch(v, KERNEL) for name, v in _variables(model).items()})


def make_step(model, lr):
    """Return a function of x and labels (batch,) that takes a step of plain SGD, and returns the loss before it.

    The loss is told that it gets logits: by default Keras' takes what comes for probabilities.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(lr), loss=loss)
    return lambda x, labels: float(model.train_on_batch(from_pytorch(x), labels))


def _variables(model):
    """Return {name in PyTorch: Keras' variable} of each kernel and bias, in the order of the network."""
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    pairs = ((layer.name, {"weight": layer.kernel, "bias": layer.bias}) for layer in convolutions)
    return {f"{name}.{part}": variable for name, parts in pairs for part, variable in parts.items()}


def _check(smallest, **arguments):
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
            raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}")
