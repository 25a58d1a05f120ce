"""Labelled images, and a data set of them in three parts, checked when it is made."""

import copy
from dataclasses import dataclass

import torch

PARTS = ("train", "validation", "test")
WHOLE_NUMBERS = (
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip


class DataError(RuntimeError):
    """Data that cannot be had or trusted; the message says which file or folder, and what to do."""


@dataclass(frozen=True)
class LabelledImages:
    """Images, uint8 (count, channel, height, width), and their labels, int64 (count,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return LabelledImages(self.images[index], self.labels[index])

    def split(self, size):
        """Return the same images and labels in pieces of `size`, the last one maybe smaller."""
        return [LabelledImages(*piece) for piece in zip(self.images.split(size), self.labels.split(size))]

    def to(self, device):
        """Return the same images and labels on `device`."""
        return LabelledImages(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ImageData:
    """A data set: name, what a plot's title calls it, the classes, and three parts that share no image.

    classes: at least two different names; label i means classes[i]. train, validation, test: `LabelledImages` whose
    pictures have one shape; labels of any type of whole numbers become int64. is_stand_in: whether these are the digits
    that stand in for Fashion-MNIST. Raises ValueError for what does not fit, here and not in the middle of a training.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    is_stand_in: bool = False

    def __post_init__(self):
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        for part in PARTS:
            object.__setattr__(self, part, _checked_part(part, getattr(self, part), self.classes))
        shapes = {part: tuple(getattr(self, part).images.shape[1:]) for part in PARTS}
        if len(set(shapes.values())) > 1:
            told = ", ".join(f"{shape} in {part}" for part, shape in shapes.items())
            raise ValueError(f"pictures are (channel, height, width) = {told}; the three parts must have one shape")

    @property
    def like_fashion_mnist(self):
        """Whether the mean and the standard deviation of Fashion-MNIST's pixels are meant for it."""
        return self.name == "fashion_mnist" or self.is_stand_in

    def model_options(self):
        """Return the arguments of `nin.NiN` that follow from the data: in_channels and num_classes."""
        return {"in_channels": self.train.images.shape[1], "num_classes": len(self.classes)}

    def normalisation(self):
        """Return {"mean", "std"} of the training images' pixels on a scale from 0 to 1, each to four decimals.

        Each is a number for pictures of one channel, otherwise a tuple with one for each. For a channel whose pixels
        are all the same, std is 1.
        """
        level = torch.arange(256, dtype=torch.float64) / 255
        found = {"mean": [], "std": []}
        for channel in self.train.images.cpu().unbind(dim=1):
            share = channel.flatten().bincount(minlength=256) / channel.numel()  # without a copy of floats
            mean = (share * level).sum()
            found["mean"].append(round(mean.item(), 4))
            found["std"].append(round((share * (level - mean) ** 2).sum().sqrt().item(), 4) or 1.0)
        return {name: tuple(values) if len(values) > 1 else values[0] for name, values in found.items()}

    def to(self, device):
        """Return the same data on `device`."""
        moved = copy.copy(self)  # as it is checked already: to look at labels on a GPU is to wait for it
        for part in PARTS:
            object.__setattr__(moved, part, getattr(self, part).to(device))
        return moved

    def __str__(self):
        counts = ", ".join(f"{len(getattr(self, part)):,} {part}" for part in PARTS)
        return f"{self.title}: {counts} images of {' × '.join(map(str, self.train.images.shape[1:]))}"


def _checked_classes(classes):
    if (
        not isinstance(classes, (tuple, list))
        or not all(isinstance(name, str) for name in classes)
        or len(set(classes)) < max(2, len(classes))
    ):
        raise ValueError(f"classes={classes!r} must be a tuple of at least two names, no two of them the same")
    return tuple(classes)


def _checked_part(part, given, classes):
    """Return `given` with labels in int64, or raise ValueError naming what of it does not fit `ImageData`."""
    if not isinstance(given, LabelledImages):
        raise ValueError(f"{part} is of type {type(given).__name__}; it must be LabelledImages(images, labels)")
    for field, tensor in vars(given).items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(
                f"{part}.{field} is of type {type(tensor).__name__}; it must be a tensor: torch.as_tensor makes one"
            )
    images, labels = given.images, given.labels
    if images.dtype != torch.uint8 or images.dim() != 4 or 0 in images.shape[1:]:
        raise ValueError(
            f"{part}.images are {images.dtype} of shape {tuple(images.shape)}; they must be torch.uint8, 0 to 255, of "
            f"shape (count, channel, height, width)"
        )
    if labels.dtype not in WHOLE_NUMBERS or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{part}.labels are {labels.dtype} of shape {tuple(labels.shape)}; they must be whole numbers, such as "
            f"torch.int64, of shape ({len(images)},): one for each image"
        )
    labels = labels.long()
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if len(outside):
        raise ValueError(
            f"{part}.labels have {outside[0].item()}; with {len(classes)} classes each must be 0 to {len(classes) - 1}"
        )
    return given if labels is given.labels else LabelledImages(images, labels)
