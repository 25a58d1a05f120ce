"""Network in Network in PaddlePaddle, behind the same functions as every framework's module here.

Paddle keeps PyTorch's axis order (batch, channel, height, width), weights (out channels, in channels, height, width)
and numbers for padding, so nothing is turned round at the border: `from_pytorch` and `to_pytorch` only change the type.
Layers run as they are called (Paddle's dynamic graph): it is how Paddle's guide has its users train. Its compiler,
CINN, is not in the package for CPUs.
"""

import warnings

from weights import read_weights as read_arrays
from weights import write_weights

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "No ccache found")  # only who builds operators of their own misses it
    import paddle
    from paddle import nn

__all__ = ["NiN", "layer_outputs", "make_step", "nin_block", "read_weights", "run", "save_weights"]
DISTRIBUTIONS = ("paddlepaddle",)

BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))  # out_channels, kernel_size, stride, padding of 1 to 3
SMALLEST = 67  # height and width in pixels of the smallest image in which each window finds room


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0):
    """Return an NiN block: a convolution and two 1 × 1 convolutions, each followed by a ReLU.

    x: (batch, in_channels, height, width) → (batch, out_channels, new height, new width). Weights start as
    XavierUniform draws them; Paddle's own default, unlike PyTorch's, is He's normal distribution. Biases start at zero.

    Raises ValueError naming the argument that is out of range: Paddle itself takes in_channels=0.
    """
    _check_whole_numbers(1, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride)
    _check_whole_numbers(0, padding=padding)
    layers = [_convolution(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU()]
    for _ in range(2):
        layers += [_convolution(out_channels, out_channels, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class NiN(nn.Sequential):
    """Three blocks with max pooling, dropout, a block with one map per class, and their mean: 1,992,166 parameters.

    x: (batch, in_channels, height, width), float32 → logits (batch, num_classes). Sublayers have PyTorch's names, so
    the state dict has them too. dropout: the probability of zeroing an element in training, 0 ≤ dropout < 1.

    Raises ValueError naming the bad argument; on a call, for an x that the network does not take. Below 67 pixels
    Paddle, unlike PyTorch, would compute something where a pooling window no longer fits.
    """

    def __init__(self, in_channels=1, num_classes=10, *, dropout=0.5):
        _check_whole_numbers(1, in_channels=in_channels, num_classes=num_classes)
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout!r} must be a number of at least 0 and less than 1")
        layers, channels = [], in_channels
        for number, (width, *window) in enumerate(BLOCKS, start=1):
            block, pool = nin_block(channels, width, *window), nn.MaxPool2D(3, stride=2)
            layers += [(f"block{number}", block), (f"pool{number}", pool)]
            channels = width
        layers += [("dropout", nn.Dropout(dropout)), ("block4", nin_block(channels, num_classes, 3, padding=1))]
        super().__init__(*layers, ("gap", nn.AdaptiveAvgPool2D(1)), ("flatten", nn.Flatten()))
        self.in_channels = in_channels

    def forward(self, x):
        """Return the logits (batch, num_classes) of the images x (batch, in_channels, height, width)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < SMALLEST:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but must be (batch, {self.in_channels}, height, width) with a height "
                f"and width of at least {SMALLEST}"
            )
        return super().forward(x)


@paddle.no_grad()
def run(network, x, training=False):
    """Return what a network, or a block, makes of x (batch, channel, height, width); its dropout acts in training."""
    network.train() if training else network.eval()
    return to_pytorch(network(from_pytorch(x)))


def layer_outputs(model, x):
    """Return {layer: its output, (batch, channel, height, width)}: of each ReLU and pooling; last the "logits"."""
    layers = {}

    def keep(name):
        return lambda layer, args, output: layers.update({name: to_pytorch(output)})

    kept = [
        layer.register_forward_post_hook(keep(name))
        for name, layer in model.named_sublayers()
        if isinstance(layer, (nn.ReLU, nn.MaxPool2D))
    ]
    logits = run(model, x)
    for hook in kept:
        hook.remove()
    return {**layers, "logits": logits}


def read_weights(model, path):
    """Give the model the weights in a file; ValueError names the tensors that do not fit, before any is changed.

    Paddle's own `set_state_dict` warns of a tensor that does not fit, and goes on with the next.
    """
    arrays = read_arrays(path, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    model.set_state_dict({name: from_pytorch(array) for name, array in arrays.items()})


def save_weights(model, path):
    """Write the model's weights to a file."""
    write_weights(path, {name: to_pytorch(tensor) for name, tensor in model.state_dict().items()})


def make_step(model, lr):
    """Return a function of x and labels (batch,) that takes a step of plain SGD, and returns the loss before it."""
    optimizer = paddle.optimizer.SGD(learning_rate=lr, parameters=model.parameters())

    def step(x, labels):
        model.train()
        loss = nn.functional.cross_entropy(model(from_pytorch(x)), from_pytorch(labels))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return loss.item()

    return step


def from_pytorch(array):
    """Return a NumPy array, in PyTorch's order of axes, as a Paddle tensor, which has the same order."""
    return paddle.to_tensor(array)


def to_pytorch(tensor):
    """Return a Paddle tensor as a NumPy array in PyTorch's order of axes, the same."""
    return tensor.numpy()


def _convolution(in_channels, out_channels, *window):
    return nn.Conv2D(in_channels, out_channels, *window, weight_attr=nn.initializer.XavierUniform())


def _check_whole_numbers(smallest, **arguments):
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
            raise ValueError(f"{name}={value!r} must be a whole number of at least {smallest}")
