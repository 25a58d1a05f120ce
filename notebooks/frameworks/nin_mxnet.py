"""The network in MXNet Gluon 1.9, with the functions that each framework's module here has: see `nin_pytorch.py`.

Importing this switches MXNet to its NumPy interface (`npx.set_np`), for the whole process. Axes are in PyTorch's order
in MXNet too, (batch, channel, height, width) and (out channels, in channels, height, width), and its paddings are the
same numbers: so arrays cross the border as they are. Only the layers' places differ, and `_parameters` and
`layer_outputs` turn those into PyTorch's names: a convolution here includes its ReLU, so the layer at place 1 of a
block is PyTorch's 2 (convolution) and 3 (ReLU).
"""

import mxnet as mx
import weights
from mxnet import autograd, gluon, init
from mxnet.gluon import nn

__all__ = ["NiN", "layer_outputs", "make_step", "nin_block", "read_weights", "run", "save_weights"]
DISTRIBUTIONS = ("mxnet",)

# (out_channels, kernel_size, stride, padding) of blocks 1 to 3; block 4 has one channel per class
BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))
LAYERS = ("block1", "pool1", "block2", "pool2", "block3", "pool3", "dropout", "block4", "gap", "flatten")

mx.npx.set_np()


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0):
    """Return an NiN block: a convolution and two 1 × 1 convolutions, each with its ReLU inside.

    x: (batch, in_channels, height, width) → (batch, out_channels, new height, new width); only the first convolution
    takes `kernel_size`, `stride` and `padding` and changes the size. Weights start uniform after Glorot, biases at 0
    (PyTorch's layers start otherwise, and need no `initialize`). `in_channels` is given, where Gluon would wait for the
    first x to see it, so that the parameters are there at once.

    Raises ValueError naming the argument that is out of range.
    """
    for name, value, smallest in (
        ("in_channels", in_channels, 1),
        ("out_channels", out_channels, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
    ):
        _check_whole_number(name, value, smallest)
    block = nn.HybridSequential()
    block.add(
        nn.Conv2D(out_channels, kernel_size, stride, padding, in_channels=in_channels, activation="relu"),
        nn.Conv2D(out_channels, kernel_size=1, in_channels=out_channels, activation="relu"),
        nn.Conv2D(out_channels, kernel_size=1, in_channels=out_channels, activation="relu"),
    )
    block.initialize(init.Xavier())
    return block


class NiN(nn.HybridSequential):
    """The chapter's NiN: three blocks with max pooling, dropout, a block with one map per class, and their mean.

    x: (batch, in_channels, height, width), float32 → logits (batch, num_classes). It has 1,992,166 parameters with the
    defaults. dropout: the probability of zeroing an element of the last feature map, 0 ≤ dropout < 1; it acts under
    `autograd.record()` and `autograd.train_mode()` only, where PyTorch asks the model for its mode.

    Raises ValueError naming the bad argument; MXNet's own MXNetError, when called, for images of less than 67 pixels or
    of other channels.
    """

    def __init__(self, in_channels=1, num_classes=10, *, dropout=0.5):
        _check_whole_number("in_channels", in_channels, 1)
        _check_whole_number("num_classes", num_classes, 1)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout!r} must be a number of at least 0 and less than 1")
        super().__init__()
        with self.name_scope():  # the parameters' own names begin with this network's
            channels = in_channels
            for out_channels, *window in BLOCKS:
                self.add(nin_block(channels, out_channels, *window), nn.MaxPool2D(pool_size=3, strides=2))
                channels = out_channels
            self.add(nn.Dropout(dropout), nin_block(channels, num_classes, kernel_size=3, padding=1))
            self.add(nn.GlobalAvgPool2D(), nn.Flatten())


def run(network, x, training=False):
    """Return what a network, or a block, makes of x (batch, channel, height, width); its dropout acts in training."""
    with autograd.train_mode() if training else autograd.predict_mode():
        return network(mx.np.array(x)).asnumpy()


def layer_outputs(model, x):
    """Return {layer: its output, (batch, channel, height, width)}: of each ReLU and pooling; last the "logits".

    The layers are called one by one: forward hooks are silent in a model that is hybridized.
    """
    layers, x = {}, mx.np.array(x)
    for name, stage in zip(LAYERS, model):
        if name.startswith("block"):
            for place, convolution in enumerate(stage):
                layers[f"{name}.{2 * place + 1}"] = x = convolution(x)
        else:
            x = stage(x)
            if name.startswith("pool"):
                layers[name] = x
    return {name: output.asnumpy() for name, output in {**layers, "logits": x}.items()}


def read_weights(model, path):
    """Give the model the weights in a file; see `weights.read_weights` for what is refused, before any is changed."""
    parameters = _parameters(model)
    arrays = weights.read_weights(path, {name: parameter.shape for name, parameter in parameters.items()})
    for name, parameter in parameters.items():
        parameter.set_data(mx.np.array(arrays[name]))


def save_weights(model, path):
    """Write the model's weights to a file."""
    weights.write_weights(path, {name: parameter.data().asnumpy() for name, parameter in _parameters(model).items()})


def make_step(model, lr):
    """Return a function of x and labels (batch,) that takes a step of plain SGD, and returns the loss before it.

    The model and the loss are hybridized: each new shape of x is traced once, and the graph kept. The losses come one
    per image; `step(batch_size)` divides their summed gradient, so that their mean is descended, as in PyTorch.
    """
    cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
    model.hybridize()
    cross_entropy.hybridize()
    trainer = gluon.Trainer(model.collect_params(), "sgd", {"learning_rate": lr})

    def step(x, labels):
        with autograd.record():
            losses = cross_entropy(model(mx.np.array(x)), mx.np.array(labels))  # (batch,)
        losses.backward()
        trainer.step(batch_size=len(x))
        return losses.mean().item()

    return step


def _parameters(model):
    """Return {PyTorch's name: Gluon's Parameter}, in the network's order."""
    return {
        f"{name}.{2 * place}.{kind}": getattr(convolution, kind)
        for name, stage in zip(LAYERS, model)
        if name.startswith("block")
        for place, convolution in enumerate(stage)
        for kind in ("weight", "bias")
    }


def _check_whole_number(name, value, smallest):
    """Raise ValueError unless `value` is an int (True and False are not) of at least `smallest`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}")
