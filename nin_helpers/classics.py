"""The networks that NiN is compared with, for the same input: LeNet, AlexNet and VGG-11, as the textbook has them."""

from torch import nn

from nin_helpers.architecture import BLOCKS, POOL
from nin_helpers.shapes import conv_output_size


def lenet(num_classes=10, input_size=224):
    """Return LeNet-5: x (batch, 1, input_size, input_size) → logits (batch, num_classes).

    Two convolutions with average pooling, then three fully connected layers; 61,706 parameters at its own 28 pixels.
    Source: LeCun et al. (1998), with the 28-pixel padding of Dive into Deep Learning, section 7.6.
    """
    size = input_size // 2  # the first convolution keeps the size, the pooling halves it
    size = conv_output_size(size, 5) // 2 if size >= 6 else 0
    if size == 0:
        raise ValueError(f"input_size={input_size} is too small: the smallest that works is 12")
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(16 * size * size, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, num_classes),
    )  # fmt: skip


def alexnet(num_classes=10):
    """Return AlexNet on one channel: x (batch, 1, 224, 224) → logits (batch, num_classes); 46,764,746 parameters.

    Its first three convolutions are those of `nin.BLOCKS`. Source: Krizhevsky, Sutskever and Hinton (2012), in the one
    stream of Dive into Deep Learning, section 8.1, whose first convolution is padded by 1.
    """
    (first, *window1), (second, *window2), (third, *window3) = BLOCKS
    return nn.Sequential(
        nn.Conv2d(1, first, *window1[:2], padding=1), nn.ReLU(), nn.MaxPool2d(*POOL),
        nn.Conv2d(first, second, *window2), nn.ReLU(), nn.MaxPool2d(*POOL),
        nn.Conv2d(second, third, *window3), nn.ReLU(),
        nn.Conv2d(third, third, 3, padding=1), nn.ReLU(),
        nn.Conv2d(third, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(*POOL),
        nn.Flatten(),
        nn.Linear(256 * 5 * 5, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, num_classes),
    )  # fmt: skip


def vgg11(num_classes=10):
    """Return VGG-11 on one channel: x (batch, 1, 224, 224) → logits (batch, num_classes); 128,806,154 parameters.

    Source: Simonyan and Zisserman (2014), configuration A, arXiv 1409.1556.
    """
    layers, channels = [], 1
    for count, width in ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.Flatten(),
        nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, num_classes),
    )  # fmt: skip
