"""Network in Network (Lin, Chen and Yan, 2013): the block, the network, and how its weights start."""

from collections import OrderedDict

import torch
from torch import nn

from nin_helpers.shapes import check_whole_number, conv_output_size

HEADS = ("gap", "fc", "fc3")
INITS = ("default", "xavier", "kaiming", "alive")

# (out_channels, kernel_size, stride, padding) of blocks 1 to 3: AlexNet's first three convolutions. Block 4 has one
# channel per class. A max pooling of 3 with stride 2 follows each of the first three.
BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))
POOL = (3, 2)
WIDTHS = tuple(block[0] for block in BLOCKS)

# A family as VGG's A to E: (widths, depths) of the three stages. The rule: from half of NiN's widths (A) to all of them
# (C) by a quarter each; from C on a stage gets one more block, the last first, where a block costs least computation.
FAMILY = {
    "A": ((48, 128, 192), (1, 1, 1)),
    "B": ((72, 192, 288), (1, 1, 1)),
    "C": (WIDTHS, (1, 1, 1)),
    "D": (WIDTHS, (1, 1, 2)),
    "E": (WIDTHS, (1, 2, 2)),
}


def nin_block(in_channels, out_channels, kernel_size, stride=1, padding=0, *, num_pointwise=2, pointwise_kernel_size=1):
    """Return an NiN block: a convolution and `num_pointwise` per-pixel convolutions, each followed by a ReLU.

    x: (batch, in_channels, height, width) → (batch, out_channels, new height, new width); only the first convolution
    takes `kernel_size`, `stride` and `padding` and changes the size. `pointwise_kernel_size` is 1 in the paper; another
    odd one is padded by half, so that height and width stay.

    Raises ValueError naming the argument that is out of range. Source: arXiv 1312.4400, section 3.1 ("mlpconv").
    """
    for name, value, smallest in (
        ("in_channels", in_channels, 1),
        ("out_channels", out_channels, 1),
        ("kernel_size", kernel_size, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("num_pointwise", num_pointwise, 0),
        ("pointwise_kernel_size", pointwise_kernel_size, 1),
    ):
        check_whole_number(name, value, smallest)
    if pointwise_kernel_size % 2 == 0:
        raise ValueError(f"pointwise_kernel_size={pointwise_kernel_size} must be odd, or height and width would change")
    layers = [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU()]
    for _ in range(num_pointwise):
        layers += [
            nn.Conv2d(out_channels, out_channels, pointwise_kernel_size, padding=pointwise_kernel_size // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class NiN(nn.Sequential):
    """The textbook's NiN: three blocks with max pooling, dropout, a block with one map per class, and their mean.

    x: (batch, in_channels, height, width), float → logits (batch, num_classes). With the defaults and input_size=224
    it has 1,992,166 parameters, in the order convolution, 1 × 1, 1 × 1 per block, weight before bias.

    head: "gap" averages the class maps of block 4 (global average pooling), at any input size. In place of block 4 and
        its average, "fc" puts one fully connected layer on the flattened map of 384 channels, "fc3" AlexNet's three
        (4,096, 4,096, num_classes) with dropout between: these two work at `input_size` only.
    widths, depths: channels, and number of blocks, of the three stages that a max pooling ends; a stage's first block
        has the window and stride above, the others 3 × 3.
    reduction: channels of further 3 × 3 blocks between the dropout and block 4.
    num_pointwise, pointwise_kernel_size: the per-pixel layers of each block, as in `nin_block`.
    dropout: the probability of zeroing an element of the last feature map in training, 0 ≤ dropout < 1.
    init: "default" (PyTorch's own), "xavier", "kaiming", or "alive", with which every class starts with a gradient.
    final_relu: whether a ReLU follows the last layer of block 4, as in the paper's figure; without effect on "fc".
    batch_norm: adds a BatchNorm2d behind each convolution.
    input_size: height and width in pixels of the images that are coming.

    Raises ValueError naming the bad argument; for an input size that cannot work, the layer that breaks and the
    smallest size that would do. Sources: arXiv 1312.4400; Dive into Deep Learning, section 8.3.
    """

    def __init__(
        self,
        in_channels=1,
        num_classes=10,
        *,
        head="gap",
        widths=WIDTHS,
        depths=(1, 1, 1),
        reduction=(),
        num_pointwise=2,
        pointwise_kernel_size=1,
        dropout=0.5,
        init="xavier",
        final_relu=True,
        batch_norm=False,
        input_size=224,
    ):
        check_whole_number("in_channels", in_channels, 1)
        check_whole_number("num_classes", num_classes, 1)
        _check_choice("head", head, HEADS)
        _check_choice("init", init, INITS)
        _check_choice("final_relu", final_relu, (True, False))
        _check_choice("batch_norm", batch_norm, (True, False))
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout!r} must be a number of at least 0 and less than 1")
        _check_whole_numbers("widths", widths, len(BLOCKS))
        _check_whole_numbers("depths", depths, len(BLOCKS))
        _check_whole_numbers("reduction", reduction)
        if reduction and head != "gap":
            raise ValueError(f"reduction={reduction!r} needs head='gap': head={head!r} has no block 4 to lead to")
        feature_size = last_feature_size(input_size)

        options = {"num_pointwise": num_pointwise, "pointwise_kernel_size": pointwise_kernel_size}
        layers, channels = OrderedDict(), in_channels
        for number, ((_, *window), width, depth) in enumerate(zip(BLOCKS, widths, depths), start=1):
            layers[f"block{number}"] = nin_block(channels, width, *window, **options)
            for repeat in range(2, depth + 1):
                layers[f"block{number}_{repeat}"] = nin_block(width, width, 3, padding=1, **options)
            layers[f"pool{number}"] = nn.MaxPool2d(*POOL)
            channels = width
        layers["dropout"] = nn.Dropout(dropout)
        for number, width in enumerate(reduction, start=1):
            layers[f"reduction{number}"] = nin_block(channels, width, 3, padding=1, **options)
            channels = width
        if head == "gap":
            block = nin_block(channels, num_classes, 3, padding=1, **options)
            layers["block4"] = block if final_relu else block[:-1]
            layers["gap"] = nn.AdaptiveAvgPool2d(1)
            layers["flatten"] = nn.Flatten()
        else:
            layers["flatten"] = nn.Flatten()
            features = channels * feature_size**2
            for number in (1, 2) if head == "fc3" else ():
                layers[f"fc{number}"] = nn.Sequential(nn.Linear(features, 4096), nn.ReLU(), nn.Dropout(dropout))
                features = 4096
            layers["fc"] = nn.Linear(features, num_classes)
        if batch_norm:
            layers = OrderedDict((name, _with_batch_norm(layer)) for name, layer in layers.items())
        super().__init__(layers)
        self.in_channels, self.input_size, self.head = in_channels, input_size, head
        initialise(self, init)

    def forward(self, x):
        """Return the logits (batch, num_classes) of the images x (batch, in_channels, height, width)."""
        self._check_input(x)
        return super().forward(x)

    def __getitem__(self, index):
        """Return one layer, or for a slice a plain nn.Sequential of the same layers, which is no whole NiN."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def _check_input(self, x):
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but must be (batch, {self.in_channels}, height, width): "
                f"this network has in_channels={self.in_channels}"
            )
        if self.head != "gap" and tuple(x.shape[2:]) != (self.input_size, self.input_size):
            raise ValueError(
                f"x is {x.shape[2]} × {x.shape[3]} pixels, but a network with head={self.head!r} takes only its "
                f"input_size={self.input_size}; head='gap' takes any"
            )
        last_feature_size(min(x.shape[2:]))


def nin_family(name, **options):
    """Return the member `name` of a family of NiN-like networks, "A" (smallest) to "E"; "C" is NiN itself.

    Widths and depths are those of `FAMILY`, whose rule is VGG's: keep the stages, repeat blocks inside them. options:
    other arguments of `NiN`. Raises ValueError for another name.
    """
    _check_choice("name", name, tuple(FAMILY))
    widths, depths = FAMILY[name]
    return NiN(widths=widths, depths=depths, **options)


def head_parameters(head, input_size=224, num_classes=10, features=WIDTHS[-1]):
    """Return how many parameters a head of `NiN` has on a last map of `features` channels, weights and biases.

    "gap": block 4, whose average has none. "fc", "fc3": the fully connected layers; they grow with the map, and so with
    `input_size`. Raises ValueError naming the bad argument.
    """
    _check_choice("head", head, HEADS)
    check_whole_number("num_classes", num_classes, 1)
    check_whole_number("features", features, 1)
    flat = features * last_feature_size(input_size) ** 2
    layers = {  # inputs and outputs of each
        "gap": [(features * 3 * 3, num_classes), (num_classes, num_classes), (num_classes, num_classes)],
        "fc": [(flat, num_classes)],
        "fc3": [(flat, 4096), (4096, 4096), (4096, num_classes)],
    }
    return sum((inputs + 1) * outputs for inputs, outputs in layers[head])


def perceptron_at(x, weight, bias, row, column):
    """Return (vector, sums, output) of a 1 × 1 convolution and its ReLU at one pixel, as a perceptron computes them.

    x: (channel, height, width); weight: (out_channels, channel, 1, 1); bias: (out_channels,). vector: (channel,), what
    the pixel has; sums: (out_channels,), weight · vector + bias; output: the sums above 0. IndexError: no such pixel.
    """
    if not (0 <= row < x.shape[1] and 0 <= column < x.shape[2]):
        raise IndexError(f"row={row}, column={column} is outside the picture of {x.shape[1]} × {x.shape[2]} pixels")
    vector = x[:, row, column]
    sums = weight[:, :, 0, 0] @ vector + bias
    return vector, sums, sums.relu()


def feature_sizes(input_size):
    """Return [(layer name, height in pixels behind it), …] of NiN's convolutions and poolings for square images.

    Raises ValueError where a window no longer fits, naming the layer and the smallest input size that works.
    """
    check_whole_number("input_size", input_size, 1)
    size, sizes = input_size, []
    for number, (_, *window) in enumerate(BLOCKS, start=1):
        for name, arguments in ((f"block{number}", window), (f"pool{number}", POOL)):
            try:
                size = conv_output_size(size, *arguments)
            except ValueError:
                raise ValueError(
                    f"input_size={input_size} is too small: {size} × {size} pixels reach {name}, whose window is "
                    f"{arguments[0]} × {arguments[0]}; {smallest_input_size()} is the smallest that works"
                ) from None
            sizes.append((name, size))
    return sizes


def last_feature_size(input_size):
    """Return the height in pixels of the map that global average pooling gets; raises as `feature_sizes` does."""
    return feature_sizes(input_size)[-1][1]


def smallest_input_size(feature_size=1):
    """Return the smallest input size in pixels whose last feature map is `feature_size` pixels high."""
    size = feature_size
    for _, kernel_size, stride, padding in reversed(BLOCKS):
        for k, s, p in ((*POOL, 0), (kernel_size, stride, padding)):
            size = (size - 1) * s + k - 2 * p
    return size


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, choices))}")


def _check_whole_numbers(name, values, count=None):
    if not isinstance(values, (tuple, list)) or count not in (None, len(values)):
        raise ValueError(f"{name}={values!r} must be a tuple of {'' if count is None else f'{count} '}whole numbers")
    for number, value in enumerate(values):
        check_whole_number(f"{name}[{number}]", value, 1)


def _with_batch_norm(block):
    if not isinstance(block, nn.Sequential):
        return block
    layers = []
    for layer in block:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers)


@torch.no_grad()
def initialise(model, init):
    """Set the weights of `model` in place and return it.

    "default": as PyTorch's layers start. "xavier": Glorot and Bengio (2010), uniform, biases as PyTorch's.
    "kaiming": He et al. (2015), normal, for ReLU, zero biases. "alive": "kaiming", and the block that makes the class
    maps starts in the linear part of its ReLUs, see `_wake_class_block`.
    """
    _check_choice("init", init, INITS)
    if init == "default":
        return model
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
    if init == "alive" and hasattr(model, "block4"):
        _wake_class_block(model.block4)
    return model


def _wake_class_block(block):
    """Start every class map well above 0, so that no class begins behind a ReLU that passes no gradient.

    The first convolution lifts its maps by a bias of 4, about twice their spread; the per-pixel layers copy. The lift
    is common to all classes, so softmax does not see it. Behind each batch normalisation its bias is the lift instead.
    """
    convolutions = [layer for layer in block if isinstance(layer, nn.Conv2d)]
    for convolution in convolutions[1:]:
        nn.init.dirac_(convolution.weight)
    normalisations = [layer for layer in block if isinstance(layer, nn.BatchNorm2d)]
    for layer in normalisations or convolutions[:1]:
        nn.init.constant_(layer.bias, 4.0)
