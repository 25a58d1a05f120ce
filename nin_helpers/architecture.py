"""NiN in numbers: windows, widths, sizes and heads. Imports no torch."""

from nin_helpers.checks import check_choice, check_whole_number
from nin_helpers.shapes import conv_output_size, fields

HEADS = ("gap", "fc", "fc3")
INITS = ("default", "xavier", "kaiming", "alive")

# (out_channels, kernel_size, stride, padding) of blocks 1 to 3: AlexNet's first three convolutions. Block 4 has one
# channel per class. A max pooling of 3 with stride 2 follows each of the first three.
BLOCKS = ((96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))
POOL = (3, 2)
CLASS_WINDOW = (3, 1, 1)  # (kernel_size, stride, padding) of block 4
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


def head_parameters(head, input_size=224, num_classes=10, features=WIDTHS[-1]):
    """Return how many parameters a head of `NiN` has on a last map of `features` channels, weights and biases.

    "gap": block 4, whose average has none. "fc", "fc3": the fully connected layers; they grow with the map, and so with
    `input_size`. Raises ValueError naming the bad argument.
    """
    check_choice("head", head, HEADS)
    check_whole_number("num_classes", num_classes, 1)
    check_whole_number("features", features, 1)
    flat = features * last_feature_size(input_size) ** 2
    layers = {  # inputs and outputs of each
        "gap": [(features * 3 * 3, num_classes), (num_classes, num_classes), (num_classes, num_classes)],
        "fc": [(flat, num_classes)],
        "fc3": [(flat, 4096), (4096, 4096), (4096, num_classes)],
    }
    return sum((inputs + 1) * outputs for inputs, outputs in layers[head])


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


def map_fields(input_size):
    """Return [(first, last), …]: which rows (or columns) of a picture each one of a class map of NiN sees, in pixels.

    Raises as `feature_sizes` does; see `shapes.fields`.
    """
    last_feature_size(input_size)
    windows = [window for _, *block in BLOCKS for window in (block, (*POOL, 0))]
    return fields(input_size, [*windows, CLASS_WINDOW])


def smallest_input_size(feature_size=1):
    """Return the smallest input size in pixels whose last feature map is `feature_size` pixels high."""
    size = feature_size
    for _, kernel_size, stride, padding in reversed(BLOCKS):
        for k, s, p in ((*POOL, 0), (kernel_size, stride, padding)):
            size = (size - 1) * s + k - 2 * p
    return size
