"""The textbook's own network, as the reference of several tests."""

from torch import nn


def textbook_block(in_channels, out_channels, kernel_size, stride, padding):
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=1), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=1), nn.ReLU(),
    )  # fmt: skip


def textbook_nin():
    """The network as Dive into Deep Learning, section 8.3, writes it, with the channel counts filled in."""
    return nn.Sequential(
        textbook_block(1, 96, 11, 4, 0),
        nn.MaxPool2d(3, stride=2),
        textbook_block(96, 256, 5, 1, 2),
        nn.MaxPool2d(3, stride=2),
        textbook_block(256, 384, 3, 1, 1),
        nn.MaxPool2d(3, stride=2),
        nn.Dropout(0.5),
        textbook_block(384, 10, 3, 1, 1),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )
